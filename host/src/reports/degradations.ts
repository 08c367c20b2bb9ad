// Owns which degradations are in force, with hysteresis: one is raised after so many bad looks in a row, and cleared once all looks have been good for a
// while. What lies between good and bad does neither. Without effects; what is bad, degradation-rules.ts says.

export interface Subject {
	readonly kind: 'link' | 'rank' | 'store';
	/** Node it is at; '' = not told. */
	readonly node: string;
	readonly jobId: string;
	/** `mlx5_0/1`, `COMMUNICATOR rank 3`, `s3://bucket/prefix`. */
	readonly name: string;
}

/** What one look says of one subject under one rule. */
export interface Verdict {
	readonly rule: string;
	readonly subject: Subject;
	readonly standing: 'bad' | 'between' | 'good';
	/** Bad looks in a row that raise it. */
	readonly raiseAfter: number;
	readonly value: number;
	readonly threshold: number;
	/** What the value is: `errors/s`, `operation gloo:all_reduce 4`. */
	readonly detail: string;
	/** A look of the same origin that says nothing of the subject says that it is well. */
	readonly absentIsGood: boolean;
}

export interface Degradation {
	readonly rule: string;
	readonly subject: Subject;
	/** Milliseconds since the Unix epoch. */
	readonly sinceMs: number;
	readonly value: number;
	readonly threshold: number;
	readonly detail: string;
}

export interface DegradationOptions {
	/** All looks must have been good for this long. */
	readonly clearAfterMs: number;
	/** One of which nothing was heard for this long is cleared. */
	readonly forgetAfterMs: number;
	/** Subjects followed by rule, in force or on the way to it. */
	readonly followedMax: number;
}

interface Followed {
	verdict: Verdict;
	readonly origin: string;
	badInRow: number;
	inForceSinceMs: number | undefined;
	goodSinceMs: number | undefined;
	heardMs: number;
}

export class Degradations {
	readonly #options: DegradationOptions;
	readonly #followed = new Map<string, Followed>();
	#over = 0;

	constructor(options: DegradationOptions) {
		this.#options = options;
	}

	/** Verdicts that found no room since the start. */
	get over(): number {
		return this.#over;
	}

	/** One look of one origin. Whether anything was raised or cleared by it. `nowMs` is milliseconds since the Unix epoch. */
	look(origin: string, verdicts: readonly Verdict[], nowMs: number): boolean {
		let changed = false;
		const heard = new Set<string>();
		for (const verdict of verdicts) {
			const key = keyOf(origin, verdict);
			// Two verdicts of one look about one thing: a bad one counts.
			if (heard.has(key) && verdict.standing !== 'bad') continue;
			heard.add(key);
			changed = this.#judge(key, origin, verdict, nowMs) || changed;
		}
		for (const [key, followed] of this.#followed)
			if (followed.origin === origin && followed.verdict.absentIsGood && !heard.has(key))
				changed = this.#judge(key, origin, { ...followed.verdict, standing: 'good' }, nowMs) || changed;
		return changed;
	}

	/** Clears what nobody reports of any more. Whether anything was. */
	sweep(nowMs: number): boolean {
		let changed = false;
		for (const [key, { heardMs, inForceSinceMs }] of this.#followed)
			if (nowMs - heardMs > this.#options.forgetAfterMs) {
				this.#followed.delete(key);
				changed ||= inForceSinceMs !== undefined;
			}
		return changed;
	}

	/** Those in force, oldest first. */
	inForce(): readonly Degradation[] {
		const all: Degradation[] = [];
		for (const { verdict, inForceSinceMs } of this.#followed.values())
			if (inForceSinceMs !== undefined) {
				const { rule, subject, value, threshold, detail } = verdict;
				all.push({ rule, subject, sinceMs: inForceSinceMs, value, threshold, detail });
			}
		return all.sort((a, b) => a.sinceMs - b.sinceMs);
	}

	#judge(key: string, origin: string, verdict: Verdict, nowMs: number): boolean {
		const known = this.#followed.get(key);
		if (known === undefined) return verdict.standing === 'bad' && this.#follow(key, origin, verdict, nowMs);
		known.heardMs = nowMs;
		if (verdict.standing === 'bad') return this.#bad(known, verdict, nowMs);
		known.badInRow = 0;
		if (verdict.standing === 'between') {
			known.goodSinceMs = undefined;
			return false;
		}
		known.goodSinceMs ??= nowMs;
		if (known.inForceSinceMs !== undefined && nowMs - known.goodSinceMs < this.#options.clearAfterMs) return false;
		this.#followed.delete(key);
		return known.inForceSinceMs !== undefined;
	}

	#follow(key: string, origin: string, verdict: Verdict, nowMs: number): boolean {
		if (this.#followed.size >= this.#options.followedMax) {
			this.#over++;
			return false;
		}
		const nothing = { badInRow: 0, inForceSinceMs: undefined, goodSinceMs: undefined };
		const followed: Followed = { verdict, origin, heardMs: nowMs, ...nothing };
		this.#followed.set(key, followed);
		return this.#bad(followed, verdict, nowMs);
	}

	#bad(followed: Followed, verdict: Verdict, nowMs: number): boolean {
		followed.verdict = verdict;
		followed.goodSinceMs = undefined;
		followed.badInRow++;
		if (followed.inForceSinceMs !== undefined || followed.badInRow < verdict.raiseAfter) return false;
		followed.inForceSinceMs = nowMs;
		return true;
	}
}

function keyOf(origin: string, { rule, subject: { kind, node, jobId, name } }: Verdict): string {
	return [origin, rule, kind, node, jobId, name].join('\u0000');
}
