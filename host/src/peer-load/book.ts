// Owns what other routers have in flight, as far as this one has heard: by router and target, and the sums over routers; whose requests wait there is the
// flow book's, which it keeps. A frame older than what is known
// of a target changes nothing; a router not heard of for the length of its lease counts for nothing until it is heard again. No I/O.
import type { LoadFrame } from '@infermesh/proto/grpc/routing/v1/load';
import { inflightCounters } from '../fleet/inflight.js';
import { FlowBook, type PeerFlows } from './flow-book.js';

const COUNTERS = inflightCounters.length;
const ID_CHARACTERS_MAX = 512;
/** Targets come and go: a stream that has numbered more than so many times what may be known at once begins anew. */
export const NUMBERS_PER_TARGET = 4;

export interface BookOptions {
	/** A router silent for so long has nothing in flight. */
	readonly leaseMs: number;
	/** Targets known of one router; it may number four times as many in the life of a stream. */
	readonly targetsMax: number;
	/** Largest count that is believed. */
	readonly countMax: number;
	/** Flows of waiting requests known, of one router and of all. */
	readonly flowsMax: number;
}

interface Share {
	/** The frame it is from. */
	sequence: number;
	readonly counts: Float64Array;
}

interface PeerState {
	ids: Map<number, string>;
	readonly shares: Map<string, Share>;
	readonly flows: PeerFlows;
	heardMs: number;
	/** Newest frame of the stream; 0 = none yet. */
	sequence: number;
	/** Newest full frame: it says all that those before it could. */
	fullSequence: number;
}

/** What became of a frame. `gap`: frames before it did not come. */
export type Applied = { readonly ok: true; readonly gap: boolean } | { readonly ok: false; readonly field: string };

export class LoadBook {
	/** What waits at other routers. */
	readonly flows: FlowBook;
	readonly #options: BookOptions;
	readonly #peers = new Map<string, PeerState>();
	readonly #sums = new Map<string, Float64Array>();
	readonly #changed = new Set<string>();

	constructor(options: BookOptions) {
		this.#options = options;
		this.flows = new FlowBook(options.flowsMax);
	}

