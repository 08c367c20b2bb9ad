// Tests of designs and schedules: rules of length, refusals, digests, the draw of the order, cells in pairs.
import { readFileSync } from 'node:fs';
import test from 'ava';
import * as fc from 'fast-check';
import { binomialUpper } from '../../statistics/binomial.js';
import { blockRule, type DesignRequest, designDefaults, designDigest, experimentKinds, makeDesign } from './design.js';
import { guardrailDefaults, guardrailRules } from './guardrail-rules.js';
import { promotionRules } from './promotion.js';
import { armOfBlock, armOfCell, blockAt, cellsOf } from './schedule.js';
import { calmTraffic, designFor } from './testing.js';

const request: DesignRequest = {
	kind: 'switchback',
	baseline: 'a@1',
	candidate: 'b@1',
	seed: 1,
	objectives: { ttftMs: 1000, tpotMs: 50, ttftPerTokenMs: 0 },
};

test('blocks are at least 180 s, ten median requests, a turnover of the caches, and two burn-ins', (t) => {
	const rule = (e2eP50Ms: number, e2eP95Ms: number, cacheTurnoverMs: number) =>
		blockRule({ e2eP50Ms, e2eP95Ms, cacheTurnoverMs });
	t.deepEqual(rule(1000, 5000, 0), { blockMs: 180_000, burnInMs: 5000 });
	t.deepEqual(rule(30_000, 60_000, 0), { blockMs: 300_000, burnInMs: 60_000 });
	t.deepEqual(rule(1000, 5000, 900_000), { blockMs: 900_000, burnInMs: 5000 });
	t.deepEqual(rule(1000, 200_000, 0), { blockMs: 400_000, burnInMs: 200_000 });
});

test('what is not said follows from rules; what is shorter than the rule is said in a note', (t) => {
	const { design, notes } = makeDesign(request, calmTraffic);
	t.is(design.blockMs, 180_000);
	t.is(design.burnInMs, 20_000);
	t.is(design.alpha, 0.05);
	t.deepEqual(notes, []);
	const short = makeDesign({ ...request, blockMs: 2000, burnInMs: 500 }, calmTraffic);
	t.deepEqual([short.design.blockMs, short.design.burnInMs], [2000, 500]);
	t.is(short.notes.length, 2);
	t.regex(short.notes[0] ?? '', /shorter than the rule’s 180 s/);
	const canary = makeDesign({ ...request, kind: 'canary' }, calmTraffic);
	t.is(canary.design.alpha, 0.001);
	t.regex(canary.notes[0] ?? '', /harm only/);
	t.deepEqual([canary.design.splitBy, canary.notes.length], ['request', 1]);
	const grouped = makeDesign({ ...request, kind: 'canary', splitBy: 'session' }, calmTraffic);
	t.regex(grouped.notes[1] ?? '', /goes by session: a session keeps its side for a block of 60 s/);
	t.deepEqual([grouped.design.unit, grouped.design.blockMs, grouped.design.burnInMs], ['block', 60_000, 0]);
	t.is(canary.design.unit, 'request');
	t.regex(makeDesign({ ...request, kind: 'request-ab' }, calmTraffic).notes[0] ?? '', /biased/);
});

test('a value out of its range is refused by name', (t) => {
	const wrong: readonly [string, Partial<DesignRequest>][] = [
		['kind', { kind: 'guess' as never }],
		['candidate', { candidate: 'a@1' }],
		['seed', { seed: -1 }],
		['alpha', { alpha: 0 }],
		['share', { share: 1 }],
		['clip', { clip: 1.5 }],
		['margin', { margin: 0.5 }],
		['burnInMs', { blockMs: 1000, burnInMs: 1000 }],
		['pairsMax', { pairsMax: 0 }],
		['pairsMax', { pairsMax: 200_000 }],
		['blockRequestsMin', { blockRequestsMin: 1.5 }],
		['objectives.ttftMs', { objectives: { ttftMs: 0, tpotMs: 1, ttftPerTokenMs: 0 } }],
		['cellPairs', { cellPairs: [['x', 'y']] }],
		['cellPairs', { kind: 'matched-cells' }],
		['cellPairs', { kind: 'matched-cells', cellPairs: [['x', 'x']] }],
		['promote', { promote: 'always' as never }],
		['guardrails.imbalanceMax', { guardrails: { imbalanceMax: 0 } }],
	];
	for (const [where, more] of wrong) {
		const error = t.throws(() => makeDesign({ ...request, ...more }, calmTraffic), { code: 'IM_EXPERIMENT_DESIGN' });
		t.true(error?.message.startsWith(`${where}:`), `${where}: ${error?.message}`);
	}
	t.throws(() => makeDesign(request, { ...calmTraffic, e2eP50Ms: Number.NaN }), { code: 'IM_EXPERIMENT_DESIGN' });
});

