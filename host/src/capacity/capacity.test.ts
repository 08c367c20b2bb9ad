import test from 'ava';
import * as fc from 'fast-check';
import { CapacityAdvisor, type ModelStanding } from './advisor.js';
import { type CapacityAdvice, type CapacityOptions, ModelCapacity } from './model-capacity.js';

const options: CapacityOptions = {
	goodRatio: 0.95,
	requestsMin: 20,
	headroomRatio: 0.85,
	growthRatio: 1.3,
	halfLifeMs: 6 * 3_600_000,
	outAfterMs: 60_000,
	inAfterMs: 300_000,
	inStep: 1,
	replicasMin: 1,
	replicasMax: 32,
};
const WINDOW_MS = 30_000;

/** A fleet whose replicas sustain `limitPerS` each, and that follows the advice at once. */
function fleet(limitPerS: number, replicas: number, more: Partial<CapacityOptions> = {}) {
	const capacity = new ModelCapacity({ ...options, ...more });
	let ready = replicas;
	let atMs = 1_000_000;
	let missed = 0;
	const windows = (count: number, demandPerS: number): CapacityAdvice => {
		let advice: CapacityAdvice | undefined;
		for (let n = 0; n < count; n++) {
			atMs += WINDOW_MS;
			const requests = demandPerS * (WINDOW_MS / 1000);
			const rate = ready === 0 ? 0 : demandPerS / ready;
			const good = rate <= limitPerS ? requests : requests * 0.5;
			if (good < requests) missed++;
			// Close to the limit objectives are met, barely.
			const easy = rate <= limitPerS * 0.9 ? good : requests * 0.5;
			advice = capacity.step({ atMs, durationMs: WINDOW_MS, ready, requests, judged: requests, good, easy });
			ready = advice.desired;
		}
		return advice as CapacityAdvice;
	};
	return { windows, ready: () => ready, missed: () => missed };
}

test('a fleet that is too small grows until objectives are met, and stays there', (t) => {
	const { windows, missed } = fleet(10, 2);
	const advice = windows(40, 60);
	t.true(advice.desired >= 6 && advice.desired <= 9, `${advice.desired}`);
	t.true((advice.goodRatio ?? 0) >= 0.95);
	const before = missed();
	windows(200, 60);
	t.true(missed() - before <= 6, `${missed() - before} windows missed while it looks for less`);
});

test('a fleet that is too large shrinks a replica at a time, and not below what its traffic needs', (t) => {
	const { windows, ready } = fleet(10, 20);
	let last = 20;
	for (let n = 0; n < 400; n++) {
		windows(1, 60);
		t.true(last - ready() <= 1, 'one at a time');
		last = ready();
	}
	t.true(ready() >= 6 && ready() <= 9, `${ready()}`);
});

test('a moment’s peak or lull changes nothing', (t) => {
	const { windows, ready } = fleet(10, 8);
	windows(40, 60);
	const settled = ready();
	windows(1, 120);
	t.is(windows(1, 60).desired, settled);
	windows(5, 5);
	t.is(windows(1, 60).desired, settled);
});

test('demand that doubles is followed, in one step', (t) => {
	const { windows, ready } = fleet(10, 8);
	windows(40, 60);
	const before = ready();
	const advice = windows(4, 120);
	t.true(advice.desired >= 12 && advice.desired > before + 2, `${before} → ${advice.desired}`);
});

test('with no traffic the advice falls to the least that is allowed; with too little to judge it keeps what there is', (t) => {
	const idle = fleet(10, 4);
	t.is(idle.windows(1, 0).reason, 'unknown');
	t.is(idle.windows(100, 0).desired, options.replicasMin);
	const little = fleet(10, 4, { requestsMin: 1000 });
	t.like(little.windows(100, 1), { desired: 4, sustainablePerS: undefined, goodRatio: undefined });
});

test('whatever happens, the advice is a whole number within its bounds', (t) => {
	const window = fc.record({
		ready: fc.nat(50),
		requests: fc.nat(100_000),
		judgedShare: fc.double({ min: 0, max: 1, noNaN: true }),
		goodShare: fc.double({ min: 0, max: 1, noNaN: true }),
		gapMs: fc.integer({ min: 1, max: 86_400_000 }),
	});
	fc.assert(
		fc.property(fc.array(window, { maxLength: 60 }), (windows) => {
			const capacity = new ModelCapacity({ ...options, replicasMin: 2, replicasMax: 9 });
			let atMs = 0;
			for (const { ready, requests, judgedShare, goodShare, gapMs } of windows) {
				atMs += gapMs;
				const judged = Math.floor(requests * judgedShare);
				const good = Math.floor(judged * goodShare);
				const { desired, needed } = capacity.step({
					atMs,
					durationMs: gapMs,
					ready,
					requests,
					judged,
					good,
					easy: Math.floor(good / 2),
				});
				for (const one of [desired, needed]) t.true(Number.isInteger(one) && one >= 2 && one <= 9, `${one}`);
			}
		}),
	);
});

const standing: ModelStanding = {
	model: 'm',
	ready: 2,
	objectives: { ttftMs: 1000, tpotMs: 100 },
	ownInFlight: 5,
	inFlight: 20,
	refusedTotal: 0,
	targets: ['b', 'a'],
};

test('a router that has a quarter of what is in flight speaks for four times its own rate', (t) => {
	const advisor = new CapacityAdvisor({ ...options, windowMs: 10_000, modelsMax: 2 }, 0);
	advisor.look([standing], 0);
	for (let n = 0; n < 100; n++) advisor.ended('m', { ok: true, refused: false, ttftMs: 100, tpotMs: 10 });
	advisor.ended('unknown', { ok: true, refused: false, ttftMs: 1, tpotMs: 1 });
	advisor.look([standing], 5000);
	t.deepEqual(advisor.views(), [], 'not before the window has ended');
	advisor.look([standing], 10_000);
	t.like(advisor.views()[0], { model: 'm', demandPerS: 40, goodRatio: 1, sustainablePerS: 20, share: 0.25, ready: 2 });
});

test('late first tokens, slow tokens, failures and refusals do not count as good; a model that goes is forgotten', (t) => {
	const advisor = new CapacityAdvisor({ ...options, windowMs: 10_000, modelsMax: 2 }, 0);
	const own = { ...standing, ownInFlight: 1, inFlight: 1 };
	advisor.look([own], 0);
	const good = { ok: true, refused: false, ttftMs: 100, tpotMs: 10 };
	const all = [
		good,
		{ ...good, ttftMs: 1001 },
		{ ...good, tpotMs: 101 },
		{ ...good, ok: false },
		{ ...good, refused: true },
	];
	for (let n = 0; n < 10; n++) for (const one of all) advisor.ended('m', one);
	advisor.look([{ ...own, refusedTotal: 50 }], 10_000);
	t.like(advisor.views()[0], { demandPerS: 10, goodRatio: 0.1 });
	advisor.look([], 11_000);
	t.deepEqual(advisor.views(), []);
});

test('when fewer are needed, the emptiest are named to be drained', (t) => {
	const advisor = new CapacityAdvisor({ ...options, windowMs: 1000, inAfterMs: 0, modelsMax: 2 }, 0);
	for (let n = 0; n <= 3; n++) advisor.look([{ ...standing, ownInFlight: 0, inFlight: 0 }], n * 1000);
	t.like(advisor.views()[0], { desired: 1, drainFirst: ['b'] });
});
