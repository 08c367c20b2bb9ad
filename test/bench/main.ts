// Owns the command line of the benches: `npm run bench [-- NAME … --quick --json --list --trace FILE]`. Compiled to test/dist/bench/main.js. The exit code
// says whether the benches ran, not whether their aims were met.
import { cpus, loadavg } from 'node:os';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { admissionBench } from './admission.js';
import type { Bench, BenchContext, Table } from './bench.js';
import { consensusBench } from './consensus/bench.js';
import { decisionBench } from './decision.js';
import { evaluationBenches } from './evaluation/bench.js';
import { fuelBench } from './fuel.js';
import { idleBench } from './idle.js';
import { logBench } from './log.js';
import { membershipBench } from './membership.js';
import { nativeBench } from './native.js';
import { nativeSoakBench } from './native-soak.js';
import { overloadBench } from './overload/bench.js';
import { prefixBench } from './prefix.js';
import { rankRaw } from './rank-raw.bench.js';
import { recordingBench } from './recording.js';
import { routerBench } from './router/bench.js';
import { grpcBench } from './router/grpc.js';
import { streamsBench } from './router/streams.js';
import { swapBench } from './router/swap.js';
import { routersBench } from './routers.js';
import { scrapeBench } from './scrape.js';
import { serfBench } from './serf.js';
import { simulatorBench } from './simulator/bench.js';
import { renderTable } from './table.js';
import { tailBench } from './tail/bench.js';
import { transportBench } from './transport.js';

// As in meshd: code is optimised at once, before anything is compiled.
setFlagsFromString('--no-liftoff');
setFlagsFromString('--no-wasm-lazy-compilation');

const rankRawBench: Bench = {
	name: 'rank-raw',
	summary: 'hybrid_mesh without host or fuel, against plain TypeScript (prints its own table)',
	run: async () => {
		await rankRaw();
		return [];
	},
};

const benches: readonly Bench[] = [
	decisionBench,
	nativeBench,
	nativeSoakBench,
	recordingBench,
	fuelBench,
	admissionBench,
	swapBench,
	routerBench,
	streamsBench,
	grpcBench,
	tailBench,
	routersBench,
	simulatorBench,
	prefixBench,
	logBench,
	transportBench,
	consensusBench,
	membershipBench,
	serfBench,
	idleBench,
	overloadBench,
	scrapeBench,
	...evaluationBenches,
	rankRawBench,
];

function usage(): string {
	const lines = benches.map((bench) => `  ${bench.name.padEnd(20)} ${bench.summary}`);
	return `npm run bench [-- NAME … --quick --json --list --trace FILE]\n\n${lines.join('\n')}\n`;
}

/** By its name, or by that of a group: `evaluation` means all that begin so. */
function isMeant(bench: Bench, name: string): boolean {
	return bench.name === name || bench.name.startsWith(`${name}-`);
}

async function main(): Promise<number> {
	const { values, positionals } = parseArgs({
		allowPositionals: true,
		options: {
			json: { type: 'boolean' },
			list: { type: 'boolean' },
			quick: { type: 'boolean' },
			trace: { type: 'string' },
			help: { type: 'boolean' },
		},
	});
	if (values.list === true || values.help === true) {
		process.stdout.write(usage());
		return 0;
	}
	const unknown = positionals.filter((name) => !benches.some((bench) => isMeant(bench, name)));
	if (unknown.length > 0) {
		process.stderr.write(`there is no bench ${unknown.join(', ')}\n\n${usage()}`);
		return 2;
	}
	const chosen =
		positionals.length === 0
			? benches.filter((bench) => bench !== rankRawBench && !evaluationBenches.includes(bench))
			: benches.filter((bench) => positionals.some((name) => isMeant(bench, name)));
	const context: BenchContext = {
		quick: values.quick === true,
		trace: values.trace,
		progress: (line) => process.stderr.write(`${line}\n`),
	};
	const results: { readonly name: string; readonly tables: readonly Table[] }[] = [];
	const machine = { node: process.version, cpu: cpus()[0]?.model ?? '', cores: cpus().length, load: loadavg() };
	for (const bench of chosen) {
		context.progress(`${bench.name}: ${bench.summary}`);
		const tables = await bench.run(context);
		results.push({ name: bench.name, tables });
		if (values.json !== true) for (const table of tables) process.stdout.write(`\n${renderTable(table)}`);
	}
	if (values.json === true) process.stdout.write(`${JSON.stringify({ machine, items: results }, undefined, 2)}\n`);
	else
		process.stdout.write(
			`\nNode ${machine.node}, ${machine.cores} × ${machine.cpu}, load ${machine.load.map((one) => one.toFixed(1)).join(' ')} at the start\n`,
		);
	return 0;
}

process.exitCode = await main();
