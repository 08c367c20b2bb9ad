// Owns what `infermesh explain` can tell of past decisions: a bounded ring of records per worker, written after the decision from the
// frame that made it. Numbers are copied as they stood, those in use only; names are put on them only when somebody asks.
import {
	columns as dictionary,
	FACTORS_MAX,
	OUTPUT_BYTES,
	OUTPUT_FACTOR_COUNT_WORD,
	OUTPUT_FACTORS_WORD,
	OUTPUT_ROWS_WORD,
	RANKED_ROWS_MAX,
	REQUEST_BYTES,
	structs,
} from '@infermesh/sdk';
import type { AttemptOutcome, DecisionContext, ModelPool } from '../../router/ports.js';
import type { Decision } from './decision.js';
import type { StrategyInstance } from './instance.js';

/** Rows whose columns are kept per decision: the chosen, the runner-up and two more. */
const ROWS_KEPT = 4;
const COLUMNS_KEPT = dictionary.length;
const REQUEST_WORDS = REQUEST_BYTES / 4;
const OUTPUT_WORDS = OUTPUT_BYTES / 4;
const CELL_WORDS = ROWS_KEPT * COLUMNS_KEPT;

export interface ExplainOptions {
	/** Decisions remembered per worker; about 2 KiB each. */
	readonly entriesMax: number;
}

export const explainDefaults: ExplainOptions = { entriesMax: 4096 };

/** One candidate row as the decision saw it. */
export interface ExplainedCandidate {
	readonly target: string;
	readonly row: number;
	/** Lower is better. */
	readonly score: number;
	readonly factors: Readonly<Record<string, number>>;
	/** The columns the strategy declared, at the time of the decision; empty when the fallback decided. */
	readonly columns: Readonly<Record<string, number>>;
}

export interface ExplainedAttempt {
	readonly target: string;
	readonly status: string;
	readonly httpStatus: number;
	readonly ttftMs: number;
	readonly tpotMs: number;
	readonly e2eMs: number;
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensCached: number;
	/** In a hedged request: `first` or `copy`. */
	readonly hedge: string;
	/** Another attempt brought the answer; this one was cancelled. */
	readonly lost: boolean;
	/** What a loser computed in vain, estimated from above. */
	readonly wastedTokens: number;
	/** `whole`, or the side of a pair: `prefill` or `decode`. */
	readonly leg: string;
}

export interface ExplainedDecision {
	readonly id: string;
	readonly at: string;
	readonly requestId: string;
	/** The decision before, when this one was made because its attempts failed; null for the first of a request. */
	readonly previous: string | null;
	readonly path: string;
	readonly tenant: string;
	readonly session: string;
	readonly model: string;
	readonly strategy: string;
	readonly digest: string;
	readonly verdict: string;
	readonly fallbackCause: string;
	readonly fuel: number;
	readonly durationUs: number;
	readonly propensity: number;
	readonly eligible: number;
	readonly chosen: string | null;
	readonly runnerUp: string | null;
	/** Runner-up's score less the best score. */
	readonly margin: number | null;
	readonly candidates: readonly ExplainedCandidate[];
	/** The request block as the strategy saw it, by field name; 64-bit hashes and seeds as hexadecimal text. */
	readonly request: Readonly<Record<string, number | string>>;
	/** Prompt tokens the chosen target was expected to have cached, and what said so. */
	readonly cachedTokens: number;
	readonly cachedSource: string;
	readonly attempts: readonly ExplainedAttempt[];
}

interface Entry {
	id: string;
	pool: ModelPool;
	context: DecisionContext;
	label: string;
	digest: string;
	factorNames: readonly string[];
	columnIds: readonly number[];
	verdict: string;
	cause: string;
	fuel: number;
	durationNs: number;
	chosen: number;
	propensity: number;
	count: number;
	eligible: number;
	wallMs: number;
	attempts: ExplainedAttempt[];
}

/** Attempts kept per decision; retries are bounded far below it. */
const ATTEMPTS_MAX = 8;

export class ExplainRing {
	readonly #entries: (Entry | undefined)[];
	readonly #slots = new Map<string, number>();
	readonly #request: Uint32Array;
	readonly #output: Uint32Array;
	readonly #cells: Uint32Array;
	#next = 0;

	constructor(options: ExplainOptions = explainDefaults) {
		this.#entries = Array.from({ length: options.entriesMax });
		this.#request = new Uint32Array(options.entriesMax * REQUEST_WORDS);
		this.#output = new Uint32Array(options.entriesMax * OUTPUT_WORDS);
		this.#cells = new Uint32Array(options.entriesMax * CELL_WORDS);
	}

