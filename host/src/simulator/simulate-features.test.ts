// What strategies and scenarios may ask of a simulation, each seen to have its effect: verdicts, traps, pairs, fetched prefixes, adapters, hedges, holds,
// faults, several routers, arms. Every run conserves its requests, which the simulation asserts itself.
import {
	HEADER_REQUEST_OFFSET_WORD,
	OUTPUT_FETCH_FROM_ROW_WORD,
	OUTPUT_VERDICT_WORD,
	REQUEST_TICKET_WORD,
	Verdict,
} from '@infermesh/sdk';
import test from 'ava';
import { prepareStrategy } from '../project/prepare.js';
import { rankRows, written } from '../strategy/runtime/testing.js';
import { idleOrHold } from './idle-or-hold.test-support.js';
import { requestStatuses } from './result.js';
import { simulate } from './simulate.js';
import { group, specOf, workloadOf } from './simulation.test-support.js';

const hybrid = await prepareStrategy('hybrid_mesh');
const hybridMesh = hybrid.module;
const leastQueue = (await prepareStrategy('least_queue')).module;
const roundRobin = (await prepareStrategy('baseline_rr')).module;
const FINISHED = requestStatuses.indexOf('finished');

const store = (word: number, value: number): string =>
	`(i32.store (i32.add (local.get $out) (i32.const ${word * 4})) (i32.const ${value}))`;

/** Every eighth ticket ends in a trap. */
const TRAP_AT_EIGHTH = `(if (i32.eqz (i32.and
	(i32.load offset=${REQUEST_TICKET_WORD * 4} (i32.add (local.get $frame) (i32.load offset=${HEADER_REQUEST_OFFSET_WORD * 4} (local.get $frame))))
	(i32.const 7))) (then unreachable))`;

test('a strategy that traps is answered for by the fallback, quarantined as in production, and named', (t) => {
	const strategy = written(1, rankRows([0, 1, 2, 3], TRAP_AT_EIGHTH));
	const workload = workloadOf();
	const { summary, strategies } = simulate(specOf(), workload, [strategy]);
	t.is(summary.finished, workload.requests.length);
	const { fallbacks, trap, decisions } = strategies[0] as (typeof strategies)[number];
	t.is(fallbacks['trap'], 3, 'the third strike within a minute puts it into quarantine');
	t.true((fallbacks['quarantined'] ?? 0) > 200);
	t.is(decisions, workload.requests.length);
	t.regex(trap ?? '', /unreachable/);
});

test('after its quarantine a strategy decides again', (t) => {
	const workload = workloadOf({ requests: 700, ratePerS: 2, families: 0 });
	const { strategies, rows } = simulate(specOf(), workload, [written(1, rankRows([0], TRAP_AT_EIGHTH))]);
	t.is(strategies[0]?.fallbacks['trap'], 6, 'three strikes, five minutes, three strikes');
	const last = rows?.arrivalMs.at(-1) as number;
	t.true(last > 310_000);
});

test('no decision depends on how much a request will generate', (t) => {
	const burst = workloadOf({ requests: 120, ratePerS: 20_000 });
	const longer = {
		...burst,
		requests: burst.requests.map((row, index) => ({ ...row, outputTokens: 1 + ((index * 37) % 900) })),
	};
	for (const outputEstimate of ['mean', 'none'] as const) {
		const spec = specOf({ signals: { outputEstimate } });
		const [one, other] = [burst, longer].map((workload) => simulate(spec, workload, [hybridMesh]).rows?.target);
		t.deepEqual(one, other, 'all arrive before the first answer: nothing has been learned of outputs');
	}
});

test('a verdict of reject refuses the request', (t) => {
	const strategy = written(1, rankRows([0], store(OUTPUT_VERDICT_WORD, Verdict.reject)));
	const workload = workloadOf({ requests: 50 });
	t.is(simulate(specOf(), workload, [strategy]).summary.rejected, 50);
});

test('held requests are released shortest first and all end; without room to hold they are refused', (t) => {
	const workload = workloadOf({ requests: 100, ratePerS: 60 });
	const { summary, rows } = simulate(specOf(), workload, [idleOrHold]);
	t.is(summary.finished, 100);
	t.true(summary.held.count > 80);
	t.is(summary.held.count, rows?.heldMs.filter((held) => held > 0).length ?? -1);
	const heldOf = (wanted: (tokens: number) => boolean): number => {
		const held = rows?.heldMs.filter((_, at) => wanted(rows.inputTokens[at] as number)) ?? new Float64Array();
		return held.reduce((sum, ms) => sum + ms, 0) / held.length;
	};
	t.true(heldOf((tokens) => tokens < 400) < 0.5 * heldOf((tokens) => tokens > 1200));
	const brief = simulate(specOf({ router: { holdMsMax: 2000 } }), workload, [idleOrHold]).summary;
	t.true(brief.rejected > 20);
	t.true(brief.held.max <= 2200, 'the bound of waiting, and one look late at most');
	const full = simulate(specOf({ router: { holdMax: 0 } }), workload, [idleOrHold]).summary;
	t.true(full.rejected > 50);
	t.is(full.finished + full.rejected, 100);
});

