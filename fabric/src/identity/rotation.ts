// Owns keeping a node's identity alive: renew at half-life, try again for ever with backoff, say how it stands. Time is read anew at every step and never
// waited for in one piece, so that a machine that slept past its certificate's end renews when it wakes.
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import { identityErrors } from './errors.js';
import { generateNodeKey, type KeyPair } from './keys.js';
import { type Identity, IdentityHolder, type IdentitySource, makeIdentity } from './source.js';
import { type TrustBundle, validateSvidChain } from './svid.js';
import { rootsText } from './trust-signature.js';

/** Asks the authority for a certificate for `next`, in the name of `current`, which may have expired. */
export type SvidRenewer = (
	current: Identity,
	next: KeyPair,
) => Promise<{ readonly chain: readonly Uint8Array[]; readonly bundle: TrustBundle }>;

/** Where identity and keys outlive the process. Calls may throw; renewal then counts as failed and is tried again. */
export interface IdentityStorage {
	/** The key of a renewal whose answer has not come: asked for again after a crash, so that a lost answer can be had again. */
	loadPendingKey(): KeyPair | undefined;
	savePendingKey(keys: KeyPair): void;
	/** Replaces the identity and forgets the pending key. */
	save(identity: Identity): void;
	/** Replaces the trust bundle alone. */
	saveBundle(bundle: TrustBundle): void;
}

export interface RotationSettings {
	/** Share of the time left, when an identity comes, after which it is renewed. */
	readonly share: number;
	/** Spread of that moment, as a share of it, either way. */
	readonly jitter: number;
	readonly retryMsMin: number;
	readonly retryMsMax: number;
	/** A renewal that takes longer counts as failed. */
	readonly attemptTimeoutMs: number;
	/** Longest wait between two looks at the wall clock. */
	readonly lookMs: number;
}

export const rotationDefaults: RotationSettings = Object.freeze({
	share: 0.5,
	jitter: 0.1,
	retryMsMin: 1000,
	retryMsMax: 60_000,
	attemptTimeoutMs: 15_000,
	lookMs: 30_000,
});

/** fresh: nothing is due. late: renewal is due and has failed so far. expired: peers refuse this node until it has renewed. */
export type RotationState = 'fresh' | 'late' | 'expired';

export interface RotationHealth {
	readonly state: RotationState;
	/** Until the certificate expires; negative afterwards. */
	readonly expiresInMs: number;
	readonly renewals: number;
	readonly failures: number;
	/** An attempt is under way. */
	readonly renewing: boolean;
	/** Why the last attempt failed; undefined after one that did not. */
	readonly lastError: MeshError | undefined;
}

export interface RotationOptions {
	readonly identity: Identity;
	readonly renew: SvidRenewer;
	readonly storage: IdentityStorage;
	readonly clock: Clock;
	readonly random: Random;
	readonly settings?: Partial<RotationSettings>;
}

export class RotatingIdentity implements IdentitySource {
	readonly #holder: IdentityHolder;
	readonly #options: RotationOptions;
	readonly #settings: RotationSettings;
	#dueAtMs: number;
	#timer: Timer | undefined;
	#renewing = false;
	#closed = false;
	#renewals = 0;
	#failures = 0;
	#failuresInRow = 0;
	#lastError: MeshError | undefined;

	constructor(options: RotationOptions) {
		this.#options = options;
		this.#settings = { ...rotationDefaults, ...options.settings };
		this.#holder = new IdentityHolder(options.identity);
		this.#dueAtMs = this.#dueOf(options.identity, options.identity.svid.leaf.notBeforeMs);
		this.#look();
	}

	current(): Identity {
		return this.#holder.current();
	}

	onChange(listener: (identity: Identity) => void): () => void {
		return this.#holder.onChange(listener);
	}

	health(): RotationHealth {
		const expiresInMs = this.current().svid.notAfterMs - this.#options.clock.wallMs();
		const late = this.#failuresInRow > 0 ? 'late' : 'fresh';
		return {
			state: expiresInMs < 0 ? 'expired' : late,
			expiresInMs,
			renewals: this.#renewals,
			failures: this.#failures,
			renewing: this.#renewing,
			lastError: this.#lastError,
		};
	}

