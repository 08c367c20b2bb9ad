// Owns what a worker does to record a decision: it copies what the strategy saw, and what was decided, into its ring, in the tick of the decision and
// before any other run on the same view. Copies only: no allocation a decision, no hash, no disk. When the ring has no room the whole decision is
// dropped and counted; the rows it would have told of are told of with the next.
import type { Clock } from '@infermesh/proto';
import {
	COLUMN_ACTIVE_DECODE_TOKENS,
	COLUMN_ACTIVE_DECODES,
	COLUMN_INFLIGHT,
	COLUMN_LOAD,
	COLUMN_PENDING_PREFILL_PAIRS,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PREFILL_AT_MS,
	columns as dictionary,
	FACTORS_MAX,
	HITS_MAX,
	OUTPUT_FACTOR_COUNT_WORD,
	OUTPUT_FACTORS_WORD,
} from '@infermesh/sdk';
import { CHANGE_LOG_ENTRIES, HOLE, type PoolView } from '../fleet/pool-view.js';
import { type AttemptOutcome, type DecisionContext, outcomeStatusNames, prefixSources } from '../router/ports.js';
import {
	type Decision,
	type DecisionRecorder,
	type DrawMade,
	fallbackCauses,
	type PrefixHits,
	type RequestFeatures,
	verdicts,
} from '../strategy/runtime/decision.js';
import type { StrategyInstance } from '../strategy/runtime/instance.js';
import type { PoolRuntime } from '../strategy/runtime/pool-runtime.js';
import { type DecisionPlace, writeRequestBlock } from '../strategy/runtime/write-request.js';
import { ColumnsTap } from './columns.js';
import type { StreamEntry } from './entries.js';
import {
	D,
	ELIGIBLE_BIT,
	Flag,
	hedgeNames,
	Kind,
	legNames,
	O,
	OutcomeFlag,
	putF64,
	putId,
	REQUEST_WORDS,
	recordHead,
} from './layout.js';
import { RingWriter } from './ring.js';

export interface TapOptions {
	/** Share of decisions recorded, 0..1, drawn by the decision's own seed. */
	readonly sample: number;
}

export interface TapPorts {
	readonly worker: number;
	readonly clock: Clock;
	readonly place: DecisionPlace;
	/** Writes the chained hashes of the present prompt's blocks, low and high words in turn; returns how many. */
	readonly promptBlocks: (words: Uint32Array, at: number, most: number) => number;
}

/** Blocks of a prompt that are kept: of 512 tokens each, a prompt of 131,072 tokens. */
const BLOCKS_MAX = 256;

const EXCLUDED_KEPT_MAX = 1024;
/** Decisions whose outcomes are awaited while only some are recorded. */
const AWAITED_MAX = 65_536;
const COLUMNS = dictionary.length;

const causeIndex = new Map(fallbackCauses.map((cause, index) => [cause, index]));
const verdictIndex = new Map(verdicts.map((verdict, index) => [verdict, index]));

/** How far one pool's rows have been told. */
class StreamTap {
	readonly stream: number;
	tail = 0;
	fullVersion = -1;
	announced = false;
	/** Position of the change log at which a row was last listed, to list it once. */
	readonly stamps: Uint32Array;
	stamp = 0;
	/** State epoch last told, by version. */
	readonly states = new Map<number, number>();
	readonly columns: ColumnsTap;

	constructor(stream: number, view: PoolView) {
		this.stream = stream;
		this.stamps = new Uint32Array(view.rowCount);
		this.columns = new ColumnsTap(view);
	}
}

export class DecisionTap implements DecisionRecorder {
	readonly #ports: TapPorts;
	#ring: RingWriter | undefined;
	#f32: Float32Array = new Float32Array(0);
	#sample = 1;
	#streams = new WeakMap<PoolRuntime, StreamTap>();
	/** Payload of the decision that waits for its id, or -1. */
	#pending = -1;
	/** Payload words reserved for it and not used. */
	#unused = 0;
	#sequence = 0;
	readonly #awaited = new Set<string>();
	readonly #rows = new Uint32Array(CHANGE_LOG_ENTRIES);

	constructor(ports: TapPorts) {
		this.#ports = ports;
	}

