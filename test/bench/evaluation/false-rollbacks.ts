// Owns the figure of false rollbacks: how often each hard rule stops a strategy that is compared with itself, on a fleet whose load swings past what it can do.
import {
	armOfBlock,
	attainmentOf,
	clopperPearson,
	type GuardrailRule,
	Guardrails,
	guardrailDefaults,
	guardrailRules,
	type RequestRows,
	type StrategyModule,
	simulate,
} from '@infermesh/host';
import type { BenchContext, Table } from '../bench.js';
import { closedBlocks, fleetSamples } from './blocks.js';
import { swingingWorld } from './worlds.js';

const BLOCK_MS = 180_000;
const BURN_IN_MS = 30_000;
/** Orders drawn over one and the same hour: arms that are alike leave the world as it is. */
const ORDERS = 10;

export async function falseRollbacks(strategy: StrategyModule, { quick, progress }: BenchContext): Promise<Table> {
	const hours = quick ? 4 : 40;
	const trips = new Map<GuardrailRule, number>(guardrailRules.map((rule) => [rule, 0]));
	let bare = 0;
	let tripped = 0;
	let targets = 0;
	for (let seed = 1; seed <= hours; seed++) {
		progress(`  hour ${seed} of ${hours}`);
		const world = await swingingWorld(seed);
		const { rows, targets: fleet } = simulate(
			{ ...world.spec, assignment: { kind: 'single', arm: 0 } },
			world.workload,
			[strategy],
		);
		if (rows === undefined) throw new Error('the simulation kept no rows');
		targets = fleet.length;
		for (let order = 0; order < ORDERS; order++) {
			const rule = firstTrip(rows, targets, seed * ORDERS + order, guardrailDefaults);
			if (rule !== undefined) {
				trips.set(rule, (trips.get(rule) ?? 0) + 1);
				tripped++;
			}
			if (firstTrip(rows, targets, seed * ORDERS + order, withoutGuards) !== undefined) bare++;
		}
	}
	return table(trips, tripped, bare, hours);
}

/** The rules as they are written, without what keeps them from stopping for nothing. */
const withoutGuards: typeof guardrailDefaults = {
	...guardrailDefaults,
	timeoutsMin: 1,
	imbalanceInFlightMin: 1,
	starvationGrowthMin: 1,
	attainmentBaselines: 1,
	attainmentBlocks: 1,
	attainmentRequestsMin: 1,
};

function firstTrip(
	rows: RequestRows,
	targets: number,
	seed: number,
	options: typeof guardrailDefaults,
): GuardrailRule | undefined {
	const rails = new Guardrails(options, 0);
	const blocks = closedBlocks(rows, BLOCK_MS, BURN_IN_MS);
	let next = 0;
	for (const sample of fleetSamples(rows, targets, seed, BLOCK_MS)) {
		rails.observe(sample);
		const block = blocks[next];
		if (block === undefined || sample.atMs < (next + 1) * BLOCK_MS) continue;
		rails.observeBlock({
			atMs: sample.atMs,
			arm: armOfBlock(seed, next),
			requests: block.requests,
			attainment: attainmentOf(block),
		});
		next++;
	}
	return rails.trip?.rule;
}

function table(trips: ReadonlyMap<GuardrailRule, number>, tripped: number, bare: number, hours: number): Table {
	const all = hours * ORDERS;
	const row = (name: string, count: number): (string | number)[] => {
		// Orders over one hour are not independent: the interval takes hours for the sample.
		const { lower, upper } = clopperPearson(Math.round((count / all) * hours), hours);
		return [name, count, (100 * count) / all, `${(100 * lower).toFixed(1)}–${(100 * upper).toFixed(1)}`];
	};
	return {
		title: `False rollbacks: hours of a strategy against itself in which a hard rule tripped (${hours} hours × ${ORDERS} orders)`,
		columns: ['rule', 'tripped', '% of hours', '95 % interval'],
		rows: [
			...[...trips].map(([rule, count]) => row(rule, count)),
			row('any rule', tripped),
			row('any rule, without the guards', bare),
		],
		notes: [
			'four 70B engines, 180 s blocks, load swinging by a third around nine tenths of capacity every 20 minutes; the rules end an experiment at the first trip',
			'decisions in the simulator neither time out nor trap, and samples never fail to come: those three rules have nothing to trip on here',
			'waiting counts requests without a first token, prompts being computed included',
		],
		aims: [],
	};
}
