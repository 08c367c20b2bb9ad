// Owns what placement policies mean for the rows of a pool: which may be chosen at all, and which are closed to some tenants. Pure; the registry
// asks it when a pool or a policy changes, never on a decision.
import type { Placement, Slo } from '../records/kinds.js';
import type { TargetSpec } from './registry.js';

export interface NamedPolicy<T> {
	readonly id: string;
	readonly value: T;
}

/** What policies say of one pool: its rows, in row order, and the requests for it. */
export interface PoolPolicy extends RowRules {
	readonly slos: SloRules;
}

interface RowRules {
	/** One bit a row, as the eligibility bitmap; undefined = every row may be chosen. */
	readonly allowed: Uint32Array | undefined;
	/** Tenant → rows closed to it beyond that. */
	readonly closedTo: ReadonlyMap<string, readonly number[]>;
}

/** A pattern is a name, or a beginning followed by `*`. */
export function matches(pattern: string, name: string): boolean {
	return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

const anyMatches = (patterns: readonly string[], name: string): boolean =>
	patterns.some((pattern) => matches(pattern, name));

/** Whether a placement lets a target be chosen. Absent and empty lists say nothing. */
export function permits(placement: Placement, target: TargetSpec): boolean {
	const within = (names: readonly string[] | undefined, name: string): boolean =>
		names === undefined || names.length === 0 || names.includes(name);
	const without = (names: readonly string[] | undefined, name: string): boolean => names?.includes(name) !== true;
	return (
		within(placement.zones, target.zone) &&
		within(placement.regions, target.region) &&
		within(placement.nodes, target.node) &&
		within(placement.targets, target.id) &&
		without(placement.avoidZones, target.zone) &&
		without(placement.avoidNodes, target.node)
	);
}

/** Placements add up: a row must be permitted by every one that applies. */
function rowRules(
	model: string,
	rows: readonly (TargetSpec | undefined)[],
	placements: readonly NamedPolicy<Placement>[],
): RowRules {
	const applying = placements.map(({ value }) => value).filter(({ models }) => anyMatches(models, model));
	const general = applying.filter(({ tenants }) => tenants === undefined);
	const closedTo = new Map<string, number[]>();
	let allowed: Uint32Array | undefined;
	if (general.length > 0) {
		allowed = new Uint32Array(Math.max(1, Math.ceil(rows.length / 32)));
		for (const [row, target] of rows.entries()) {
			if (target === undefined || !general.every((placement) => permits(placement, target))) continue;
			allowed[row >>> 5] = (allowed[row >>> 5] as number) | (1 << (row & 31));
		}
	}
	for (const placement of applying) {
		for (const tenant of placement.tenants ?? []) {
			const closed = closedTo.get(tenant) ?? [];
			for (const [row, target] of rows.entries())
				if (target !== undefined && !permits(placement, target) && !closed.includes(row)) closed.push(row);
			closedTo.set(tenant, closed);
		}
	}
	return { allowed, closedTo };
}

/** Objectives of requests that bring none of their own; the first rule that names the tenant, else the first for all. */
export interface SloRules {
	readonly byTenant: ReadonlyMap<string, Slo>;
	readonly common: Slo | undefined;
}

const noSlos: SloRules = { byTenant: new Map(), common: undefined };

/** No policy says anything. */
export const openPolicy: PoolPolicy = { allowed: undefined, closedTo: new Map(), slos: noSlos };

function sloRules(model: string, slos: readonly NamedPolicy<Slo>[]): SloRules {
	const applying = [...slos]
		.sort((a, b) => (a.id < b.id ? -1 : 1))
		.map(({ value }) => value)
		.filter(({ models }) => anyMatches(models, model));
	if (applying.length === 0) return noSlos;
	const byTenant = new Map<string, Slo>();
	for (const slo of applying)
		for (const tenant of slo.tenants ?? []) if (!byTenant.has(tenant)) byTenant.set(tenant, slo);
	return { byTenant, common: applying.find(({ tenants }) => tenants === undefined) };
}

/** Policies as records. */
export interface PoolPolicies {
	readonly placements: readonly NamedPolicy<Placement>[];
	readonly slos: readonly NamedPolicy<Slo>[];
}

/** What the policies say of the pool of `model` with these rows. */
export function poolPolicy(
	model: string,
	rows: readonly (TargetSpec | undefined)[],
	{ placements, slos }: PoolPolicies,
): PoolPolicy {
	if (placements.length === 0 && slos.length === 0) return openPolicy;
	return { ...rowRules(model, rows, placements), slos: sloRules(model, slos) };
}

export function samePolicy(a: PoolPolicy, b: PoolPolicy): boolean {
	const shape = ({ allowed, closedTo, slos }: PoolPolicy): string =>
		JSON.stringify([
			allowed === undefined ? null : [...allowed],
			[...closedTo],
			[...slos.byTenant],
			slos.common ?? null,
		]);
	return a === b || shape(a) === shape(b);
}
