// Owns what one sequence is: what a caller asks for, what it may see, and the scheduler's own record of it.
// The true output length is only in the internal record: nothing outside the engine may base a decision on it.
import type { BlockRuns } from './block-runs.js';

/** What a caller submits. */
export interface SequenceRequest {
	/** At least 1. */
	readonly promptTokens: number;
	/** Tokens the sequence will generate; 0 for prefill-only work such as embeddings. */
	readonly outputTokens: number;
	/**
	 * The full blocks from the start of the sequence by what they are called. May end before the prompt does (the rest is never shared) or run on into the
	 * output (whose blocks are then shared too).
	 */
	readonly blocks?: BlockRuns;
	/** Prompt tokens whose KV has come from another engine; they need no computing at the first admission. */
	readonly transferredTokens?: number;
	/** Token ids of the same blocks, for whoever is told what is stored; needed by nobody else. */
	readonly tokens?: Uint32Array;
	/** First block that an observer of the cache is not told of, nor of any behind it: nobody will ask for them. Left out, it is told of all. */
	readonly toldBlocks?: number;
	/** The caller's own data, handed back untouched with every event. */
	readonly tag?: unknown;
}

export type SequenceState = 'waiting' | 'running' | 'finished' | 'cancelled';

/**
 * What a caller may see of a sequence. All times are integer microseconds of the caller's clock, -1 before they happen.
 */
export interface Sequence {
	/** Counts up from 0 within one engine. */
	readonly id: number;
	readonly promptTokens: number;
	readonly tag: unknown;
	readonly state: SequenceState;
	readonly generatedTokens: number;
	/** Prompt tokens found in the device cache at first admission; -1 before. */
	readonly cachedTokens: number;
	/** Prompt tokens found in the host tier at first admission. */
	readonly hostTokens: number;
	/** Prompt tokens beyond both whose KV came from another engine. */
	readonly transferredTokens: number;
	readonly preemptions: number;
	/** Tokens whose KV it has now, cached ones included. */
	readonly computedTokens: number;
	readonly arrivalUs: number;
	/** Earliest time it may be scheduled: arrival and ingest. */
	readonly readyUs: number;
	readonly scheduledUs: number;
	readonly firstTokenUs: number;
	readonly finishedUs: number;
}

/** The scheduler's record. Fields are written by the scheduler only. */
export class SequenceRecord implements Sequence {
	readonly id: number;
	readonly promptTokens: number;
	readonly outputTokens: number;
	readonly blocks: BlockRuns | undefined;
	readonly tokens: Uint32Array | undefined;
	readonly toldBlocks: number;
	readonly tag: unknown;
	readonly arrivalUs: number;
	readonly readyUs: number;
	state: SequenceState = 'waiting';
	generatedTokens = 0;
	cachedTokens = -1;
	hostTokens = 0;
	transferredTokens = 0;
	/** Transferred KV that no admission has used yet: a preemption loses it. */
	transferTokens: number;
	preemptions = 0;
	scheduledUs = -1;
	firstTokenUs = -1;
	finishedUs = -1;
	/** Tokens whose KV is in this sequence's blocks. */
	computedTokens = 0;
	/** Tokens computed by the step in flight. */
	chunkTokens = 0;
	/** True once the first token after (re-)admission is out: one token a step from then on. */
	decoding = false;
	cancelRequested = false;
	blockCount = 0;
	/** Places of its blocks that hold a content which others can find and to which it refers: ranges in order, two numbers each. */
	readonly named: number[] = [];
	/** Links of the waiting list. */
	next: SequenceRecord | undefined;
	previous: SequenceRecord | undefined;

	constructor(id: number, request: SequenceRequest, arrivalUs: number, readyUs: number) {
		this.id = id;
		this.promptTokens = request.promptTokens;
		this.outputTokens = request.outputTokens;
		this.blocks = request.blocks;
		this.tokens = request.tokens;
		this.toldBlocks = request.toldBlocks ?? Number.POSITIVE_INFINITY;
		this.tag = request.tag;
		this.transferTokens = request.transferredTokens ?? 0;
		this.arrivalUs = arrivalUs;
		this.readyUs = readyUs;
	}

	/** Tokens known so far: prompt and generated. */
	get knownTokens(): number {
		return this.promptTokens + this.generatedTokens;
	}
}

/** The waiting line: first come first served, with preempted sequences put back in front; removal anywhere in O(1). */
export class WaitingList {
	#first: SequenceRecord | undefined;
	#last: SequenceRecord | undefined;
	#length = 0;

	get length(): number {
		return this.#length;
	}

	get first(): SequenceRecord | undefined {
		return this.#first;
	}

	pushBack(sequence: SequenceRecord): void {
		sequence.previous = this.#last;
		sequence.next = undefined;
		if (this.#last === undefined) this.#first = sequence;
		else this.#last.next = sequence;
		this.#last = sequence;
		this.#length++;
	}

	pushFront(sequence: SequenceRecord): void {
		sequence.next = this.#first;
		sequence.previous = undefined;
		if (this.#first === undefined) this.#last = sequence;
		else this.#first.previous = sequence;
		this.#first = sequence;
		this.#length++;
	}

	remove(sequence: SequenceRecord): void {
		if (sequence.previous === undefined) this.#first = sequence.next;
		else sequence.previous.next = sequence.next;
		if (sequence.next === undefined) this.#last = sequence.previous;
		else sequence.next.previous = sequence.previous;
		sequence.next = undefined;
		sequence.previous = undefined;
		this.#length--;
	}
}
