// Simulations as a process of their own: a strategy that traps in the middle is told with its cause and harms no other, and an interrupt from the keyboard
// ends the run with what is done.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { run, temporaryFolder } from '../support/programs.js';
import { strategyFrom } from '../support/strategies.js';

const cli = fileURLToPath(new URL('../../../host/bin/infermesh.mjs', import.meta.url));

/** Traps on about one prompt in eight, else declines. */
const TRAPS = `import { begin, decline, request } from 'infermesh';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	if (request().tokens_in % 8 == 3) unreachable();
	return decline();
}
`;

const scenario = (requests: number, seeds: number): string =>
	[
		'name: small',
		'fleet: [{ id: gpu, count: 2 }]',
		`workload: { generator: { requests: ${requests}, rate_per_s: 10, output: { mean: 30 } } }`,
		`grid: { seeds: ${seeds} }`,
	].join('\n');

interface Cell {
	readonly strategy: string;
	readonly state: string;
	readonly outcome?: {
		readonly summary: { readonly finished: number };
		readonly costs: readonly { readonly decisions: number; readonly fallbacks: Readonly<Record<string, number>> }[];
	};
}

interface Report {
	readonly partial: boolean;
	readonly interrupted: boolean;
	readonly cells: readonly Cell[];
	readonly means: readonly ({ readonly trap: string | null } | null)[];
}

test('a strategy that traps in the middle of a simulation is told, answered for, and harms no other', async (t) => {
	const folder = temporaryFolder(t);
	const wasm = path.join(folder, 'traps.wasm');
	const file = path.join(folder, 'small.yaml');
	writeFileSync(wasm, await strategyFrom('name: traps\nversion: 1.0.0\nabi: "1.0"\ncolumns: [load]\n', TRAPS));
	writeFileSync(file, scenario(200, 1));
	const argv = ['simulate', '--scenario', file, '--strategies', `${wasm},baseline_rr`, '--threads', '1'];
	const text = await run(process.execPath, [cli, ...argv]);
	t.is(text.code, 0, text.output);
	t.regex(text.output, /^TRAP {2}traps: .*unreachable/m);
	const { output } = await run(process.execPath, [cli, ...argv, '--json']);
	const report = JSON.parse(output.slice(output.indexOf('{'))) as Report;
	const of = (strategy: string): Cell['outcome'] => report.cells.find((cell) => cell.strategy === strategy)?.outcome;
	t.is(of('traps')?.summary.finished, 200, 'the fallback answers in its place');
	const { decisions = 0, fallbacks = {} } = of('traps')?.costs[0] ?? {};
	t.true((fallbacks['trap'] ?? 0) > 0);
	t.is(
		Object.values(fallbacks).reduce((sum, count) => sum + count, 0),
		decisions,
		'every decision was the fallback’s: trapped, declined, or in quarantine after it',
	);
	t.deepEqual(of('baseline_rr')?.costs[0]?.fallbacks, {});
});

test('an interrupt from the keyboard ends the run soon, with what is done', async (t) => {
	const folder = temporaryFolder(t);
	const file = path.join(folder, 'small.yaml');
	writeFileSync(file, scenario(1000, 1000));
	const argv = ['simulate', '--scenario', file, '--strategies', 'baseline_rr', '--threads', '1', '--json'];
	const child = spawn(process.execPath, [cli, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
	let output = '';
	let told = '';
	// A second interrupt would end it without an answer.
	let stopped = false;
	child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
	child.stderr.on('data', (bytes: Buffer) => {
		told += bytes.toString();
		// Some simulations are done once the progress says so.
		if (!stopped && / [1-9]\d* of 2000 simulations/.test(told)) stopped = child.kill('SIGINT');
	});
	const code = await new Promise((resolve) => child.once('close', resolve));
	t.is(code, 1, told);
	const report = JSON.parse(output) as Report;
	t.like(report, { partial: true, interrupted: true });
	const done = report.cells.filter(({ state }) => state === 'done').length;
	t.true(done > 0 && done < 2000, `${done} done`);
});
