// Owns the streams on which this router follows the load of others: one to each, opened again with growing waits when it breaks, and the book that
// what they tell is written in.
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { PeerLease } from '@infermesh/fabric';
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import { type LoadFrame } from '@infermesh/proto/grpc/routing/v1/load';
import { PeerLoadClient } from '@infermesh/proto/grpc/routing/v1/load-client';
import type { LoadBook } from '../peer-load/book.js';
import { peerLoadErrors } from '../peer-load/errors.js';

export interface LoadFollowingOptions {
	readonly peersMax: number;
	readonly retryMinMs: number;
	readonly retryMaxMs: number;
}

export interface LoadFollowingPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly book: LoadBook;
	/** The channel to a node. Throws when it is not there. */
	readonly lease: (nodeId: string) => PeerLease;
	/** A frame was taken in; `delayMs` by the wall clocks of both. */
	readonly heard: (delayMs: number, gap: boolean) => void;
	readonly refused: (nodeId: string, error: MeshError) => void;
}

interface Followed {
	readonly nodeId: string;
	lease: PeerLease | undefined;
	call: ClientReadableStream<LoadFrame> | undefined;
	timer: Timer | undefined;
	failures: number;
}

export class LoadFollowing {
	readonly #options: LoadFollowingOptions;
	readonly #ports: LoadFollowingPorts;
	readonly #peers = new Map<string, Followed>();
	#closed = false;

	constructor(options: LoadFollowingOptions, ports: LoadFollowingPorts) {
		this.#options = options;
		this.#ports = ports;
	}

	/** UUIDs of those that are followed. */
	get peers(): Iterable<string> {
		return this.#peers.keys();
	}

	get size(): number {
		return this.#peers.size;
	}

	/** The other routers of the mesh are these. One that is no longer there loses its share when its lease ends: what it sent may still run. */
	follow(nodeIds: readonly string[]): void {
		if (this.#closed) return;
		// The same ones each time: of more than may be followed, those first by their UUID.
		const wanted = new Set([...nodeIds].sort().slice(0, this.#options.peersMax));
		for (const [nodeId, peer] of this.#peers) if (!wanted.has(nodeId)) this.#leave(peer);
		for (const nodeId of wanted) {
			if (this.#peers.has(nodeId)) continue;
			const peer: Followed = { nodeId, lease: undefined, call: undefined, timer: undefined, failures: 0 };
			this.#peers.set(nodeId, peer);
			this.#open(peer);
		}
	}

	close(): void {
		this.#closed = true;
		for (const peer of this.#peers.values()) this.#leave(peer);
	}

	#leave(peer: Followed): void {
		this.#peers.delete(peer.nodeId);
		peer.timer?.cancel();
		this.#end(peer);
	}

	#end(peer: Followed): void {
		const { call, lease } = peer;
		peer.call = undefined;
		peer.lease = undefined;
		call?.cancel();
		lease?.release();
	}

	#open(peer: Followed): void {
		peer.timer = undefined;
		try {
			peer.lease = this.#ports.lease(peer.nodeId);
		} catch {
			return this.#again(peer);
		}
		const call = peer.lease.client(PeerLoadClient).follow({});
		peer.call = call;
		this.#ports.book.begin(peer.nodeId, this.#ports.clock.nowMs());
		call.on('data', (frame: LoadFrame) => {
			if (peer.call === call) this.#take(peer, frame);
		});
		const ended = (): void => {
			if (peer.call === call) this.#again(peer);
		};
		call.on('error', ended);
		call.on('end', ended);
	}

	#take(peer: Followed, frame: LoadFrame): void {
		const { clock, book, heard, refused } = this.#ports;
		const applied = book.apply(peer.nodeId, frame, clock.nowMs());
		if (applied.ok) {
			peer.failures = 0;
			heard(Math.max(0, clock.wallMs() - frame.madeAtMs), applied.gap);
			return;
		}
		refused(
			peer.nodeId,
			new MeshError(peerLoadErrors, 'IM_PEER_LOAD_FRAME', `${applied.field} of node ${peer.nodeId}`),
		);
		this.#again(peer);
	}

	#again(peer: Followed): void {
		this.#end(peer);
		if (this.#peers.get(peer.nodeId) !== peer || peer.timer !== undefined) return;
		const { retryMinMs, retryMaxMs } = this.#options;
		const waitMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(16, peer.failures));
		peer.failures++;
		const jitter = 0.5 + this.#ports.random.nextFloat() / 2;
		peer.timer = this.#ports.clock.after(waitMs * jitter, () => this.#open(peer), { unref: true });
	}
}
