// Owns candidates for one lock, one at every node: at most one believes that it has it, fencing tokens rise, and what an owner writes under its guard is
// never written after a later owner has come.
import { Election, type Leadership, type RemoteEngine, Session } from '@infermesh/fabric';
import { checkHistory, type Operation } from '../../sim/linearizability/checker.js';
import { type LockInput, type LockOutput, lockModel } from '../../sim/linearizability/lease-owner.js';
import { realClock } from '../../support/real-clock.js';
import { bytesOf } from './registers.js';
import { guardedKey, pause, pick, type Workload, type WorkloadContext } from './workload.js';

const key = 'chaos/lock/owner';
const ttlMs = 4_000;
const holdMostMs = 3_000;
const writePauseMs = 150;
const retryMs = 500;
/** Ownerships that are judged together; older ones have ended before these began. */
const judgedTogether = 50;

interface Ownership {
	readonly owner: string;
	readonly token: number;
	readonly callAt: number;
	readonly returnAt: number;
	readonly leadership: Leadership;
	endAt: number | undefined;
}

export class Lock implements Workload {
	readonly ended: Promise<unknown>;
	readonly #context: WorkloadContext;
	readonly #ownerships: Ownership[] = [];
	#count = 0;
	/** Token of the last ownership that is not judged any more. */
	#tokenBefore = 0;
	/** The last write under each token, by revision. */
	readonly #written = new Map<number, number>();
	#damaged = false;

	constructor(context: WorkloadContext) {
		this.#context = context;
		this.ended = Promise.all(context.mesh.clients.map((engine, node) => this.#candidate(engine, node)));
	}

	get owners(): number {
		return this.#count;
	}

	async #candidate(engine: RemoteEngine, node: number): Promise<void> {
		const { signal, random, findings } = this.#context;
		const election = new Election({ engine, clock: realClock, random, key });
		while (!signal.aborted) {
			let session: Session | undefined;
			try {
				session = await Session.open({ engine, clock: realClock, ttlMs });
				const callAt = performance.now();
				const leadership = await election.campaign(session, bytesOf(`node ${node}`), signal);
				await this.#own(engine, this.#won(`${node}/${++this.#count}`, leadership, callAt));
			} catch (error) {
				if (!signal.aborted) findings.failed('lock', error);
			}
			await session?.close().catch((error: unknown) => findings.failed('lock', error));
			await pause(retryMs * random.nextFloat(), signal);
		}
	}

	#won(owner: string, leadership: Leadership, callAt: number): Ownership {
		const { findings, damages } = this.#context;
		// Who has lost by its own clock learns it by being asked, also when no timer had a chance to fire.
		for (const one of this.#ownerships) this.#look(one);
		const returnAt = performance.now();
		const ownership: Ownership = { owner, token: leadership.token, callAt, returnAt, leadership, endAt: undefined };
		if (damages.has('two-owners') && !this.#damaged && this.#count > 2) {
			this.#damaged = true;
			const before = this.#ownerships.at(-1);
			if (before !== undefined) before.endAt = returnAt + 1;
		}
		findings.done('lock');
		for (const [token, revision] of this.#written)
			if (token < ownership.token && revision > ownership.token)
				findings.violation(`owner ${token} wrote at revision ${revision}, after owner ${ownership.token} had come`);
		this.#ownerships.push(ownership);
		this.#judge();
		return ownership;
	}

	#look(ownership: Ownership): void {
		if (ownership.endAt === undefined && !ownership.leadership.holds) ownership.endAt = performance.now();
	}

	async #own(engine: RemoteEngine, ownership: Ownership): Promise<void> {
		const { random, signal } = this.#context;
		const { leadership } = ownership;
		const untilMs = performance.now() + random.nextFloat() * holdMostMs;
		while (leadership.holds && performance.now() < untilMs && !signal.aborted) {
			await this.#write(engine, ownership);
			await pause(writePauseMs, signal);
		}
		this.#look(ownership);
		ownership.endAt ??= performance.now();
		// Others only end their session, which takes the key along.
		if (pick(random, [true, true, false])) await leadership.resign();
	}

	async #write(engine: RemoteEngine, { leadership, token }: Ownership): Promise<void> {
		const { findings } = this.#context;
		const then = [{ put: guardedKey, value: bytesOf(String(token)) }];
		try {
			const { held, revision } = await engine.transact({ when: [leadership.guard], then }, { timeoutMs: ttlMs });
			if (!held) return;
			findings.done('guarded write');
			this.#written.set(token, revision);
			const later = this.#ownerships.find((one) => one.token > token && one.token < revision);
			if (later !== undefined)
				findings.violation(`owner ${token} wrote at revision ${revision}, after owner ${later.token} had come`);
		} catch (error) {
			findings.failed('guarded write', error);
		}
	}

	#judge(): void {
		const { findings, keep } = this.#context;
		const history = this.#ownerships.flatMap(({ owner, token, callAt, returnAt, endAt }, client) => {
			const acquire: Operation<LockInput, LockOutput> = {
				client,
				input: { kind: 'acquire', owner },
				output: { token },
				callAt,
				returnAt,
			};
			if (endAt === undefined) return [acquire];
			return [acquire, { client, input: { kind: 'end' as const, owner }, output: {}, callAt: endAt, returnAt: endAt }];
		});
		const initial = { owner: undefined, token: this.#tokenBefore };
		const verdict = checkHistory({ ...lockModel, initial }, history);
		if (verdict.kind !== 'linearizable') {
			findings.violation(`the lock's history is ${verdict.kind}: two owners at once, or tokens that do not rise`);
			keep('lock', { verdict, history });
			this.#ownerships.length = 0;
		}
		// Tokens rise, so what has the least of them and has ended comes before all others.
		while (this.#ownerships.length > judgedTogether && this.#ownerships[0]?.endAt !== undefined) {
			this.#tokenBefore = this.#ownerships.shift()?.token ?? 0;
			for (const token of this.#written.keys()) if (token <= this.#tokenBefore) this.#written.delete(token);
		}
	}
}