	/** Records the decision just made. `instance` is the one that decided, or undefined when the fallback did. */
	record(
		id: string,
		pool: ModelPool,
		context: DecisionContext,
		decision: Decision,
		instance: StrategyInstance | undefined,
		eligible: number,
		wallMs: number,
	): void {
		const slot = this.#next;
		this.#next = (slot + 1) % this.#entries.length;
		const old = this.#entries[slot];
		if (old !== undefined) this.#slots.delete(old.id);
		this.#slots.set(id, slot);
		this.#entries[slot] = {
			id,
			pool,
			context,
			label: decision.strategy,
			digest: instance?.strategy.digest ?? '',
			factorNames: instance?.strategy.manifest.factors ?? [],
			columnIds: instance?.layout.columnIds ?? [],
			verdict: decision.verdict,
			cause: decision.cause,
			fuel: decision.fuel,
			durationNs: decision.durationNs,
			chosen: decision.chosen,
			propensity: decision.propensity,
			count: decision.count,
			eligible,
			wallMs,
			attempts: [],
		};
		if (instance !== undefined) this.#copyFrame(slot, instance, decision);
		else this.#copyFallback(slot, decision);
	}

	#copyFrame(slot: number, instance: StrategyInstance, decision: Decision): void {
		const { u32, layout } = instance;
		// Plain loops over what is in use: a view made for each copy would cost more than the copy.
		const to = slot * REQUEST_WORDS;
		for (let i = 0; i < REQUEST_WORDS; i++) this.#request[to + i] = u32[instance.requestWord + i] as number;
		this.#copyFactors(slot, instance, decision.count);
		this.#copyRanking(slot, decision);
		const rows = Math.min(decision.count, ROWS_KEPT);
		for (let i = 0; i < rows; i++) {
			const row = decision.rows[i] as number;
			const cell = slot * CELL_WORDS + i * COLUMNS_KEPT;
			for (const id of layout.columnIds)
				this.#cells[cell + id] = u32[(layout.columnOffsets[id] as number) / 4 + row] as number;
		}
	}

	#copyFactors(slot: number, { u32, outputWord }: StrategyInstance, count: number): void {
		const to = slot * OUTPUT_WORDS;
		const factors = Math.min(u32[outputWord + OUTPUT_FACTOR_COUNT_WORD] as number, FACTORS_MAX);
		this.#output[to + OUTPUT_FACTOR_COUNT_WORD] = factors;
		for (let i = 0; i < count; i++) {
			const row = OUTPUT_FACTORS_WORD + i * FACTORS_MAX;
			for (let f = 0; f < factors; f++) this.#output[to + row + f] = u32[outputWord + row + f] as number;
		}
	}

	#copyFallback(slot: number, decision: Decision): void {
		this.#request.fill(0, slot * REQUEST_WORDS, (slot + 1) * REQUEST_WORDS);
		this.#output[slot * OUTPUT_WORDS + OUTPUT_FACTOR_COUNT_WORD] = 0;
		this.#copyRanking(slot, decision);
	}

	/** The validated rows and scores, over whatever the frame holds. */
	#copyRanking(slot: number, decision: Decision): void {
		const at = slot * OUTPUT_WORDS + RANKING_WORD;
		for (let i = 0; i < decision.count; i++) {
			scratchFloat[0] = decision.scores[i] as number;
			this.#output[at + i] = decision.rows[i] as number;
			this.#output[at + RANKED_ROWS_MAX + i] = scratchWord[0] as number;
		}
	}

	/** Adds what became of an attempt to its decision, if that is still remembered. */
	outcome(outcome: AttemptOutcome): void {
		const slot = this.#slots.get(outcome.decisionId);
		const entry = slot === undefined ? undefined : this.#entries[slot];
		if (entry === undefined || entry.attempts.length >= ATTEMPTS_MAX) return;
		const { status, httpStatus, ttftMs, tpotMs, e2eMs, tokensIn, tokensOut, tokensCached } = outcome;
		const { hedge, lost, wastedTokens, leg } = outcome;
		entry.attempts.push({
			target: outcome.target.id,
			status,
			httpStatus,
			ttftMs,
			tpotMs,
			e2eMs,
			tokensIn,
			tokensOut,
			tokensCached,
			hedge,
			lost,
			wastedTokens,
			leg,
		});
	}

	/** The named form of one decision, or undefined when it is unknown or has been overwritten. */
	explain(id: string): ExplainedDecision | undefined {
		const slot = this.#slots.get(id);
		const entry = slot === undefined ? undefined : this.#entries[slot];
		if (slot === undefined || entry === undefined) return undefined;
		const candidates = this.#candidates(slot, entry);
		const best = candidates[entry.chosen];
		const runnerUp = candidates.find((_, index) => index !== entry.chosen);
		return {
			id: entry.id,
			at: new Date(entry.wallMs).toISOString(),
			requestId: entry.context.requestId,
			previous: entry.context.previous || null,
			path: entry.context.path,
			tenant: entry.context.tenant,
			session: entry.context.session,
			model: entry.pool.model,
			strategy: entry.label,
			digest: entry.digest,
			verdict: entry.verdict,
			fallbackCause: entry.cause,
			fuel: entry.fuel,
			durationUs: entry.durationNs / 1000,
			propensity: entry.propensity,
			eligible: entry.eligible,
			chosen: best?.target ?? null,
			runnerUp: runnerUp?.target ?? null,
			margin: best === undefined || runnerUp === undefined ? null : runnerUp.score - best.score,
			candidates,
			request: entry.digest === '' ? {} : this.#requestFields(slot),
			cachedTokens: entry.context.cachedTokens,
			cachedSource: entry.context.cachedSource,
			attempts: entry.attempts,
		};
	}

	#candidates(slot: number, entry: Entry): ExplainedCandidate[] {
		const output = this.#output.subarray(slot * OUTPUT_WORDS, (slot + 1) * OUTPUT_WORDS);
		const floats = new Float32Array(output.buffer, output.byteOffset, OUTPUT_WORDS);
		const factorCount = Math.min(output[OUTPUT_FACTOR_COUNT_WORD] as number, FACTORS_MAX, entry.factorNames.length);
		const candidates: ExplainedCandidate[] = [];
		for (let i = 0; i < entry.count; i++) {
			const row = output[RANKING_WORD + i] as number;
			const factors: Record<string, number> = {};
			for (let f = 0; f < factorCount; f++) {
				factors[entry.factorNames[f] as string] = floats[OUTPUT_FACTORS_WORD + i * FACTORS_MAX + f] as number;
			}
			candidates.push({
				target: entry.pool.targets[row]?.id ?? '(removed)',
				row,
				score: floats[RANKING_WORD + RANKED_ROWS_MAX + i] as number,
				factors,
				columns: i < ROWS_KEPT ? this.#columns(slot, i, entry.columnIds) : {},
			});
		}
		return candidates;
	}

	#columns(slot: number, index: number, columnIds: readonly number[]): Record<string, number> {
		const values: Record<string, number> = {};
		for (const id of columnIds) {
			const column = dictionary[id];
			if (column === undefined) continue;
			scratchWord[0] = this.#cells[slot * CELL_WORDS + index * COLUMNS_KEPT + id] as number;
			values[column.name] = (column.type === 'f32' ? scratchFloat[0] : scratchWord[0]) as number;
		}
		return values;
	}

	#requestFields(slot: number): Record<string, number | string> {
		const fields: Record<string, number | string> = {};
		for (const field of requestFields) {
			const at = slot * REQUEST_WORDS + field.offsetBytes / 4;
			scratchWord[0] = this.#request[at] as number;
			if (field.type === 'u64')
				fields[field.name] = wide(this.#request[at + 1] as number, this.#request[at] as number, field.unit);
			else if (field.type === 'f32') fields[field.name] = scratchFloat[0] as number;
			else fields[field.name] = field.type === 'i32' ? scratchWord[0] | 0 : scratchWord[0];
		}
		return fields;
	}
}

/** A time is exact as a number; a hash or a seed is not, and nobody counts with it. */
function wide(high: number, low: number, unit: string): number | string {
	if (unit !== '') return high * 0x1_0000_0000 + low;
	return `0x${high.toString(16).padStart(8, '0')}${low.toString(16).padStart(8, '0')}`;
}

const scratchWord = new Uint32Array(1);
const scratchFloat = new Float32Array(scratchWord.buffer);
const requestFields = structs.find((struct) => struct.name === 'Request')?.fields ?? [];
/** Word of the ranked rows; the scores follow them. */
const RANKING_WORD = OUTPUT_ROWS_WORD;
