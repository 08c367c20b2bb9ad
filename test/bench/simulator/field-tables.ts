// Owns the tables of the grid in which hybrid_mesh stands beside the field: one a setting with intervals, and one over all settings that says where it loses.
import process from 'node:process';
import { bootstrapInterval } from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import { renderTable } from '../table.js';
import { BLOCK_REQUESTS, type Cell, type Setting, settings } from './field-cells.js';

const RESAMPLES = 1000;
/** Blocks that are drawn together: a queue outlives the end of a block. */
const BLOCKS_DRAWN = 2;

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

/** What both have of a part of the requests: our sum of times to first token and their number, and the others'. */
type Pair = readonly [sumA: number, countA: number, sumB: number, countB: number];

/**
 * Relative difference of mean times to first token over the seeds both have, with a paired block bootstrap. Seeds of the trace are the same requests at slightly other times, so a block of it
 * is drawn with all its seeds; made-up requests are others with each seed.
 */
function difference(ours: readonly Cell[], theirs: readonly Cell[]): string {
	const pairs = pairsOf(ours, theirs);
	if (pairs.length === 0) return '';
	const { lower, upper } = bootstrapInterval(pairs, ratioOf, {
		random: new SeededRandom(7),
		resamples: RESAMPLES,
		blockLength: Math.min(BLOCKS_DRAWN, pairs.length),
	});
	return `${percent(ratioOf(pairs))} % (${percent(lower)} … ${percent(upper)})`;
}

function pairsOf(ours: readonly Cell[], theirs: readonly Cell[]): Pair[] {
	const pairs = new Map<string, Pair>();
	for (const cell of ours) {
		const other = theirs.find(({ seed }) => seed === cell.seed);
		if (other === undefined) continue;
		for (const [at, [sumA, countA]] of cell.blocks.entries()) {
			const key = cell.half === 'synthetic' ? `${cell.seed} ${at}` : String(at);
			const [sumB, countB] = other.blocks[at] ?? [0, 0];
			const [a, m, b, n] = pairs.get(key) ?? [0, 0, 0, 0];
			pairs.set(key, [a + sumA, m + countA, b + sumB, n + countB]);
		}
	}
	return [...pairs.values()];
}

/** In per cent. */
function ratioOf(sample: readonly Pair[]): number {
	let [a, m, b, n] = [0, 0, 0, 0];
	for (const [sumA, countA, sumB, countB] of sample) {
		a += sumA;
		m += countA;
		b += sumB;
		n += countB;
	}
	return 100 * (a / m / (b / n) - 1);
}

const percent = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)}`;

/** Of each policy, the cells of the version that was simulated last. */
function latest(cells: readonly Cell[]): Cell[] {
	const versions = new Map(cells.map(({ policy, version }) => [policy, version]));
	return cells.filter(({ policy, version }) => versions.get(policy) === version);
}

function settingTables(cells: readonly Cell[]): void {
	for (const setting of settings()) {
		const here = at(cells, setting);
		if (here.length === 0) continue;
		const byPolicy = Map.groupBy(here, ({ policy }) => policy);
		const own = byPolicy.get('hybrid_mesh') ?? [];
		const seconds = (values: readonly number[]): string => (mean(values) / 1000).toFixed(2);
		const ordered = [...byPolicy].sort(([, a], [, b]) => meanMsOf(a) - meanMsOf(b));
		process.stdout.write(
			`\n${renderTable({
				title: `${setting.half === 'synthetic' ? 'made-up requests' : `${setting.half} half`}, ${setting.constants} constants, ${setting.signals} signals, load ${setting.load}, fault ${setting.fault}`,
				columns: [
					'policy',
					'seeds',
					'mean s',
					'p50',
					'p99',
					'TPOT p99 ms',
					'hits %',
					'good %',
					'good by length %',
					'hybrid_mesh against it',
				],
				rows: ordered.map(([policy, list]) => [
					policy,
					list.length,
					seconds(list.map((c) => c.meanMs)),
					seconds(list.map((c) => c.p50Ms)),
					(mean(list.map((c) => c.p99Ms)) / 1000).toFixed(1),
					mean(list.map((c) => c.tpotP99Ms)).toFixed(0),
					(100 * mean(list.map((c) => c.hits))).toFixed(1),
					(100 * mean(list.map((c) => c.good))).toFixed(1),
					(100 * mean(list.map((c) => c.goodForLength))).toFixed(1),
					policy === 'hybrid_mesh' ? '' : difference(own, list),
				]),
				notes: [`blocks of ${BLOCK_REQUESTS} requests, drawn ${BLOCKS_DRAWN} in a row, paired; 95 %`],
				aims: [],
			})}`,
		);
	}
}

/** Whether a policy decides at once and nothing is fetched: what is compared with what. */
const isPlain = (policy: string): boolean => !policy.includes('+');

/** A line a setting: hybrid_mesh, and with holding and fetching, against whichever other policy has the least mean there. */
function overview(cells: readonly Cell[]): void {
	const rows = settings().flatMap((setting) => {
		const byPolicy = Map.groupBy(at(cells, setting), ({ policy }) => policy);
		const own = byPolicy.get('hybrid_mesh');
		const others = [...byPolicy].filter(([policy]) => policy !== 'hybrid_mesh' && isPlain(policy));
		const [best, theirs] = others.sort(([, a], [, b]) => meanMsOf(a) - meanMsOf(b))[0] ?? [];
		if (own === undefined || best === undefined || theirs === undefined) return [];
		const both = byPolicy.get('hybrid_mesh+both');
		const name = `${setting.half}, ${setting.constants}, ${setting.signals}, ${setting.fault}, ${setting.load}`;
		const extended = both === undefined ? ['', ''] : [difference(both, theirs), tail(both, theirs)];
		return [[name, own.length, best, difference(own, theirs), tail(own, theirs), ...extended]];
	});
	process.stdout.write(
		`\n${renderTable({
			title: 'hybrid_mesh against the best other policy of each setting',
			columns: ['setting', 'seeds', 'best other', 'mean', 'p99 %', 'mean, hold and fetch', 'p99 %'],
			rows,
			notes: [],
			aims: [],
		})}`,
	);
}

const meanMsOf = (cells: readonly Cell[]): number => mean(cells.map(({ meanMs }) => meanMs));

/** Relative difference of the mean p99 over the seeds both have, in per cent. */
function tail(ours: readonly Cell[], theirs: readonly Cell[]): string {
	const p99Of = (cells: readonly Cell[], others: readonly Cell[]): number =>
		mean(cells.filter(({ seed }) => others.some((other) => other.seed === seed)).map(({ p99Ms }) => p99Ms));
	return percent(100 * (p99Of(ours, theirs) / p99Of(theirs, ours) - 1));
}

function at(cells: readonly Cell[], setting: Setting): Cell[] {
	return cells.filter((cell) =>
		(['half', 'constants', 'signals', 'load', 'fault'] as const).every((axis) => cell[axis] === setting[axis]),
	);
}

export function printTables(all: readonly Cell[]): void {
	const cells = latest(all);
	settingTables(cells);
	overview(cells);
}
