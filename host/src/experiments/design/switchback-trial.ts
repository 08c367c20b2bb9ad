// Owns what a switchback (of the fleet, or of matched cells) has gathered: closed blocks become pairs, pairs become a verdict. Pure; its state survives JSON and
// is resumed bit for bit. Leaves counting requests to the cohorts and what follows to promotion.ts.
// Invariants: a request counts for the block in which it came, whichever way it ended; a block is counted once; what is dropped is counted by reason, and dropping
// never depends on how the block went; after a verdict nothing changes it.
import { BettingSequence, type BettingState } from '../../statistics/betting.js';
import { type Interval, judgeMargin } from '../../statistics/interval.js';
import { mean } from '../../statistics/moments.js';
import type { ArmName } from '../cohorts/cohort.js';
import { designDigest, type ExperimentDesign } from './design.js';
import { stateError } from './errors.js';
import type { TrialVerdict } from './promotion.js';
import { armOfCell, cellsOf, strataOf } from './schedule.js';

/** Why a block does not count: what was seen of it is not whole. None of them looks at outcomes. */
export const incompleteReasons = ['gap', 'few_requests', 'stopped'] as const;
export type IncompleteReason = (typeof incompleteReasons)[number];

/** A block whose requests have ended, or had their time. */
export interface ClosedBlock {
	readonly block: number;
	/** Left out where the whole fleet alternates. */
	readonly cell?: string;
	/** Requests after the burn-in that say something of the arm, those that never ended included. */
	readonly requests: number;
	/** Of these, those that met their objectives. */
	readonly good: number;
	/** Requests of the burn-in, which count for nothing. */
	readonly burnIn: number;
	/** 99th percentile of the time to first token, milliseconds; 0 when there is none. */
	readonly ttftP99Ms: number;
	/** `gap`: nobody counted for a part of it, as after a restart; `stopped`: it was cut short. */
	readonly incomplete?: 'gap' | 'stopped';
}

/** One observation. */
export interface PairResult {
	readonly pair: number;
	/** Attainment of the candidate − of the baseline; mean over cells. */
	readonly difference: number;
	readonly baseline: number;
	readonly candidate: number;
	/** ln of the candidate's TTFT p99 over the baseline's; mean over cells; undefined when one had none. */
	readonly logTtftP99Ratio?: number;
	readonly requests: number;
}

export interface Dropped {
	readonly blocks: Readonly<Record<IncompleteReason, number>>;
	readonly pairs: number;
}

export interface SwitchbackState {
	readonly version: 1;
	readonly designDigest: string;
	readonly sequence: BettingState;
	readonly wins: BettingState;
	readonly pairs: readonly PairResult[];
	readonly pending: readonly ClosedBlock[];
	readonly dropped: Dropped;
	readonly burnIn: number;
	readonly pairsSeen: number;
	readonly verdict: TrialVerdict;
}

export class SwitchbackTrial {
	readonly design: ExperimentDesign;
	#sequence: BettingSequence;
	#wins: BettingSequence;
	#pairs: PairResult[] = [];
	/** Blocks of pairs that are not whole yet. */
	#pending = new Map<string, ClosedBlock>();
	#dropped = { blocks: { gap: 0, few_requests: 0, stopped: 0 }, pairs: 0 };
	#burnIn = 0;
	#pairsSeen = 0;
	#verdict: TrialVerdict = 'undecided';

	constructor(design: ExperimentDesign) {
		this.design = design;
		const { alpha, clip, truncation } = design;
		this.#sequence = new BettingSequence({ range: { lower: -clip, upper: clip }, alpha, truncation });
		this.#wins = new BettingSequence({ range: { lower: 0, upper: 1 }, alpha, truncation });
	}

	get verdict(): TrialVerdict {
		return this.#verdict;
	}

	/** Of the mean difference in attainment; valid at all times at once. */
	get interval(): Interval {
		return this.#sequence.interval;
	}

	/** Mean of the clipped differences; 0 before the first. */
	get difference(): number {
		return this.#sequence.mean;
	}

	/** Differences that were clipped. */
	get clipped(): number {
		return this.#sequence.clipped;
	}

