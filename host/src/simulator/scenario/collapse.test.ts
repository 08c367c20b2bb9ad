// The two named collapses of prefix routing, as regressions: on `universal-prefix` and `tie-break` strategies that are made to herd do, by orders of
// magnitude (so the scenarios can fail), and none that ships does.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type PreparedStrategy, prepareStrategy, shippedNames } from '../../project/prepare.js';
import { temporaryDir } from '../../project/testing.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { replicationOf, specOf } from '../grid/plan.js';
import type { SimulationResult } from '../result.js';
import { simulate } from '../simulate.js';
import { openWorkload } from '../workload/open-workload.js';
import { openScenario } from './shipped.js';

const SEED = 1;
/** Mean time to first token, over that of least_request: what no shipped strategy reaches, and what every collapse passes. */
const SOUND = 6;
const COLLAPSED = 12;

const shared = `import { begin, decline, F32Column, highestOf, hit, hitCount, lowestOf, nextEligible, putRanked, rankLowest, route, rowCount, scratch } from 'infermesh';
import { columns, config } from './manifest';
export { init } from 'infermesh';

function lowestRow(cost: F32Column): i32 {
	let best = -1;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) if (best < 0 || cost[row] < cost[best]) best = row;
	if (best < 0) return decline();
	putRanked(0, best, cost[best]);
	return route(1);
}

function fillMatches(match: F32Column): void {
	for (let row = 0; row < rowCount(); row++) match[row] = 0;
	for (let index = 0; index < hitCount(); index++) match[hit(index).row] = <f32>hit(index).tokens;
}

function scaled(column: F32Column, row: i32): f32 {
	const low = lowestOf(column);
	const range = highestOf(column) - low;
	return range > 0 ? (column[row] - low) / range : 0;
}

/** Cached tokens, queue and KV cache, each scaled between the best and the worst row: 2 : 1 : 1. */
function fillMinMax(cost: F32Column): void {
	const match = scratch(1);
	fillMatches(match);
	for (let row = 0; row < rowCount(); row++) {
		const prefix = highestOf(match) > lowestOf(match) ? <f32>1 - scaled(match, row) : 0;
		cost[row] = <f32>2 * prefix + scaled(columns.queue_depth, row) + scaled(columns.kv_usage, row);
	}
}
`;

/** Ways to decide that are made to fail, or to show that it is the tie rule that fails; values of the setting `way`. */
const planted = { prefix_only: 0, min_max_lowest_row: 1, min_max_seeded: 2, queue_lowest_row: 3 } as const;

const rank = `export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	const way = config.way;
	if (way == 1 || way == 2) fillMinMax(cost);
	else if (way == 0) fillMatches(cost);
	for (let row = 0; row < rowCount(); row++) {
		if (way == 0) cost[row] = -cost[row];
		else if (way == 3) cost[row] = columns.queue_depth[row];
	}
	return way == 2 ? rankLowest(cost, 1) : lowestRow(cost);
}
`;

const manifest = `name: planted
version: 1.0.0
abi: "1.0"
columns: [queue_depth, kv_usage]
hits: true
config: [{ name: way, type: u32, default: 0, max: 3 }]
`;

async function plant(t: ExecutionContext): Promise<PreparedStrategy> {
	const dir = temporaryDir(t);
	mkdirSync(path.join(dir, 'assembly'));
	writeFileSync(path.join(dir, 'strategy.yaml'), manifest);
	writeFileSync(path.join(dir, 'assembly/index.ts'), `${shared}\n${rank}`);
	return prepareStrategy(dir);
}

interface Stage {
	readonly run: (module: StrategyModule) => SimulationResult;
	/** Mean time to first token under least_request. */
	readonly baselineMs: number;
}

/** A shipped scenario's first requests, ready to be decided. */
async function setStage(name: string, requestsMax: number): Promise<Stage> {
	const scenario = openScenario(name, (file) => readFileSync(file, 'utf8'));
	const replication = replicationOf({ variant: '', faults: '', segment: 'all' }, 1, 1, SEED);
	const workload = await openWorkload({ ...scenario.workload, requestsMax }, SEED, 'all');
	const spec = { ...specOf(scenario, replication, 1, SEED), keepRequests: false };
	const run = (module: StrategyModule) => simulate(spec, workload, [module]);
	return { run, baselineMs: run((await prepareStrategy('least_request')).module).summary.ttft.mean };
}

/** So many requests let a herd fall seconds behind. */
const stages = new Map([
	['universal-prefix', await setStage('universal-prefix', 350)],
	['tie-break', await setStage('tie-break', 700)],
]);

const herding: ReadonlyArray<readonly [scenario: string, way: keyof typeof planted]> = [
	['universal-prefix', 'prefix_only'],
	['universal-prefix', 'min_max_lowest_row'],
	['tie-break', 'min_max_lowest_row'],
	['tie-break', 'queue_lowest_row'],
];

test('strategies that herd collapse, and with drawn ties do not', async (t) => {
	const strategy = await plant(t);
	for (const [scenario, way] of herding) {
		const { run, baselineMs } = stages.get(scenario) as Stage;
		const { mean } = run(strategy.withConfig({ way: planted[way] })).summary.ttft;
		t.true(
			mean > COLLAPSED * baselineMs,
			`${scenario}, ${way}: ${mean} ms, least_request ${baselineMs} ms, seed ${SEED}`,
		);
	}
	for (const [scenario, { run, baselineMs }] of stages) {
		const { mean } = run(strategy.withConfig({ way: planted.min_max_seeded })).summary.ttft;
		t.true(mean < SOUND * baselineMs, `${scenario}, drawn: ${mean} ms, least_request ${baselineMs} ms, seed ${SEED}`);
	}
});

test('no strategy that ships collapses', async (t) => {
	for (const name of shippedNames()) {
		const { module } = await prepareStrategy(name);
		for (const [scenario, { run, baselineMs }] of stages) {
			const { summary, strategies } = run(module);
			const { mean } = summary.ttft;
			t.true(
				mean < SOUND * baselineMs,
				`${scenario}, ${name}: ${mean} ms, least_request ${baselineMs} ms, seed ${SEED}`,
			);
			t.is(summary.finished, summary.requests, name);
			t.deepEqual(strategies[0]?.fallbacks, {}, name);
		}
	}
});
