// Owns the way to the other coordinators' blobs: one lease of a channel for each that the records name, let go of when it moves or is gone.
import type { Address, BlobHolder, PeerChannels, PeerLease } from '@infermesh/fabric';
import { BlobsClient } from '@infermesh/proto/grpc/agent/v1/agent-client';

/** A coordinator other than this node. */
export interface BlobPlace {
	readonly id: string;
	readonly agent: Address;
}

interface Held {
	readonly agent: Address;
	readonly lease: PeerLease;
	readonly holder: BlobHolder;
}

export class BlobHolders {
	readonly #channels: PeerChannels;
	readonly #held = new Map<string, Held>();

	constructor(channels: PeerChannels) {
		this.#channels = channels;
	}

	/** Holders at these places, and at no others from now on. */
	at(places: readonly BlobPlace[]): BlobHolder[] {
		for (const [id, { agent, lease }] of this.#held) {
			if (places.some((place) => place.id === id && place.agent === agent)) continue;
			lease.release();
			this.#held.delete(id);
		}
		return places.map((place) => (this.#held.get(place.id) ?? this.#open(place)).holder);
	}

	close(): void {
		for (const { lease } of this.#held.values()) lease.release();
		this.#held.clear();
	}

	#open({ id, agent }: BlobPlace): Held {
		const lease = this.#channels.acquire({ address: agent, nodeUuid: id });
		const held = { agent, lease, holder: { nodeId: id, client: lease.client(BlobsClient) } };
		this.#held.set(id, held);
		return held;
	}
}