test('copies cut the tail that one slow engine makes, within their budget', (t) => {
	const workload = workloadOf({ requests: 1500, ratePerS: 12, families: 0 });
	const fleet = [group({ count: 5 }), group({ id: 'ill', count: 1, slowFactor: 12 })];
	const plain = simulate(specOf({ fleet }), workload, [roundRobin]).summary;
	const router = { hedging: true, hedgeBudget: 0.1, hedgeDelayMs: 250 };
	const hedged = simulate(specOf({ fleet, router }), workload, [roundRobin]).summary;
	t.is(plain.hedges, 0);
	t.is(hedged.finished, 1500);
	t.true(hedged.hedges > 50);
	t.true(hedged.ttft.p99 < 0.7 * plain.ttft.p99, `${hedged.ttft.p99} against ${plain.ttft.p99}`);
	t.true(hedged.hedgeWaste > 0 && hedged.hedgeWaste < 0.12);
});

test('prompts are prefilled at one engine and decoded at another, and the way of the KV is waited for', (t) => {
	const workload = workloadOf({ requests: 200 });
	const fleet = [
		group({ id: 'prefill', count: 2, role: 'prefill' }),
		group({ id: 'decode', count: 2, role: 'decode' }),
	];
	const at = (transferBytesPerSecond: number) =>
		simulate(specOf({ fleet, network: { transferBytesPerSecond } }), workload, [leastQueue]);
	const { summary, targets } = at(50e9);
	t.is(summary.finished, 200);
	const prefill = targets.filter(({ id }) => id.startsWith('prefill'));
	const decode = targets.filter(({ id }) => id.startsWith('decode'));
	t.true(prefill.every(({ decodeTokens, prefillTokens }) => decodeTokens === 0 && prefillTokens > 10_000));
	t.true(decode.every(({ decodeTokens, prefillTokens }) => decodeTokens > 5000 && prefillTokens < 1000));
	t.true(summary.hitRatio > 0);
	t.true(at(1e9).summary.ttft.mean > summary.ttft.mean + 50, 'KV of a thousand tokens at a gigabyte a second');
});

test('an engine that fetches takes a prefix from where the strategy says it is', (t) => {
	const strategy = written(1, rankRows([1], store(OUTPUT_FETCH_FROM_ROW_WORD, 0)), { columns: [] });
	const seeding = written(2, rankRows([0]), { columns: [] });
	const workload = workloadOf({ requests: 120, families: 40, ratePerS: 4 });
	const run = (fetches: boolean) =>
		simulate(
			specOf({
				fleet: [group({ count: 2, fetches })],
				assignment: { kind: 'request', share: 0.5 },
			}),
			workload,
			[seeding, strategy],
		);
	const fetching = run(true);
	t.true(fetching.summary.fetches > 5);
	t.is(run(false).summary.fetches, 0);
	const computed = ({ targets }: typeof fetching): number => targets[1]?.prefillTokens ?? 0;
	t.true(computed(fetching) < computed(run(false)), 'what was fetched is not computed');
});

test('an adapter that is not loaded is waited for, and a strategy that sees where it is goes there', (t) => {
	const plain = workloadOf({ requests: 300, families: 0, ratePerS: 10 });
	const workload = {
		...plain,
		requests: plain.requests.map((row, at) => Object.assign({ lora: `lora-${at % 4}` }, row)),
	};
	const fleet = [0, 1, 2, 3].map((at) => group({ id: `e${at}`, count: 1, loras: [`lora-${at}`], loraLoadMs: 4000 }));
	const spec = specOf({ fleet });
	const seen = simulate(spec, workload, [hybrid.withConfig({ lora_load_ms: 4000 })]);
	const blind = simulate(spec, workload, [roundRobin]);
	t.true(blind.summary.ttft.max > 4000);
	t.true(seen.summary.ttft.p90 < 1000);
	t.is(seen.rows?.target.filter((target, at) => target === at % 4).length, 300);
});

test('a lost engine fails what it has begun to answer, loses nothing else, and gets no more', (t) => {
	const workload = workloadOf({ requests: 1000, ratePerS: 30, inputTokens: 3000, outputTokens: 200 });
	const faults = [{ kind: 'lost', target: 'engine1', fromMs: 10_500, toMs: 20_000 }] as const;
	const { summary, rows } = simulate(specOf({ faults }), workload, [leastQueue]);
	t.is(summary.finished + summary.failed, 1000);
	t.true(summary.failed > 0 && summary.failed < 100);
	t.true(summary.retries > 0);
	for (const [index, status] of rows?.status.entries() ?? []) {
		if (status !== FINISHED) t.true((rows?.ttftMs[index] ?? -1) >= 0, 'only what had begun may fail');
		const atMs = rows?.arrivalMs[index] as number;
		if (atMs > 10_550 && atMs < 20_000) t.not(rows?.target[index], 1);
	}
	t.true(rows?.target.some((target, index) => target === 1 && (rows?.arrivalMs[index] ?? 0) > 20_000));
});

