// Owns the mesh's policies as an operator handles them: placements, quotas, objectives and routes by name, checked beyond their schema for what would
// mean nothing or two things at once. What they do is the fleet's and the router's.
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import type { TSchema } from 'typebox';
import { recordErrors } from '../records/errors.js';
import { type PolicyKind, policyKinds, type RecordKind, type Route, recordKinds } from '../records/kinds.js';
import type { Mirror } from '../records/mirror.js';
import type { Records } from '../records/records.js';
import { freshOrHeld, type Listing, listing } from './listing.js';
import type { MeshMirrors } from './mirrors.js';

export interface PolicyView {
	readonly kind: PolicyKind;
	readonly name: string;
	readonly value: unknown;
	readonly revision: number;
}

export interface PoliciesPorts {
	readonly records: Records;
	readonly mirrors: Pick<MeshMirrors, 'placements' | 'quotas' | 'slos' | 'routes'>;
}

const kinds: Readonly<Record<PolicyKind, RecordKind<TSchema>>> = {
	placement: recordKinds.placements,
	quota: recordKinds.quotas,
	slo: recordKinds.slos,
	route: recordKinds.routes,
};

/** Throws IM_RECORD_KIND. */
export function policyKindOf(kind: string): PolicyKind {
	const found = policyKinds.find((one) => one === kind);
	if (found !== undefined) return found;
	throw new MeshError(
		recordErrors,
		'IM_RECORD_KIND',
		`no kind of policy is called ${kind}${didYouMean(kind, policyKinds)}`,
	);
}

export class Policies {
	readonly #records: Records;
	readonly #mirrors: Readonly<Record<PolicyKind, Mirror<TSchema>>>;

	constructor({ records, mirrors }: PoliciesPorts) {
		this.#records = records;
		this.#mirrors = {
			placement: mirrors.placements,
			quota: mirrors.quotas,
			slo: mirrors.slos,
			route: mirrors.routes,
		};
	}

	/** Of one kind or of all, by kind and name. IM_RECORD_KIND. */
	async list(kind: string | undefined): Promise<Listing<PolicyView>> {
		const wanted = kind === undefined ? policyKinds : [policyKindOf(kind)];
		const lists = await Promise.all(
			wanted.map(async (one) => {
				const { items, revision, stale } = await listing(this.#records, kinds[one], this.#mirrors[one]);
				return {
					revision,
					stale,
					items: items.map(({ id, value, revision: written }) => ({ kind: one, name: id, value, revision: written })),
				};
			}),
		);
		return {
			items: lists.flatMap(({ items }) => items),
			// What the oldest of the lists shows, so that changes after it can be asked for without a gap.
			revision: Math.min(...lists.map(({ revision }) => revision)),
			stale: lists.some(({ stale }) => stale),
		};
	}

	/** IM_RECORD_KIND, IM_RECORD_UNKNOWN. */
	async get(kind: string, name: string): Promise<PolicyView & { readonly stale: boolean }> {
		const of = policyKindOf(kind);
		const { value: found, stale } = await freshOrHeld(
			this.#records.engine,
			() => this.#records.get(kinds[of], name),
			() => this.#mirrors[of].get(name),
		);
		if (found === undefined) throw unknown(of, name);
		return { kind: of, name, value: found.value, revision: found.revision, stale };
	}

	/** `ifRevision`: only if it still has this one; 0 = only if there is none. IM_RECORD_KIND, IM_RECORD_INVALID, IM_RECORD_CONFLICT. */
	async set(kind: string, name: string, value: unknown, ifRevision: number | undefined): Promise<PolicyView> {
		const of = policyKindOf(kind);
		if (name === '' || name.length > NAME_LENGTH_MAX)
			throw new MeshError(recordErrors, 'IM_RECORD_INVALID', `a name has 1 to ${NAME_LENGTH_MAX} characters`);
		const options = ifRevision === undefined ? {} : { ifRevision };
		const contradiction = contradictionIn(of, name, value);
		if (contradiction !== undefined)
			throw new MeshError(recordErrors, 'IM_RECORD_INVALID', `${of} ${name}: ${contradiction}`);
		const revision = await this.#records.put(kinds[of], name, value, options);
		return { kind: of, name, value, revision };
	}

	/** False when there was none. IM_RECORD_KIND. */
	async remove(kind: string, name: string): Promise<boolean> {
		return this.#records.remove(kinds[policyKindOf(kind)], name);
	}

	/** Whether this node's copy already shows what was written at `revision`. */
	follows(kind: PolicyKind, name: string, revision: number | undefined): boolean {
		const held = this.#mirrors[kind].get(name);
		return revision === undefined ? held === undefined : (held?.revision ?? 0) >= revision;
	}
}

const NAME_LENGTH_MAX = 128;

function unknown(kind: PolicyKind, name: string): MeshError {
	return new MeshError(recordErrors, 'IM_RECORD_UNKNOWN', `there is no ${kind} policy called ${name}`);
}

/** What the schema cannot say. Values of the wrong shape are left to it. */
function contradictionIn(kind: PolicyKind, name: string, value: unknown): string | undefined {
	if (typeof value !== 'object' || value === null) return undefined;
	const { models } = value as { models?: unknown };
	if ((kind === 'placement' || kind === 'slo') && Array.isArray(models) && models.length === 0)
		return 'it names no model, so it would never apply; `models: ["*"]` is all of them';
	if (kind !== 'route') return undefined;
	const { alias, revisions, fallbacks } = value as Route;
	if (alias === undefined && revisions === undefined && fallbacks === undefined)
		return 'it says nothing: give it alias, revisions or fallbacks';
	if (alias !== undefined && revisions !== undefined) return 'it has alias and revisions; a name has one meaning';
	if (alias === name) return 'it is an alias of itself';
	if (Array.isArray(fallbacks) && fallbacks.includes(name)) return 'it cannot be its own fallback';
	if (Array.isArray(revisions) && revisions.length > 0 && revisions.every((share) => share?.weight === 0))
		return 'at least one weight must be above 0';
	return undefined;
}
