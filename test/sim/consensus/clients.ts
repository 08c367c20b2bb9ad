// Owns what clients do to a simulated cluster: writes, swaps, deletions and reads of a few keys through the engine of whatever host they are on, and a
// lock kept by a lease. A client dies with its host and another takes its place.
import { type ConsensusEngine, hasCode, type KeyValue, type TransactionResult } from '@infermesh/fabric';
import type { SeededRandom } from '@infermesh/proto';
import type { RegisterInput, Value } from '../linearizability/register.js';
import type { SimHost } from '../world/sim-host.js';
import type { SimWorld } from '../world/sim-world.js';
import type { History, OpenCall } from './history.js';

const text = new TextEncoder();
const textOf = new TextDecoder();

export interface ClientOptions {
	readonly world: SimWorld;
	readonly history: History;
	readonly keys: readonly string[];
	/** Mean time between the answer to a call and the next call. */
	readonly thinkUs: number;
}

type WriteInput = Exclude<RegisterInput, { kind: 'read' }>;

/** Codes after which a call has had no effect. */
const refusals = [
	'IM_CONSENSUS_NO_QUORUM',
	'IM_CONSENSUS_LIMIT',
	'IM_CONSENSUS_STOPPED',
	'IM_CONSENSUS_CLOSED',
	'IM_CONSENSUS_LEASE_LOST',
] as const;

/** Whether a failed call certainly had no effect; throws what no client should ever see. */
export function wasRefused(error: unknown): boolean {
	if (refusals.some((code) => hasCode(error, code))) return true;
	if (hasCode(error, 'IM_CONSENSUS_TIMEOUT')) return false;
	throw error;
}

export function valueOf(item: KeyValue | undefined): Value {
	return item === undefined ? undefined : textOf.decode(item.value);
}

/** One client, one call at a time. */
export class Client {
	readonly #options: ClientOptions;
	readonly #number: number;
	readonly #random: SeededRandom;
	/** What it last saw of each key: what its swaps expect. */
	readonly #last = new Map<string, Value>();
	#writes = 0;

	constructor(options: ClientOptions, number: number) {
		this.#options = options;
		this.#number = number;
		this.#random = options.world.random('workload', 1 + number);
	}

	/** Runs on a process until that dies. */
	runs(host: SimHost, engine: ConsensusEngine): void {
		const { thinkUs } = this.#options;
		const pause = -Math.log(1 - this.#random.nextFloat()) * thinkUs;
		host.clock.after(pause / 1000, () => void this.#turn(host, engine));
	}

	async #turn(host: SimHost, engine: ConsensusEngine): Promise<void> {
		try {
			await this.#call(engine);
		} catch (error) {
			this.#options.world.fail(error instanceof Error ? error : new Error(String(error)));
		}
		this.runs(host, engine);
	}

	#draw(): { readonly key: string; readonly input: RegisterInput } {
		const { keys } = this.#options;
		const key = keys[Math.floor(this.#random.nextFloat() * keys.length)] ?? '';
		const value = `c${this.#number}w${++this.#writes}`;
		const dice = this.#random.nextFloat();
		if (dice < 0.35) return { key, input: { kind: 'read' } };
		if (dice < 0.65) return { key, input: { kind: 'write', value } };
		if (dice < 0.96) return { key, input: { kind: 'swap', expected: this.#last.get(key), value } };
		return { key, input: { kind: 'delete' } };
	}

	async #call(engine: ConsensusEngine): Promise<void> {
		const { world, history } = this.#options;
		const { key, input } = this.#draw();
		const call = history.begins(key, this.#number, input, world.nowUs);
		world.note(undefined, () => `client ${this.#number} ${input.kind} ${key} ${'value' in input ? input.value : ''}`);
		try {
			if (input.kind === 'read') await this.#read(engine, call);
			else await this.#write(engine, call, input);
		} catch (error) {
			const refused = wasRefused(error);
			world.counters.add(refused ? 'calls refused' : 'calls unknown');
			if (refused || input.kind === 'read') history.refused(call);
			else history.unknown(call);
		}
	}

	async #read(engine: ConsensusEngine, call: OpenCall): Promise<void> {
		const { world, history } = this.#options;
		const { items, revision } = await engine.read({ key: call.key });
		const value = valueOf(items[0]);
		this.#last.set(call.key, value);
		world.counters.add('reads answered');
		world.note(undefined, () => `client ${this.#number} reads ${call.key} = ${value} at ${revision}`);
		history.ends(call, world.nowUs, { found: { value } }, revision);
	}

	async #write(engine: ConsensusEngine, call: OpenCall, input: WriteInput): Promise<void> {
		const { world, history } = this.#options;
		const { key } = call;
		const result = await transact(engine, key, input);
		const value = foundIn(result);
		world.counters.add('writes answered');
		world.note(
			undefined,
			() => `client ${this.#number} ${input.kind} ${key} ${result.held ? 'done' : 'refused'} at ${result.revision}`,
		);
		if (input.kind === 'swap') {
			this.#last.set(key, result.held ? input.value : value);
			const output = result.held ? { held: true } : { held: false, found: { value } };
			history.ends(call, world.nowUs, output, result.revision);
		} else {
			this.#last.set(key, 'value' in input ? input.value : undefined);
			history.ends(call, world.nowUs, input.kind === 'delete' ? { found: { value } } : {}, result.revision);
		}
	}
}

function foundIn({ results }: TransactionResult): Value {
	const [first] = results;
	return first?.kind === 'get' ? valueOf(first.items[0]) : undefined;
}

/** The transaction that carries an input out; a refused swap and a deletion tell what they found. */
function transact(engine: ConsensusEngine, key: string, input: WriteInput): Promise<TransactionResult> {
	const get = { get: { key } };
	if (input.kind === 'delete') return engine.transact({ when: [], then: [get, { delete: { key } }] });
	const put = { put: key, value: text.encode(input.value) };
	if (input.kind === 'write') return engine.transact({ when: [], then: [put] });
	const when = input.expected === undefined ? { key, exists: false } : { key, value: text.encode(input.expected) };
	return engine.transact({ when: [when], then: [put], otherwise: [get] });
}