test('a hung engine is found out by checks; clients that wait at it give up', (t) => {
	const workload = workloadOf({ requests: 400, ratePerS: 20 });
	const faults = [{ kind: 'hung', target: 'engine2', fromMs: 5000 }] as const;
	const { summary, rows } = simulate(specOf({ faults, router: { timeoutMs: 15_000 } }), workload, [roundRobin]);
	t.is(summary.finished + summary.timedOut, 400);
	t.true(summary.timedOut > 5 && summary.timedOut < 80, `${summary.timedOut} gave up`);
	// Three checks, two seconds apart, each of which waits a second.
	const late = rows?.target.filter((target, index) => target === 2 && (rows?.arrivalMs[index] ?? 0) > 13_000);
	t.is(late?.length, 0);
});

test('a first token that does not come in time is tried for elsewhere', (t) => {
	const workload = workloadOf({ requests: 200, ratePerS: 20 });
	const faults = [{ kind: 'hung', target: '*', fromMs: 2000 }] as const;
	const { summary } = simulate(specOf({ faults, router: { firstByteTimeoutMs: 3000, timeoutMs: 60_000 } }), workload, [
		roundRobin,
	]);
	t.true(summary.retries > 5);
	t.true(summary.finished > 190);
});

test('a drained engine gets no new requests, and ends what it has', (t) => {
	const workload = workloadOf({ requests: 400, ratePerS: 20 });
	const faults = [{ kind: 'drained', target: 'engine0', fromMs: 5000, toMs: 12_000 }] as const;
	const { summary, rows } = simulate(specOf({ faults }), workload, [leastQueue]);
	t.is(summary.finished, 400);
	const on = (fromMs: number, toMs: number): number =>
		rows?.target.filter((target, at) => {
			const atMs = rows.arrivalMs[at] as number;
			return target === 0 && atMs > fromMs && atMs < toMs;
		}).length ?? -1;
	t.is(on(5000, 12_000), 0);
	t.true(on(0, 5000) > 5 && on(12_000, 20_000) > 5);
});

test('flapping takes the engine away again and again', (t) => {
	const workload = workloadOf({ requests: 600, ratePerS: 20, outputTokens: 200 });
	const faults = [{ kind: 'flapping', target: 'engine0', fromMs: 2000, toMs: 26_000, periodMs: 4000 }] as const;
	const { summary } = simulate(specOf({ faults }), workload, [leastQueue]);
	t.is(summary.finished + summary.failed, 600);
	t.true(summary.failed > 0 && summary.failed < 120);
});

test('a fault of nobody is refused', (t) => {
	const faults = [{ kind: 'lost', target: 'nobody', fromMs: 0 }] as const;
	t.throws(() => simulate(specOf({ faults }), workloadOf({ requests: 1 }), [leastQueue]), {
		code: 'IM_SIMULATION_FAULT',
	});
});

test('a full engine refuses; another is tried, and what finds no room is rejected', (t) => {
	const workload = workloadOf({ requests: 300, ratePerS: 500 });
	const fleet = [group({ count: 2, sequencesMax: 8, waitingMax: 8 })];
	const { summary } = simulate(specOf({ fleet }), workload, [roundRobin]);
	t.true(summary.rejected > 0);
	t.true(summary.retries > 0);
	t.is(summary.finished + summary.rejected, 300);
});

test('routers that share a fleet hear of each other: the sooner, the better they balance', (t) => {
	const workload = workloadOf({ requests: 1500, ratePerS: 70 });
	const meanOf = (peerDelayMs: number): number => {
		const spec = specOf({ router: { count: 4, peerDelayMs }, signals: { delayMs: 2000, periodMs: 1000 } });
		const { summary } = simulate(spec, workload, [leastQueue]);
		t.is(summary.finished, 1500);
		return summary.ttft.mean;
	};
	const alone = simulate(specOf(), workload, [leastQueue]).summary.ttft.mean;
	const soon = meanOf(2);
	const late = meanOf(3000);
	t.true(soon < late, `${soon} ms soon, ${late} ms late`);
	t.true(soon < 1.5 * alone, `${soon} ms of four, ${alone} ms of one`);
});

