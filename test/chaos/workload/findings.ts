// Owns what a run has found: violations of what the mesh promises, and counts of what was done and what failed, by code. Bounded.
import { MeshError } from '@infermesh/proto';
import { AdminError } from '../../support/admin.js';

/** Later ones are counted. */
const violationsMax = 50;

export interface Violation {
	readonly atS: number;
	readonly what: string;
}

/** Errors without a name of ours: what a client sees of a process that is not there. */
export const connectionLost = 'connection lost';
export const clientTimeout = 'no answer';
/** A stream whose router was killed under it. */
export const routerKilled = 'router killed';

/** What calls may end with while faults last. Anything else is a violation. */
const allowed: ReadonlySet<string> = new Set([
	'IM_CONSENSUS_NO_QUORUM',
	'IM_CONSENSUS_TIMEOUT',
	'IM_CONSENSUS_UNAVAILABLE',
	'IM_CONSENSUS_NOT_MEMBER',
	'IM_CONSENSUS_NOT_LEADER',
	'IM_CONSENSUS_LEASE_LOST',
	'IM_CONSENSUS_CLOSED',
	'IM_CONSENSUS_STOPPED',
	'IM_CONSENSUS_LIMIT',
	'IM_RECORD_CONFLICT',
	'IM_NODE_STATE',
	'IM_NODE_QUORUM',
	'IM_STRATEGY_LAGGING',
	'IM_ROUTE_NO_TARGET',
	'IM_ROUTE_SATURATED',
	'IM_UPSTREAM_CONNECT',
	'IM_UPSTREAM_DIED',
	'IM_UPSTREAM_FIRST_BYTE_TIMEOUT',
	connectionLost,
	clientTimeout,
	routerKilled,
]);

/** The name of what went wrong with a call: the mesh's code, or what its client saw. */
export function codeOf(error: unknown): string {
	if (error instanceof MeshError || error instanceof AdminError) return error.code;
	if (!(error instanceof Error)) return String(error);
	if (error.name === 'TimeoutError') return clientTimeout;
	if (error.message === 'fetch failed' || error.message === 'terminated') return connectionLost;
	return `${error.name}: ${error.message}`;
}

const storeKinds = ['read', 'write', 'swap', 'delete', 'ledger write'] as const;

interface Answers {
	readonly answered: number;
	readonly failed: number;
}

export interface Tally {
	readonly store: Answers;
	readonly streams: Answers;
}

export class Findings {
	readonly violations: Violation[] = [];
	readonly #beganMs = performance.now();
	readonly #done = new Map<string, number>();
	readonly #errors = new Map<string, number>();
	readonly #failures = new Map<string, number>();
	readonly #onViolation: (what: string) => void;
	violationsTotal = 0;

	constructor(onViolation: (what: string) => void) {
		this.#onViolation = onViolation;
	}

	get elapsedS(): number {
		return (performance.now() - this.#beganMs) / 1_000;
	}

	violation(what: string): void {
		this.violationsTotal++;
		if (this.violations.length >= violationsMax) return;
		this.violations.push({ atS: Math.round(this.elapsedS), what });
		this.#onViolation(what);
	}

	/** An operation that was answered. */
	done(kind: string): void {
		this.#done.set(kind, (this.#done.get(kind) ?? 0) + 1);
	}

	/** One that failed; answers its code. A name nobody has promised is a violation. */
	failed(kind: string, error: unknown): string {
		const code = codeOf(error);
		this.refused(kind, code);
		return code;
	}

	/** The same by its code. */
	refused(kind: string, code: string): void {
		this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
		this.#failures.set(kind, (this.#failures.get(kind) ?? 0) + 1);
		if (!allowed.has(code)) this.violation(`${kind}: an error that may not occur: ${code}`);
	}

	count(kind: string): number {
		return this.#done.get(kind) ?? 0;
	}

	/** Answered operations on replicated state. */
	get operations(): number {
		return storeKinds.reduce((sum, kind) => sum + this.count(kind), 0);
	}

	/** How many were answered and how many were not, of the calls on replicated state and of the streams. */
	get tally(): Tally {
		const failures = (kind: string): number => this.#failures.get(kind) ?? 0;
		return {
			store: { answered: this.operations, failed: storeKinds.reduce((sum, kind) => sum + failures(kind), 0) },
			streams: { answered: this.count('stream'), failed: failures('stream') },
		};
	}

	get completed(): Readonly<Record<string, number>> {
		return Object.fromEntries(this.#done);
	}

	get errors(): ReadonlyMap<string, number> {
		return new Map(this.#errors);
	}
}

/** What has been added since `before`. */
export function since(
	before: ReadonlyMap<string, number>,
	now: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> {
	const added = [...now].map(([code, count]) => [code, count - (before.get(code) ?? 0)] as const);
	return Object.fromEntries(added.filter(([, count]) => count > 0));
}
