// Owns a client that acts under an elected leadership (the fabric's own Session and Election) and may learn late that it has lost it: it looks whether it leads, works
// for a while, and writes under its guard whatever has happened meanwhile. Its host may stand still, its clock too, in between.
import { type ConsensusEngine, Election, type Leadership, Session } from '@infermesh/fabric';
import type { SeededRandom } from '@infermesh/proto';
import type { SimHost } from '../world/sim-host.js';
import type { SimWorld } from '../world/sim-world.js';
import { wasRefused } from './clients.js';
import type { Candidate, FenceBook } from './fence-book.js';

const leaderKey = 'leader';
const resourceKey = 'resource';
const ttlMs = 1_000;
/** The longest piece of work between a look and the write. */
const workMsMax = 700;
/** The longest time from the loss of a session to the last write of a slow one: long enough for others to be elected. */
const lateMsMax = 3_000;
const text = new TextEncoder();

export class FencedWriter implements Candidate {
	readonly name: string;
	readonly #world: SimWorld;
	readonly #fences: FenceBook;
	readonly #random: SeededRandom;
	#leadership: Leadership | undefined;
	#host: SimHost | undefined;
	/** Its clock stood still since the session began, so what it believes of time is worth nothing; its guard is. */
	#lostTime = false;

	constructor({ world, fences }: { readonly world: SimWorld; readonly fences: FenceBook }, number: number) {
		this.name = `writer ${number}`;
		this.#world = world;
		this.#fences = fences;
		this.#random = world.random('workload', 2000 + number);
		fences.joins(this);
	}

	get leads(): number | undefined {
		const leadership = this.#leadership;
		if (leadership === undefined || this.#lostTime || this.#host?.state !== 'up') return undefined;
		return leadership.holds ? leadership.token : undefined;
	}

	/** Runs on a process until that dies. */
	runs(host: SimHost, engine: ConsensusEngine): void {
		this.#host = host;
		host.clock.after(this.#random.nextFloat() * 500, () => void this.#turn(host, engine));
	}

	/** Its process is gone. */
	dies(): void {
		this.#leadership = undefined;
	}

	/** Its host is suspended together with its clock. */
	losesTime(): void {
		this.#lostTime = true;
	}

	async #turn(host: SimHost, engine: ConsensusEngine): Promise<void> {
		try {
			await this.#term(host, engine);
		} catch (error) {
			try {
				wasRefused(error);
			} catch (unexpected) {
				this.#world.fail(unexpected instanceof Error ? unexpected : new Error(String(unexpected)));
			}
		}
		this.#leadership = undefined;
		this.runs(host, engine);
	}

	/** One session: to be elected, some writes, and the end. */
	async #term(host: SimHost, engine: ConsensusEngine): Promise<void> {
		const { clock } = host;
		this.#lostTime = false;
		const session = await Session.open({ engine, clock, ttlMs });
		const election = new Election({ engine, clock, random: this.#random, key: leaderKey });
		const leadership = await election.campaign(session, text.encode(this.name));
		this.#fences.elected(this.name, leadership.token);
		this.#leadership = leadership;
		this.#world.counters.add('leaders elected');
		this.#world.note(host, () => `${this.name} leads under ${leadership.token}`);
		for (let writes = 1 + (this.#random.nextU32() % 4); writes > 0 && leadership.holds; writes--) {
			await this.#work(host, workMsMax);
			await this.#write(engine, leadership);
		}
		if (this.#random.nextFloat() < 0.5) return session.close();
		// The other half are slow to learn: their session is lost, others may lead, and what they were about to write they write.
		await new Promise<void>((resolve) => session.onLost(resolve));
		await this.#work(host, lateMsMax);
		return this.#write(engine, leadership);
	}

	#work({ clock }: SimHost, msMax: number): Promise<void> {
		return new Promise((resolve) => void clock.after(this.#random.nextFloat() * msMax, resolve));
	}

	async #write(engine: ConsensusEngine, { token, guard, holds }: Leadership): Promise<void> {
		if (!holds) this.#world.counters.add('guarded writes asked for late');
		const { held, revision } = await engine.transact({
			when: [guard],
			then: [{ put: resourceKey, value: text.encode(`${token}`) }],
		});
		if (held) this.#fences.wrote({ name: this.name, token, revision });
		this.#world.counters.add(held ? 'guarded writes' : 'guarded writes refused');
	}
}
