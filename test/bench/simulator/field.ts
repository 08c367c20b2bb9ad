// Owns the command that fills the grid in which hybrid_mesh stands beside the field and prints its tables. The whole of it is an hour or two of processor time, so each cell is a line of a file as soon as
// it is done; a run goes on where the last one ended, and the tables are of what is there.
// `node test/dist/bench/simulator/field.js --trace FILE --out cells.jsonl [--share 1/2] [--minutes 30] [--policies a,b] [--only TEXT] [--seeds N] [--tables]`
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import type { Workload } from '@infermesh/host';
import { type Cell, cellOf, keyOf, keyOfCell, SEEDS, tasks, workloadOf } from './field-cells.js';
import { printTables } from './field-tables.js';

const USAGE =
	'--trace FILE --out FILE [--share I/N (of N processes on one file, this is the Ith) --minutes N --policies a,b --only TEXT --seeds N --tables]\n';

function read(file: string): Cell[] {
	if (!existsSync(file)) return [];
	return readFileSync(file, 'utf8')
		.split('\n')
		.filter((line) => line !== '')
		.map((line) => JSON.parse(line) as Cell);
}

interface Filling {
	readonly trace: string;
	readonly out: string;
	readonly policies: readonly string[] | undefined;
	readonly only: string;
	readonly seeds: number;
	readonly minutes: number;
	readonly share: readonly [part: number, of: number];
}

async function fill({ trace, out, policies, only, seeds, minutes, share: [part, of] }: Filling): Promise<void> {
	const until = performance.now() + minutes * 60_000;
	const done = new Set(read(out).map(keyOfCell));
	const workloads = new Map<string, Workload>();
	for (const [at, task] of tasks(policies).entries()) {
		const key = await keyOf(task);
		if (at % of !== part - 1 || task.seed > seeds || done.has(key) || !key.includes(only)) continue;
		if (performance.now() > until) return;
		const name = `${task.seed} ${task.setting.half}`;
		const workload = workloads.get(name) ?? (await workloadOf(trace, task.seed, task.setting.half));
		workloads.set(name, workload);
		const cell = await cellOf(task, workload);
		appendFileSync(out, `${JSON.stringify(cell)}\n`);
		process.stderr.write(`${key}: ${(cell.meanMs / 1000).toFixed(3)} s\n`);
	}
}

async function main(): Promise<number> {
	const { values } = parseArgs({
		options: {
			trace: { type: 'string' },
			out: { type: 'string' },
			policies: { type: 'string' },
			only: { type: 'string', default: '' },
			minutes: { type: 'string', default: '1e6' },
			seeds: { type: 'string', default: String(SEEDS) },
			share: { type: 'string', default: '1/1' },
			tables: { type: 'boolean' },
		},
	});
	const { trace, out, policies, only } = values;
	const share = /^([1-9]\d*)\/([1-9]\d*)$/.exec(values.share);
	if (out === undefined || share === null || (trace === undefined && values.tables !== true)) {
		process.stderr.write(USAGE);
		return 2;
	}
	const shared = [Number(share[1]), Number(share[2])] as const;
	const filling = { only, seeds: Number(values.seeds), minutes: Number(values.minutes), share: shared };
	if (trace !== undefined) await fill({ ...filling, trace, out, policies: policies?.split(',') });
	printTables(read(out));
	return 0;
}

process.exitCode = await main();
