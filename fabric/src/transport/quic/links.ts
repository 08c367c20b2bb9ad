// Owns the connections to peers that are called: one to each address, kept while it is used and for a while after, replaced before the certificates it was made
// with grow old. An address that does not answer QUIC is left alone for a time that grows with every failure.
import { lookup } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import type { Address, HostPort } from '../../effects/packets.js';
import type { VerifiedSvid } from '../../identity/svid.js';
import { refusalError } from '../../identity/svid.js';
import { parseAddress } from '../address.js';
import { transportErrors } from '../errors.js';
import type { TransportContext } from '../peer.js';
import type { QuicConnection } from './connection.js';
import type { QuicEndpoint, QuicPeer } from './endpoint.js';

export interface QuicLinkLimits {
	/** Connections to others at once, and addresses remembered that did not answer. */
	readonly linksMax: number;
	readonly silentMax: number;
	/** A connection unused for this long is closed. */
	readonly keptMs: number;
	/** While it is kept, a sign of life is asked for this often. */
	readonly keepAliveMs: number;
	/** An address that did not answer is tried again after this, doubled with every failure and spread by half. */
	readonly backoffMsMin: number;
	readonly backoffMsMax: number;
}

export const quicLinkLimits: QuicLinkLimits = Object.freeze({
	linksMax: 256,
	silentMax: 1024,
	keptMs: 120_000,
	keepAliveMs: 10_000,
	backoffMsMin: 1000,
	backoffMsMax: 60_000,
});

/** A connection is replaced after this share of the life of its peer's certificate: peers renew at half of it. */
const LIFE_SHARE = 1 / 3;

interface Link extends QuicPeer {
	readonly replaceAtWallMs: number;
	usedMs: number;
	/** Exchanges under way. */
	busy: number;
	/** No longer for new exchanges; closed when the last one is over. */
	retired: boolean;
}

interface Silence {
	readonly failures: number;
	readonly untilMs: number;
}

export class QuicLinks {
	readonly #endpoint: QuicEndpoint;
	readonly #context: TransportContext;
	readonly #clock: Clock;
	readonly #random: Random;
	readonly #limits: QuicLinkLimits;
	/** In the order of last use. */
	readonly #links = new Map<Address, Link>();
	readonly #opening = new Map<Address, Promise<Link>>();
	readonly #silent = new Map<Address, Silence>();
	readonly #stopRotation: () => void;
	#care: Timer | undefined;
	#closed = false;