test('engines’ own events tell of their caches, later than an oracle would', (t) => {
	const workload = workloadOf({ families: 30, requests: 600 });
	const ratioOf = (prefix: 'none' | 'events' | 'oracle', prefixDelayMs = 50): number =>
		simulate(specOf({ signals: { prefix, prefixDelayMs } }), workload, [hybridMesh]).summary.hitRatio;
	const blind = ratioOf('none');
	t.true(ratioOf('events') > 1.05 * blind);
	t.true(Math.abs(ratioOf('events', 0) - ratioOf('oracle')) < 0.1 * ratioOf('oracle'));
});

test('a far target costs its way there', (t) => {
	const workload = workloadOf({ requests: 200, ratePerS: 2 });
	const near = simulate(specOf(), workload, [roundRobin]).summary.ttft.p50;
	const fleet = [group({ region: 'elsewhere' })];
	const far = simulate(specOf({ fleet }), workload, [roundRobin]).summary.ttft.p50;
	t.true(Math.abs(far - near - 2 * (40 - 0.25)) < 3, `${far} against ${near}`);
});

test('arms share the requests as the assignment says', (t) => {
	const workload = workloadOf({ requests: 800 });
	const arms = [leastQueue, hybridMesh];
	const half = simulate(specOf({ assignment: { kind: 'request', share: 0.25 } }), workload, arms);
	t.true(Math.abs((half.summary.arms[1]?.requests ?? 0) - 200) < 50);
	t.is(half.strategies[0]?.decisions, half.summary.arms[0]?.requests);
	const split = simulate(specOf({ assignment: { kind: 'split' } }), workload, arms);
	const armOf = new Map<number, number>();
	for (const [index, target] of split.rows?.target.entries() ?? []) {
		const arm = split.rows?.arm[index] as number;
		t.is(armOf.get(target) ?? arm, arm, 'no target serves both arms');
		armOf.set(target, arm);
	}
	t.is(armOf.size, 4);
	const blocks = simulate(specOf({ assignment: { kind: 'switchback', blockMs: 5000 } }), workload, arms);
	for (const [index, atMs] of blocks.rows?.arrivalMs.entries() ?? []) {
		const first =
			blocks.rows?.arrivalMs.findIndex((other) => Math.floor(other / 5000) === Math.floor(atMs / 5000)) ?? 0;
		t.is(blocks.rows?.arm[index], blocks.rows?.arm[first], 'one arm a block');
	}
	t.deepEqual(
		[...new Set(blocks.rows?.arm)].toSorted((a, b) => a - b),
		[0, 1],
	);
});

test('exploration is logged with the probability of the choice', (t) => {
	const workload = workloadOf({ requests: 1000 });
	const { rows } = simulate(specOf({ router: { exploration: 0.4 } }), workload, [hybridMesh]);
	const seen = new Set([...(rows?.propensity ?? [])].map((propensity) => Math.round(propensity * 1000) / 1000));
	// Four ranked rows: 0.6 + 0.1 for the best, 0.1 for each of the others.
	t.deepEqual(
		[...seen].toSorted((a, b) => a - b),
		[0.1, 0.7],
	);
	const explored = rows?.propensity.filter((propensity) => propensity < 0.5).length ?? 0;
	t.true(Math.abs(explored - 300) < 60);
});

test('timelines add up to what was there, and regret is least for who knows most', (t) => {
	const workload = workloadOf({ requests: 500 });
	const { timelines, simulatedMs, rows, summary } = simulate(specOf({ timelineBins: 40 }), workload, [hybridMesh]);
	t.truthy(timelines);
	if (timelines === undefined || rows === undefined) return;
	const { bins, binMs, inflight } = timelines;
	let total = 0;
	for (let target = 0; target < 4; target++)
		for (let bin = 0; bin < bins; bin++)
			total += (inflight[target * bins + bin] as number) * Math.min(binMs, simulatedMs - bin * binMs);
	const spent = rows.e2eMs.reduce((sum, ms) => sum + ms, 0);
	t.true(
		total < spent && total > 0.9 * spent,
		'all but the ways, the decisions and what clients wait after the last token',
	);
	t.true(simulate(specOf(), workload, [roundRobin]).summary.regretMs > 2 * summary.regretMs);
});

test('a fleet of 512 engines, of which many hold the beginning of every prompt', (t) => {
	const workload = workloadOf({ requests: 1500, ratePerS: 1500, families: 1 });
	const fleet = [group({ count: 512, kvTokens: 16_000, hostKvTokens: 0 })];
	for (const prefix of ['oracle', 'approximate', 'events'] as const) {
		const { summary, strategies, targets } = simulate(specOf({ fleet, signals: { prefix } }), workload, [hybridMesh]);
		t.is(summary.finished, 1500);
		t.deepEqual(strategies[0]?.fallbacks, {});
		t.true(summary.hitRatio > 0.1);
		t.true(targets.filter(({ requests }) => requests > 0).length > 100);
	}
});
