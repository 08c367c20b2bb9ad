// The axes of a grid: every combination once, strategies of one replication side by side, variants change what they name.
import test from 'ava';
import { isMeshError } from '../../load/testing.js';
import { cellsOf, replicationsOf, settingsOf, specOf } from './plan.js';
import { smallScenario } from './testing.js';

const GRID = `grid:
  loads: { values: [1, 2] }
  seeds: [7, 9]
  segments: [first_half, second_half]
  faults: { none: [], slow: [{ kind: slow, factor: 3 }] }
  variants: { fresh: { signals: { delay_ms: 1 } }, big: { speed: 0.5, fleet: { profile: h100-70b-tp4, kv_tokens: 9000 } } }
speed: 10
faults: [{ kind: drained, target: gpu1 }]`;

test('all axes are multiplied out, and strategies of a replication stand side by side', (t) => {
	const scenario = smallScenario(GRID);
	t.is(settingsOf(scenario).length, 2 * 2 * 2);
	const replications = replicationsOf(scenario, (_, load) => load, 3);
	t.is(replications.length, 8 * 2 * 2);
	const cells = cellsOf(scenario, replications, 3);
	t.is(cells.length, replications.length * 3);
	for (const [index, cell] of cells.entries()) {
		t.is(cell.strategy, index % 3);
		t.true(cell.replication === replications[Math.floor(index / 3)]);
		t.deepEqual(cell.spec, cells[index - (index % 3)]?.spec, 'one spec for all strategies: common random numbers');
	}
	t.is(new Set(replications.map((it) => JSON.stringify(it))).size, replications.length);
});

test('a variant changes what it names and no more; faults of the scenario and of the axis add up; speeds multiply', (t) => {
	const scenario = smallScenario(GRID);
	const fresh = specOf(scenario, { variant: 'fresh', faults: 'slow', segment: 'all' }, 2, 7);
	t.is(fresh.signals.delayMs, 1);
	t.is(fresh.signals.periodMs, scenario.signals.periodMs);
	t.deepEqual(
		fresh.faults.map(({ kind }) => kind),
		['drained', 'slow'],
	);
	t.is(fresh.speed, 20);
	const big = specOf(scenario, { variant: 'big', faults: 'none', segment: 'all' }, 2, 7);
	t.is(big.speed, 10);
	t.like(big.fleet[0], { id: 'gpu', count: 2, profile: 'h100-70b-tp4', kvTokens: 9000 });
	t.is(big.signals.delayMs, scenario.signals.delayMs);
});

test('a grid beyond the bound is refused before anything runs', (t) => {
	const scenario = smallScenario('grid: { seeds: 1000, loads: { values: [1, 2, 3] } }');
	t.true(
		isMeshError(
			t.throws(() => replicationsOf(scenario, (_, load) => load, 20)),
			'IM_SIMULATE_TOO_LARGE',
		),
	);
});
