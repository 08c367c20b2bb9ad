// Owns leader election over the contract: whoever creates the key under its session's lease leads, until the session is lost, the key is gone, or it
// resigns. A lease alone cannot keep two from believing that they lead (a paused leader wakes late), so every leadership carries a fencing token:
// what it writes must be guarded by `guard`, and what it tells others must carry `token`, which only grows.
import type { Clock, Random } from '@infermesh/proto';
import type { Condition, ConsensusEngine, Key, KeyValue, Watch } from './engine.js';
import { consensusError, hasCode } from './errors.js';
import type { Session } from './session.js';

/** After a key was freed candidates come one by one rather than at once. */
const spreadMs = 50;
const retryMs = 500;

export interface ElectionOptions {
	readonly engine: ConsensusEngine;
	readonly clock: Clock;
	readonly random: Random;
	readonly key: Key;
}

export interface Leadership {
	/** Revision of the write that won: higher than that of every leader before. */
	readonly token: number;
	/** Holds as long as nobody else has led since. */
	readonly guard: Condition;
	/** Whether this is certainly still the leader. */
	readonly holds: boolean;
	/** Calls `lost` once, at once if it is lost. */
	onLost(lost: () => void): void;
	/** Frees the key, if it is still held. */
	resign(): Promise<void>;
}

export class Election {
	readonly #options: ElectionOptions;

	constructor(options: ElectionOptions) {
		this.#options = options;
	}

	/**
	 * Resolves when this candidate leads. Rejects with IM_CONSENSUS_LEASE_LOST when the session is lost before, with the signal's reason when it is
	 * aborted. Waits through times without quorum.
	 */
	async campaign(session: Session, value: Uint8Array, signal?: AbortSignal): Promise<Leadership> {
		for (;;) {
			signal?.throwIfAborted();
			if (!session.alive) throw consensusError('IM_CONSENSUS_LEASE_LOST', `session ${session.id} is lost`);
			try {
				const token = await this.#acquire(session, value);
				if (typeof token === 'number') return new Held(this.#options, session, token);
				await this.#freed(token.revision, session, signal);
				await this.#wait(this.#options.random.nextFloat() * spreadMs);
			} catch (error) {
				if (hasCode(error, 'IM_CONSENSUS_LEASE_LOST') || hasCode(error, 'IM_CONSENSUS_CLOSED')) throw error;
				signal?.throwIfAborted();
				if (!isPassing(error)) throw error;
				await this.#wait(retryMs * (0.5 + this.#options.random.nextFloat()));
			}
		}
	}

	/** Who leads now; the value is what it campaigned with. */
	async leader(): Promise<KeyValue | undefined> {
		return (await this.#options.engine.read({ key: this.#options.key })).items[0];
	}

	/** The token, or the revision at which another held the key. */
	async #acquire(session: Session, value: Uint8Array): Promise<number | { readonly revision: number }> {
		const { engine, key } = this.#options;
		const { held, revision, results } = await engine.transact({
			when: [{ key, exists: false }],
			then: [{ put: key, value, lease: session.id }],
			otherwise: [{ get: { key } }],
		});
		if (held) return revision;
		const [got] = results;
		const holder = got?.kind === 'get' ? got.items[0] : undefined;
		// An attempt before, whose outcome was unknown, has succeeded.
		if (holder?.lease === session.id) return holder.modRevision;
		return { revision };
	}

	/** Resolves when the key was deleted after `revision`, or when there is reason to look again. */
	#freed(revision: number, session: Session, signal: AbortSignal | undefined): Promise<void> {
		const { engine, key } = this.#options;
		return new Promise((resolve) => {
			let watch: Watch | undefined;
			let forget: (() => void) | undefined;
			const done = (): void => {
				watch?.cancel();
				forget?.();
				signal?.removeEventListener('abort', done);
				resolve();
			};
			forget = session.onLost(done);
			signal?.addEventListener('abort', done);
			watch = engine.watch({ key }, revision, {
				onEvents: (events) => {
					if (events.some(({ kind }) => kind === 'delete')) done();
				},
				onCompacted: done,
			});
			if (!session.alive || signal?.aborted === true) done();
		});
	}

	#wait(ms: number): Promise<void> {
		return new Promise((resolve) => void this.#options.clock.after(ms, resolve));
	}
}

/** Troubles that pass, as against refusals that would be the same again. */
function isPassing(error: unknown): boolean {
	return (['NO_QUORUM', 'TIMEOUT', 'UNAVAILABLE', 'LIMIT', 'NOT_MEMBER'] as const).some((name) =>
		hasCode(error, `IM_CONSENSUS_${name}`),
	);
}

class Held implements Leadership {
	readonly token: number;
	readonly guard: Condition;
	readonly #options: ElectionOptions;
	readonly #session: Session;
	readonly #listeners = new Set<() => void>();
	#forgetSession: (() => void) | undefined;
	#watch: Watch | undefined;
	#lost = false;

	constructor(options: ElectionOptions, session: Session, token: number) {
		this.#options = options;
		this.#session = session;
		this.token = token;
		this.guard = { key: options.key, modRevision: token };
		this.#forgetSession = session.onLost(() => this.#lose());
		this.#watchFrom(token);
	}

	get holds(): boolean {
		return !this.#lost && this.#session.alive;
	}

	onLost(lost: () => void): void {
		if (this.holds) this.#listeners.add(lost);
		else lost();
	}

	async resign(): Promise<void> {
		this.#lose();
		await this.#options.engine.transact({ when: [this.guard], then: [{ delete: { key: this.#options.key } }] });
	}

	/** Any later write of the key, by whomever, ends the leadership. */
	#watchFrom(revision: number): void {
		if (this.#lost) return;
		this.#watch = this.#options.engine.watch({ key: this.#options.key }, revision, {
			onEvents: () => this.#lose(),
			onCompacted: () => void this.#look(),
		});
	}

	async #look(): Promise<void> {
		try {
			const { items, revision } = await this.#options.engine.read({ key: this.#options.key });
			if (items[0]?.modRevision === this.token) this.#watchFrom(revision);
			else this.#lose();
		} catch {
			if (!this.#lost) this.#options.clock.after(retryMs, () => void this.#look());
		}
	}

	#lose(): void {
		if (this.#lost) return;
		this.#lost = true;
		this.#watch?.cancel();
		this.#forgetSession?.();
		for (const lost of this.#listeners) lost();
		this.#listeners.clear();
	}
}
