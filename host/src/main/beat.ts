// Owns the regular work of a thread that need not be at a moment of its own: sweeps, looks and reports every second or more come together, at the whole
// seconds of the mesh clock, which all threads of a process share. An idle thread then wakes once a second for all of them, not once for each.
import type { Timer } from '@infermesh/proto';

/** Work that is wanted more often than this has timers of its own. */
export const BEAT_MS = 1000;
/** Timers of the event loop are kept in whole milliseconds: one may come so much early and count as on time. */
const EARLY_MS = 5;
/** The longest a timer of Node waits. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

interface Member {
	readonly periodMs: number;
	readonly fn: () => void;
	readonly unref: boolean;
	dueMs: number;
}

export class Beat {
	readonly #nowMs: () => number;
	readonly #members = new Set<Member>();
	#timer: NodeJS.Timeout | undefined;
	/** What the timer is set for. */
	#atMs = Number.POSITIVE_INFINITY;
	/** Members that keep the process running. */
	#kept = 0;

	/** `nowMs` never goes back; threads whose clocks agree wake together. */
	constructor(nowMs: () => number) {
		this.#nowMs = nowMs;
	}

	/** Calls `fn` every `periodMs`, at least a beat, as near to that as beats come; the first time between half a beat early and half a beat late. */
	every(periodMs: number, fn: () => void, { unref = false }: { readonly unref?: boolean } = {}): Timer {
		const dueMs = Math.round((this.#nowMs() + periodMs) / BEAT_MS) * BEAT_MS;
		const member: Member = { periodMs, fn, unref, dueMs };
		this.#members.add(member);
		if (!unref) this.#kept++;
		this.#set(dueMs);
		return {
			cancel: () => {
				if (!this.#members.delete(member)) return;
				if (!unref) this.#kept--;
				if (this.#members.size === 0) this.#stop();
				else this.#hold();
			},
		};
	}

	#set(atMs: number): void {
		if (atMs < this.#atMs) {
			this.#stop();
			this.#atMs = atMs;
			this.#timer = setTimeout(() => this.#strike(), Math.min(TIMEOUT_MAX_MS, Math.max(1, atMs - this.#nowMs())));
		}
		this.#hold();
	}

	#stop(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#atMs = Number.POSITIVE_INFINITY;
	}

	#hold(): void {
		if (this.#kept > 0) this.#timer?.ref();
		else this.#timer?.unref();
	}

	/** What one throws comes out as it would of a timer of its own, and is nothing to the others. */
	#strike(): void {
		this.#stop();
		const nowMs = this.#nowMs() + EARLY_MS;
		// Members that come meanwhile are due later.
		for (const member of this.#members) {
			if (member.dueMs > nowMs) continue;
			// After a standstill the times missed are not made up for.
			const missed = Math.floor((nowMs - member.dueMs) / member.periodMs);
			member.dueMs += (missed + 1) * member.periodMs;
			try {
				member.fn();
			} catch (error) {
				setImmediate(() => {
					throw error;
				});
			}
		}
		let next = Number.POSITIVE_INFINITY;
		for (const { dueMs } of this.#members) next = Math.min(next, dueMs);
		// A period that is no multiple of the beat waits for the next one.
		if (next < Number.POSITIVE_INFINITY) this.#set(Math.ceil((next - EARLY_MS) / BEAT_MS) * BEAT_MS);
	}
}
