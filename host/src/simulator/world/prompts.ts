// Owns what prompts of a workload look like to engines and to routers. Engines get a name of every full block of theirs, such that neighbours in a prompt are
// neighbours in their tables; routers get words, so many a block, that stand for the tokens. Worked out once a workload and block size, and shared by all simulations of a thread. Nothing here knows of output.
import { MeshError } from '@infermesh/proto';
import { chainFromIds, namesFromIds } from '../../engine/model/block-hash.js';
import { hashText } from '../../router/hash.js';
import type { Workload } from '../spec.js';
import { simulationErrors } from './errors.js';

const salt = { low: 0, high: 0 };

export class Prompts {
	readonly blockTokens: number;
	readonly #workload: Workload;
	readonly #blocksPerId: number;
	readonly #chains: (Uint32Array | undefined)[];
	readonly #names: (Uint32Array | undefined)[];
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
		this.#names = workload.requests.map(() => undefined);
	}

	/** The adapter that a chain of these prompts is for; empty = none. */
	loraOf(chain: Uint32Array): string {
		return this.#loras.get(chain) ?? '';
	}

	/** Blocks of a request's prompt that other requests of the workload have too: of those behind them no router will ever ask another time. */
	sharedBlocks(request: number): number {
		const counts = (this.#idCounts ??= countIds(this.#workload));
		const blocks = this.#workload.requests[request]?.blocks ?? [];
		let shared = blocks.length;
		while (shared > 0 && (counts.get(blocks[shared - 1] as number) as number) < 2) shared--;
		return Math.ceil(shared * this.#blocksPerId);
	}

	/** What stands for the tokens of the full blocks of a request's prompt, two words each; undefined when nothing is known of its content. */
	chain(request: number): Uint32Array | undefined {
		return this.#made(request, this.#chains, chainFromIds);
	}

	/** What engines know the same blocks by, two words each. */
	names(request: number): Uint32Array | undefined {
		return this.#made(request, this.#names, namesFromIds);
	}

	#made(request: number, all: (Uint32Array | undefined)[], from: typeof chainFromIds): Uint32Array | undefined {
		const known = all[request];
		if (known !== undefined) return known;
		const row = this.#workload.requests[request];
		if (row?.blocks === undefined || row.blocks.length === 0) return undefined;
		const full = Math.floor(row.inputTokens / this.blockTokens);
		const chain = this.#hashed(row.blocks, full, from);
		// What an adapter has computed is of no use to another.
		if (row.lora !== undefined) {
			this.#loras.set(chain, row.lora);
			hashText(row.lora, salt);
			for (let at = 0; at < chain.length; at += 2) {
				chain[at] = (chain[at] as number) ^ salt.low;
				chain[at + 1] = (chain[at + 1] as number) ^ salt.high;
			}
		}
		all[request] = chain;
		return chain;
	}

	/** An id names its block and all before it: of several that make up one block the last names them all. */
	#hashed(blocks: readonly number[], full: number, from: typeof chainFromIds): Uint32Array {
		const perId = this.#blocksPerId;
		if (perId >= 1) return from(blocks.slice(0, Math.ceil(full / perId)), perId).slice(0, full * 2);
		const idsPerBlock = Math.round(1 / perId);
		const last = Array.from({ length: full }, (_, block) => blocks[(block + 1) * idsPerBlock - 1] as number);
		return from(last, 1);
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
