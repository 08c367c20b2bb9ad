// A strategy compared with itself over matched cells, a thousand times, looked at after every pair of blocks. Each cell is a queue (Lindley's recursion, carried over from block
// to block) whose load swings with what all cells live through, with what only it does, and, in one cell of each pair, has the rhythm of the blocks: were their order not
// drawn, one arm would always have the busy half. What takes requests for independent is wrong nearly always; the confidence sequence must not be, more often than alpha.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { binomialUpper } from '../../statistics/binomial.js';
import { standardNormal } from '../../statistics/normal.js';
import type { ExperimentDesign } from '../design/design.js';
import { armOfCell, cellsOf } from '../design/schedule.js';
import { type ClosedBlock, SwitchbackTrial } from '../design/switchback-trial.js';
import { designFor } from '../design/testing.js';

const RUNS = 1000;
const BLOCK_PAIRS = 24;
const REQUESTS = 120;
const cellPairs = [
	['a', 'b'],
	['c', 'd'],
] as const;

/** One server: waits in units of its mean service time. */
class Queue {
	#wait = 0;
	#own = 0;
	readonly #random: SeededRandom;

	readonly #swings: number;

	/** `swings`: standard deviation of what only this cell lives through, from block to block. */
	constructor(random: SeededRandom, swings: number) {
		this.#random = random;
		this.#swings = swings;
	}

	/** Requests of a block that waited less than three service times. `speed`: of the arm that has it. */
	block(swing: number, rhythm: number, speed: number): number {
		this.#own = 0.8 * this.#own + this.#swings * standardNormal(this.#random);
		const load = Math.min(0.97, Math.max(0.3, 0.75 + swing + this.#own + rhythm));
		let good = 0;
		for (let request = 0; request < REQUESTS; request++) {
			if (this.#wait < 3) good++;
			const service = -Math.log(1 - this.#random.nextFloat()) / speed;
			const gap = -Math.log(1 - this.#random.nextFloat()) / load;
			this.#wait = Math.max(0, this.#wait + service - gap);
		}
		return good;
	}
}

interface Found {
	readonly trial: SwitchbackTrial;
	/** A z test of all requests so far said that the arms differ, after some pair. */
	readonly isNaivelyWrong: boolean;
}

/** Standard deviations of what changes from block to block: for all cells at once, and for each by itself. */
interface Swings {
	readonly common: number;
	readonly own: number;
}

function compare(
	design: ExperimentDesign,
	seed: number,
	candidateSpeed: number,
	swings: Swings = { common: 0.08, own: 0.1 },
): Found {
	const random = new SeededRandom(seed, 1);
	const cells = cellsOf(design);
	const queues = new Map(cells.map((cell, at) => [cell, new Queue(new SeededRandom(seed, 2 + at), swings.own)]));
	const trial = new SwitchbackTrial(design);
	const sums = { baseline: { good: 0, requests: 0 }, candidate: { good: 0, requests: 0 } };
	let swing = 0;
	let isNaivelyWrong = false;
	for (let block = 0; block < 2 * design.pairsMax && trial.verdict === 'undecided'; block++) {
		swing = 0.9 * swing + swings.common * standardNormal(random);
		for (const cell of cells) {
			const arm = armOfCell(design, block, cell);
			const rhythm = (cell === 'a' || cell === 'c') && block % 2 === 1 ? 0.2 : 0;
			const good = (queues.get(cell) as Queue).block(swing, rhythm, arm === 'candidate' ? candidateSpeed : 1);
			sums[arm].good += good;
			sums[arm].requests += REQUESTS;
			const named = cell === '' ? {} : { cell };
			const closed: ClosedBlock = { block, ...named, requests: REQUESTS, good, burnIn: 0, ttftP99Ms: 1 };
			trial.add(closed);
		}
		if (block % 2 === 1) isNaivelyWrong ||= Math.abs(zOf(sums)) > 1.96;
	}
	return { trial, isNaivelyWrong };
}

function zOf({ baseline, candidate }: Record<'baseline' | 'candidate', { good: number; requests: number }>): number {
	const pooled = (baseline.good + candidate.good) / (baseline.requests + candidate.requests);
	const variance = pooled * (1 - pooled) * (1 / baseline.requests + 1 / candidate.requests);
	return (candidate.good / candidate.requests - baseline.good / baseline.requests) / Math.sqrt(variance);
}

test('a thousand comparisons of a strategy with itself raise no more false alarms than alpha allows; one that is faster is found', (t) => {
	t.timeout(300_000);
	const design = designFor({ kind: 'matched-cells', cellPairs, margin: 0, pairsMax: BLOCK_PAIRS, alpha: 0.05 });
	let wrong = 0;
	let naive = 0;
	for (let seed = 0; seed < RUNS; seed++) {
		const { trial, isNaivelyWrong } = compare({ ...design, seed }, 5000 + seed, 1);
		if (trial.verdict === 'win' || trial.verdict === 'loss') wrong++;
		if (isNaivelyWrong) naive++;
	}
	t.log(
		`false alarms: ${wrong} of ${RUNS} (at most ${(binomialUpper(wrong, RUNS) * 100).toFixed(1)} %); requests taken for independent: ${naive}`,
	);
	t.true(binomialUpper(wrong, RUNS) <= 0.05 + 0.02, `${wrong}`);
	t.true(naive > RUNS / 4, 'or the traffic would be too tame to tell anything');
	const found = Array.from(
		{ length: 20 },
		(_, seed) => compare({ ...design, seed, pairsMax: 200 }, 9000 + seed, 1.25).trial,
	);
	const pairs = found.map((trial) => trial.pairsSeen).toSorted((a, b) => a - b);
	t.log(
		`a candidate that serves 25 % faster: ${found.filter(({ verdict }) => verdict === 'win').length} of 20 win, in ${pairs[10]} pairs at the median`,
	);
	t.true(found.filter(({ verdict }) => verdict === 'win').length >= 19);
});

test('what cells live through at a time cancels: two of them find a candidate that is a tenth faster in fewer pairs of blocks than one mesh', (t) => {
	t.timeout(300_000);
	const pairsOf = (pairs: ExperimentDesign['cellPairs'], swings: Swings): number => {
		const kind = pairs.length === 0 ? 'switchback' : 'matched-cells';
		const design = designFor({ kind, cellPairs: pairs, margin: 0, pairsMax: 300 });
		const runs = Array.from({ length: 40 }, (_, seed) => compare({ ...design, seed }, seed, 1.1, swings).trial);
		return runs.map((trial) => trial.pairsSeen).toSorted((a, b) => a - b)[20] as number;
	};
	const tell = (name: string, swings: Swings): { readonly alone: number; readonly two: number } => {
		const [alone, two, four] = [pairsOf([], swings), pairsOf([['b', 'd']], swings), pairsOf(cellPairs, swings)];
		t.log(`${name}: pairs of blocks at the median: one mesh ${alone}, two cells ${two}, four ${four}`);
		return { alone, two };
	};
	tell('each swings by itself', { common: 0.03, own: 0.12 });
	const { alone, two } = tell('all swing together', { common: 0.15, own: 0.02 });
	// Twice the requests alone would make it half.
	t.true(two < 0.4 * alone, `${two} and ${alone}`);
});