test('equal designs have one digest, whatever the order of their keys; any change has another', (t) => {
	const design = designFor();
	const turned = Object.fromEntries(Object.entries(design).toReversed()) as unknown as typeof design;
	t.is(designDigest(turned), designDigest(design));
	t.not(designDigest({ ...design, margin: 0.006 }), designDigest(design));
	t.not(designDigest({ ...design, objectives: { ...design.objectives, tpotMs: 99 } }), designDigest(design));
});

test('every pair of blocks has each arm once, and the order is a fair coin that changes with the seed', (t) => {
	for (const seed of [1, 2, 0xffff_ffff]) {
		let candidateFirst = 0;
		let runs = 1;
		for (let pair = 0; pair < 2000; pair++) {
			const first = armOfBlock(seed, 2 * pair);
			t.not(first, armOfBlock(seed, 2 * pair + 1));
			if (first === 'candidate') candidateFirst++;
			if (pair > 0 && first !== armOfBlock(seed, 2 * pair - 2)) runs++;
		}
		// A fair coin is within 4 standard errors, 89 of 1,000.
		t.true(Math.abs(candidateFirst - 1000) < 90, `seed ${seed}: ${candidateFirst}`);
		t.true(Math.abs(runs - 1000) < 90, `seed ${seed}: ${runs} runs`);
	}
	const first = (seed: number) => Array.from({ length: 64 }, (_, pair) => armOfBlock(seed, 2 * pair));
	t.deepEqual(first(5), first(5));
	t.notDeepEqual(first(5), first(6));
	t.true(binomialUpper(first(5).filter((arm, i) => arm === first(6)[i]).length, 64) < 0.75);
});

test('the two cells of a pair are always on different arms, and pairs of cells are drawn apart', (t) => {
	const design = designFor({
		kind: 'matched-cells',
		cellPairs: [
			['x', 'y'],
			['u', 'v'],
		],
	});
	t.deepEqual(cellsOf(design), ['x', 'y', 'u', 'v']);
	t.deepEqual(cellsOf(designFor()), ['']);
	let alike = 0;
	for (let block = 0; block < 400; block++) {
		t.not(armOfCell(design, block, 'x'), armOfCell(design, block, 'y'));
		t.not(armOfCell(design, block, 'u'), armOfCell(design, block, 'v'));
		if (armOfCell(design, block, 'x') === armOfCell(design, block, 'u')) alike++;
	}
	t.true(alike > 120 && alike < 280, `${alike}`);
});

test('any moment lies in exactly one block, and its burn-in at the beginning of it', (t) => {
	const design = designFor({ pairsMax: 3 });
	fc.assert(
		fc.property(fc.double({ min: 0, max: 2e6, noNaN: true }), (afterMs) => {
			const place = blockAt(design, 1000, 1000 + afterMs);
			return (
				place.startsAtMs <= 1000 + afterMs + 1e-6 &&
				1000 + afterMs < place.endsAtMs + 1e-6 &&
				place.pair === Math.floor(place.block / 2) &&
				place.measureFromMs - place.startsAtMs === design.burnInMs &&
				place.isOver === afterMs >= 6 * design.blockMs
			);
		}),
		{ seed: 4 },
	);
	t.is(blockAt(design, 1000, 0).block, 0);
});

test('docs/evaluate.md names every kind, rule and limit as they are', (t) => {
	const page = readFileSync(new URL('../../../../../docs/evaluate.md', import.meta.url), 'utf8');
	for (const word of [...experimentKinds, ...promotionRules, ...guardrailRules])
		t.true(page.includes(`\`${word}\``), word);
	const points = (share: number): string => String(Number((share * 100).toFixed(3)));
	const { timeoutShareMax, timeoutWindowMs, imbalanceMax, imbalanceMs, starvationMs, telemetryMissingMs } =
		guardrailDefaults;
	for (const text of [
		`| alpha            | ${designDefaults.alpha}; canary ${designDefaults.canaryAlpha} `,
		`| ${points(designDefaults.margin)} points `,
		`| ${points(designDefaults.clip)} points `,
		`| ${designDefaults.pairsMax} pairs `,
		`fewer than ${designDefaults.blockRequestsMin} requests`,
		`more than ${points(timeoutShareMax)} % of decisions out of budget over ${timeoutWindowMs / 1000} s`,
		`above ${imbalanceMax} × the mean in flight, for ${imbalanceMs / 1000} s`,
		`grows over ${starvationMs / 1000} s`,
		`no sample for ${telemetryMissingMs / 1000} s`,
	])
		t.true(page.includes(text), text);
});