	/** A new stream of a router begins: frames count from 1 again. What it was known to have stands until its first full frame, or its lease ends. */
	begin(peer: string, nowMs: number): void {
		const known = this.#peers.get(peer);
		const shares = known?.shares ?? new Map<string, Share>();
		for (const share of shares.values()) share.sequence = 0;
		this.#peers.set(peer, {
			ids: new Map(),
			shares,
			flows: this.flows.begin(known?.flows),
			heardMs: known?.heardMs ?? nowMs,
			sequence: 0,
			fullSequence: 0,
		});
	}

	apply(peer: string, frame: LoadFrame, nowMs: number): Applied {
		const state = this.#peers.get(peer);
		if (state === undefined) return { ok: false, field: 'sequence' };
		const field = this.#fault(frame);
		if (field !== undefined) return { ok: false, field };
		const gap = frame.sequence !== state.sequence + 1;
		state.sequence = Math.max(state.sequence, frame.sequence);
		state.heardMs = nowMs;
		frame.named.forEach((number, index) => {
			state.ids.set(number, frame.names[index] as string);
		});
		if (frame.sequence < state.fullSequence) return { ok: true, gap };
		frame.targets.forEach((number, index) => {
			// Its naming was lost on the way: the next full frame names it again.
			const id = state.ids.get(number);
			if (id !== undefined) this.#put(state, id, frame, index);
		});
		this.flows.apply(state.flows, frame.flows, frame.sequence, frame.full);
		if (frame.full) this.#dropOthers(state, frame.sequence);
		return { ok: true, gap };
	}

	/** Takes back the shares of routers whose lease has ended; answers how many ended now. */
	lapse(nowMs: number): number {
		let lapsed = 0;
		for (const state of this.#peers.values()) {
			if (holdsNothing(state) || nowMs - state.heardMs < this.#options.leaseMs) continue;
			lapsed++;
			this.flows.silence(state.flows);
			for (const [id, share] of state.shares) this.#clear(id, share);
			state.shares.clear();
		}
		return lapsed;
	}

	/** Keeps nothing of routers whose lease has ended and which are no longer followed. */
	forgetSilent(nowMs: number, followed: ReadonlySet<string>): void {
		for (const [peer, state] of this.#peers)
			if (holdsNothing(state) && !followed.has(peer) && nowMs - state.heardMs >= this.#options.leaseMs)
				this.#peers.delete(peer);
	}

	/** Routers that something is kept of: followed ones, and those whose lease may not have ended. */
	get size(): number {
		return this.#peers.size;
	}

	/** Routers heard within their lease. */
	heard(nowMs: number): number {
		let count = 0;
		for (const { heardMs, sequence } of this.#peers.values())
			if (sequence > 0 && nowMs - heardMs < this.#options.leaseMs) count++;
		return count;
	}

	/** Since a router was last heard, milliseconds; undefined for one never followed. */
	ageMs(peer: string, nowMs: number): number | undefined {
		const state = this.#peers.get(peer);
		return state === undefined ? undefined : nowMs - state.heardMs;
	}

	/** What all other routers together have at a target. */
	sum(id: string, counter: number): number {
		return this.#sums.get(id)?.[counter] ?? 0;
	}

	/** Targets at which some other router has something. */
	targets(): Iterable<string> {
		return this.#sums.keys();
	}

	/** The targets whose sums changed since this was last asked. */
	takeChanged(): readonly string[] {
		const changed = [...this.#changed];
		this.#changed.clear();
		return changed;
	}

	#put(state: PeerState, id: string, frame: LoadFrame, index: number): void {
		let share = state.shares.get(id);
		if (share !== undefined && share.sequence >= frame.sequence) return;
		if (share === undefined) {
			if (state.shares.size >= this.#options.targetsMax) return;
			share = { sequence: 0, counts: new Float64Array(COUNTERS) };
			state.shares.set(id, share);
		}
		share.sequence = frame.sequence;
		this.#set(id, share, [
			frame.requests[index] as number,
			frame.prefillTokens[index] as number,
			frame.decodeTokens[index] as number,
			frame.decodes[index] as number,
			frame.prefillPairs[index] ?? 0,
		]);
	}

	/** What a full frame does not list, and no newer one has, is nothing. */
	#dropOthers(state: PeerState, sequence: number): void {
		state.fullSequence = sequence;
		for (const [id, share] of state.shares) {
			if (share.sequence >= sequence) continue;
			this.#clear(id, share);
			state.shares.delete(id);
		}
	}

	#clear(id: string, share: Share): void {
		this.#set(id, share, zeros);
	}

	#set(id: string, share: Share, next: readonly number[]): void {
		const sums = this.#sums.get(id) ?? new Float64Array(COUNTERS);
		for (let counter = 0; counter < COUNTERS; counter++) {
			const value = next[counter] as number;
			sums[counter] = (sums[counter] as number) + value - (share.counts[counter] as number);
			share.counts[counter] = value;
		}
		if (sums.every((sum) => sum === 0)) this.#sums.delete(id);
		else this.#sums.set(id, sums);
		this.#changed.add(id);
	}

	/** The field that is wrong, if one is. */
	#fault(frame: LoadFrame): string | undefined {
		const { targetsMax, countMax } = this.#options;
		const { sequence, named, names, targets } = frame;
		if (sequence < 1) return 'sequence';
		if (named.length !== names.length || named.length > targetsMax) return 'named';
		if (named.some((number) => number >= targetsMax * NUMBERS_PER_TARGET)) return 'named';
		if (names.some((name) => name === '' || name.length > ID_CHARACTERS_MAX)) return 'names';
		if (targets.length > targetsMax) return 'targets';
		for (const list of [frame.requests, frame.prefillTokens, frame.decodeTokens, frame.decodes])
			if (list.length !== targets.length || list.some((count) => count > countMax)) return 'counts';
		// Routers of before the list was there send none.
		const { prefillPairs } = frame;
		if (prefillPairs.length !== 0 && prefillPairs.length !== targets.length) return 'counts';
		if (prefillPairs.some((count) => count > countMax)) return 'counts';
		return this.flows.isSound(frame.flows) ? undefined : 'flows';
	}
}

function holdsNothing({ shares, flows }: PeerState): boolean {
	return shares.size === 0 && flows.shares.size === 0;
}

const zeros: readonly number[] = Array.from({ length: COUNTERS }, () => 0);
