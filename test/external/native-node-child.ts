// Owns one try of the addon in whichever Node runs this: a library is asked for its manifest in a sandbox and decides there and inline. Needs nothing but the
// SDK's frame, so that it runs where the mesh itself would not. Arguments: addon, sandbox, library. Prints what it saw.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
	COLUMN_LOAD,
	COLUMN_SLOW_START,
	COLUMN_WEIGHT,
	layoutFrame,
	OUTPUT_COUNT_WORD,
	REQUEST_TOP_K_WORD,
	StrategyKind,
	writeHeader,
} from '@infermesh/sdk';

interface Runner {
	readonly buffer: ArrayBuffer;
	call(hook: number, argument: number): number;
}

interface Sandbox extends Runner {
	readonly manifestBytes: number;
	readonly message: string;
	ready(waitMs: number): string;
	end(failed: boolean): void;
}

interface Addon {
	readonly Process: new (...given: readonly unknown[]) => Sandbox;
	readonly Inline: new (...given: readonly unknown[]) => Runner;
}

const [addon = '', sandbox = '', file = ''] = process.argv.slice(2);
const { Process, Inline } = createRequire(import.meta.url)(addon) as Addon;
const library = readFileSync(file);
const RANK = 1;
const limits = [20, 1_000_000, 5_000_000, 512 * 1024 * 1024, 100, 10_000, 60_000];
const layout = layoutFrame({
	kind: StrategyKind.inference,
	rowCapacity: 16,
	columnIds: [COLUMN_LOAD, COLUMN_WEIGHT, COLUMN_SLOW_START],
	hitsCapacity: 0,
	configSlots: 0,
	stateBytes: 0,
	logBytes: 0,
	outcomesCapacity: 0,
});

function started(inspect: boolean): Sandbox {
	const process = new Process(sandbox, library, 'a', inspect ? 65_536 : layout.frameBytes, inspect, limits);
	const state = process.ready(60_000);
	if (state !== 'ready') throw new Error(`${state}: ${process.message}`);
	return process;
}

/** A frame with sixteen rows that may be chosen, of which four are asked for. */
function decide(runner: Runner): { readonly status: number; readonly count: number } {
	writeHeader(layout, runner.buffer, 0, {
		rowCount: 16,
		meshSeedLow: 1,
		meshSeedHigh: 2,
		stateEpoch: 0,
		tableEpoch: 0,
	});
	const words = new Uint32Array(runner.buffer);
	words[layout.eligibilityOffset / 4] = 0xffff;
	words[layout.requestOffset / 4 + REQUEST_TOP_K_WORD] = 4;
	const status = runner.call(RANK, 0);
	return { status, count: words[layout.outputOffset / 4 + OUTPUT_COUNT_WORD] as number };
}

const asked = started(true);
const manifest = JSON.parse(Buffer.from(asked.buffer, 0, asked.manifestBytes).toString()) as { readonly name: string };
asked.end(false);
const inSandbox = started(false);
process.stdout.write(
	`${JSON.stringify({
		node: process.version,
		name: manifest.name,
		process: decide(inSandbox),
		inline: decide(new Inline(library, 'a', layout.frameBytes)),
	})}\n`,
);
inSandbox.end(false);
