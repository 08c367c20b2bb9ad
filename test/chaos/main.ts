// Owns the command line of the chaos runs: `npm run chaos -- --minutes M …`. Progress goes to stderr, the result to stdout; the exit code is 1 when
// anything was violated, 2 for wrong usage.
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { isInside, runInside } from './nodes/namespaces.js';
import { renderReport, summaries } from './report.js';
import { faults, type RunOptions, run } from './run.js';
import { type Damage, damages } from './workload/workload.js';

const usage = `npm run chaos -- [options]

  --minutes M        how long faults go on (default 5)
  --rounds N         each fault so often, instead of for a time
  --seed S           which, in which order, on whom (default drawn)
  --nodes N          processes, 3 to 9 (default 3)
  --netns            each node in a network namespace of its own, with packets lost by the kernel; needs root
  --only NAME        this fault only, repeatable; see --list
  --allow-missing    go without faults that this machine cannot make (strace, root), instead of failing
  --calm S           seconds without a fault between two (default 6)
  --floor N          answered operations a second while it is calm, at least (default 8)
  --damage KIND      falsify the record once, repeatable, as the proof that it is noticed:
                     ${damages.join(', ')}
  --keep             keep logs and histories also when nothing was violated
  --json             one document on stdout
  --list             the faults there are
`;

const flags = {
	minutes: { type: 'string' },
	seed: { type: 'string' },
	nodes: { type: 'string' },
	netns: { type: 'boolean' },
	only: { type: 'string', multiple: true },
	'allow-missing': { type: 'boolean' },
	calm: { type: 'string' },
	floor: { type: 'string' },
	damage: { type: 'string', multiple: true },
	rounds: { type: 'string' },
	keep: { type: 'boolean' },
	json: { type: 'boolean' },
	list: { type: 'boolean' },
	help: { type: 'boolean' },
} as const;

class UsageError extends Error {}

function number(name: string, text: string | undefined, fallback: number, least: number, most: number): number {
	const value = text === undefined ? fallback : Number(text);
	if (!Number.isFinite(value) || value < least || value > most)
		throw new UsageError(`--${name} takes a number from ${least} to ${most}, not ${text}`);
	return value;
}

function whole(...options: Parameters<typeof number>): number {
	const value = number(...options);
	if (!Number.isInteger(value)) throw new UsageError(`--${options[0]} takes a whole number, not ${value}`);
	return value;
}

function damageOf(text: string): Damage {
	const found = damages.find((one) => one === text);
	if (found === undefined) throw new UsageError(`--damage takes one of ${damages.join(', ')}`);
	return found;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

function optionsOf(values: ReturnType<typeof parse>, signal: AbortSignal): RunOptions {
	for (const name of values.only ?? [])
		if (!faults.some((fault) => fault.name === name)) throw new UsageError(`there is no fault "${name}"; see --list`);
	return {
		minutes: number('minutes', values.minutes, 5, 0.1, 1_200),
		rounds: values.rounds === undefined ? undefined : whole('rounds', values.rounds, 1, 1, 1_000),
		seed: whole('seed', values.seed, randomBytes(4).readUInt32LE(), 0, 0xffff_ffff),
		nodes: whole('nodes', values.nodes, 3, 3, 9),
		namespaces: values.netns === true,
		calmMs: number('calm', values.calm, 6, 1, 600) * 1_000,
		floorPerSecond: number('floor', values.floor, 8, 0, 1_000),
		only: values.only,
		allowMissing: values['allow-missing'] === true,
		damages: new Set((values.damage ?? []).map(damageOf)),
		keep: values.keep === true,
		progress: say,
		signal,
	};
}

function parse() {
	return parseArgs({ options: flags }).values;
}

async function main(): Promise<number> {
	const stop = new AbortController();
	try {
		const values = parse();
		if (values.help === true) {
			process.stdout.write(usage);
			return 0;
		}
		if (values.list === true) {
			process.stdout.write(faults.map(({ name }) => `${name}\n`).join(''));
			return 0;
		}
		const options = optionsOf(values, stop.signal);
		if (options.namespaces && !isInside()) return await runInside();
		for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
			process.on(signal, () => {
				if (!stop.signal.aborted) say('stopping: what was started is ended');
				stop.abort();
			});
		const report = await run(options);
		process.stdout.write(
			values.json === true ? `${JSON.stringify({ ...report, summaries: summaries(report) })}\n` : renderReport(report),
		);
		return report.violationsTotal === 0 && !report.interrupted ? 0 : 1;
	} catch (error) {
		if (error instanceof UsageError || (error instanceof TypeError && 'code' in error)) {
			say(`${error.message}\n\n${usage}`);
			return 2;
		}
		if (stop.signal.aborted) return 1;
		say(error instanceof Error ? (error.stack ?? error.message) : String(error));
		return 1;
	}
}

process.exit(await main());
