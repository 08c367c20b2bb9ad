// The hostile corpus where decisions are made: what the scan lets through is run by the real decider, past conformance. Each module costs one
// fallback decision a request, is counted with its cause, is replaced by a fresh instance, and touches nothing but its own memory.
import { type FallbackCause, fallbackCauses, fuelDefaults, type StrategyModule } from '@infermesh/host';
import { COLUMN_STATE, TargetState } from '@infermesh/sdk';
import test from 'ava';
import { assembleHostile, type Expectation } from '../hostile/assemble.js';
import { DeciderHarness, scanned } from '../support/decider.js';
import { shipped, shippedNames } from '../support/strategies.js';

const ROWS = 40;

const causes: Readonly<Record<Expectation['kind'], readonly FallbackCause[]>> = {
	refused: [],
	spent: ['fuel'],
	stack: ['stack'],
	trap: ['trap'],
	invalid: fallbackCauses.filter((cause) => cause.startsWith('invalid') || cause === 'ineligible_row'),
	'ok-but-impure': ['none'],
	ok: ['none'],
};

/** A pool whose first row is draining. */
function harness(seed: number, options: ConstructorParameters<typeof DeciderHarness>[2] = {}): DeciderHarness {
	const made = new DeciderHarness(ROWS, seed, options);
	made.rig.table.setU32(COLUMN_STATE, 0, TargetState.draining);
	made.rig.table.publish();
	return made;
}

/** All that the host believes of the pool: the table's cells, and the view every decision is checked against. */
function truth({ rig }: DeciderHarness): string {
	rig.view.sync();
	const { view } = rig;
	const cells = rig.tableReader.cells(rig.tableReader.epoch());
	return JSON.stringify([[...cells], [...view.eligible], [...view.load], [...view.inflight], view.eligibleCount]);
}

const corpus = await assembleHostile();
const admitted = corpus.flatMap((module, index) => {
	const strategy = scanned(module.wasm, index + 1);
	return strategy === undefined ? [] : [{ ...module, strategy }];
});

function module(name: string): StrategyModule {
	const found = admitted.find((each) => each.name === name);
	if (found === undefined) throw new Error(`the scan does not admit ${name}`);
	return found.strategy;
}

test('enough of the corpus gets past the scan to make this worth while', (t) => {
	const kinds = Map.groupBy(admitted, ({ expect }) => expect.kind);
	for (const kind of ['spent', 'stack', 'trap', 'invalid', 'ok-but-impure', 'ok'] as const)
		t.true((kinds.get(kind)?.length ?? 0) > 0, kind);
	t.true(admitted.length >= 30, `${admitted.length} modules`);
});

for (const { name, expect, strategy } of admitted) {
	test(`${name}: every request is answered, every fault is counted, nobody else is touched`, (t) => {
		const made = harness(7);
		made.activate(strategy);
		const before = truth(made);
		const instances = made.decider.runtimes.instances;
		let strikes = 0;
		for (let round = 0; round < 5; round++) {
			const answer = made.decide();
			const cause = made.decided.at(-1)?.cause ?? 'none';
			// What a module does to its own frame is its own trouble from then on, and only its own.
			if (round === 0 || expect.kind === 'ok-but-impure')
				t.true(causes[expect.kind].includes(cause), `${cause} on decision ${round + 1}`);
			else if (expect.kind !== 'ok') t.not(cause, 'none');
			const faulty = cause !== 'none';
			strikes += faulty ? 1 : 0;
			t.is(answer.strategy, faulty ? 'least_queue@builtin' : strategy.label);
			t.true(answer.count > 0);
			for (const row of answer.rows.subarray(0, answer.count)) t.true(made.rig.view.isEligible(row), `row ${row}`);
			t.true(answer.fuel <= made.fuelBudget);
			t.is(made.strikes.length, strikes);
			if (faulty) t.is(made.strikes.at(-1)?.cause, cause);
			made.settle();
			t.is(made.decider.runtimes.instances, instances, 'spares are made up');
			for (const text of made.logs.splice(0)) t.true(text.length <= strategy.manifest.logBytes);
		}
		t.is(truth(made), before);
	});
}

test('two poisoned instances in a row leave the next request to the fallback, without a strike, until one is made', (t) => {
	const made = harness(3);
	made.activate(module('infinite-loop'));
	const ends = Array.from({ length: 4 }, () => {
		made.decide();
		return made.decided.at(-1)?.cause;
	});
	// The primary and its one spare; nothing that was put off has run.
	t.deepEqual(ends, ['fuel', 'fuel', 'no_instance', 'no_instance']);
	t.is(made.strikes.length, 2);
	made.settle();
	made.decide();
	t.is(made.decided.at(-1)?.cause, 'fuel');
});

test('a query of death is kept from the strategy after its second strike; other requests are not', (t) => {
	const made = harness(4);
	made.activate(module('trap'));
	const cause = (next: boolean): string | undefined => {
		made.decide(next);
		made.settle();
		return made.decided.at(-1)?.cause;
	};
	t.deepEqual(
		[cause(true), cause(false), cause(false), cause(false)],
		['trap', 'trap', 'quarantined_input', 'quarantined_input'],
	);
	t.is(made.strikes.length, 2);
	t.is(cause(true), 'trap');
});

test('a version in quarantine is not run at all', (t) => {
	const hostile = module('trap');
	const made = harness(5);
	made.activate(hostile, { quarantined: new Set([hostile.versionId]) });
	made.decide();
	t.is(made.decided.at(-1)?.cause, 'quarantined');
	t.is(made.strikes.length, 0);
	made.activate(hostile);
	made.decide();
	t.is(made.decided.at(-1)?.cause, 'trap', 'released, it is asked again');
});

for (const { name, strategy } of admitted.filter(({ expect }) => expect.kind === 'ok-but-impure')) {
	test(`${name}: a witness finds out that it keeps something between calls`, (t) => {
		// The witness has then been asked a fourth as often: whatever the two remember differs.
		const made = harness(6, { witnessEvery: 4 });
		made.activate(strategy);
		for (let round = 0; round < 64; round++) {
			made.decide();
			made.settle();
		}
		t.is(made.witnessed.length, 16, `${made.witnessed.length} witnessed`);
		t.true(made.witnessed.includes(false), `all ${made.witnessed.length} agreed`);
	});
}

for (const name of shippedNames) {
	test(`${name}: no witness ever disagrees with it`, (t) => {
		const made = harness(8, { witnessEvery: 1 });
		made.activate(scanned(shipped(name), 1000) ?? module(name));
		for (let round = 0; round < 300; round++) {
			made.decide(true, round % 3 === 0 ? [1, 2, 5] : []);
			made.rig.touch(round % ROWS);
			made.settle();
		}
		t.is(made.witnessed.length, 300);
		t.deepEqual(
			made.witnessed.filter((agreed) => !agreed),
			[],
		);
		t.is(made.decided.filter(({ cause }) => cause !== 'none').length, 0);
	});
}

test('the budget of a decision is what the configuration says, to the unit', (t) => {
	const made = harness(9);
	made.activate(module('infinite-loop'));
	made.decide();
	const { fuel = 0 } = made.decided.at(-1) ?? {};
	t.is(fuel, fuelDefaults.base + fuelDefaults.perTarget * ROWS);
});
