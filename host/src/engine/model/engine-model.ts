// Owns the step model of one inference engine: continuous batching in the order of vLLM V1 over paged KV blocks. Pure:
// no I/O, no clock, no randomness. Time is the caller's, in integer microseconds, and never goes back. A step is
// `beginStep(now)`, which schedules and says how long it takes, and `endStep(later)`, which lets its tokens out. Who needs no token as it comes may begin a
// run of steps instead: several at once that differ in nothing but their lengths, to the same effect.
// Invariants: blocks used + free = total; submitted = waiting + running + finished + cancelled; at most one step in
// flight.
import type { BlockRuns } from './block-runs.js';
import type { EngineModelConfig } from './engine-config.js';
import { type EngineCounters, noCounts } from './engine-counters.js';
import { KvManager } from './kv-manager.js';
import type { KvObserver } from './kv-observer.js';
import { clearStepShape, emptyStepShape, type LatencyModel, type StepShape } from './latency.js';
import { type Sequence, SequenceRecord, type SequenceRequest, WaitingList } from './sequence.js';
import { STEPS_MAX, StepRun } from './step-run.js';

/** Why a sequence is not taken: the queue is at its bound, or prompt and output never fit the KV cache. */
export type SubmitRefusal = 'queue_full' | 'too_long';

/** What one step did. Its shape and arrays are reused: valid until the next `beginStep` or `endStep`. */
export interface StepOutcome {
	readonly startUs: number;
	readonly endUs: number;
	/** Steps that ended together: more than one only after `beginRun`. The shape is the last one's. */
	readonly steps: number;
	readonly shape: Readonly<StepShape>;
	/** Sequences that got one more token, in batch order; those that got their last are in `finished` too. */
	readonly emitted: readonly Sequence[];
	readonly finished: readonly Sequence[];
}

export interface EngineModelOptions {
	readonly config: EngineModelConfig;
	readonly latency: LatencyModel;
	/** Told what the prefix cache takes in and lets go. */
	readonly observer?: KvObserver | undefined;
}

export class EngineModel {
	readonly config: EngineModelConfig;
	/** Multiplies every step's duration: an engine that is ill is slow. 1 is healthy. */
	slowFactor = 1;
	readonly #latency: LatencyModel;
	readonly #kv: KvManager;
	readonly #waiting = new WaitingList();
	/** In order of admission; the last is preempted first. */
	readonly #running: SequenceRecord[] = [];
	readonly #shape: StepShape;
	readonly #emitted: SequenceRecord[] = [];
	readonly #finished: SequenceRecord[] = [];
	readonly #counters = noCounts();
	readonly #steps = new StepRun();
	#nowUs = 0;
	#inFlight = false;
	#budget = 0;
	#prefilling = 0;

	constructor(options: EngineModelOptions) {
		this.config = options.config;
		this.#latency = options.latency;
		this.#kv = new KvManager(this.config, options.observer);
		this.#shape = emptyStepShape(this.config.kvBlocks * this.config.blockTokens);
	}

	get counters(): Readonly<EngineCounters> {
		return this.#counters;
	}

	/** The time of the last call: nothing may happen before it. */
	get nowUs(): number {
		return this.#nowUs;
	}

	get running(): number {
		return this.#running.length;
	}

	get waiting(): number {
		return this.#waiting.length;
	}

	get kvBlocksUsed(): number {
		return this.#kv.used;
	}

	get hostBlocksUsed(): number {
		return this.#kv.hostUsed;
	}

	/** Leading tokens of a prompt whose KV is on the device now. */
	cachedPrefixTokens(blocks: BlockRuns): number {
		return this.config.prefixCaching ? this.#kv.cachedPrefixTokens(blocks) : 0;
	}

	/** Tokens of the prompt that follow `deviceTokens` on the device and are in the host tier now. */
	hostPrefixTokens(blocks: BlockRuns, deviceTokens: number): number {
		return this.config.prefixCaching ? this.#kv.hostPrefixTokens(blocks, deviceTokens) : 0;
	}

	/** Whether `beginStep` was called and `endStep` not yet. */
	get stepInFlight(): boolean {
		return this.#inFlight;
	}

	/** When the step in flight ends. */
	get stepEndUs(): number {
		return this.#steps.endUs;
	}

