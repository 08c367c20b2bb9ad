// How much of a model rules about GPUs may take out: the earliest first, never more than the bound, and never against an operator's word.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { type Condemned, heldBack, together } from './quarantine-cap.js';

const one = (id: string, sinceMs: number, more: Partial<Condemned> = {}): Condemned => ({
	id,
	models: ['m'],
	byHand: false,
	sinceMs,
	...more,
});
const back = (condemned: readonly Condemned[], sizes: Record<string, number>, ratioMax = 0.5): string[] =>
	[...heldBack(condemned, new Map(Object.entries(sizes)), ratioMax)].toSorted((a, b) => (a < b ? -1 : 1));

test('the earliest are out, those beyond the bound stay', (t) => {
	t.deepEqual(back([one('c', 30), one('a', 10), one('b', 20)], { m: 4 }), ['c']);
	t.deepEqual(back([one('b', 10), one('a', 10)], { m: 3 }), ['b'], 'in the order of ids where they came at once');
	t.deepEqual(back([one('a', 1)], { m: 1 }), ['a'], 'the last one is never taken');
	t.deepEqual(back([one('a', 1)], { m: 2 }), []);
});

test('the bound is a share, rounded down; 0 is nobody and 1 is all', (t) => {
	const all = [one('a', 1), one('b', 2), one('c', 3)];
	t.deepEqual(back(all, { m: 3 }, 1 / 3), ['b', 'c']);
	t.deepEqual(back(all, { m: 3 }, 0), ['a', 'b', 'c']);
	t.deepEqual(back(all, { m: 3 }, 1), []);
});

test('an operator’s word is not bounded, and counts', (t) => {
	const byHand = { byHand: true };
	t.deepEqual(back([one('a', 1, byHand), one('b', 2, byHand), one('c', 3, byHand)], { m: 3 }), []);
	t.deepEqual(back([one('a', 1), one('b', 20, byHand)], { m: 2 }), ['a']);
});

test('a target of several models must fit in each', (t) => {
	const both = one('a', 1, { models: ['m', 'n'] });
	t.deepEqual(back([both], { m: 4, n: 1 }), ['a']);
	t.deepEqual(back([both, one('b', 2)], { m: 2, n: 2 }), ['b']);
});

test('whatever falls ill, no model loses more than its bound to rules', (t) => {
	const random = new SeededRandom(20261126);
	t.log('seed 20261126');
	const below = (n: number): number => Math.floor(random.nextFloat() * n);
	for (let run = 0; run < 500; run++) {
		const models = ['m', 'n', 'o'].slice(0, 1 + below(3));
		const targets = Array.from({ length: 1 + below(12) }, (_, at) =>
			one(`t${at}`, below(5), {
				models: models.filter(() => random.nextFloat() < 0.7),
				byHand: random.nextFloat() < 0.1,
			}),
		);
		const sizes = new Map(
			models.map((model) => [model, targets.filter((target) => target.models.includes(model)).length]),
		);
		const ratioMax = random.nextFloat();
		const condemned = targets.filter(() => random.nextFloat() < 0.6);
		const kept = heldBack(condemned, sizes, ratioMax);
		for (const model of models) {
			const of = condemned.filter((target) => target.models.includes(model));
			const out = of.filter(({ id }) => !kept.has(id));
			const hands = of.filter(({ byHand }) => byHand).length;
			const most = Math.floor(ratioMax * (sizes.get(model) ?? 0) + 1e-9);
			if (out.length > Math.max(hands, most)) t.fail(`run ${run}: ${out.length} of ${model} are out, ${most} may be`);
		}
		if (condemned.some(({ id, byHand }) => byHand && kept.has(id))) t.fail(`run ${run}: an operator was not obeyed`);
	}
	t.pass();
});

test('whoever counts, and in whatever order it heard, comes to the same targets, within the bound', (t) => {
	const random = new SeededRandom(20261127);
	t.log('seed 20261127');
	const below = (n: number): number => Math.floor(random.nextFloat() * n);
	for (let run = 0; run < 500; run++) {
		const models = ['m', 'n'].slice(0, 1 + below(2));
		const targets = new Map(
			Array.from({ length: 2 + below(12) }, (_, at) => [
				`t${at}`,
				models.filter((_model, index) => index === 0 || random.nextFloat() < 0.5),
			]),
		);
		const sizes = new Map(
			models.map((model) => [model, [...targets.values()].filter((of) => of.includes(model)).length]),
		);
		// Each node hears of some devices, several nodes of some of them, and some targets are gone.
		const nodes = Array.from({ length: 1 + below(4) }, () =>
			[...targets.keys(), 'gone']
				.filter(() => random.nextFloat() < 0.4)
				.map((target) => ({ target, sinceMs: below(4), byHand: random.nextFloat() < 0.05 })),
		);
		const modelsOf = (target: string): readonly string[] | undefined => targets.get(target);
		const seen = nodes.map((_, at) => {
			const order = [...nodes.slice(at), ...nodes.slice(0, at).toReversed()];
			const condemned = together(order, modelsOf);
			const kept = heldBack(condemned, sizes, 0.5);
			for (const model of models) {
				const out = condemned.filter((one) => one.models.includes(model) && !kept.has(one.id));
				const hands = out.filter(({ byHand }) => byHand).length;
				if (out.length > Math.max(hands, Math.floor((sizes.get(model) ?? 0) / 2)))
					t.fail(`run ${run}: ${out.length} of ${sizes.get(model)} are out`);
			}
			return condemned.map(({ id }) => `${id}${kept.has(id) ? '' : ' out'}`).toSorted();
		});
		for (const one of seen) t.deepEqual(one, seen[0] as string[], `run ${run}`);
	}
});
