// Owns what prompts of a workload look like to engines and to routers. Engines get their full blocks as runs of numbers that count on; routers get words, so many a block, that stand for the tokens. Worked out once a workload and block size, and shared by all simulations of a thread. Nothing here knows of output.
import { MeshError } from '@infermesh/proto';
import { chainFromIds } from '../../engine/model/block-hash.js';
import { BlockRuns } from '../../engine/model/block-runs.js';
import { hashText } from '../../router/hash.js';
import type { Workload } from '../spec.js';
import { simulationErrors } from './errors.js';

const salt = { low: 0, high: 0 };

export class Prompts {
	readonly blockTokens: number;
	readonly #workload: Workload;
	readonly #blocksPerId: number;
	readonly #chains: (Uint32Array | undefined)[];
	readonly #runs: (BlockRuns | undefined)[];
	readonly #shared: (number | undefined)[];
	/** Of each adapter. */
	readonly #numbers = new Map<string, Map<number, number>>();
	#nextNumber = 0;
	readonly #loras = new WeakMap<Uint32Array, string>();
	#idCounts: ReadonlyMap<number, number> | undefined;

	constructor(workload: Workload, blockTokens: number) {
		const blocksPerId = workload.blockTokens / blockTokens;
		if (!Number.isInteger(blocksPerId) && !Number.isInteger(1 / blocksPerId))
			throw new MeshError(
				simulationErrors,
				'IM_SIMULATION_BLOCKS',
				`blocks of ${blockTokens} tokens neither divide the workload's of ${workload.blockTokens} nor are made of them`,
			);
		this.#workload = workload;
		this.blockTokens = blockTokens;
		this.#blocksPerId = blocksPerId;
		this.#chains = workload.requests.map(() => undefined);
		this.#runs = workload.requests.map(() => undefined);
		this.#shared = workload.requests.map(() => undefined);
	}

	/** The adapter that a chain of these prompts is for; empty = none. */
	loraOf(chain: Uint32Array): string {
		return this.#loras.get(chain) ?? '';
	}

	/** Blocks of a request's prompt that other requests of the workload have too: of those behind them no router will ever ask another time. */
	sharedBlocks(request: number): number {
		const known = this.#shared[request];
		if (known !== undefined) return known;
		const counts = (this.#idCounts ??= countIds(this.#workload));
		const blocks = this.#workload.requests[request]?.blocks ?? [];
		let shared = blocks.length;
		while (shared > 0 && (counts.get(blocks[shared - 1] as number) as number) < 2) shared--;
		return (this.#shared[request] = Math.ceil(shared * this.#blocksPerId));
	}

	/** What stands for the tokens of the full blocks of a request's prompt, two words each; undefined when nothing is known of its content. */
	chain(request: number): Uint32Array | undefined {
		const known = this.#chains[request];
		if (known !== undefined) return known;
		const named = this.#named(request);
		if (named === undefined) return undefined;
		const chain = chainFromIds(named.ids, named.perId).slice(0, named.full * 2);
		// What an adapter has computed is of no use to another.
		if (named.lora !== '') {
			this.#loras.set(chain, named.lora);
			hashText(named.lora, salt);
			for (let at = 0; at < chain.length; at += 2) {
				chain[at] = (chain[at] as number) ^ salt.low;
				chain[at + 1] = (chain[at + 1] as number) ^ salt.high;
			}
		}
		this.#chains[request] = chain;
		return chain;
	}

	/** What engines know the same blocks by. */
	blocks(request: number): BlockRuns | undefined {
		const known = this.#runs[request];
		if (known !== undefined) return known;
		const named = this.#named(request);
		if (named === undefined) return undefined;
		const runs = new BlockRuns();
		const { perId } = named;
		let left = named.full;
		for (const id of named.ids) {
			runs.add(this.#numberOf(named.lora, id) * perId, Math.min(perId, left));
			left -= perId;
		}
		this.#runs[request] = runs;
		return runs;
	}

	/** The ids that name the full blocks of a request's prompt, and how many blocks each stands for: of several that make up one block the last names them all. */
	#named(request: number): { ids: readonly number[]; perId: number; full: number; lora: string } | undefined {
		const row = this.#workload.requests[request];
		if (row?.blocks === undefined || row.blocks.length === 0) return undefined;
		const { blocks, lora = '' } = row;
		const full = Math.floor(row.inputTokens / this.blockTokens);
		const perId = this.#blocksPerId;
		if (perId >= 1) return { ids: blocks.slice(0, Math.ceil(full / perId)), perId, full, lora };
		const idsPerBlock = Math.round(1 / perId);
		const ids = Array.from({ length: full }, (_, block) => blocks[(block + 1) * idsPerBlock - 1] as number);
		return { ids, perId: 1, full, lora };
	}

	/** Ids count in the order in which they are first met, so that those of new content count on. What an adapter has computed is of no use to another. */
	#numberOf(lora: string, id: number): number {
		let numbers = this.#numbers.get(lora);
		if (numbers === undefined) this.#numbers.set(lora, (numbers = new Map()));
		let number = numbers.get(id);
		if (number === undefined) numbers.set(id, (number = this.#nextNumber++));
		return number;
	}
}

/** How often each id occurs. */
function countIds({ requests }: Workload): ReadonlyMap<number, number> {
	const counts = new Map<number, number>();
	for (const { blocks } of requests) for (const id of blocks ?? []) counts.set(id, (counts.get(id) ?? 0) + 1);
	return counts;
}

const known = new WeakMap<Workload, Map<number, Prompts>>();

/** The prompts of a workload in blocks of this size. Throws IM_SIMULATION_BLOCKS. */
export function promptsOf(workload: Workload, blockTokens: number): Prompts {
	const byBlock = known.get(workload) ?? new Map<number, Prompts>();
	known.set(workload, byBlock);
	let prompts = byBlock.get(blockTokens);
	if (prompts === undefined) byBlock.set(blockTokens, (prompts = new Prompts(workload, blockTokens)));
	return prompts;
}