	/** The earliest time at or after `nowUs` at which `beginStep` may find work; Infinity when nothing is left to do. */
	nextStepUs(nowUs: number): number {
		if (this.#inFlight) return Math.max(nowUs, this.#steps.endUs);
		if (this.#running.length > 0) return nowUs;
		const first = this.#waiting.first;
		return first === undefined ? Number.POSITIVE_INFINITY : Math.max(nowUs, first.readyUs);
	}

	/** Queues a sequence. It may be scheduled from `nowUs + ingestUs` on. */
	submit(request: SequenceRequest, nowUs: number): Sequence | SubmitRefusal {
		this.#advance(nowUs);
		assertTokens(request);
		const refusal = this.#refusal(request);
		if (refusal !== undefined) {
			this.#counters.refused++;
			return refusal;
		}
		const sequence = new SequenceRecord(this.#counters.submitted++, request, nowUs, nowUs + this.config.ingestUs);
		if (this.#waiting.length === 0) this.interrupt(Math.max(sequence.readyUs, nowUs + 1));
		this.#waiting.pushBack(sequence);
		return sequence;
	}

	/**
	 * Ends a sequence at any stage and frees its blocks; a sequence of the step in flight is let go when that step ends,
	 * and gets no token from it. Returns false when it had ended already.
	 */
	cancel(sequence: Sequence, nowUs: number): boolean {
		this.#advance(nowUs);
		const record = sequence as SequenceRecord;
		if (record.cancelRequested || record.state === 'finished' || record.state === 'cancelled') return false;
		record.cancelRequested = true;
		this.interrupt(nowUs + 1);
		if (record.state === 'waiting') {
			this.#waiting.remove(record);
			this.#finishCancel(record, nowUs);
		} else if (!this.#inFlight) {
			this.#running.splice(this.#running.indexOf(record), 1);
			this.#finishCancel(record, nowUs);
		}
		return true;
	}

	/**
	 * Schedules one step: decodes first, then running prefills in chunks, then waiting sequences first come first served,
	 * within the budgets for tokens and sequences. Returns its duration in microseconds, or 0 when there is nothing to
	 * compute.
	 */
	beginStep(nowUs: number): number {
		if (this.#inFlight) throw new Error('a step is in flight already');
		this.#advance(nowUs);
		clearStepShape(this.#shape);
		this.#budget = this.config.stepTokensMax;
		const preempted = this.#scheduleDecodes();
		if (this.#prefilling > 0) this.#schedulePrefills();
		// A step that had to preempt is short of blocks: admitting in the same step would only move the shortage.
		if (!preempted) this.#admit(nowUs);
		if (this.#budget === this.config.stepTokensMax) return 0;
		return this.#launch(nowUs);
	}

	/**
	 * As `beginStep`, and goes on for as many steps as differ from it only in their lengths: all decode, none ends, needs a block or is joined by another
	 * before the last. What comes in between (`submit`, `cancel`, `interrupt`) cuts the run short at the end of the step that would see it, so that
	 * `stepEndUs` may come earlier than it was. Returns the time until the end of the last one.
	 */
	beginRun(nowUs: number): number {
		if (this.beginStep(nowUs) === 0) return 0;
		if (this.#shape.decodeSequences === this.#running.length) this.#goOn(nowUs);
		return this.#steps.endUs - nowUs;
	}

	/** Steps of the run in flight that are over by `nowUs`; their tokens come with the last one's. */
	runStepsEnded(nowUs: number): number {
		return this.#inFlight ? this.#steps.endedBy(nowUs) : 0;
	}

	/** Duration of the first so many steps of the run in flight. */
	runUs(steps: number): number {
		return this.#steps.durationUs(steps);
	}

	/** The run in flight ends with its first step that is not over before `atUs`. */
	interrupt(atUs: number): void {
		if (this.#inFlight) this.#steps.cutAt(atUs);
	}

	/** Lets out the tokens of the step or run in flight at `nowUs`, at or after its end. */
	endStep(nowUs: number): StepOutcome {
		if (!this.#inFlight) throw new Error('no step is in flight');
		const { startUs, endUs, count } = this.#steps;
		if (nowUs < endUs) throw new Error(`step ends at ${endUs} us, not at ${nowUs}`);
		this.#advance(nowUs);
		this.#inFlight = false;
		this.#emitted.length = 0;
		this.#finished.length = 0;
		if (count > 1) this.#countRun();
		const running = this.#running;
		let kept = 0;
		for (let i = 0; i < running.length; i++) {
			const sequence = running[i] as SequenceRecord;
			if (sequence.cancelRequested) this.#finishCancel(sequence, nowUs);
			else if (!this.#advanceSequence(sequence, nowUs)) running[kept++] = sequence;
		}
		running.length = kept;
		return {
			startUs,
			endUs,
			steps: count,
			shape: this.#shape,
			emitted: this.#emitted,
			finished: this.#finished,
		};
	}

	/**
	 * Throws unless blocks and requests are conserved; costs O(blocks + sequences), for tests and checks between runs.
	 */
	checkInvariants(): void {
		this.#kv.checkInvariants(this.#running);
		const { submitted, finished, cancelled } = this.#counters;
		const alive = this.#waiting.length + this.#running.length;
		if (submitted !== alive + finished + cancelled) {
			throw new Error(`requests are not conserved: ${submitted} != ${alive} + ${finished} + ${cancelled}`);
		}
		let prefilling = 0;
		for (const sequence of this.#running) {
			if (!sequence.decoding) prefilling++;
			const capacity = sequence.blockCount * this.config.blockTokens;
			if (sequence.computedTokens + sequence.chunkTokens > capacity) {
				throw new Error(`sequence ${sequence.id} holds more tokens than its blocks`);
			}
		}
		if (prefilling !== this.#prefilling) throw new Error(`${prefilling} prefilling, counted ${this.#prefilling}`);
		if (alive === 0 && this.#kv.used !== 0) throw new Error(`${this.#kv.used} blocks held by no sequence`);
	}

	#refusal(request: SequenceRequest): SubmitRefusal | undefined {
		// The KV of the last token is never computed, since nothing follows it.
		const tokens = request.promptTokens + Math.max(request.outputTokens, 1) - 1;
		if (Math.ceil(tokens / this.config.blockTokens) > this.config.kvBlocks) return 'too_long';
		return this.#waiting.length >= this.config.waitingMax ? 'queue_full' : undefined;
	}

	/** Schedules one token for each decoding sequence; returns whether any sequence was preempted for blocks. */
	#scheduleDecodes(): boolean {
		const running = this.#running;
		const shape = this.#shape;
		let preempted = false;
		for (let i = 0; i < running.length && this.#budget > 0; i++) {
			const sequence = running[i] as SequenceRecord;
			if (!sequence.decoding) continue;
			if (this.#kv.needsBlock(sequence)) {
				if (this.#kv.free === 0) {
					preempted = true;
					if (!this.#preemptFor(sequence)) break;
				}
				this.#kv.extend(sequence);
			}
			this.#schedule(sequence, 1);
			shape.decodeSequences++;
			shape.decodeContextTokens += sequence.computedTokens;
		}
		return preempted;
	}

	#schedulePrefills(): void {
		const running = this.#running;
		for (let i = 0; i < running.length && this.#budget > 0; i++) {
			const sequence = running[i] as SequenceRecord;
			if (!sequence.decoding) this.#schedulePrefillChunk(sequence);
		}
	}

	#schedulePrefillChunk(sequence: SequenceRecord): void {
		const chunk = Math.min(sequence.knownTokens - sequence.computedTokens, this.#budget);
		const shape = this.#shape;
		shape.prefillSequences++;
		shape.prefillTokens += chunk;
		shape.prefillAttentionPairs += chunk * (sequence.computedTokens + chunk / 2);
		this.#schedule(sequence, chunk);
	}

	#schedule(sequence: SequenceRecord, tokens: number): void {
		sequence.chunkTokens = tokens;
		this.#budget -= tokens;
		this.#kv.nameFilled(sequence, sequence.computedTokens, sequence.computedTokens + tokens);
	}

	/** Frees blocks by preempting the last-in sequence; false when that was `sequence` itself. */
	#preemptFor(sequence: SequenceRecord): boolean {
		while (this.#kv.free === 0) {
			const victim = this.#running.pop();
			if (victim === undefined) throw new Error('no sequence left to preempt');
			this.#preempt(victim);
			if (victim === sequence) return false;
		}
		return true;
	}

	#preempt(victim: SequenceRecord): void {
		this.#counters.preemptions++;
		this.#counters.recomputedTokens += victim.computedTokens;
		victim.preemptions++;
		victim.state = 'waiting';
		this.#stopRunning(victim);
		this.#waiting.pushFront(victim);
	}

	/** Takes the blocks of a running sequence back; the caller takes it off the running list. */
	#stopRunning(sequence: SequenceRecord): void {
		if (!sequence.decoding) this.#prefilling--;
		this.#kv.release(sequence);
		sequence.chunkTokens = 0;
		sequence.decoding = false;
	}

	#admit(nowUs: number): void {
		while (this.#budget > 0 && this.#running.length < this.config.sequencesMax) {
			const sequence = this.#waiting.first;
			if (sequence === undefined || sequence.readyUs > nowUs || !this.#kv.fits(sequence)) return;
			this.#waiting.remove(sequence);
			this.#kv.allocate(sequence);
			this.#accountAdmission(sequence, nowUs);
			this.#running.push(sequence);
			this.#prefilling++;
			this.#schedulePrefillChunk(sequence);
		}
	}

	#accountAdmission(sequence: SequenceRecord, nowUs: number): void {
		const counters = this.#counters;
		const deviceTokens = this.#kv.deviceBlocks * this.config.blockTokens;
		const hostTokens = this.#kv.hostBlocks * this.config.blockTokens;
		sequence.state = 'running';
		counters.prefixQueryTokens += sequence.knownTokens;
		counters.prefixHitTokens += deviceTokens;
		counters.hostHitTokens += hostTokens;
		this.#shape.hostReloadTokens += hostTokens;
		if (sequence.scheduledUs >= 0) return;
		sequence.scheduledUs = nowUs;
		sequence.cachedTokens = deviceTokens;
		sequence.hostTokens = hostTokens;
		sequence.transferredTokens = sequence.computedTokens - deviceTokens - hostTokens;
		counters.transferredTokens += sequence.transferredTokens;
		counters.promptTokens += sequence.promptTokens;
	}

	#launch(nowUs: number): number {
		this.#shape.kvUsedTokens = this.#kv.used * this.config.blockTokens;
		const durationUs = Math.max(1, Math.round(this.#latency.stepUs(this.#shape) * this.slowFactor));
		this.#inFlight = true;
		this.#steps.begin(nowUs, durationUs);
		this.#counters.steps++;
		this.#counters.busyUs += durationUs;
		return durationUs;
	}

	/** Adds the steps after the first, which has just been scheduled with every running sequence decoding. */
	#goOn(nowUs: number): void {
		const waiting = this.#waiting.first;
		// One that is ready was not taken just now, and nothing that would change that happens inside a run.
		const joinedUs = waiting === undefined || waiting.readyUs <= nowUs ? Number.POSITIVE_INFINITY : waiting.readyUs;
		const shape = this.#shape;
		const run = this.#steps;
		const steps = this.#stepsAlike();
		while (run.count < steps && run.endUs < joinedUs) {
			shape.decodeContextTokens += shape.decodeSequences;
			run.add(Math.max(1, Math.round(this.#latency.stepUs(shape) * this.slowFactor)));
		}
	}

	/** Steps until the first running sequence is at its end, or at that of its last block. */
	#stepsAlike(): number {
		const { blockTokens } = this.config;
		let steps = STEPS_MAX;
		for (const sequence of this.#running) {
			const { computedTokens, blocks, blockCount } = sequence;
			const left = blockCount * blockTokens - computedTokens;
			// The step that fills a block names it when it begins, if it has a name.
			const named = blocks !== undefined && blocks.length >= blockCount;
			const before = named ? Math.max(1, left - 1) : left;
			steps = Math.min(steps, before, sequence.outputTokens - sequence.generatedTokens);
		}
		return steps;
	}

	/** Books the steps of a run before its last. */
	#countRun(): void {
		const before = this.#steps.count - 1;
		for (const sequence of this.#running) {
			sequence.computedTokens += before;
			sequence.generatedTokens += before;
		}
		this.#counters.steps += before;
		this.#counters.generatedTokens += before * this.#running.length;
		this.#counters.busyUs += this.#steps.durationUs(before + 1) - this.#steps.durationUs(1);
	}

	/** Books what the ended step did for one sequence; returns whether the sequence is done. */
	#advanceSequence(sequence: SequenceRecord, nowUs: number): boolean {
		if (sequence.chunkTokens === 0) return false;
		sequence.computedTokens += sequence.chunkTokens;
		sequence.chunkTokens = 0;
		if (sequence.computedTokens < sequence.knownTokens) return false;
		if (sequence.outputTokens > 0) this.#emit(sequence, nowUs);
		if (sequence.generatedTokens < sequence.outputTokens) return false;
		this.#stopRunning(sequence);
		sequence.state = 'finished';
		sequence.finishedUs = nowUs;
		this.#counters.finished++;
		this.#finished.push(sequence);
		return true;
	}

	#emit(sequence: SequenceRecord, nowUs: number): void {
		if (!sequence.decoding) {
			sequence.decoding = true;
			this.#prefilling--;
		}
		if (sequence.generatedTokens === 0) sequence.firstTokenUs = nowUs;
		sequence.generatedTokens++;
		this.#counters.generatedTokens++;
		this.#emitted.push(sequence);
	}

	#finishCancel(sequence: SequenceRecord, nowUs: number): void {
		if (sequence.state === 'running') this.#stopRunning(sequence);
		sequence.state = 'cancelled';
		sequence.finishedUs = nowUs;
		this.#counters.cancelled++;
	}

	#advance(nowUs: number): void {
		if (!Number.isSafeInteger(nowUs)) throw new TypeError(`time must be integer microseconds, not ${nowUs}`);
		if (nowUs < this.#nowUs) throw new RangeError(`time went back from ${this.#nowUs} to ${nowUs} us`);
		this.#nowUs = nowUs;
	}
}

function assertTokens(request: SequenceRequest): void {
	if (!Number.isSafeInteger(request.promptTokens) || request.promptTokens < 1) {
		throw new RangeError(`promptTokens must be a positive integer, not ${request.promptTokens}`);
	}
	if (!Number.isSafeInteger(request.outputTokens) || request.outputTokens < 0) {
		throw new RangeError(`outputTokens must be a non-negative integer, not ${request.outputTokens}`);
	}
}
