// Owns a mesh of drivers over test clock, storage and network: starting, crashing and restarting members.
import { MeshError, SeededRandom } from '@infermesh/proto';
import type { PeerId } from '../../../raft/messages.js';
import { RaftAdmin } from '../admin.js';
import { emptyGroup, foundedGroup } from '../bootstrap.js';
import { RaftGroup } from '../group.js';
import type { RaftGroupSettings } from '../options.js';
import { LogMachine } from './log-machine.js';
import { ManualClock } from './manual-clock.js';
import { MemoryNetwork } from './memory-network.js';
import { MemoryStorage } from './memory-storage.js';

export interface TestNode {
	readonly storage: MemoryStorage;
	group: RaftGroup;
	machine: LogMachine;
	admin: RaftAdmin;
	failure: Error | undefined;
}

export class TestMesh {
	readonly clock = new ManualClock();
	readonly network: MemoryNetwork;
	readonly nodes = new Map<PeerId, TestNode>();
	readonly #random: SeededRandom;
	readonly #settings: Partial<RaftGroupSettings>;

	constructor(seed: number, settings: Partial<RaftGroupSettings> = {}) {
		this.#random = new SeededRandom(seed);
		this.#settings = settings;
		this.network = new MemoryNetwork(this.clock, new SeededRandom(seed, 1));
	}

	found(ids: readonly PeerId[]): void {
		for (const id of ids) this.#start(id, new MemoryStorage(this.clock, foundedGroup(ids)));
	}

	/** A node that waits to be added. */
	join(id: PeerId): void {
		this.#start(id, new MemoryStorage(this.clock, emptyGroup));
	}

	#start(id: PeerId, storage: MemoryStorage): void {
		const machine = new LogMachine();
		const group = new RaftGroup({
			group: 1,
			id,
			clock: this.clock,
			random: this.#random,
			log: storage,
			snapshots: storage,
			transport: this.network.transport(id),
			stateMachine: machine,
			recovered: storage.recovered,
			addressOf: (peer) => `${peer}:8083`,
			settings: this.#settings,
			onFailed: (error) => {
				node.failure = error;
			},
		});
		const admin = new RaftAdmin(group, this.clock);
		const node: TestNode = { storage, group, machine, admin, failure: undefined };
		this.nodes.set(id, node);
	}

	node(id: PeerId): TestNode {
		const node = this.nodes.get(id);
		if (node === undefined) throw new Error(`there is no node ${id}`);
		return node;
	}

	/** Loses everything that is not durable; the node stays down. */
	crash(id: PeerId): void {
		const { group, storage } = this.node(id);
		storage.crash();
		void group.close();
	}

	restart(id: PeerId): void {
		this.crash(id);
		this.#start(id, this.node(id).storage);
	}

	/** The member that leads in the highest term and knows its commit index. */
	leader(): PeerId | undefined {
		const leaders = [...this.nodes.values()].filter(({ group }) => group.leads() && !this.network.cut.has(group.id));
		return leaders.sort((a, b) => b.group.core.term - a.group.core.term)[0]?.group.id;
	}

	async elected(): Promise<PeerId> {
		await this.clock.until(() => this.leader() !== undefined);
		return this.leader() ?? '';
	}

	write(id: PeerId, text: string, timeoutMs = 5_000): Promise<string> {
		return this.node(id)
			.group.propose(Buffer.from(text), timeoutMs)
			.then((result) => Buffer.from(result).toString());
	}

	/** Lets time pass until the call ends, and gives its value or its error's code. */
	async outcome<T>(call: Promise<T>, maxMs = 30_000): Promise<{ readonly value?: T; readonly code?: string }> {
		let ended: { readonly value?: T; readonly code?: string } | undefined;
		const watched = async (): Promise<void> => {
			try {
				ended = { value: await call };
			} catch (error) {
				ended = { code: error instanceof MeshError ? error.code : String(error) };
			}
		};
		void watched();
		await this.clock.until(() => ended !== undefined, maxMs);
		return ended ?? {};
	}
}
