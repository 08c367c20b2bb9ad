// The simulation against queueing theory. An engine that runs one sequence at a time, with a table by which every token takes a millisecond, is a plain server:
// a request that generates n tokens occupies it for n milliseconds, first come first served. So waits must equal Lindley's recursion on the same draws, to the
// microsecond, and the formulas of M/M/1 within sampling error. For M/M/k the strategy holds requests at the router while no engine is idle, which is
// one queue before k servers; the recursion is that of Kiefer and Wolfowitz. What a request takes besides (the front end, the way back) is a constant
// that the recursions know.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { engineProfile } from '../engine/model/profiles.js';
import { prepareStrategy } from '../project/prepare.js';
import { idleOrHold } from './idle-or-hold.test-support.js';
import type { RequestRows } from './result.js';
import { simulate } from './simulate.js';
import { group, specOf } from './simulation.test-support.js';
import type { Workload } from './spec.js';

const roundRobin = (await prepareStrategy('baseline_rr')).module;

const TOKEN_US = 1000;
const WAY_US = 250;
const { ingestUs, perOutputTokenUs, postDecodeUs } = engineProfile('h100-8b');

/** Exponential gaps and lengths; times on whole microseconds. */
function draws(seed: number, requests: number, gapMs: number, serviceMs: number): Workload {
	const random = new SeededRandom(seed);
	const exponential = (mean: number): number => -mean * Math.log(1 - random.nextFloat());
	let atUs = 0;
	const rows = Array.from({ length: requests }, () => {
		atUs += Math.round(exponential(gapMs) * 1000);
		return { atMs: atUs / 1000, inputTokens: 1, outputTokens: Math.max(1, Math.round(exponential(serviceMs))) };
	});
	return { name: `seed ${seed}`, blockTokens: 64, notes: [], requests: rows };
}

function serverSpec(servers: number): ReturnType<typeof specOf> {
	return specOf({
		fleet: [
			group({
				count: servers,
				sequencesMax: 1,
				latency: {
					kind: 'table',
					prefill: { tokens: [1], us: [TOKEN_US] },
					decode: { contextTokens: [1], batch: [1], us: [[TOKEN_US]] },
				},
			}),
		],
		network: { sameZoneMs: WAY_US / 1000 },
		signals: { delayMs: 0, periodMs: 0, prefix: 'none' },
		router: { decisionUs: 0, holdMax: 100_000, holdMsMax: 1e9 },
		drainMs: 1e9,
	});
}

/** Waits in microseconds, when each request goes to the server that is free first. `heldUs`: what a request keeps its server beyond its service. */
function waitsOf({ requests }: Workload, servers: number, heldUs: (tokens: number) => number): number[] {
	const freeUs = new Float64Array(servers);
	return requests.map(({ atMs, outputTokens }) => {
		const arrivedUs = Math.round(atMs * 1000);
		const first = freeUs.indexOf(Math.min(...freeUs));
		const startUs = Math.max(arrivedUs, freeUs[first] as number);
		freeUs[first] = startUs + outputTokens * TOKEN_US + heldUs(outputTokens);
		return startUs - arrivedUs;
	});
}

/** Requests whose first token did not come exactly after their wait and what it takes without one; a few are enough. */
function differing(waits: readonly number[], rows: RequestRows | undefined): unknown[] {
	const found = waits.flatMap((waitUs, index) => {
		const ttftUs = Math.round((rows?.ttftMs[index] ?? Number.NaN) * 1000);
		return ttftUs === waitUs + UNLOADED_US ? [] : [{ index, ttftUs, waitUs }];
	});
	return found.slice(0, 3);
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What the first token takes without any wait. */
const UNLOADED_US = 2 * WAY_US + ingestUs + TOKEN_US + perOutputTokenUs;

/** Standard error of the mean of `requests` successive waits in M/M/1, in services (Daley 1968: the waits are correlated). */
function standardError(load: number, requests: number): number {
	const variance = (load * (2 + 5 * load - 4 * load ** 2 + load ** 3)) / (1 - load) ** 4;
	return Math.sqrt(variance / requests);
}

for (const load of [0.3, 0.5, 0.7, 0.9]) {
	test(`one server at load ${load}: Lindley's recursion to the microsecond, M/M/1 within sampling error`, (t) => {
		const serviceMs = 200;
		const requests = 5000;
		const workload = draws(2026, requests, serviceMs / load, serviceMs);
		const { rows } = simulate(serverSpec(1), workload, [roundRobin]);
		const waits = waitsOf(workload, 1, () => 0);
		t.deepEqual(differing(waits, rows), []);
		const theory = load / (1 - load);
		const found = mean(waits) / 1000 / serviceMs;
		t.log(`mean wait ${found.toFixed(3)} services, theory ${theory.toFixed(3)}`);
		t.true(Math.abs(found - theory) < 3 * standardError(load, requests));
	});
}

/** Erlang's C: the probability of waiting at `servers` servers with `offered` erlangs. */
function erlangC(servers: number, offered: number): number {
	let term = 1;
	let sum = 1;
	for (let at = 1; at < servers; at++) {
		term *= offered / at;
		sum += term;
	}
	const last = ((term * offered) / servers) * (servers / (servers - offered));
	return last / (sum + last);
}

for (const [servers, load] of [
	[4, 0.7],
	[16, 0.8],
] as const) {
	test(`${servers} servers at load ${load}: Kiefer and Wolfowitz to the microsecond, M/M/k within sampling error`, (t) => {
		const serviceMs = 2000;
		const workload = draws(2026, 5000, serviceMs / load / servers, serviceMs);
		const { rows } = simulate(serverSpec(servers), workload, [idleOrHold]);
		// A held request is told that an engine is idle when the last answer has come: front end, ways and decoding keep the server.
		const waits = waitsOf(
			workload,
			servers,
			(tokens) => 2 * WAY_US + ingestUs + postDecodeUs + perOutputTokenUs * tokens,
		);
		t.deepEqual(differing(waits, rows), []);
		const keptMs = serviceMs * (1 + perOutputTokenUs / TOKEN_US) + (2 * WAY_US + ingestUs + postDecodeUs) / 1000;
		const offered = (load * servers * keptMs) / serviceMs;
		const theoryMs = (erlangC(servers, offered) * keptMs) / (servers - offered);
		const ratio = mean(waits) / 1000 / theoryMs;
		t.log(`mean wait ${(mean(waits) / 1000).toFixed(1)} ms, theory ${theoryMs.toFixed(1)} ms`);
		t.true(Math.abs(ratio - 1) < 0.25, `${ratio}`);
	});
}
