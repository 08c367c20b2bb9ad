// Owns the fetching of certificates that claims wait for: asked where the claims came from, each member once at a time, with a pause after a
// failure. Claims whose signers have become known are given back; the others are dropped, and come again by gossip.
import type { Clock } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import type { Effect, SwimEvent } from './events.js';
import { type NodeId, type StreamMessage, signerOf } from './messages.js';

/** Who keeps the certificates; RecordAuthority is one. */
export interface CredentialKeeper {
	/** Judges a chain; undefined when it cannot be judged now. */
	admit(chain: Uint8Array, nowMs: number, wallMs: number): string | undefined;
	/** The chains held of these nodes. */
	chainsOf(ids: readonly NodeId[]): readonly Uint8Array[];
}

export const fetchBounds = Object.freeze({
	inFlightMax: 16,
	idsPerAskMax: 1_024,
	retryAfterMs: 2_000,
	pausedMax: 4_096,
});

type Missing = Extract<Effect, { kind: 'credential' }>;

export class CredentialFetcher {
	readonly #keeper: CredentialKeeper;
	readonly #clock: Clock;
	readonly #ask: (to: Address, message: StreamMessage) => Promise<StreamMessage>;
	readonly #giveBack: (event: SwimEvent) => void;
	/** Not asked for again before this. */
	readonly #pausedUntilMs = new Map<NodeId, number>();
	#inFlight = 0;
	asked = 0;
	admitted = 0;
	refused = 0;
	failed = 0;
	dropped = 0;

	constructor(
		keeper: CredentialKeeper,
		clock: Clock,
		ask: (to: Address, message: StreamMessage) => Promise<StreamMessage>,
		giveBack: (event: SwimEvent) => void,
	) {
		this.#keeper = keeper;
		this.#clock = clock;
		this.#ask = ask;
		this.#giveBack = giveBack;
	}

	fetch(missing: Missing): void {
		const signers = new Set(missing.claims.map(signerOf));
		const ids = [...signers].filter((id) => this.#mayAsk(id)).slice(0, fetchBounds.idsPerAskMax);
		if (missing.from === '' || ids.length === 0 || this.#inFlight >= fetchBounds.inFlightMax) {
			this.dropped += missing.claims.length;
			return;
		}
		for (const id of ids) this.#pause(id);
		void this.#run(missing, ids);
	}

	async #run(missing: Missing, ids: readonly NodeId[]): Promise<void> {
		this.#inFlight++;
		this.asked += ids.length;
		try {
			const answer = await this.#ask(missing.from, { kind: 'askCredentials', ids });
			if (answer.kind === 'credentials') this.#admit(answer.chains);
			const asked = new Set(ids);
			const claims = missing.claims.filter((claim) => asked.has(signerOf(claim)));
			this.#giveBack({ kind: 'claims', from: missing.from, claims, asNewcomer: missing.asNewcomer });
		} catch {
			// The peer is gone, or says nonsense: the network has counted which.
			this.failed++;
		} finally {
			this.#inFlight--;
		}
	}

	#admit(chains: readonly Uint8Array[]): void {
		for (const chain of chains) {
			const admission = this.#keeper.admit(chain, this.#clock.nowMs(), this.#clock.wallMs());
			if (admission === 'admitted' || admission === 'known') this.admitted++;
			else this.refused++;
		}
	}

	#mayAsk(id: NodeId): boolean {
		return (this.#pausedUntilMs.get(id) ?? 0) <= this.#clock.nowMs();
	}

	#pause(id: NodeId): void {
		this.#pausedUntilMs.delete(id);
		this.#pausedUntilMs.set(id, this.#clock.nowMs() + fetchBounds.retryAfterMs);
		if (this.#pausedUntilMs.size <= fetchBounds.pausedMax) return;
		const [oldest] = this.#pausedUntilMs.keys();
		if (oldest !== undefined) this.#pausedUntilMs.delete(oldest);
	}
}
