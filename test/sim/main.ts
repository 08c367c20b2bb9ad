// Owns the command line of the simulation: `npm run sim -- --seeds N --from S …`. Progress goes to stderr, results to stdout; the exit code is 1 when a seed
// fails or a known bug is not noticed, 2 for wrong usage.
import process from 'node:process';
import { parseArgs } from 'node:util';
import { keepFailed, keepNoticed } from './corpus.js';
import { hunt, type Notice, proofSeedsMax } from './proof.js';
import { messageOf, type RunSummary, renderColumns, traceText } from './report.js';
import { runSeed, type Scenario, type SeedResult } from './scenario.js';
import { scenarioNoticing, scenarioOf, scenarios } from './scenarios.js';
import { Counters } from './world/counters.js';

const usage = `npm run sim -- [options]

  --seeds N          seeds to run of each scenario (default 100)
  --from S           first seed (default 1)
  --minutes M        go on with further seeds for so long instead
  --scenario NAME    ${scenarios.map(({ name }) => name).join(', ')} (default all)
  --twice            run each seed twice and compare the traces
  --trace SEED       run one seed and print what happened
  --lines N          lines of a trace at most (default 400)
  --mutation NAME    switch a known bug on; with --trace in that run, else look for a seed that notices it
  --mutations        look for all known bugs and print a table
  --keep             note failing seeds, and where bugs were noticed, in test/sim/seeds.json
  --json             one document on stdout
  --list             scenarios and known bugs
`;