	/** Share of pairs in which the candidate was better by more than the margin, and the interval of that share. */
	get winRate(): { readonly value: number; readonly interval: Interval } {
		return { value: this.#wins.count === 0 ? 0 : this.#wins.mean, interval: this.#wins.interval };
	}

	get pairs(): readonly PairResult[] {
		return this.#pairs;
	}

	get dropped(): Dropped {
		return this.#dropped;
	}

	/** Requests thrown away because they came in a burn-in. */
	get burnIn(): number {
		return this.#burnIn;
	}

	/** Pairs that are over, dropped ones included: what the budget is spent in. */
	get pairsSeen(): number {
		return this.#pairsSeen;
	}

	/** A block has closed; blocks may come in any order. Returns the verdict so far. Throws a RangeError for a block that came before or is none. */
	add(block: ClosedBlock): TrialVerdict {
		checkBlock(block, this.design);
		if (this.#verdict !== 'undecided') return this.#verdict;
		const key = keyOf(block.block, block.cell);
		const pair = block.block >>> 1;
		if (this.#pending.has(key)) throw new RangeError(`block ${key} came before`);
		this.#pending.set(key, block);
		this.#burnIn += block.burnIn;
		const reason = reasonOf(block, this.design);
		if (reason !== undefined) this.#dropped.blocks[reason]++;
		const blocks = this.#takePair(pair);
		if (blocks !== undefined) this.#judgePair(pair, blocks);
		return this.#verdict;
	}

	state(): SwitchbackState {
		return {
			version: 1,
			designDigest: designDigest(this.design),
			sequence: this.#sequence.state(),
			wins: this.#wins.state(),
			pairs: this.#pairs,
			pending: [...this.#pending.values()],
			dropped: structuredClone(this.#dropped),
			burnIn: this.#burnIn,
			pairsSeen: this.#pairsSeen,
			verdict: this.#verdict,
		};
	}

	/** Throws `IM_EXPERIMENT_STATE` or `IM_STATISTICS_STATE` when it is not what a trial of this design has gathered. */
	static resume(design: ExperimentDesign, state: SwitchbackState): SwitchbackTrial {
		if (state.version !== 1) throw stateError(`version ${String(state.version)} is not known`);
		if (state.designDigest !== designDigest(design)) throw stateError('its design is another one');
		const trial = new SwitchbackTrial(design);
		trial.#sequence = BettingSequence.resume(state.sequence);
		trial.#wins = BettingSequence.resume(state.wins);
		if (trial.#sequence.count !== state.pairs.length || trial.#wins.count !== state.pairs.length)
			throw stateError('its pairs are not those its interval was made of');
		trial.#pairs = [...state.pairs];
		trial.#pending = new Map(state.pending.map((block) => [keyOf(block.block, block.cell), block]));
		trial.#dropped = structuredClone(state.dropped);
		trial.#burnIn = state.burnIn;
		trial.#pairsSeen = state.pairsSeen;
		trial.#verdict = state.verdict;
		return trial;
	}

	/** All blocks of a pair, in all cells, once the last has come. */
	#takePair(pair: number): Map<string, readonly [ClosedBlock, ClosedBlock]> | undefined {
		const cells = new Map<string, readonly [ClosedBlock, ClosedBlock]>();
		for (const cell of cellsOf(this.design)) {
			const first = this.#pending.get(keyOf(2 * pair, cell));
			const second = this.#pending.get(keyOf(2 * pair + 1, cell));
			if (first === undefined || second === undefined) return undefined;
			cells.set(cell, [first, second]);
		}
		for (const cell of cells.keys()) {
			this.#pending.delete(keyOf(2 * pair, cell));
			this.#pending.delete(keyOf(2 * pair + 1, cell));
		}
		return cells;
	}

	#judgePair(pair: number, cells: ReadonlyMap<string, readonly [ClosedBlock, ClosedBlock]>): void {
		this.#pairsSeen++;
		const result = pairResult(this.design, pair, cells);
		if (result === undefined) this.#dropped.pairs++;
		else {
			this.#pairs.push(result);
			this.#sequence.observe(result.difference);
			this.#wins.observe(result.difference > this.design.margin ? 1 : 0);
			// A cell that stopped by what it saw alone would take its pair away by outcome.
			if (this.design.cell === undefined) this.#verdict = judgeMargin(this.interval, this.design.margin);
		}
		if (this.#verdict === 'undecided' && this.#pairsSeen >= this.design.pairsMax) this.#verdict = 'budget';
	}
}

/** Attainment of a closed block, 0..1. */
export function attainmentOf({ good, requests }: Pick<ClosedBlock, 'good' | 'requests'>): number {
	return requests === 0 ? 0 : good / requests;
}

/** Why a block does not count; undefined when it does. */
export function reasonOf(block: ClosedBlock, design: ExperimentDesign): IncompleteReason | undefined {
	if (block.incomplete !== undefined) return block.incomplete;
	return block.requests < design.blockRequestsMin ? 'few_requests' : undefined;
}

/** The pair's observation over the cells whose stratum is whole; undefined when none is. */
function pairResult(
	design: ExperimentDesign,
	pair: number,
	cells: ReadonlyMap<string, readonly [ClosedBlock, ClosedBlock]>,
): PairResult | undefined {
	const isWhole = (cell: string): boolean =>
		(cells.get(cell) ?? []).every((block) => reasonOf(block, design) === undefined);
	const whole = strataOf(design)
		.filter((stratum) => stratum.every(isWhole))
		.flat();
	if (whole.length === 0) return undefined;
	const arms = whole.map((cell) => byArm(design, cell, cells.get(cell) ?? []));
	const attainment = (arm: ArmName): number => mean(arms.map((one) => attainmentOf(one[arm])));
	const ratios = arms.map(({ baseline, candidate }) => Math.log(candidate.ttftP99Ms / baseline.ttftP99Ms));
	const baseline = attainment('baseline');
	const candidate = attainment('candidate');
	return {
		pair,
		difference: candidate - baseline,
		baseline,
		candidate,
		...(ratios.every(Number.isFinite) ? { logTtftP99Ratio: mean(ratios) } : {}),
		requests: arms.reduce((sum, one) => sum + one.baseline.requests + one.candidate.requests, 0),
	};
}

function byArm(design: ExperimentDesign, cell: string, blocks: readonly ClosedBlock[]): Record<ArmName, ClosedBlock> {
	const [first, second] = blocks as [ClosedBlock, ClosedBlock];
	return armOfCell(design, first.block, cell) === 'candidate'
		? { candidate: first, baseline: second }
		: { candidate: second, baseline: first };
}

function keyOf(block: number, cell = ''): string {
	return `${block}/${cell}`;
}

function checkBlock(block: ClosedBlock, design: ExperimentDesign): void {
	if (!Number.isInteger(block.block) || block.block < 0 || block.block >= 2 * design.pairsMax)
		throw new RangeError(`there is no block ${block.block} in an experiment of ${design.pairsMax} pairs`);
	if (!cellsOf(design).includes(block.cell ?? '')) throw new RangeError(`there is no cell ${block.cell ?? ''}`);
	const { requests, good, burnIn } = block;
	if (![requests, good, burnIn].every((one) => Number.isInteger(one) && one >= 0) || good > requests)
		throw new RangeError(`block ${block.block}: ${good} good of ${requests} requests cannot be`);
}
