// Owns a simulated world of cells: nodes that speak to each other about cells as real ones do, on one clock turned by hand, with what crosses from cell to
// cell counted apart from what stays within. Gossip among gateways is the real core's, in a pool of its own.
import { swimProfiles } from '@infermesh/fabric';
import {
	type Answered,
	CellExchange,
	type CellPeer,
	type Gateway,
	type SummarisedTarget,
	summarise,
} from '@infermesh/host';
import { type Clock, SeededRandom } from '@infermesh/proto';
import { Hello, Summaries } from '@infermesh/proto/grpc/cells/v1/cells';
import { Pool } from '../membership/pool.js';

export const PERIOD_MS = 1000;
export const STALE_AFTER_MS = 10_000;
const MODELS = 5;

export interface SimNode {
	readonly id: string;
	readonly cell: string;
	readonly gateway: boolean;
	readonly exchange: CellExchange;
	up: boolean;
}

export interface Traffic {
	calls: number;
	bytes: number;
}

function targetOf(number: number): SummarisedTarget {
	return {
		models: [`model-${number % MODELS}`],
		zone: 'z',
		region: 'r',
		healthy: true,
		capacity: 64,
		load: 3,
		queue: 1,
		running: 2,
		kvUsage: 0.5,
		ttftMs: 100,
		ttftP95Ms: 200,
	};
}

export class CellsWorld {
	readonly nodes: SimNode[] = [];
	readonly crossing: Traffic = { calls: 0, bytes: 0 };
	readonly within: Traffic = { calls: 0, bytes: 0 };
	/** Cells between which nothing passes. */
	cut = new Set<string>();
	readonly #byId = new Map<string, SimNode>();
	readonly #gatewaysOf = new Map<string, SimNode[]>();
	readonly #random = new SeededRandom(1);
	#nowMs = 0;
	readonly #clock: Clock = {
		nowMs: () => this.#nowMs,
		wallMs: () => this.#nowMs,
		after: () => ({ cancel: () => undefined }),
		// Rounds are begun by `period`, all nodes in turn.
		every: () => ({ cancel: () => undefined }),
	};

	constructor(cells: readonly string[], nodesPerCell: number, gatewaysPerCell: number) {
		for (const cell of cells) this.#gatewaysOf.set(cell, []);
		for (const cell of cells)
			for (let n = 0; n < nodesPerCell; n++) this.#add(cell, `${cell}-${n}`, n < gatewaysPerCell, nodesPerCell);
	}

	get nowMs(): number {
		return this.#nowMs;
	}

	of(cell: string): readonly SimNode[] {
		return this.nodes.filter((node) => node.cell === cell);
	}

	/** A period passes: every node has its round, and what was asked has been answered. */
	async period(): Promise<void> {
		this.#nowMs += PERIOD_MS;
		for (const node of this.nodes) if (node.up) node.exchange.round();
		await new Promise((resolve) => {
			setImmediate(resolve);
		});
	}

	/** Datagrams that the gateways alone send each other in a minute. */
	gossipPackets(): number {
		const pool = new Pool({ seed: 1, settings: swimProfiles.wan });
		const members = pool.startKnown(this.nodes.filter(({ gateway }) => gateway).length);
		pool.run(60_000);
		return members.reduce((sum, { packetsSent }) => sum + packetsSent, 0);
	}

	#add(cell: string, id: string, gateway: boolean, nodesPerCell: number): void {
		const targets = gateway ? Array.from({ length: nodesPerCell }, (_, number) => targetOf(number)) : [];
		const node: SimNode = {
			id,
			cell,
			gateway,
			up: true,
			exchange: new CellExchange(
				{
					cell,
					gateway,
					periodMs: PERIOD_MS,
					staleAfterMs: STALE_AFTER_MS,
					forgetAfterMs: 3_600_000,
					join: [],
				},
				{
					clock: this.#clock,
					random: this.#random,
					ownSummary: () =>
						summarise({
							cell,
							clusterId: `cluster of ${cell}`,
							nodeId: id,
							version: '1',
							region: 'r',
							routers: this.of(cell).map((one) => `http://${one.id}:8080`),
							quarantined: [],
							targets,
						}),
					ownClusterId: () => `cluster of ${cell}`,
					gateways: () => this.#gateways(cell),
					ownGateways: () => this.#upIn(cell).map(peerOf),
					gossipKeys: () => [new Uint8Array(32)],
					gossipAddresses: () => [`${id}:8947`],
					meet: () => undefined,
					ofItsOwn: (summary) => ({ summary, foreign: 0 }),
					callExchange: (peer, hello) => this.#exchange(node, peer as CellPeer, hello),
					callSummaries: (peer) => this.#summaries(peer),
					changed: () => undefined,
					failed: () => undefined,
				},
			),
		};
		this.nodes.push(node);
		if (gateway) this.#gatewaysOf.get(cell)?.push(node);
		this.#byId.set(id, node);
	}

	/** As the pool of gateways would tell: those that are up. */
	#gateways(cell: string): readonly Gateway[] {
		return [...this.#gatewaysOf.keys()]
			.filter((other) => other !== cell)
			.flatMap((other) => this.#upIn(other).map((one) => Object.assign({ cell: other, rttMs: 20 }, peerOf(one))));
	}

	#upIn(cell: string): readonly SimNode[] {
		return (this.#gatewaysOf.get(cell) ?? []).filter(({ up }) => up);
	}

	#exchange(from: SimNode, { nodeId }: CellPeer, hello: Hello): Promise<Answered> {
		const to = this.#byId.get(nodeId);
		if (to?.up !== true || this.cut.has(from.cell) || this.cut.has(to.cell)) return Promise.reject(new Error('gone'));
		const answer = to.exchange.answer(from.id, hello);
		this.crossing.calls++;
		this.crossing.bytes += Hello.encode(hello).finish().length + Hello.encode(answer).finish().length;
		return Promise.resolve({ nodeId, hello: answer });
	}

	#summaries({ nodeId }: CellPeer): Promise<Summaries> {
		const to = this.#byId.get(nodeId);
		if (to?.up !== true) return Promise.reject(new Error('gone'));
		const answer: Summaries = { known: to.exchange.book.known(this.#nowMs) };
		this.within.calls++;
		this.within.bytes += Summaries.encode(answer).finish().length;
		return Promise.resolve(answer);
	}
}

function peerOf({ id }: SimNode): CellPeer {
	return { nodeId: id, address: `${id}:8082` };
}
