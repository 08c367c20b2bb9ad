// Owns a node's view of trust: one stream from an authority, opened anew for ever with backoff. What comes is the whole, so nothing is missed by a break.
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { Clock, Random, Timer } from '@infermesh/proto';
import { IdentityClient, type TrustReply } from '@infermesh/proto/grpc/identity/v1/identity';
import { readCertificate } from '../identity/certificate.js';
import type { RevocationList } from '../identity/revocation.js';
import type { TrustBundle } from '../identity/svid.js';
import type { Peer, PeerChannels, PeerLease } from './peer-channels.js';

export interface TrustWatchOptions {
	readonly channels: PeerChannels;
	/** Authorities, in the order to try. */
	readonly authorities: () => readonly Peer[];
	readonly revocations: RevocationList;
	/** Where new bundles go: `RotatingIdentity.updateBundle`. */
	readonly onBundle: (bundle: TrustBundle) => void;
	readonly clock: Clock;
	readonly random: Random;
	readonly retryMsMin?: number;
	readonly retryMsMax?: number;
}

export class TrustWatch {
	readonly #options: TrustWatchOptions;
	#turn = 0;
	#failures = 0;
	#retry: Timer | undefined;
	#stream: ClientReadableStream<TrustReply> | undefined;
	#closed = false;

	constructor(options: TrustWatchOptions) {
		this.#options = options;
		this.#open();
	}

	close(): void {
		this.#closed = true;
		this.#retry?.cancel();
		this.#stream?.cancel();
	}

	#open(): void {
		if (this.#closed) return;
		const { channels, authorities } = this.#options;
		const known = authorities();
		const peer = known[this.#turn % Math.max(1, known.length)];
		this.#turn++;
		if (peer === undefined) return this.#again();
		let lease: PeerLease;
		try {
			lease = channels.acquire(peer);
		} catch {
			// The address is none, or every channel is held.
			return this.#again();
		}
		const stream = lease.client(IdentityClient).watchTrust({});
		this.#stream = stream;
		stream.on('data', (reply: TrustReply) => this.#take(reply));
		stream.on('error', () => {});
		stream.once('status', () => {
			lease.release();
			this.#again();
		});
		return undefined;
	}

	#take(reply: TrustReply): void {
		this.#failures = 0;
		this.#options.revocations.update(reply.revoked, reply.revision);
		// An authority that sends no readable root is broken, and would cut this node off from all.
		if (reply.rootsDer.length > 0 && reply.rootsDer.every((root) => readCertificate(root)?.isCa === true))
			this.#options.onBundle({ trustDomain: reply.trustDomain, roots: reply.rootsDer });
	}

	#again(): void {
		if (this.#closed) return;
		const { clock, random, retryMsMin = 500, retryMsMax = 30_000 } = this.#options;
		const fullMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(this.#failures, 30));
		this.#failures++;
		this.#retry = clock.after(fullMs * (0.5 + 0.5 * random.nextFloat()), () => this.#open(), { unref: true });
	}
}
