// Owns what the contract suite needs from an engine under test, and the small helpers its statements share. The suite knows no test runner: it is
// given assertions, and `registerContract` (suite.ts) takes the runner's way of naming a test.
import { setTimeout as wait } from 'node:timers/promises';
import type { ErrorCode } from '@infermesh/proto';
import type { ConsensusEngine, KeyValue, Operation, Selection, StoreEvent, Watch } from '../engine.js';
import { hasCode } from '../errors.js';

/** A cluster with keys of its own. */
export interface ContractCluster {
	/** At least one; all of the same cluster, so that what one writes the others read. */
	readonly engines: readonly [ConsensusEngine, ...ConsensusEngine[]];
	/** The shortest time to live that the engine grants. */
	readonly leaseMinMs: number;
	/** Breaks the connections between engines and cluster once, where there are any; they come back by themselves. */
	readonly breakConnections?: () => Promise<void>;
	/** Takes the quorum away; the answer gives it back. `engines[0]` can still be asked. */
	readonly cutQuorum?: () => Promise<() => Promise<void>>;
	close(): Promise<void>;
}

/** What the suite needs of a test runner's assertions; AVA's `t` has them. */
export interface ContractAssertions {
	is<T>(actual: T, expected: T, message?: string): unknown;
	deepEqual<T>(actual: T, expected: T, message?: string): unknown;
	true(actual: unknown, message?: string): unknown;
	fail(message?: string): unknown;
}

export interface Statement {
	/** A sentence of the contract. */
	readonly title: string;
	/** Only where the cluster can do this. */
	readonly needs?: 'breakConnections' | 'cutQuorum';
	readonly run: (t: ContractAssertions, cluster: ContractCluster) => Promise<void>;
}

export const eventuallyMs = 20_000;

/** Asks again until it is so. */
export async function eventually(what: string, so: () => boolean | Promise<boolean>): Promise<void> {
	const deadline = process.hrtime.bigint() + BigInt(eventuallyMs) * 1_000_000n;
	while (!(await so())) {
		if (process.hrtime.bigint() > deadline) throw new Error(`not within ${eventuallyMs} ms: ${what}`);
		await wait(20);
	}
}

export const passing = (ms: number): Promise<void> => wait(ms);

export function monotonicMs(): number {
	return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

export async function refused(t: ContractAssertions, code: ErrorCode, call: () => Promise<unknown>): Promise<void> {
	try {
		await call();
		t.fail(`not refused with ${code}`);
	} catch (error) {
		t.true(hasCode(error, code), `${code} wanted: ${String(error)}`);
	}
}

export function bytes(text: string): Uint8Array {
	return new TextEncoder().encode(text);
}

export function textOf(item: KeyValue | undefined): string | undefined {
	return item === undefined ? undefined : new TextDecoder().decode(item.value);
}

/** Writes unconditionally; answers the revision. */
export async function write(engine: ConsensusEngine, ...then: Operation[]): Promise<number> {
	return (await engine.transact({ when: [], then })).revision;
}

export function put(engine: ConsensusEngine, key: string, text = '', lease?: string): Promise<number> {
	return write(
		engine,
		lease === undefined ? { put: key, value: bytes(text) } : { put: key, value: bytes(text), lease },
	);
}

export async function one(engine: ConsensusEngine, key: string): Promise<KeyValue | undefined> {
	return (await engine.read({ key })).items[0];
}

export async function keysOf(engine: ConsensusEngine, prefix = ''): Promise<string[]> {
	return (await engine.read({ prefix })).items.map(({ key }) => key);
}

export function otherOf(cluster: ContractCluster): ConsensusEngine {
	return cluster.engines[1] ?? cluster.engines[0];
}

/** A watch that writes down what it is told. */
export class WatchRecord {
	readonly batches: { readonly events: readonly StoreEvent[]; readonly revision: number }[] = [];
	readonly progress: number[] = [];
	readonly compacted: number[] = [];
	readonly #watch: Watch;

	constructor(engine: ConsensusEngine, selection: Selection, fromRevision: number) {
		this.#watch = engine.watch(selection, fromRevision, {
			onEvents: (events, revision) => void this.batches.push({ events, revision }),
			onProgress: (revision) => void this.progress.push(revision),
			onCompacted: (revision) => void this.compacted.push(revision),
		});
	}

	/** `key=text@revision` for puts, `key@revision` for deletions. */
	get told(): string[] {
		return this.batches.flatMap(({ events }) => events.map(describe));
	}

	cancel(): void {
		this.#watch.cancel();
	}
}

export function describe(event: StoreEvent): string {
	if (event.kind === 'delete') return `${event.key}@${event.modRevision}`;
	return `${event.current.key}=${textOf(event.current)}@${event.current.modRevision}`;
}
