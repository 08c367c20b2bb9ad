// Owns when a node speaks to whom about cells. A gateway calls one gateway of each other cell a period, and the nodes it was told to join by until their
// cell is known; any other node asks one gateway of its own cell. One call at a time to each, the next gateway after a failure. What it costs
// follows the number of cells, never that of nodes in them. A node is heard for itself only, and believed when the pool of gateways has it alive under the
// cell it speaks for, or when it answered at an address that the operator named.
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import type { Hello, KnownSummary, Summaries, Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import { type BookOptions, CellBook, type CellView } from './book.js';
import { cellErrors } from './errors.js';
import { cellBounds, checkSummary } from './summary.js';

export interface CellPeer {
	readonly nodeId: string;
	/** Of its agent, host:port. */
	readonly address: string;
}

/** A gateway of another cell, alive in the pool of gateways. */
export interface Gateway extends CellPeer {
	readonly cell: string;
	readonly rttMs: number | undefined;
}

/** What a gateway answered, and which node of the trust domain it proved to be. */
export interface Answered {
	readonly nodeId: string;
	readonly hello: Hello;
}

export interface ExchangePorts {
	readonly clock: Clock;
	readonly random: Random;
	/** What this gateway tells of its cell; undefined on a node that is none, or that cannot tell yet. */
	readonly ownSummary: () => Summary | undefined;
	readonly ownClusterId: () => string;
	/** Gateways of all other cells. */
	readonly gateways: () => readonly Gateway[];
	/** Gateways of the own cell, without this node. */
	readonly ownGateways: () => readonly CellPeer[];
	readonly gossipKeys: () => readonly Uint8Array[];
	/** Members of the pool of gateways, this one first. */
	readonly gossipAddresses: () => readonly string[];
	/** What another gateway said of the pool of gateways; `joins`: the operator has named it as the way into the pool. */
	readonly meet: (keys: readonly Uint8Array[], addresses: readonly string[], joins: boolean) => void;
	/** The summary without what is not for its cell to say. */
	readonly ofItsOwn: (summary: Summary) => { readonly summary: Summary; readonly foreign: number };
	readonly callExchange: (peer: CellPeer | string, hello: Hello) => Promise<Answered>;
	readonly callSummaries: (peer: CellPeer) => Promise<Summaries>;
	/** Something in the book is new, or has aged. */
	readonly changed: () => void;
	readonly failed: (what: string, error: unknown) => void;
}

export interface ExchangeOptions extends BookOptions {
	readonly cell: string;
	readonly gateway: boolean;
	readonly periodMs: number;
	/** Agents of gateways of other cells. */
	readonly join: readonly string[];
}

/** Counts of what was asked of whom. */
export interface ExchangeFigures {
	readonly exchanges: number;
	readonly pulls: number;
	readonly failed: number;
	readonly refused: number;
	/** Calls of nodes that the pool of gateways does not have alive under their cell. */
	readonly strangers: number;
	/** Quarantines of nodes that are another cell's than the one that tells. */
	readonly foreign: number;
}

/** How a node that brings a summary is known. */
type Standing = 'member' | 'joined' | 'stranger';

/** A failure that lasts is told again after so many periods. */
const TELL_EVERY = 30;
const GOSSIP_KEYS_MAX = 4;
const ADDRESSES_MAX = 16;

export class CellExchange {
	readonly book: CellBook;
	readonly #options: ExchangeOptions;
	readonly #ports: ExchangePorts;
	readonly #timer: Timer;
	readonly #underWay = new Set<string>();
	/** Which of several gateways is asked next, by cell. */
	readonly #turns = new Map<string, number>();
	/** The cell that answered at an address to join. */
	readonly #cellAt = new Map<string, string>();
	readonly #failures = new Map<string, number>();
	#figures = { exchanges: 0, pulls: 0, failed: 0, refused: 0, strangers: 0, foreign: 0 };

	constructor(options: ExchangeOptions, ports: ExchangePorts) {
		this.#options = options;
		this.#ports = ports;
		this.book = new CellBook(options.cell, options);
		this.#timer = ports.clock.every(options.periodMs, () => this.round(), { unref: true });
	}

	get figures(): ExchangeFigures {
		return this.#figures;
	}

	cells(): readonly CellView[] {
		return this.book.list(this.#ports.clock.nowMs());
	}

	close(): void {
		this.#timer.cancel();
	}

	/** One period's calls. */
	round(): void {
		if (this.#options.gateway) this.#callOthers();
		else this.#askOwn();
		// Summaries age without anything being heard.
		this.#ports.changed();
	}

	/**
	 * A node has called. One that is not yet in the pool of gateways gets what it needs to come in, and nothing is taken from it. Throws IM_CELL_*.
	 */
	answer(caller: string, hello: Hello): Hello {
		const own = this.#hello();
		if (own === undefined) throw new MeshError(cellErrors, 'IM_CELL_NOT_GATEWAY');
		const member = this.#ports.gateways().find(({ nodeId }) => nodeId === caller);
		if (member === undefined) this.#take({ nodeId: caller, hello }, 'stranger');
		else this.#take({ nodeId: caller, hello }, 'member', member);
		return own;
	}

	#hello(): Hello | undefined {
		const { gossipKeys, gossipAddresses, ownSummary } = this.#ports;
		const summary = this.#options.gateway ? ownSummary() : undefined;
		return summary && { summary, gossipKeys: [...gossipKeys()], gossipAddresses: [...gossipAddresses()] };
	}

	#callOthers(): void {
		const hello = this.#hello();
		if (hello === undefined) return;
		const byCell = Map.groupBy(this.#ports.gateways(), ({ cell }) => cell);
		byCell.delete(this.#options.cell);
		for (const cell of this.#turns.keys()) if (!byCell.has(cell)) this.#turns.delete(cell);
		for (const [cell, gateways] of [...byCell].slice(0, cellBounds.cells)) {
			const peer = this.#next(cell, gateways);
			this.#once(`cell ${cell}`, cell, async () => {
				this.#figures.exchanges++;
				this.#take(await this.#ports.callExchange(peer, hello), 'member', peer);
			});
		}
		for (const address of this.#options.join) {
			const cell = this.#cellAt.get(address);
			if (cell !== undefined && (cell === this.#options.cell || byCell.has(cell))) continue;
			this.#once(`the gateway at ${address}`, address, async () => {
				this.#figures.exchanges++;
				const answer = await this.#ports.callExchange(address, hello);
				this.#take(answer, 'joined');
				this.#cellAt.set(address, answer.hello.summary?.cell ?? '');
			});
		}
	}

	#askOwn(): void {
		const gateways = this.#ports.ownGateways();
		if (gateways.length === 0) return;
		const peer = this.#next('', gateways);
		this.#once('a gateway of this cell', '', async () => {
			this.#figures.pulls++;
			const { known } = await this.#ports.callSummaries(peer);
			for (const one of known.slice(0, cellBounds.cells)) this.#learn(one);
		});
	}

	#next<P extends CellPeer>(cell: string, peers: readonly P[]): P {
		const sorted = [...peers].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
		// Nodes begin at different gateways, so that these share the asking.
		const turn = this.#turns.get(cell) ?? Math.floor(this.#ports.random.nextFloat() * sorted.length);
		this.#turns.set(cell, turn);
		return sorted[turn % sorted.length] as P;
	}

	#once(what: string, key: string, call: () => Promise<void>): void {
		if (this.#underWay.has(key)) return;
		this.#underWay.add(key);
		call()
			.then(() => this.#failures.delete(key))
			.catch((error: unknown) => {
				this.#figures.failed++;
				this.#turns.set(key, (this.#turns.get(key) ?? 0) + 1);
				const failures = this.#failures.get(key) ?? 0;
				this.#failures.set(key, failures + 1);
				if (failures % TELL_EVERY === 0) this.#ports.failed(`asking ${what} for summaries`, error);
			})
			.finally(() => this.#underWay.delete(key));
	}

	#take({ nodeId, hello }: Answered, standing: Standing, member?: Gateway): void {
		const { summary, gossipKeys, gossipAddresses } = hello;
		checkSummary(summary);
		this.#checkSource(summary, nodeId, member);
		if (summary.cell === this.#options.cell) return;
		if (standing === 'stranger') {
			this.#figures.strangers++;
			return;
		}
		const { summary: believed, foreign } = this.#ports.ofItsOwn(summary);
		this.#figures.foreign += foreign;
		this.#learn({ summary: believed, ageMs: 0, rttMs: member?.rttMs });
		const keys = gossipKeys.filter(({ length }) => length === 32).slice(0, GOSSIP_KEYS_MAX);
		this.#ports.meet(keys, gossipAddresses.slice(0, ADDRESSES_MAX), standing === 'joined');
	}

	/** Throws IM_CELL_OTHER_NODE, and IM_CELL_NAME_TAKEN for another cluster under this cell's name. */
	#checkSource({ cell, nodeId, clusterId }: Summary, source: string, member: Gateway | undefined): void {
		const refuse = (code: 'IM_CELL_OTHER_NODE' | 'IM_CELL_NAME_TAKEN', message: string): never => {
			this.#figures.refused++;
			throw new MeshError(cellErrors, code, message);
		};
		if (nodeId !== source) refuse('IM_CELL_OTHER_NODE', `node ${source} brings the summary of node ${nodeId}`);
		if (member !== undefined && member.cell !== cell)
			refuse('IM_CELL_OTHER_NODE', `node ${source} speaks for cell ${member.cell}, not for ${cell}`);
		const own = this.#ports.ownClusterId();
		if (cell === this.#options.cell && clusterId !== own)
			refuse('IM_CELL_NAME_TAKEN', `cell ${cell}: clusters ${own} and ${clusterId}`);
	}

	#learn(known: KnownSummary): void {
		try {
			if (this.book.take(known, this.#ports.clock.nowMs())) this.#ports.changed();
		} catch (error) {
			this.#figures.refused++;
			throw error;
		}
	}
}
