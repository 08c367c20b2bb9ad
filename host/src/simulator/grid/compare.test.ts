// What a grid says of strategies: pairs only, ties within the margin, the worst scenario, and an interval over seeds that are complete.
import test from 'ava';
import { compare } from './compare.js';
import { type Cell, cellsOf, replicationsOf } from './plan.js';
import type { CellRecord } from './run.js';
import { madeUpOutcome, smallScenario } from './testing.js';

/** Records of two strategies; `goodput` and `ttft` of the candidate by load and seed. */
function records(
	candidate: (load: number, seed: number) => readonly [goodput: number, ttftMs: number],
	seeds: number,
	missing: (record: CellRecord) => boolean = () => false,
): CellRecord[] {
	const scenario = smallScenario(`grid: { loads: { values: [1, 2] }, seeds: ${seeds} }`);
	const cells = cellsOf(
		scenario,
		replicationsOf(scenario, (_, load) => load, 2),
		2,
	);
	const recordOf = (cell: Cell): CellRecord => {
		const { load, seed } = cell.replication;
		const outcome = cell.strategy === 0 ? madeUpOutcome(0.9, 100) : madeUpOutcome(...candidate(load, seed));
		const record: CellRecord = { ...cell, state: 'done', outcome };
		return missing(record) ? { ...cell, state: 'failed', code: 'IM_SIMULATE_CELL', message: 'lost' } : record;
	};
	return cells.map(recordOf);
}

test('wins, ties within half a point, losses, and the worst', (t) => {
	const all = records((load, seed) => [load === 1 ? 0.95 : seed === 1 ? 0.903 : 0.8, 50 * load], 2);
	const found = compare(all, 1, 0);
	t.like(found, { replications: 4, wins: 2, ties: 1, losses: 1, winRate: 0.5 });
	t.true(Math.abs(found.margin - (0.05 + 0.05 + 0.003 - 0.1) / 4) < 1e-12);
	t.true(Math.abs(found.ttftRatio - Math.sqrt(0.5)) < 1e-4, 'the geometric mean of 1/2 and 1');
	t.like(found.worst?.replication, { load: 2, seed: 2 });
	t.true(Math.abs((found.worst?.goodput ?? 0) + 0.1) < 1e-12);
});

test('a replication without one of the two is no pair', (t) => {
	const lost = (record: CellRecord): boolean => record.strategy === 0 && record.replication.seed === 1;
	t.is(
		compare(
			records(() => [1, 1], 3, lost),
			1,
			0,
		).replications,
		4,
	);
	t.like(
		compare(
			records(
				() => [1, 1],
				1,
				() => true,
			),
			1,
			0,
		),
		{ replications: 0, winRate: 0, worst: null },
	);
});

test('the interval over seeds needs two that are complete, and closes in on the margin', (t) => {
	t.is(
		compare(
			records(() => [0.95, 1], 1),
			1,
			0,
		).marginOverSeeds,
		null,
	);
	const lost = (record: CellRecord): boolean => record.replication.seed === 1 && record.replication.load === 2;
	t.is(
		compare(
			records(() => [0.95, 1], 3, lost),
			1,
			0,
		).marginOverSeeds?.seeds,
		2,
	);
	const many = compare(
		records(() => [1, 1], 200),
		1,
		0,
	).marginOverSeeds;
	t.true(many !== null && many.lower < 0.1 && many.upper > 0.1 && many.upper - many.lower < 0.5, JSON.stringify(many));
});
