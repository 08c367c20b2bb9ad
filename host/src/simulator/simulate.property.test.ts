// Whatever a scenario asks for at once, a simulation conserves its requests and tokens, keeps time in order, and does the same again. The simulation asserts
// conservation, causality and that no engine stands idle before work; here they are made to meet everything.
import test from 'ava';
import { array, assert, boolean, constantFrom, integer, nat, oneof, property, record } from 'fast-check';
import { prepareStrategy } from '../project/prepare.js';
import { idleOrHold } from './idle-or-hold.test-support.js';
import { simulate } from './simulate.js';
import { group, specOf, workloadOf } from './simulation.test-support.js';

const strategies = [
	(await prepareStrategy('baseline_rr')).module,
	(await prepareStrategy('least_queue')).module,
	(await prepareStrategy('hybrid_mesh')).module,
	idleOrHold,
] as const;

const fault = oneof(
	record({
		kind: constantFrom('slow', 'lost', 'hung', 'flapping', 'drained'),
		target: constantFrom('*', 'engine0', 'engine1'),
		fromMs: nat(4000),
		toMs: integer({ min: 4000, max: 9000 }),
		factor: constantFrom(0.5, 3),
		periodMs: constantFrom(200, 1500),
	}),
);

test('requests and KV are conserved, and the same seed does the same, under everything at once', (t) => {
	const asked = record({
		seed: nat(1000),
		strategy: constantFrom(...strategies),
		prefix: constantFrom('approximate', 'events', 'oracle', 'none'),
		delayMs: constantFrom(0, 30, 2000),
		periodMs: constantFrom(0, 50, 500),
		routers: constantFrom(1, 3),
		hedging: boolean(),
		exploration: constantFrom(0, 0.3),
		timeoutMs: constantFrom(0, 3000),
		retriesMax: nat(3),
		holdMax: constantFrom(0, 3, 1000),
		kvTokens: constantFrom(9000, 40_000),
		hostKvTokens: constantFrom(0, 30_000),
		sequencesMax: constantFrom(2, 64),
		waitingMax: constantFrom(3, 1000),
		roles: boolean(),
		loras: boolean(),
		ratePerS: constantFrom(5, 40, 400),
		faults: array(fault, { maxLength: 3 }),
	});
	assert(
		property(asked, (one) => {
			const plain = workloadOf({ seed: one.seed, requests: 80, ratePerS: one.ratePerS });
			const lora = (at: number): { readonly lora?: string } => (one.loras ? { lora: `lora-${at % 3}` } : {});
			const workload = { ...plain, requests: plain.requests.map((row, at) => Object.assign(lora(at), row)) };
			const { kvTokens, hostKvTokens, sequencesMax, waitingMax } = one;
			const of = { kvTokens, hostKvTokens, sequencesMax, waitingMax, fetches: true };
			const fleet = one.roles
				? [
						group({ ...of, count: 2, role: 'both', loras: ['lora-1'] }),
						group({ ...of, id: 'p', count: 1, role: 'prefill' }),
						group({ ...of, id: 'd', count: 2, role: 'decode' }),
					]
				: [group({ ...of, count: 3 })];
			const { hedging, exploration, timeoutMs, retriesMax, holdMax } = one;
			const spec = specOf({
				seed: one.seed,
				fleet,
				signals: { prefix: one.prefix, delayMs: one.delayMs, periodMs: one.periodMs },
				router: { count: one.routers, hedging, hedgeDelayMs: 50, exploration, timeoutMs, retriesMax, holdMax },
				faults: one.faults,
				timelineBins: 5,
				drainMs: 60_000,
			});
			const { summary, digest, rows } = simulate(spec, workload, [one.strategy]);
			const { finished, rejected, failed, timedOut, unfinished } = summary;
			t.is(finished + rejected + failed + timedOut + unfinished, 80);
			t.true(summary.hitRatio >= 0 && summary.hitRatio < 1);
			t.true(summary.hedgeWaste >= 0 && summary.hedgeWaste <= 1);
			t.is(rows?.e2eMs.filter((e2eMs, at) => e2eMs >= 0 && e2eMs < (rows.ttftMs[at] as number)).length, 0);
			t.is(simulate(spec, workload, [one.strategy]).digest, digest);
		}),
		{ numRuns: 60 },
	);
});
