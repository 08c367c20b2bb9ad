// Owns the lease under which a node's own records lie: one session after another. When one is lost (the node was cut off or stood still for longer than
// its time to live) the next is opened, and who has records under the lease hears of it and writes them again.
import { type ConsensusEngine, consensusError, type LeaseId, Session } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';

const RETRY_MS = 500;

export interface LeaseKeeperPorts {
	readonly engine: ConsensusEngine;
	readonly clock: Clock;
	readonly ttlMs: number;
	readonly failed: (what: string, error: unknown) => void;
}

export class LeaseKeeper {
	readonly #ports: LeaseKeeperPorts;
	readonly #listeners = new Set<() => void>();
	#session: Session | undefined;
	#closed = false;

	constructor(ports: LeaseKeeperPorts) {
		this.#ports = ports;
	}

	/**
	 * The lease as long as it is certainly held. Throws IM_CONSENSUS_LEASE_LOST between two: what is to lie under it must not be written without, or
	 * it would outlive the node.
	 */
	get id(): LeaseId {
		if (this.#session?.alive === true) return this.#session.id;
		throw consensusError('IM_CONSENSUS_LEASE_LOST', 'the node is about to get another lease');
	}

	/** Resolves with the first lease; tries until `stopped`. */
	async start(stopped: () => boolean = () => false): Promise<void> {
		const { clock } = this.#ports;
		while (!this.#closed && !stopped() && !(await this.#open()))
			await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve, { unref: true }));
	}

	/** Calls back after the lease was lost and another granted. */
	onRenewed(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Ends the lease, so that the others see at once that this node has gone. Without a quorum it runs out by itself. */
	async close(): Promise<void> {
		this.#closed = true;
		await this.#session?.close().catch(() => undefined);
	}

	/** False when it is to be tried again. */
	async #open(): Promise<boolean> {
		const { engine, clock, ttlMs, failed } = this.#ports;
		try {
			const session = await Session.open({ engine, clock, ttlMs });
			this.#session = session;
			if (this.#closed) await session.close();
			else session.onLost(() => void this.#again());
			return true;
		} catch (error) {
			failed('asking for a lease', error);
			return false;
		}
	}

	async #again(): Promise<void> {
		if (this.#closed) return;
		this.#ports.failed('the lease was lost', consensusError('IM_CONSENSUS_LEASE_LOST'));
		await this.start();
		if (this.#closed) return;
		for (const listener of this.#listeners) listener();
	}
}
