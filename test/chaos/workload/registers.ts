// Owns reads, writes, swaps and deletions of a few keys through every node, and the proof that what they were answered is linearizable. A key lives for one
// generation: its history is whole, begins with nothing there and ends with reads at every node, and is judged by the checker of the simulation.
import type { RemoteEngine } from '@infermesh/fabric';
import { checkHistory } from '../../sim/linearizability/checker.js';
import {
	type RegisterInput,
	type RegisterOperation,
	type RegisterOutput,
	registerModel,
	type Value,
	withFewerUnknowns,
} from '../../sim/linearizability/register.js';
import { eventually } from '../../support/mesh.js';
import type { WatchedWrites } from './watchers.js';
import { pick, repeat, type Workload, type WorkloadContext } from './workload.js';

const slots = 4;
const clientsPerNode = 2;
/** A generation ends after so many operations, or so long. */
const operationsMax = 240;
const generationMs = 15_000;
/** Generations that wait for a whole mesh to be read at the end; beyond it the present ones grow, up to the checker's own bound. */
const waitingMax = 64;
const operationsHardMax = 1_200;
const pauseMs = [20, 90] as const;
const timeoutMs = 3_000;
const never = Number.POSITIVE_INFINITY;

/** What is sure to have had no effect (engine.ts of the contract): such a call is no part of the history. */
const withoutEffect: ReadonlySet<string> = new Set([
	'IM_CONSENSUS_NO_QUORUM',
	'IM_CONSENSUS_UNAVAILABLE',
	'IM_CONSENSUS_NOT_MEMBER',
	'IM_CONSENSUS_CLOSED',
	'IM_CONSENSUS_LIMIT',
]);

interface Generation {
	readonly key: string;
	readonly beganMs: number;
	readonly history: RegisterOperation[];
	underWay: number;
}

export const bytesOf = (value: string): Uint8Array => Buffer.from(value, 'utf8');
export const textOf = (value: Uint8Array | undefined): Value =>
	value === undefined ? undefined : Buffer.from(value).toString('utf8');

export class Registers implements Workload {
	readonly ended: Promise<unknown>;
	readonly #context: WorkloadContext;
	readonly #writes: WatchedWrites;
	readonly #current: Generation[];
	readonly #waiting: Generation[] = [];
	#generations = 0;
	#values = 0;
	#damaged = false;
	judged = 0;

	constructor(context: WorkloadContext, writes: WatchedWrites) {
		this.#context = context;
		this.#writes = writes;
		this.#current = Array.from({ length: slots }, (_, slot) => this.#begin(slot));
		const clients = context.mesh.clients.flatMap((engine, node) =>
			Array.from({ length: clientsPerNode }, (_, at) =>
				repeat(context, pauseMs, () => this.#one(engine, node * clientsPerNode + at)),
			),
		);
		this.ended = Promise.all(clients);
	}

	/** Reads what waits at every node and judges it. */
	async settle(withinMs: number): Promise<void> {
		const whole = this.#waiting.filter(({ underWay }) => underWay === 0);
		for (const generation of whole) {
			await this.#readAtAll(generation, withinMs);
			this.#waiting.splice(this.#waiting.indexOf(generation), 1);
			this.#judge(generation);
		}
	}

	async finish(): Promise<void> {
		for (let slot = 0; slot < slots; slot++) this.#turn(slot);
		await eventually('operations have ended', () => this.#waiting.every(({ underWay }) => underWay === 0));
		await this.settle(30_000);
	}

	#begin(slot: number): Generation {
		return { key: `chaos/r/${slot}/${++this.#generations}`, beganMs: performance.now(), history: [], underWay: 0 };
	}

	#turn(slot: number): void {
		this.#waiting.push(this.#current[slot] as Generation);
		this.#current[slot] = this.#begin(slot);
	}

	async #one(engine: RemoteEngine, client: number): Promise<void> {
		const { random } = this.#context;
		const slot = Math.floor(random.nextFloat() * slots);
		const before = this.#current[slot] as Generation;
		const old = before.history.length >= operationsMax || performance.now() - before.beganMs > generationMs;
		if (old && this.#waiting.length < waitingMax) this.#turn(slot);
		const generation = this.#current[slot] as Generation;
		if (generation.history.length >= operationsHardMax) return;
		generation.underWay++;
		await this.#operate(engine, client, generation, this.#draw(generation)).finally(() => generation.underWay--);
	}

