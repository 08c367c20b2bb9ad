// The quick way of comparing two scrapes against the slow one: the same bodies, read with a memory that makes their labels the same arrays, and without.
import { isDeepStrictEqual } from 'node:util';
import test from 'ava';
import * as fc from 'fast-check';
import { parseMetrics } from '../prometheus/parser.js';
import { SeriesMemory } from '../prometheus/series-memory.js';
import { WantedNames } from '../prometheus/wanted-names.js';
import { Increase } from './increase.js';
import { ScrapeView, type ViewRules } from './view.js';

const seed = 20_261_126;
const names = new WantedNames(['h_bucket', 'h_count', 'h_sum', 'c_total']);
const rules = (rankLabels: readonly string[]): ViewRules => ({
	prefixes: [''],
	rankLabels,
	totalsWhere: {},
	modelLabel: 'model',
	rankLabel: '',
});

const series = fc.record({
	engine: fc.nat(2),
	rank: fc.nat(1),
	buckets: fc.array(fc.tuple(fc.constantFrom('0.5', '0.50', '1', '+Inf', 'x'), fc.nat(20)), { maxLength: 5 }),
	count: fc.option(fc.nat(20)),
	sum: fc.option(fc.nat(20)),
	total: fc.option(fc.nat(20)),
});

interface Series {
	readonly engine: number;
	readonly rank: number;
	readonly buckets: readonly (readonly [le: string, value: number])[];
	readonly count: number | null;
	readonly sum: number | null;
	readonly total: number | null;
}

function body(all: readonly Series[]): string {
	const lines = { bucket: [] as string[], count: [] as string[], sum: [] as string[], total: [] as string[] };
	for (const { engine, rank, buckets, count, sum, total } of all) {
		const labels = `engine="${engine}",tp="${rank}"`;
		for (const [le, value] of buckets) lines.bucket.push(`h_bucket{${labels},le="${le}"} ${value}`);
		if (count !== null) lines.count.push(`h_count{${labels}} ${count}`);
		if (sum !== null) lines.sum.push(`h_sum{${labels}} ${sum}`);
		if (total !== null) lines.total.push(`c_total{${labels}} ${total}`);
	}
	return [...lines.bucket, ...lines.count, ...lines.sum, ...lines.total, ''].join('\n');
}

/** Values of another scrape of the same series, some of which may have fallen. */
function later(all: readonly Series[], more: readonly number[]): readonly Series[] {
	let at = 0;
	const moved = (value: number): number => Math.max(0, value + ((more[at++ % more.length] as number) - 3));
	const kept = (value: number | null): number | null => (value === null ? null : moved(value));
	return all.map(({ buckets, count, sum, total, ...rest }) => ({
		...rest,
		buckets: buckets.map(([le, value]) => [le, moved(value)] as const),
		count: kept(count),
		sum: kept(sum),
		total: kept(total),
	}));
}

function told(bodies: readonly [string, string], rankLabels: readonly string[], memory: SeriesMemory | undefined) {
	const [was, now] = bodies.map((text) => new ScrapeView(parseMetrics(text, names, {}, memory), rules(rankLabels)));
	const increase = new Increase(now as ScrapeView, was as ScrapeView);
	const not = { engine: '2' };
	return [
		increase.histogram('h', {}),
		increase.histogram('h', not),
		increase.counter({ name: 'c_total' }),
		increase.counter({ name: 'c_total', not }),
		increase.restarted,
	];
}

test('what increased is the same whether series are looked up or stand where they stood', (t) => {
	t.log(`seed ${seed}`);
	const all = fc.array(series, { minLength: 1, maxLength: 4 });
	fc.assert(
		fc.property(
			all,
			fc.array(fc.nat(9), { minLength: 1, maxLength: 12 }),
			fc.constantFrom([], ['tp']),
			fc.boolean(),
			(before, more, ranks, dropped) => {
				const after = later(before, more);
				const bodies = [body(before), body(dropped ? after.slice(1) : after)] as const;
				const memory = new SeriesMemory();
				parseMetrics(bodies[0], names, {}, memory);
				return isDeepStrictEqual(told(bodies, ranks, memory), told(bodies, ranks, undefined));
			},
		),
		{ seed, numRuns: 1500 },
	);
	t.pass();
});