	constructor(endpoint: QuicEndpoint, context: TransportContext, random: Random, limits: QuicLinkLimits) {
		this.#endpoint = endpoint;
		this.#context = context;
		this.#clock = context.clock;
		this.#random = random;
		this.#limits = limits;
		// A new certificate is for new connections; exchanges under way end on the old ones.
		this.#stopRotation = context.identity.onChange(() => {
			for (const [address, link] of this.#links) this.#retire(address, link);
		});
	}

	get count(): number {
		return this.#links.size;
	}

	/**
	 * Runs `work` on the connection to `to`, which is made if there is none. Rejects with IM_TRANSPORT_UNREACHABLE when QUIC is not answered, IM_TRANSPORT_ADDRESS,
	 * IM_TRANSPORT_CHANNELS_MAX, IM_TRANSPORT_CLOSED, or the IM_IDENTITY_* refusal of the peer.
	 */
	async use<T>(
		to: Address,
		options: { readonly timeoutMs: number; readonly expectedNode?: string | undefined },
		work: (connection: QuicConnection, peer: QuicPeer['svid']) => Promise<T>,
	): Promise<T> {
		const link = await this.#linkTo(to, options);
		link.busy++;
		try {
			return await work(link.connection, link.svid);
		} finally {
			link.busy--;
			link.usedMs = this.#clock.nowMs();
			if (link.retired && link.busy === 0) link.connection.destroy();
		}
	}

	close(): void {
		this.#closed = true;
		this.#stopRotation();
		this.#care?.cancel();
		for (const { connection } of this.#links.values()) connection.destroy();
	}

	async #linkTo(
		to: Address,
		{ timeoutMs, expectedNode }: { readonly timeoutMs: number; readonly expectedNode?: string | undefined },
	): Promise<Link> {
		if (this.#closed) throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		const kept = this.#links.get(to);
		if (kept !== undefined) {
			if (this.#isGood(kept) && (expectedNode === undefined || kept.svid.nodeUuid === expectedNode)) {
				this.#links.delete(to);
				this.#links.set(to, kept);
				return kept;
			}
			// Another node may have the address by now: who answers a new connection decides.
			this.#retire(to, kept);
		}
		const link = await (this.#opening.get(to) ?? this.#open(to, timeoutMs));
		if (expectedNode === undefined || link.svid.nodeUuid === expectedNode) return link;
		this.#context.counters.fail('IM_IDENTITY_UNEXPECTED_PEER');
		throw refusalError({
			code: 'IM_IDENTITY_UNEXPECTED_PEER',
			message: `${link.svid.id.uri} where node ${expectedNode} is expected`,
		});
	}

	#open(to: Address, timeoutMs: number): Promise<Link> {
		const opening = this.#connect(to, timeoutMs).finally(() => this.#opening.delete(to));
		this.#opening.set(to, opening);
		return opening;
	}

	async #connect(to: Address, timeoutMs: number): Promise<Link> {
		const target = parseAddress(to);
		const nowMs = this.#clock.nowMs();
		const silence = this.#silent.get(to);
		if (silence !== undefined && nowMs < silence.untilMs)
			throw new MeshError(
				transportErrors,
				'IM_TRANSPORT_UNREACHABLE',
				`QUIC was not answered lately; next attempt in ${Math.ceil(silence.untilMs - nowMs)} ms`,
			);
		this.#makeRoom();
		try {
			const link = this.#keep(to, await this.#endpoint.connect(await this.#resolve(target), timeoutMs));
			this.#silent.delete(to);
			return link;
		} catch (error) {
			if (error instanceof MeshError && error.code === 'IM_TRANSPORT_UNREACHABLE') this.#leaveAlone(to, silence);
			throw error;
		}
	}

	#keep(to: Address, { connection, svid }: QuicPeer): Link {
		if (this.#closed) {
			connection.destroy();
			throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		}
		const replaceAtWallMs = this.#clock.wallMs() + lifeMs(svid) * LIFE_SHARE;
		const link: Link = { connection, svid, replaceAtWallMs, usedMs: this.#clock.nowMs(), busy: 0, retired: false };
		this.#links.set(to, link);
		connection.once('close', () => {
			if (this.#links.get(to) === link) this.#links.delete(to);
		});
		this.#care ??= this.#clock.every(this.#limits.keepAliveMs, () => this.#lookAfter(), { unref: true });
		return link;
	}

	#isGood(link: Link): boolean {
		return !link.connection.destroyed && this.#clock.wallMs() < link.replaceAtWallMs;
	}

	#retire(address: Address, link: Link): void {
		this.#links.delete(address);
		link.retired = true;
		if (link.busy === 0) link.connection.destroy();
	}

	/** Closes the connection that is idle for longest when there are as many as there may be. Throws IM_TRANSPORT_CHANNELS_MAX when none is idle. */
	#makeRoom(): void {
		if (this.#links.size + this.#opening.size < this.#limits.linksMax) return;
		for (const [address, link] of this.#links) if (link.busy === 0) return this.#retire(address, link);
		throw new MeshError(transportErrors, 'IM_TRANSPORT_CHANNELS_MAX');
	}

	#lookAfter(): void {
		const nowMs = this.#clock.nowMs();
		for (const [address, link] of this.#links) {
			const idle = link.busy === 0 && nowMs - link.usedMs > this.#limits.keptMs;
			if (idle || !this.#isGood(link)) this.#retire(address, link);
			else link.connection.ping();
		}
	}

	#leaveAlone(to: Address, before: Silence | undefined): void {
		const { backoffMsMin, backoffMsMax, silentMax } = this.#limits;
		const failures = (before?.failures ?? 0) + 1;
		const fullMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(failures - 1, 30));
		this.#silent.delete(to);
		this.#silent.set(to, {
			failures,
			untilMs: this.#clock.nowMs() + fullMs * (0.5 + 0.5 * this.#random.nextFloat()),
		});
		if (this.#silent.size <= silentMax) return;
		for (const oldest of this.#silent.keys()) {
			this.#silent.delete(oldest);
			return;
		}
	}

	/** The address in numbers, of the family that the socket is of. */
	async #resolve({ host, port }: HostPort): Promise<HostPort> {
		const family = isIPv6(this.#endpoint.port?.host ?? '') ? 6 : 4;
		if (isIP(host) === family) return { host, port };
		try {
			const { address } = await lookup(host, { family });
			return { host: address, port };
		} catch (cause) {
			throw new MeshError(transportErrors, 'IM_TRANSPORT_UNREACHABLE', `${host} has no IPv${family} address`, {
				cause,
			});
		}
	}
}

function lifeMs({ leaf }: VerifiedSvid): number {
	return leaf.notAfterMs - leaf.notBeforeMs;
}