	/** Begins to record into `ring`. */
	start(ring: SharedArrayBuffer, options: TapOptions): void {
		this.#ring = new RingWriter(ring);
		const { words } = this.#ring;
		this.#f32 = new Float32Array(words.buffer, words.byteOffset, words.length);
		this.#sample = options.sample;
		this.#streams = new WeakMap();
		this.#awaited.clear();
		this.#pending = -1;
	}

	stop(): void {
		this.#settle();
		this.#ring = undefined;
		this.#awaited.clear();
	}

	get active(): boolean {
		return this.#ring !== undefined;
	}

	decided(
		runtime: PoolRuntime,
		versionId: number,
		instance: StrategyInstance | undefined,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
		out: Decision,
		draw: DrawMade,
	): void {
		const ring = this.#ring;
		if (ring === undefined) return;
		this.#settle();
		if (features.seedLow >= this.#sample * 0x1_0000_0000) return;
		const stream = this.#streamOf(runtime);
		const told =
			this.#announce(ring, stream, runtime) &&
			this.#tellRows(ring, stream, runtime.view, instance) &&
			this.#tellState(ring, stream, versionId, instance);
		if (
			!told ||
			!this.#put(ring, stream, runtime.view, versionId, instance, features, hits, excluded, ticket, out, draw)
		)
			ring.dropped();
	}

	remembered(decisionId: string, context: DecisionContext, out: Decision): void {
		const at = this.#pending;
		const ring = this.#ring;
		if (at < 0 || ring === undefined) return;
		const { words } = ring;
		putId(words, at + D.id, decisionId);
		words[at + D.cachedTokens] = context.cachedTokens;
		words[at + D.cachedSource] = prefixSources.indexOf(context.cachedSource);
		const answer = words[at + D.answer] as number;
		if (answer >>> 24 !== out.chosen) {
			words[at + D.answer] = ((answer & 0xff_ffff) | (out.chosen << 24)) >>> 0;
			words[at + D.flags] = (words[at + D.flags] as number) | Flag.moved;
		}
		if (this.#sample < 1) this.#await(decisionId);
		this.#settle();
	}

	/** What became of an attempt, if its decision was recorded. */
	outcome(outcome: AttemptOutcome): void {
		const ring = this.#ring;
		if (ring === undefined || (this.#sample < 1 && !this.#awaited.has(outcome.decisionId))) return;
		this.#settle();
		const head = ring.reserve(1 + O.words);
		// No decision's loss: estimators see a decision without an outcome, and how many were lost.
		if (head < 0) return ring.outcomeLost();
		const { words } = ring;
		const f32 = this.#f32;
		words[head] = recordHead(Kind.outcome, O.words);
		const at = head + 1;
		const flags =
			(outcome.fallbackDecided ? OutcomeFlag.fallback : 0) |
			(outcome.retried ? OutcomeFlag.retried : 0) |
			(outcome.lost ? OutcomeFlag.lost : 0) |
			(outcome.unreachable ? OutcomeFlag.unreachable : 0);
		putId(words, at + O.id, outcome.decisionId);
		words[at + O.poolIndex] = outcome.poolIndex;
		words[at + O.row] = outcome.poolRow;
		words[at + O.kind] =
			(outcomeStatusNames.indexOf(outcome.status) |
				(hedgeNames.indexOf(outcome.hedge) << 8) |
				(legNames.indexOf(outcome.leg) << 16) |
				(flags << 24)) >>>
			0;
		words[at + O.httpStatus] = outcome.httpStatus;
		words[at + O.tokensIn] = outcome.tokensIn;
		words[at + O.tokensOut] = outcome.tokensOut;
		words[at + O.tokensCached] = outcome.tokensCached;
		f32[at + O.ttftMs] = outcome.ttftMs;
		f32[at + O.tpotMs] = outcome.tpotMs;
		f32[at + O.e2eMs] = outcome.e2eMs;
		f32[at + O.predictedTtftMs] = outcome.predictedTtftMs;
		words[at + O.wastedTokens] = outcome.wastedTokens;
		putF64(words, at + O.wallMs, this.#ports.clock.wallMs());
		ring.commit();
	}

	#await(decisionId: string): void {
		if (this.#awaited.size >= AWAITED_MAX) this.#awaited.delete(this.#awaited.values().next().value ?? '');
		this.#awaited.add(decisionId);
	}

	/** Hands over the decision that waited. */
	#settle(): void {
		if (this.#pending < 0) return;
		this.#pending = -1;
		this.#ring?.commit(this.#unused);
	}

	#streamOf(runtime: PoolRuntime): StreamTap {
		let stream = this.#streams.get(runtime);
		if (stream === undefined) {
			const number = ((this.#ports.worker << 16) | (runtime.pool.index & 0xffff)) >>> 0;
			this.#streams.set(runtime, (stream = new StreamTap(number, runtime.view)));
		}
		return stream;
	}

	#announce(ring: RingWriter, stream: StreamTap, { pool }: PoolRuntime): boolean {
		if (stream.announced) return true;
		const entry: StreamEntry = {
			stream: stream.stream,
			worker: this.#ports.worker,
			pool: pool.index,
			model: pool.model,
			targets: pool.targets.map((target) => target?.id ?? null),
		};
		const bytes = Buffer.from(JSON.stringify(entry), 'utf8');
		const words = 1 + Math.ceil(bytes.length / 4);
		const at = ring.reserve(1 + words);
		if (at < 0) return false;
		ring.words[at] = recordHead(Kind.stream, words);
		ring.words[at + 1] = bytes.length;
		new Uint8Array(ring.words.buffer, ring.words.byteOffset).set(bytes, (at + 2) * 4);
		ring.commit();
		stream.announced = true;
		return true;
	}

	/** Tells the rows that have changed since the last decision that was told. */
	#tellRows(ring: RingWriter, stream: StreamTap, view: PoolView, instance: StrategyInstance | undefined): boolean {
		const behind = view.changeHead - stream.tail;
		if (stream.fullVersion !== view.fullVersion || behind >= CHANGE_LOG_ENTRIES) {
			if (!this.#keyframe(ring, stream, view, instance)) return false;
		} else if (behind > 0) {
			const count = this.#listChanged(stream, view);
			if (stream.columns.suits(count)) {
				const told = this.#tellColumns(ring, stream, view, count);
				if (told !== 'not') return told === 'told' && this.#toldTo(stream, view);
			}
			const at = ring.reserve(4 + count * (1 + COLUMNS));
			if (at < 0) return false;
			const { words } = ring;
			words[at] = recordHead(Kind.rowsFull, 3 + count * (1 + COLUMNS));
			words[at + 1] = stream.stream;
			words[at + 2] = view.tableEpoch;
			words[at + 3] = count;
			for (let i = 0, to = at + 4; i < count; i++, to += 1 + COLUMNS) {
				const row = this.#rows[i] as number;
				words[to] = view.isEligible(row) ? (row | ELIGIBLE_BIT) >>> 0 : row;
				this.#copyRow(view, row, words, to + 1);
			}
			if (view.moved() && instance !== undefined)
				for (let i = 0, to = at + 5; i < count; i++, to += 1 + COLUMNS)
					copyDeclared(instance, this.#rows[i] as number, words, to);
			ring.commit();
		}
		return this.#toldTo(stream, view);
	}

	#toldTo(stream: StreamTap, view: PoolView): true {
		stream.tail = view.changeHead;
		stream.fullVersion = view.fullVersion;
		return true;
	}

	/**
	 * Tells the changed rows by columns. `not`: they are more than a record holds, or the table was published again meanwhile, and what was copied is left
	 * uncommitted: rows can be mended from the strategy's own frame. `full`: there is no room now.
	 */
	#tellColumns(ring: RingWriter, stream: StreamTap, view: PoolView, count: number): 'told' | 'not' | 'full' {
		const length = stream.columns.words(count);
		if (length > ring.recordWordsMax) return 'not';
		const at = ring.reserve(1 + length);
		if (at < 0) return 'full';
		ring.words[at] = recordHead(Kind.columnsFull, length);
		stream.columns.copy(stream.stream, view, this.#rows, count, ring.words, this.#f32, at + 1);
		if (view.moved()) return 'not';
		ring.commit();
		return 'told';
	}

	#listChanged(stream: StreamTap, view: PoolView): number {
		const stamp = (stream.stamp = (stream.stamp + 1) >>> 0);
		let count = 0;
		for (let at = stream.tail; at < view.changeHead; at++) {
			const row = view.changedRow(at);
			if (stream.stamps[row] === stamp) continue;
			stream.stamps[row] = stamp;
			this.#rows[count++] = row;
		}
		return count;
	}

	#keyframe(ring: RingWriter, stream: StreamTap, view: PoolView, instance: StrategyInstance | undefined): boolean {
		const bitmap = view.eligible.length;
		const length = 2 + bitmap + view.rowCount * COLUMNS;
		if (length > ring.recordWordsMax) return false;
		const at = ring.reserve(1 + length);
		if (at < 0) return false;
		const { words } = ring;
		words[at] = recordHead(Kind.keyframe, length);
		words[at + 1] = stream.stream;
		words[at + 2] = view.tableEpoch;
		words.set(view.eligible, at + 3);
		const cells = at + 3 + bitmap;
		for (let row = 0; row < view.rowCount; row++) this.#copyRow(view, row, words, cells + row * COLUMNS);
		if (view.moved() && instance !== undefined)
			for (let row = 0; row < view.rowCount; row++) copyDeclared(instance, row, words, cells + row * COLUMNS);
		ring.commit();
		return true;
	}

	/** One row of the table as the view's epoch has it, and the router's own columns as the view has them. */
	#copyRow(view: PoolView, row: number, words: Uint32Array, to: number): void {
		const tableRow = view.tableRows[row] as number;
		if (tableRow === HOLE) {
			words.fill(0, to, to + COLUMNS);
			return;
		}
		const cells = view.cells();
		const { rowsMax } = view;
		for (let column = 0, from = tableRow; column < COLUMNS; column++, from += rowsMax)
			words[to + column] = cells[from] as number;
		const f32 = this.#f32;
		f32[to + COLUMN_INFLIGHT] = view.inflight[row] as number;
		f32[to + COLUMN_LOAD] = view.load[row] as number;
		f32[to + COLUMN_PENDING_PREFILL_TOKENS] = view.pendingPrefillTokens[row] as number;
		f32[to + COLUMN_PENDING_PREFILL_PAIRS] = view.pendingPrefillPairs[row] as number;
		words[to + COLUMN_PREFILL_AT_MS] = view.prefillAtMs[row] as number;
		f32[to + COLUMN_ACTIVE_DECODE_TOKENS] = view.activeDecodeTokens[row] as number;
		f32[to + COLUMN_ACTIVE_DECODES] = view.activeDecodes[row] as number;
	}

	#tellState(ring: RingWriter, stream: StreamTap, versionId: number, instance: StrategyInstance | undefined): boolean {
		if (instance === undefined || instance.layout.stateBytes === 0) return true;
		const epoch = instance.stateEpoch;
		if (stream.states.get(versionId) === epoch) return true;
		const bytes = instance.layout.stateBytes;
		const count = Math.ceil(bytes / 4);
		const at = ring.reserve(5 + count);
		if (at < 0) return false;
		const { words } = ring;
		words[at] = recordHead(Kind.stateFull, 4 + count);
		words[at + 1] = stream.stream;
		words[at + 2] = versionId;
		words[at + 3] = epoch;
		words[at + 4] = bytes;
		const from = instance.layout.stateOffset / 4;
		for (let i = 0; i < count; i++) words[at + 5 + i] = instance.u32[from + i] as number;
		ring.commit();
		stream.states.set(versionId, epoch);
		return true;
	}

	/** Writes the decision and leaves it uncommitted: its id comes with `remembered`. */
	#put(
		ring: RingWriter,
		stream: StreamTap,
		view: PoolView,
		versionId: number,
		instance: StrategyInstance | undefined,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
		out: Decision,
		draw: DrawMade,
	): boolean {
		// All of them, for strategies that ask for more than this one does.
		const hitCount = Math.min(hits.count, HITS_MAX);
		if (excluded.length > EXCLUDED_KEPT_MAX) return false;
		const factorCount =
			instance === undefined || out.cause !== 'none'
				? 0
				: Math.min(instance.u32[instance.outputWord + OUTPUT_FACTOR_COUNT_WORD] as number, FACTORS_MAX);
		const known = D.words + REQUEST_WORDS + out.count * (2 + factorCount) + excluded.length + 4 * hitCount;
		const head = ring.reserve(1 + known + 2 * BLOCKS_MAX);
		if (head < 0) return false;
		const { words } = ring;
		const f32 = this.#f32;
		const at = head + 1;
		words[at + D.stream] = stream.stream;
		words[at + D.sequence] = this.#sequence = (this.#sequence + 1) >>> 0;
		words[at + D.version] = versionId;
		words[at + D.answer] =
			((causeIndex.get(out.cause) ?? 0) |
				((verdictIndex.get(out.verdict) ?? 0) << 8) |
				(out.count << 16) |
				(out.chosen << 24)) >>>
			0;
		words[at + D.flags] = drawFlags[draw.mode] | (instance === undefined && view.moved() ? Flag.moving : 0);
		words.fill(0, at + D.id, at + D.id + 4);
		f32[at + D.durationUs] = out.durationNs / 1000;
		putF64(words, at + D.fuel, out.fuel);
		words[at + D.stateEpoch] = instance?.stateEpoch ?? 0;
		words[at + D.tableEpoch] = view.tableEpoch;
		words[at + D.eligible] = view.eligibleCount;
		f32[at + D.propensity] = out.propensity;
		putF64(words, at + D.draw, draw.value);
		f32[at + D.temperature] = out.temperature;
		words[at + D.prefillRow] = out.prefillRow;
		words[at + D.fetchFromRow] = out.fetchFromRow;
		f32[at + D.hedgeDelayMs] = out.hedgeDelayMs;
		words[at + D.hedgeCopies] = out.hedgeCopies;
		f32[at + D.holdKey] = out.holdKey;
		words[at + D.rejectReason] = out.rejectReason;
		f32[at + D.retryAfterMs] = out.retryAfterMs;
		f32[at + D.predictedTtftMs] = out.predictedTtftMs;
		words[at + D.cachedTokens] = 0;
		words[at + D.cachedSource] = 0;
		words[at + D.inputs] = excluded.length | (hitCount << 16);
		f32[at + D.drawRatio] = draw.ratio;
		putF64(words, at + D.wallMs, this.#ports.clock.wallMs());
		let to = at + D.words;
		words.fill(0, to, to + REQUEST_WORDS);
		let masked = 0;
		for (const row of excluded) if (view.isEligible(row)) masked++;
		const hitsSeen = Math.min(hitCount, instance?.layout.hitsCapacity ?? hitCount);
		writeRequestBlock(words, f32, to, features, this.#ports.place, ticket, view.eligibleCount - masked, hitsSeen);
		to += REQUEST_WORDS;
		for (let i = 0; i < out.count; i++) words[to++] = out.rows[i] as number;
		for (let i = 0; i < out.count; i++) f32[to++] = out.scores[i] as number;
		if (instance !== undefined && factorCount > 0) {
			const from = instance.outputWord + OUTPUT_FACTORS_WORD;
			for (let i = 0; i < out.count; i++)
				for (let f = 0; f < factorCount; f++) words[to++] = instance.u32[from + i * FACTORS_MAX + f] as number;
		}
		for (const row of excluded) words[to++] = row;
		for (let i = 0; i < hitCount; i++) {
			words[to++] = hits.rows[i] as number;
			words[to++] = hits.tokens[i] as number;
			words[to++] = hits.tiers[i] as number;
			words[to++] = hits.flags[i] as number;
		}
		const blocks = this.#ports.promptBlocks(words, to, BLOCKS_MAX);
		words[at + D.extras] = factorCount | (blocks << 8);
		words[head] = recordHead(Kind.decision, known + 2 * blocks);
		this.#unused = 2 * (BLOCKS_MAX - blocks);
		this.#pending = at;
		return true;
	}
}

const drawFlags = { best: 0, softmax: Flag.explored, spread: Flag.spread, even: Flag.even } as const;

/** The columns the strategy declared, as its own frame has them: the table has moved on since. */
function copyDeclared({ layout, u32 }: StrategyInstance, row: number, words: Uint32Array, to: number): void {
	for (const id of layout.columnIds) words[to + id] = u32[(layout.columnOffsets[id] as number) / 4 + row] as number;
}
