// Owns the agent's side of the gossip thread: starts it, tells it what changes, and holds what it last said of members and distances.
import { Worker } from 'node:worker_threads';
import { type Address, membershipErrors, roleBits, type TransportCounts } from '@infermesh/fabric';
import { type ErrorCode, MeshError } from '@infermesh/proto';
import type { MemberView, TopologyView } from '../fabric.js';
import type { FromGossip, GossipFigures, GossipStart, ToGossip } from './gossip-protocol.js';
import { threadBegun } from './thread-begun.js';

export interface GossipOptions extends Omit<GossipStart, 'roles' | 'advertise'> {
	readonly roles: readonly string[];
	/** Host that others are told; the port is the bound one. */
	readonly advertiseHost: string | undefined;
}

const LEAVE_TIMEOUT_MS = 5000;

/** New objects of the gossip thread between two collections: packets are small and soon forgotten. */
const YOUNG_HEAP_MB = 8;

export class GossipThread {
	readonly address: Address;
	readonly #worker: Worker;
	readonly #listeners = new Set<() => void>();
	#members: readonly MemberView[] = [];
	#figures: GossipFigures | undefined;
	#topology: TopologyView = { links: [], vector: [], heightS: 0, error: 0 };
	#departed: () => void = () => {};
	#ended = false;

	/** Resolves when it listens. Rejects with IM_MEMBERSHIP_BIND. */
	static open(options: GossipOptions, failed: (what: string, error: unknown) => void): Promise<GossipThread> {
		const { roles, advertiseHost, ...rest } = options;
		const port = rest.bind.slice(rest.bind.lastIndexOf(':') + 1);
		const workerData: GossipStart = {
			...rest,
			advertise: advertiseHost === undefined || port === '0' ? undefined : `${advertiseHost}:${port}`,
			roles: roles.reduce((bits, role) => bits | (roleBits[role as keyof typeof roleBits] ?? 0), 0),
		};
		const worker = new Worker(new URL('./gossip-thread.js', import.meta.url), {
			workerData,
			name: 'gossip',
			resourceLimits: { maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
		});
		return threadBegun(worker, (message: FromGossip) => {
			if (message.kind === 'refused') throw new MeshError(membershipErrors, message.code as ErrorCode, message.message);
			return message.kind === 'started' ? new GossipThread(worker, message.address, failed) : undefined;
		});
	}

	private constructor(worker: Worker, address: Address, failed: (what: string, error: unknown) => void) {
		this.#worker = worker;
		this.address = address;
		worker.on('message', (message: FromGossip) => this.#receive(message));
		worker.on('error', (error) => failed('the gossip thread', error));
		worker.on('exit', () => void (this.#ended = true));
	}

	get members(): readonly MemberView[] {
		return this.#members;
	}

	get topology(): TopologyView {
		return this.#topology;
	}

	/** What its connections did; nothing before it first told. */
	get transport(): readonly TransportCounts[] {
		return this.#figures === undefined ? [] : [this.#figures.transport];
	}

	/** Whether anybody else is heard of; a node that is alone in its mesh is in touch with all there is. */
	inTouch(others: boolean): boolean {
		return !this.#ended && (!others || this.#members.some(({ state }, at) => at > 0 && state === 'alive'));
	}

	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	send(message: ToGossip): void {
		if (!this.#ended) this.#worker.postMessage(message);
	}

	get figures(): GossipFigures | undefined {
		return this.#figures;
	}

	/** Tells the others that this node goes; resolves when that has been spread. */
	async leave(): Promise<void> {
		if (this.#ended) return;
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#departed = resolve;
		const overdue = setTimeout(resolve, LEAVE_TIMEOUT_MS);
		this.send({ kind: 'leave' });
		await promise;
		clearTimeout(overdue);
	}

	async close(): Promise<void> {
		if (this.#ended) return;
		const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
		const overdue = setTimeout(() => void this.#worker.terminate(), 3000);
		this.send({ kind: 'close' });
		await ended;
		clearTimeout(overdue);
	}

	#receive(message: FromGossip): void {
		switch (message.kind) {
			case 'news':
				this.#members = message.members;
				this.#figures = message.figures;
				if (message.topology !== undefined) this.#topology = message.topology;
				break;
			case 'departed':
				this.#departed();
				return;
			case 'started':
			case 'refused':
				return;
		}
		for (const listener of this.#listeners) listener();
	}
}
