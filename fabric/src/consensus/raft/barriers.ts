// Owns the reads that wait until this member has applied the index the leader named for them. A read that was not answered has had no effect, so it is
// asked again freely and refused with IM_CONSENSUS_NO_QUORUM in the end.
import { consensusError } from '../errors.js';
import type { RaftGroupSettings } from './options.js';
import type { Call } from './proposals.js';

interface Round {
	readonly context: number;
	readonly term: number;
	readonly atMs: number;
	calls: Call<void>[];
}

/** Barriers of one turn share a round; a round that got no answer is asked again under another number. */
export class Barriers {
	readonly #settings: RaftGroupSettings;
	#context: number;
	#waiting: Call<void>[] = [];
	readonly #asked = new Map<number, Round>();
	#answered: { readonly index: number; readonly calls: readonly Call<void>[] }[] = [];
	#size = 0;

	/** Numbers start at a drawn place: an answer meant for an earlier run of this member must not fit. */
	constructor(settings: RaftGroupSettings, firstContext: number) {
		this.#settings = settings;
		this.#context = firstContext;
	}

	get size(): number {
		return this.#size;
	}

	add(nowMs: number, timeoutMs: number): Promise<void> {
		const { callsMax } = this.#settings;
		if (this.#size >= callsMax)
			return Promise.reject(consensusError('IM_CONSENSUS_LIMIT', `over ${callsMax} reads are under way`));
		this.#size++;
		return new Promise((resolve, reject) => {
			this.#waiting.push({ startedMs: nowMs, deadlineMs: nowMs + timeoutMs, resolve, reject });
		});
	}

	/** Takes back what was asked in another term, or in vain, to be asked again. */
	retry(term: number, nowMs: number): void {
		for (const round of Array.from(this.#asked.values())) {
			if (round.term === term && nowMs - round.atMs < this.#settings.retryMs) continue;
			this.#asked.delete(round.context);
			this.#waiting.push(...round.calls);
		}
	}

	/** Asks for all that wait, by `ask`, which says whether the question could leave. */
	flush(term: number, nowMs: number, ask: (context: number) => boolean): void {
		if (this.#waiting.length === 0) return;
		this.#context = (this.#context + 1) % Number.MAX_SAFE_INTEGER;
		// Noted first: a lone member answers from inside the question.
		const round: Round = { context: this.#context, term, atMs: nowMs, calls: this.#waiting };
		if (!ask(round.context)) return;
		this.#waiting = [];
		this.#asked.set(round.context, round);
	}

	/** The leader has named the index for a round. */
	answered(context: number, index: number): void {
		const round = this.#asked.get(context);
		if (round === undefined) return;
		this.#asked.delete(context);
		this.#answered.push({ index, calls: round.calls });
	}

	/** Lets those go whose index is applied here. */
	applied(index: number): void {
		const done = this.#answered.filter((round) => round.index <= index);
		if (done.length === 0) return;
		this.#answered = this.#answered.filter((round) => round.index > index);
		for (const { calls } of done) {
			this.#size -= calls.length;
			for (const call of calls) call.resolve();
		}
	}

	/** Ends what has waited too long; a read that was not answered has had no effect. */
	expire(nowMs: number): void {
		const { noQuorumMs } = this.#settings;
		const late = (call: Call<void>, unasked: boolean): boolean => {
			const over = nowMs >= call.deadlineMs || (unasked && nowMs - call.startedMs >= noQuorumMs);
			if (over) {
				this.#size--;
				call.reject(consensusError('IM_CONSENSUS_NO_QUORUM', 'no quorum confirmed the read in time'));
			}
			return over;
		};
		this.#waiting = this.#waiting.filter((call) => !late(call, true));
		for (const round of this.#asked.values()) round.calls = round.calls.filter((call) => !late(call, false));
		this.#answered = this.#answered.map(({ index, calls }) => ({
			index,
			calls: calls.filter((call) => !late(call, false)),
		}));
	}

	end(error: Error): void {
		const asked = [...this.#asked.values()].flatMap(({ calls }) => calls);
		const answered = this.#answered.flatMap(({ calls }) => calls);
		for (const call of [...this.#waiting, ...asked, ...answered]) call.reject(error);
		this.#waiting = [];
		this.#asked.clear();
		this.#answered = [];
		this.#size = 0;
	}
}