const flags = {
	seeds: { type: 'string' },
	from: { type: 'string' },
	minutes: { type: 'string' },
	scenario: { type: 'string' },
	twice: { type: 'boolean' },
	trace: { type: 'string' },
	lines: { type: 'string' },
	mutation: { type: 'string' },
	mutations: { type: 'boolean' },
	keep: { type: 'boolean' },
	json: { type: 'boolean' },
	list: { type: 'boolean' },
	help: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parse>;

function parse() {
	return parseArgs({ options: flags }).values;
}

/** Lines of a trace that are printed. */
const linesDefault = 400;

class UsageError extends Error {}

function whole(text: string | undefined, fallback: number): number {
	const value = text === undefined ? fallback : Number(text);
	if (!Number.isSafeInteger(value) || value < 0 || value > 0xffff_ffff)
		throw new UsageError(`${text} is no seed or count`);
	return value;
}

function chosen(values: Values): readonly Scenario[] {
	if (values.scenario === undefined) return scenarios;
	const scenario = scenarioOf(values.scenario);
	if (scenario === undefined) throw new UsageError(`there is no scenario ${values.scenario}`);
	return [scenario];
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

function scenarioFor(values: Values): Scenario {
	const { mutation } = values;
	const scenario =
		mutation === undefined || values.scenario !== undefined ? chosen(values)[0] : scenarioNoticing(mutation);
	if (scenario === undefined) throw new UsageError(`no scenario notices ${mutation}; see --list`);
	return scenario;
}

function mutationOption(values: Values): { readonly mutation?: string } {
	return values.mutation === undefined ? {} : { mutation: values.mutation };
}

async function trace(values: Values): Promise<number> {
	const result = await runSeed(scenarioFor(values), whole(values.trace, 1), {
		readable: true,
		...mutationOption(values),
	});
	print(traceText(result, whole(values.lines, linesDefault)));
	return result.violation === undefined ? 0 : 1;
}

/** One seed, twice when asked; a difference is a violation of its own. */
async function runOnce(scenario: Scenario, seed: number, twice: boolean): Promise<SeedResult> {
	const result = await runSeed(scenario, seed);
	if (!twice || result.violation !== undefined) return result;
	const again = await runSeed(scenario, seed);
	if (again.hash === result.hash) return result;
	return { ...result, violation: new Error(`two runs of one seed differ: ${result.hash} and ${again.hash}`) };
}

async function runSeeds(values: Values): Promise<number> {
	const list = chosen(values);
	const from = whole(values.from, 1);
	const seeds = whole(values.seeds, 100);
	const untilMs = values.minutes === undefined ? undefined : Date.now() + Number(values.minutes) * 60_000;
	const startedMs = Date.now();
	const counters = new Counters();
	const failed: SeedResult[] = [];
	let ran = 0;
	let events = 0;
	let virtualS = 0;
	const more = (at: number): boolean => (untilMs === undefined ? at < seeds : Date.now() < untilMs);
	for (let at = 0; more(at); at++) {
		for (const scenario of list) {
			const result = await runOnce(scenario, from + at, values.twice === true);
			ran++;
			events += result.events;
			virtualS += result.virtualS;
			counters.addAll(result.counters);
			if (result.violation === undefined) continue;
			failed.push(result);
			say(`${scenario.name} seed ${result.seed}: ${messageOf(result.violation)}`);
			if (values.keep === true)
				keepFailed({ scenario: scenario.name, seed: result.seed, note: result.violation.message });
		}
		if ((at + 1) % 50 === 0) say(`${at + 1} seeds, ${failed.length} failed`);
	}
	const seconds = (Date.now() - startedMs) / 1000;
	const summary: RunSummary = {
		runs: ran,
		failed: failed.map(({ scenario, seed, violation }) => ({ scenario, seed, message: violation?.message })),
		seconds,
		virtualSeconds: Math.round(virtualS),
		eventsPerSecond: Math.round(events / seconds),
		seedsPerMinute: Math.round((ran / seconds) * 60),
		counters: Object.fromEntries(counters.entries()),
	};
	if (values.json === true) print(JSON.stringify(summary, undefined, 2));
	else await report(summary, failed, values);
	return failed.length === 0 ? 0 : 1;
}

async function report(summary: RunSummary, failed: readonly SeedResult[], values: Values): Promise<void> {
	const [first] = failed;
	const scenario = first === undefined ? undefined : scenarioOf(first.scenario);
	if (first !== undefined && scenario !== undefined) {
		const again = await runSeed(scenario, first.seed, { readable: true });
		print(traceText(again, whole(values.lines, linesDefault)));
	}
	print(renderColumns(Object.entries(summary.counters).map(([name, count]) => [name, String(count)])));
	const { runs, seconds, virtualSeconds, eventsPerSecond, seedsPerMinute } = summary;
	print(`${runs} runs, ${failed.length} failed; ${virtualSeconds} virtual seconds in ${seconds.toFixed(1)} s`);
	print(`${eventsPerSecond} events/s, ${seedsPerMinute} seeds/minute`);
	for (const { scenario: name, seed } of failed) print(`failed: npm run sim -- --scenario ${name} --trace ${seed}`);
}

async function huntAll(
	values: Values,
	list: readonly { readonly scenario: Scenario; readonly mutation: string }[],
): Promise<number> {
	const options = {
		from: whole(values.from, 1),
		seedsMax: whole(values.seeds, proofSeedsMax),
		useKept: values.from === undefined,
	};
	const notices: Notice[] = [];
	for (const { scenario, mutation } of list) {
		const notice = await hunt(scenario, mutation, options);
		notices.push(notice);
		const { result, seedsTried } = notice;
		say(
			`${mutation}: ${result === undefined ? `NOT noticed in ${seedsTried} seeds` : `noticed at seed ${result.seed}`}`,
		);
		if (values.keep === true && result !== undefined) keepNoticed(mutation, result.seed);
	}
	const rows = notices.map(({ mutation, result, seedsTried }) => ({
		mutation,
		scenario: result?.scenario,
		seed: result?.seed,
		seedsTried,
		noticedAs: result?.violation === undefined ? undefined : messageOf(result.violation),
	}));
	if (values.json === true) print(JSON.stringify({ items: rows }, undefined, 2));
	else {
		const cells = rows.map(({ mutation, scenario = '-', seed = '-', seedsTried, noticedAs = 'NOT NOTICED' }) => [
			mutation,
			scenario,
			String(seed),
			String(seedsTried),
			noticedAs,
		]);
		print(renderColumns([['bug', 'scenario', 'seed', 'tried', 'noticed as'], ...cells]));
	}
	return notices.every(({ result }) => result !== undefined) ? 0 : 1;
}

function listAll(): number {
	for (const { name, summary, mutations } of scenarios)
		print(`${name}: ${summary}\n${mutations.map((one) => `  ${one}`).join('\n')}`);
	return 0;
}

async function main(): Promise<number> {
	try {
		const values = parse();
		if (values.help === true) {
			print(usage);
			return 0;
		}
		if (values.list === true) return listAll();
		if (values.trace !== undefined) return await trace(values);
		if (values.mutations === true)
			return await huntAll(
				values,
				chosen(values).flatMap((scenario) => scenario.mutations.map((mutation) => ({ scenario, mutation }))),
			);
		if (values.mutation !== undefined)
			return await huntAll(values, [{ scenario: scenarioFor(values), mutation: values.mutation }]);
		return await runSeeds(values);
	} catch (error) {
		if (!(error instanceof UsageError) && !(error instanceof TypeError)) throw error;
		process.stderr.write(`${error.message}\n\n${usage}`);
		return 2;
	}
}

process.exitCode = await main();
