import test from 'ava';
import * as fc from 'fast-check';
import type { ModelPool, UpstreamTarget } from '../router/ports.js';
import { DirectoryCompiler, type NamePolicy, WorkerDirectory } from './directory.js';
import { openPolicy } from './placement.js';

const someone = { id: 't' } as UpstreamTarget;

function pool(model: string, index: number, targets: ModelPool['targets'] = [someone]): ModelPool {
	return { index, model, modelId: index + 1, revision: undefined, policy: openPolicy, targets };
}

function directory(models: readonly string[], policy: Partial<NamePolicy> = {}): WorkerDirectory {
	const made = new WorkerDirectory();
	const pools = models.map((model, index) => pool(model, index));
	made.update(new DirectoryCompiler().compile(pools, { aliases: {}, revisions: {}, fallbacks: {}, ...policy }, 1));
	return made;
}

const to = (made: WorkerDirectory, name: string, draw = 0): string | undefined => made.resolve(name, draw)?.pool.model;

test('names lead to their pools, aliases to their models, others nowhere', (t) => {
	const made = directory(['a', 'b'], { aliases: { alias: 'b', dangling: 'nobody' } });
	t.is(to(made, 'a'), 'a');
	t.is(to(made, 'alias'), 'b');
	t.is(made.resolve('alias', 0)?.requested, 'alias');
	t.is(to(made, 'nobody'), undefined);
	t.is(to(made, 'dangling'), undefined);
	t.deepEqual(
		made.models().map(({ id }) => id),
		['a', 'alias', 'b'],
	);
});

test('names of the language’s own objects are names like any other', (t) => {
	const made = directory(['a']);
	for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', ''])
		t.is(to(made, name), undefined, name);
	t.is(to(directory(['constructor']), 'constructor'), 'constructor');
});

test('aliases that go in circles end', (t) => {
	const made = directory(['a'], { aliases: { x: 'y', y: 'x', self: 'self' } });
	t.is(to(made, 'x'), undefined);
	t.is(to(made, 'self'), undefined);
});

test('an alias may lead to revisions, a revision to an alias', (t) => {
	const made = directory(['v1', 'v2'], {
		aliases: { latest: 'chat', old: 'v1' },
		revisions: {
			chat: [
				{ model: 'old', weight: 1 },
				{ model: 'v2', weight: 1 },
			],
		},
	});
	t.deepEqual([to(made, 'latest', 0.2), to(made, 'latest', 0.7)], ['v1', 'v2']);
});

test('revisions get their share of the draws, and weight 0 gets none', (t) => {
	fc.assert(
		fc.property(
			fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }).filter((all) => all.some((weight) => weight > 0)),
			(weights) => {
				const models = weights.map((_, index) => `m${index}`);
				const made = directory(models, {
					revisions: { all: weights.map((weight, index) => ({ model: `m${index}`, weight })) },
				});
				const draws = 1000;
				const counts = new Map<string, number>();
				for (let i = 0; i < draws; i++) {
					const model = to(made, 'all', i / draws) ?? '';
					counts.set(model, (counts.get(model) ?? 0) + 1);
				}
				const total = weights.reduce((sum, weight) => sum + weight, 0);
				for (const [index, weight] of weights.entries()) {
					const share = (counts.get(`m${index}`) ?? 0) / draws;
					t.true(Math.abs(share - weight / total) <= 0.002, `${weights.join()}: ${share} for ${weight}`);
				}
			},
		),
		{ numRuns: 60 },
	);
});

test('fallbacks come in order, without the pool itself, and stand in when the model has no pool', (t) => {
	const made = directory(['a', 'b', 'c'], { fallbacks: { a: ['c', 'gone', 'b', 'a'], gone: ['b'] } });
	t.deepEqual(
		made.resolve('a', 0)?.fallbacks.map(({ model }) => model),
		['c', 'b'],
	);
	t.is(to(made, 'gone'), 'b');
	t.deepEqual(made.resolve('gone', 0)?.fallbacks, []);
});

test('fallbacks of a public name count when its model has none', (t) => {
	const made = directory(['a', 'b'], { aliases: { chat: 'a' }, fallbacks: { chat: ['b'] } });
	t.deepEqual(
		made.resolve('chat', 0)?.fallbacks.map(({ model }) => model),
		['b'],
	);
});

test('pools that did not change stay the same objects across threads; changed ones are replaced', (t) => {
	const compiler = new DirectoryCompiler();
	const policy: NamePolicy = { aliases: {}, revisions: {}, fallbacks: {} };
	const [a, b] = [pool('a', 0), pool('b', 1)];
	const made = new WorkerDirectory();
	const [a1, b1] = made.update(structuredClone(compiler.compile([a, b], policy, 1)));
	const b2 = pool('b', 1, [someone, someone]);
	const [a3, b3] = made.update(structuredClone(compiler.compile([a, b2], policy, 1)));
	t.is(a3, a1);
	t.not(b3, b1);
	t.is(b3?.targets.length, 2);
	t.is(made.resolve('b', 0)?.pool, b3);
	t.deepEqual(made.update(structuredClone(compiler.compile([a], policy, 1))), [a1 as ModelPool]);
	t.is(to(made, 'b'), undefined);
});

test('unnamed requests pass through only where there is one model, and empty pools are not listed', (t) => {
	t.is(directory(['a']).passThroughPool()?.model, 'a');
	t.is(directory(['a', 'b']).passThroughPool(), undefined);
	const made = new WorkerDirectory();
	const pools = [pool('a', 0), pool('empty', 1, [undefined])];
	made.update(new DirectoryCompiler().compile(pools, { aliases: { e: 'empty' }, revisions: {}, fallbacks: {} }, 7));
	t.is(made.passThroughPool()?.model, 'a');
	t.deepEqual(
		made.models().filter(({ id }) => id === 'empty'),
		[],
	);
});

test('other cells stand behind a model’s own pool, and in its place where it has none', (t) => {
	const away = (model: string, index: number): ModelPool => ({ ...pool(model, index), elsewhere: true });
	const made = new WorkerDirectory();
	const policy = { aliases: { alias: 'a' }, revisions: {}, fallbacks: { far: ['a'] } };
	made.update(new DirectoryCompiler().compile([pool('a', 0), away('a', 1), away('b', 2), away('far', 3)], policy, 1));
	const indices = (name: string): unknown => {
		const route = made.resolve(name, 0);
		return [route?.pool.index, route?.fallbacks.map(({ index }) => index), route?.elsewhere?.index];
	};
	t.deepEqual(indices('a'), [0, [], 1]);
	t.deepEqual(indices('alias'), [0, [], 1]);
	t.deepEqual(indices('b'), [2, [], undefined]);
	t.deepEqual(indices('far'), [0, [], 3], 'a fallback of this cell comes before another cell');
	t.deepEqual(
		made.models().map(({ id }) => id),
		['a', 'alias', 'b', 'far'],
	);
});