	#draw({ history }: Generation): RegisterInput {
		const { random } = this.#context;
		const dice = random.nextFloat();
		if (dice < 0.5) return { kind: 'read' };
		const value = `v${++this.#values}`;
		if (dice < 0.75) return { kind: 'write', value };
		if (dice < 0.98) return { kind: 'swap', expected: lastValue(history), value };
		return { kind: 'delete' };
	}

	async #operate(engine: RemoteEngine, client: number, generation: Generation, input: RegisterInput): Promise<void> {
		const { findings } = this.#context;
		const callAt = performance.now();
		try {
			const output = await this.#call(engine, generation.key, input);
			findings.done(input.kind);
			const operation = { client, input, output, callAt, returnAt: performance.now() };
			generation.history.push(this.#recorded(operation, generation.history));
		} catch (error) {
			const code = findings.failed(input.kind, error);
			if (input.kind === 'read' || withoutEffect.has(code)) return;
			generation.history.push({ client, input, output: undefined, callAt, returnAt: never });
		}
	}

	async #call(engine: RemoteEngine, key: string, input: RegisterInput): Promise<RegisterOutput> {
		switch (input.kind) {
			case 'read': {
				const { items } = await engine.read({ key });
				return { found: { value: textOf(items[0]?.value) } };
			}
			case 'write': {
				const then = [{ put: key, value: bytesOf(input.value) }];
				const { revision } = await engine.transact({ when: [], then }, { timeoutMs });
				this.#writes.acknowledged(revision, key, input.value);
				return {};
			}
			case 'delete': {
				await engine.transact({ when: [], then: [{ delete: { key } }] }, { timeoutMs });
				return {};
			}
			case 'swap': {
				const { expected, value } = input;
				const { held, revision, results } = await engine.transact(
					{
						when: [expected === undefined ? { key, exists: false } : { key, value: bytesOf(expected) }],
						then: [{ put: key, value: bytesOf(value) }],
						otherwise: [{ get: { key } }],
					},
					{ timeoutMs },
				);
				if (held) {
					this.#writes.acknowledged(revision, key, value);
					return { held };
				}
				const [got] = results;
				return { held, found: { value: textOf(got?.kind === 'get' ? got.items[0]?.value : undefined) } };
			}
		}
	}

	/** The record; once, if this run is to prove that it would be noticed, an old value in the place of the one that was read. */
	#recorded(operation: RegisterOperation, history: readonly RegisterOperation[]): RegisterOperation {
		if (!this.#context.damages.has('stale-read') || this.#damaged || operation.input.kind !== 'read') return operation;
		const value = overwrittenBefore(operation.callAt, history);
		if (value === undefined) return operation;
		this.#damaged = true;
		return { ...operation, output: { found: { value } } };
	}

	async #readAtAll(generation: Generation, withinMs: number): Promise<void> {
		const { mesh } = this.#context;
		for (const [node, engine] of mesh.clients.entries()) {
			await eventually(
				`${generation.key} is read at ${mesh.node(node).name}`,
				async () => {
					const before = generation.history.length;
					await this.#operate(engine, -1 - node, generation, { kind: 'read' });
					return generation.history.length > before;
				},
				{ withinMs, everyMs: 100 },
			);
		}
	}

	#judge({ key, history }: Generation): void {
		const { findings, keep } = this.#context;
		const verdict = checkHistory(registerModel, withFewerUnknowns(history));
		this.judged++;
		if (verdict.kind === 'linearizable') return this.#forget(key);
		findings.violation(`${key}: a history of ${history.length} operations is ${verdict.kind}`);
		keep(`history-${key.replaceAll('/', '-')}`, { verdict, history });
	}

	#forget(key: string): void {
		const { mesh, random } = this.#context;
		// What is not deleted now stays: small, and never read again.
		void pick(random, mesh.clients)
			.transact({ when: [], then: [{ delete: { key } }] }, { timeoutMs })
			.catch(() => undefined);
	}
}

/** What the register held last as far as the record tells: a swap that expects it has a chance. */
function lastValue(history: readonly RegisterOperation[]): Value {
	for (const { input, output } of history.toReversed()) {
		if (output === undefined) continue;
		if (output.found !== undefined) return output.found.value;
		if (input.kind === 'write' || input.kind === 'swap') return input.value;
		if (input.kind === 'delete') return undefined;
	}
	return undefined;
}

/** A value whose write had been answered before another's was called, which had been answered by `atMs`. */
function overwrittenBefore(atMs: number, history: readonly RegisterOperation[]): Value {
	const writes = history.filter(({ input, output }) => input.kind === 'write' && output !== undefined);
	const over = writes.find(({ returnAt }) => writes.some((later) => later.callAt > returnAt && later.returnAt < atMs));
	return over?.input.kind === 'write' ? over.input.value : undefined;
}