	/** Takes a newer trust bundle. When it no longer vouches for our own certificate, that is renewed at once. Throws what the storage throws. */
	updateBundle(bundle: TrustBundle): void {
		const identity = this.current();
		if (bundle.trustDomain !== identity.bundle.trustDomain || rootsText(bundle) === rootsText(identity.bundle)) return;
		this.#options.storage.saveBundle(bundle);
		this.#install({ ...identity, bundle });
		// Time does not matter here: an expired certificate is being renewed anyway.
		const verdict = validateSvidChain(identity.chain, bundle, identity.svid.leaf.notBeforeMs);
		if (!verdict.ok && verdict.refusal.code === 'IM_IDENTITY_UNTRUSTED') this.renewSoon();
	}

	/** Makes renewal due now. */
	renewSoon(): void {
		this.#dueAtMs = Math.min(this.#dueAtMs, this.#options.clock.wallMs());
		this.#look();
	}

	/** Stops renewing. The identity stays readable. */
	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
	}

	#look(): void {
		this.#timer?.cancel();
		if (this.#closed || this.#renewing) return;
		const waitMs = this.#dueAtMs - this.#options.clock.wallMs();
		if (waitMs <= 0) return void this.#renew();
		this.#timer = this.#options.clock.after(Math.min(waitMs, this.#settings.lookMs), () => this.#look(), {
			unref: true,
		});
	}

	async #renew(): Promise<void> {
		this.#renewing = true;
		const { clock } = this.#options;
		try {
			const identity = await this.#attempt();
			this.#renewals++;
			this.#failuresInRow = 0;
			this.#lastError = undefined;
			this.#dueAtMs = this.#dueOf(identity, clock.wallMs());
			if (!this.#closed) this.#install(identity);
		} catch (cause) {
			this.#failures++;
			this.#failuresInRow++;
			const message = cause instanceof Error ? cause.message : String(cause);
			this.#lastError = new MeshError(identityErrors, 'IM_IDENTITY_RENEWAL_FAILED', message, { cause });
			this.#dueAtMs = clock.wallMs() + this.#backoffMs();
		}
		this.#renewing = false;
		this.#look();
	}

	async #attempt(): Promise<Identity> {
		const { storage, clock, renew } = this.#options;
		let next = storage.loadPendingKey();
		if (next === undefined) {
			next = await generateNodeKey();
			// Before the request: a crash between the answer and `save` must not lose the only key that may ask again.
			storage.savePendingKey(next);
		}
		const late = Promise.withResolvers<never>();
		const timer = clock.after(this.#settings.attemptTimeoutMs, () => late.reject(new Error('no answer in time')));
		try {
			const answer = await Promise.race([renew(this.current(), next), late.promise]);
			const identity = makeIdentity(answer.chain, next.privateKey, answer.bundle, clock.wallMs());
			if (identity.svid.id.uri !== this.current().svid.id.uri)
				throw new MeshError(identityErrors, 'IM_IDENTITY_UNEXPECTED_PEER', 'the renewed certificate names another id');
			storage.save(identity);
			return identity;
		} finally {
			timer.cancel();
		}
	}

	#install(identity: Identity): void {
		this.#holder.set(Object.freeze(identity));
	}

	#dueOf(identity: Identity, sinceMs: number): number {
		const afterMs = (identity.svid.notAfterMs - sinceMs) * this.#settings.share;
		const spread = 1 + this.#settings.jitter * (2 * this.#options.random.nextFloat() - 1);
		return sinceMs + afterMs * spread;
	}

	/** Doubles from the least to the most; half of it is random, so that nodes do not come back together. */
	#backoffMs(): number {
		const { retryMsMin, retryMsMax } = this.#settings;
		const fullMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(this.#failuresInRow - 1, 30));
		return fullMs * (0.5 + 0.5 * this.#options.random.nextFloat());
	}
}
