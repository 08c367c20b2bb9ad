// Owns a client that wants one lock: it takes a lease, writes the lock's key under it if nobody has, keeps the lease alive for a while, and gives up.
// It believes in its lock only as long as its own clock allows, counted from before the call that renewed the lease.
import { type ConsensusEngine, type LeaseId } from '@infermesh/fabric';
import type { SeededRandom } from '@infermesh/proto';
import type { SimHost } from '../world/sim-host.js';
import { type ClientOptions, wasRefused } from './clients.js';

const lockKey = 'lock';
const ttlMs = 1000;
/** What a client's clock may be slower than its leader's: twice 500 ppm, and a margin. */
const clockShare = 0.99;
/** Parts of the time to live after which it renews: in good time, up to so late that its leader may already have decided to end the lease. */
const renewFrom = 0.3;
const renewUntil = 0.97;
const text = new TextEncoder();

export class LockClient {
	readonly #options: ClientOptions;
	readonly #number: number;
	readonly #random: SeededRandom;
	#turns = 0;
	/** While it believes to own the lock. */
	#owner: string | undefined;

	constructor(options: ClientOptions, number: number) {
		this.#options = options;
		this.#number = number;
		this.#random = options.world.random('workload', 1000 + number);
	}

	/** Runs on a process until that dies. */
	runs(host: SimHost, engine: ConsensusEngine): void {
		host.clock.after(100 + this.#random.nextFloat() * 400, () => void this.#turn(host, engine));
	}

	/** Its process was stopped or has died: whatever it believed, it is not there to act on it. */
	forgets(): void {
		if (this.#owner === undefined) return;
		this.#ends(this.#owner);
	}

	#ends(owner: string): void {
		const { world, history } = this.#options;
		if (this.#owner !== owner) return;
		this.#owner = undefined;
		world.note(undefined, () => `${owner} no longer believes to own the lock`);
		history.lock({
			client: this.#number,
			input: { kind: 'end', owner },
			output: {},
			callAt: world.nowUs,
			returnAt: world.nowUs,
		});
	}

	async #turn(host: SimHost, engine: ConsensusEngine): Promise<void> {
		const { world } = this.#options;
		try {
			await this.#own(host, engine);
		} catch (error) {
			try {
				wasRefused(error);
			} catch (unexpected) {
				world.fail(unexpected instanceof Error ? unexpected : new Error(String(unexpected)));
			}
		}
		this.runs(host, engine);
	}

	async #own(host: SimHost, engine: ConsensusEngine): Promise<void> {
		const { world, history } = this.#options;
		const owner = `l${this.#number}.${++this.#turns}`;
		const callAt = world.nowUs;
		const askedMs = host.clock.nowMs();
		const { id } = await engine.grantLease(ttlMs);
		const { held, revision } = await engine.transact({
			when: [{ key: lockKey, exists: false }],
			then: [{ put: lockKey, value: text.encode(owner), lease: id }],
		});
		const untilMs = askedMs + ttlMs * clockShare;
		if (!held || host.clock.nowMs() >= untilMs) {
			await engine.revokeLease(id);
			return;
		}
		this.#owner = owner;
		world.counters.add('locks taken');
		world.note(undefined, () => `${owner} owns the lock, token ${revision}`);
		const input = { kind: 'acquire', owner } as const;
		history.lock({ client: this.#number, input, output: { token: revision }, callAt, returnAt: world.nowUs });
		await this.#keep(host, engine, id, owner, untilMs);
	}

	/** Renews the lease a few times, then gives the lock up; stops believing in it in time, whatever comes back. */
	async #keep(host: SimHost, engine: ConsensusEngine, id: LeaseId, owner: string, untilMs: number): Promise<void> {
		let belief = host.clock.after(untilMs - host.clock.nowMs(), () => this.#ends(owner));
		try {
			for (let renewals = this.#random.nextU32() % 4; renewals > 0 && this.#owner === owner; renewals--) {
				const waitMs = ttlMs * (renewFrom + (renewUntil - renewFrom) * this.#random.nextFloat());
				await new Promise<void>((resolve) => host.clock.after(waitMs, resolve));
				const askedMs = host.clock.nowMs();
				await engine.keepAlive(id);
				if (this.#owner !== owner) return;
				belief.cancel();
				belief = host.clock.after(Math.max(0, askedMs + ttlMs * clockShare - host.clock.nowMs()), () =>
					this.#ends(owner),
				);
			}
		} finally {
			belief.cancel();
			this.#ends(owner);
		}
		// A third just walk away: their lease has to run out.
		if (this.#random.nextFloat() < 0.67) await engine.revokeLease(id);
	}
}
