import { Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import test from 'ava';
import * as fc from 'fast-check';
import { cellBounds, checkSummary, type SummarisedTarget, summarise } from './summary.js';
import { modelSummary, summaryOf } from './testing.js';

const target = (over: Partial<SummarisedTarget>): SummarisedTarget => ({
	models: ['m'],
	zone: 'a',
	region: 'eu',
	healthy: true,
	capacity: 32,
	load: 4,
	queue: 1,
	running: 3,
	kvUsage: 0.5,
	ttftMs: 0,
	ttftP95Ms: 0,
	...over,
});
const of = (targets: readonly SummarisedTarget[], routers: readonly string[] = []) =>
	summarise({ cell: 'c', clusterId: 'id', nodeId: 'n', version: '1', region: 'eu', routers, quarantined: [], targets });

test('a summary counts what is healthy, model by model', (t) => {
	const { models } = of([
		target({ models: ['m', 'other'], ttftMs: 100, ttftP95Ms: 150 }),
		target({ zone: 'b', load: 6, kvUsage: 0.7, ttftMs: 200, ttftP95Ms: 900 }),
		target({ healthy: false, load: 50 }),
	]);
	t.deepEqual(models, [
		{
			model: 'm',
			targets: 3,
			healthy: 2,
			capacity: 64,
			load: 10,
			queue: 2,
			running: 6,
			kvUsage: 0.6,
			ttftMs: 150,
			ttftP95Ms: 900,
			zone: '',
			region: 'eu',
		},
		{
			...modelSummary({ model: 'other', targets: 1, healthy: 1, capacity: 32, load: 4, queue: 1, running: 3 }),
			kvUsage: 0.5,
			ttftMs: 100,
			ttftP95Ms: 150,
			zone: 'a',
		},
	]);
});

test('a capacity is told only where all healthy targets tell theirs', (t) => {
	t.is(of([target({}), target({ capacity: 0 })]).models[0]?.capacity, 0);
	t.is(of([target({}), target({ capacity: 0, healthy: false })]).models[0]?.capacity, 32);
});

test('a summary does not grow beyond its bounds, says what it leaves out, and is taken by others', (t) => {
	const many = Array.from({ length: 1000 }, (_, n) => target({ models: [`model-${n}`] }));
	const made = of(
		many,
		Array.from({ length: 1000 }, (_, n) => `http://10.0.0.1:${n + 1}`),
	);
	t.is(made.models.length, cellBounds.models);
	t.is(made.modelsOmitted, 1000 - cellBounds.models);
	t.is(made.routers.length, cellBounds.routers);
	t.notThrows(() => checkSummary(made));
});

test('what no gateway sends is refused by name', (t) => {
	const long = 'x'.repeat(5000);
	const bad: Record<string, Partial<Summary> | undefined> = {
		'none at all': undefined,
		'a cell of another name': { cell: '../etc' },
		'no cluster': { clusterId: '' },
		'a long name': { version: long },
		'a URL that is none': { routers: ['ftp://x'] },
		'a URL with credentials': { routers: ['http://a:b@c'] },
		'too many routers': { routers: Array.from({ length: 17 }, () => 'http://a') },
		'too many models': { models: Array.from({ length: 257 }, (_, n) => modelSummary({ model: `${n}` })) },
		'a quarantined node that is none': { quarantined: ['east-1'] },
		'too many of them': { quarantined: Array.from({ length: 1025 }, () => '11111111-1111-4111-8111-111111111111') },
		'a model twice': { models: [modelSummary(), modelSummary()] },
		'no number': { models: [modelSummary({ load: Number.NaN })] },
		'a load below nothing': { models: [modelSummary({ queue: -1 })] },
		'an endless one': { models: [modelSummary({ ttftMs: Number.POSITIVE_INFINITY })] },
		'a model without a name': { models: [modelSummary({ model: '' })] },
	};
	for (const [what, over] of Object.entries(bad))
		t.throws(() => checkSummary(over && summaryOf('c', over)), { code: 'IM_CELL_SUMMARY' }, what);
});

test('bytes that are no summary are refused, never half taken', (t) => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			let read: Summary;
			try {
				read = Summary.decode(bytes);
			} catch {
				return;
			}
			t.throws(() => checkSummary(read), { code: 'IM_CELL_SUMMARY' });
		}),
		{ numRuns: Number(process.env['FUZZ_RUNS'] ?? 500) },
	);
});
