// Whatever targets do and clients do, however many attempts a request has (retries, copies, both sides of a pair): each dispatch is one entry of the ledger
// closed once and one outcome, and every request leaves.
import test from 'ava';
import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check';
import { hedgingDefaults } from './hedge/options.js';
import {
	answerStream,
	answerWhole,
	chatBody,
	chunkEvent,
	type EngineHandler,
	type FakeEngine,
	fakeEngine,
	firstRow,
	startRouter,
	until,
} from './testing/kit.js';

/** How a target treats a request. */
const behaviours = {
	answers: (req, res, body) =>
		(JSON.parse(body.toString()) as { stream?: boolean }).stream === true
			? answerStream(['a', 'b'])(req, res, body)
			: answerWhole(req, res, body),
	late: (req, res, body) => setTimeout(() => behaviours.answers(req, res, body), 15),
	full: (_req, res) => res.writeHead(503).end(),
	fails: (_req, res) => res.writeHead(500).end(),
	refuses: (_req, res) => res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{}}'),
	dies: (_req, res) => res.destroy(),
	hangs: () => undefined,
	breaks: (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'), () => setTimeout(() => res.destroy(), 3));
	},
} satisfies Record<string, EngineHandler>;
type Behaviour = keyof typeof behaviours;

const TARGETS = 4;
const NAMES = Object.keys(behaviours) as Behaviour[];

const scenario = record({
	targets: array(constantFrom(...NAMES), { minLength: TARGETS, maxLength: TARGETS }),
	copies: integer({ min: 0, max: 2 }),
	runtime: constantFrom('vllm', 'sglang'),
	roles: constantFrom(
		['both', 'both', 'both', 'both'],
		['prefill', 'prefill', 'decode', 'both'],
		['prefill', 'decode', 'decode', 'decode'],
	),
	requests: array(
		record({ stream: constantFrom(true, false), leavesAfterMs: constantFrom(undefined, undefined, 0, 8, 30) }),
		{ minLength: 1, maxLength: 4 },
	),
});

async function ask(url: string, stream: boolean, leavesAfterMs: number | undefined): Promise<void> {
	const cancel = new AbortController();
	if (leavesAfterMs !== undefined) setTimeout(() => cancel.abort(), leavesAfterMs);
	const init = { method: 'POST', body: chatBody({ stream }), headers: { 'content-type': 'application/json' } };
	// A cut or refused answer is as good as any here: what counts is what is left behind.
	await fetch(`${url}/v1/chat/completions`, { ...init, signal: cancel.signal }).then(
		(response) => response.text().catch(() => ''),
		() => '',
	);
}

test('every attempt ends in one entry of the ledger closed and one outcome', async (t) => {
	const engines: Record<Behaviour, FakeEngine> = Object.fromEntries(
		await Promise.all(NAMES.map(async (name) => [name, await fakeEngine(behaviours[name])])),
	) as Record<Behaviour, FakeEngine>;
	t.teardown(() => Promise.all(NAMES.map((name) => engines[name].close())));
	let dispatched = 0;
	let several = 0;
	await assert(
		asyncProperty(scenario, async ({ targets, copies, runtime, roles, requests }) => {
			const first = firstRow(TARGETS);
			const mesh = await startRouter({
				origins: targets.map((name) => engines[name].origin),
				each: roles.map((role) => ({ runtime, role })),
				decide: (out, excluded) => {
					first(out, excluded);
					out.hedgeCopies = copies;
					out.hedgeDelayMs = 2;
				},
				options: {
					hedge: { ...hedgingDefaults, copiesMax: 2, budgetRatio: 1e6, budgetTokensMax: 1e9, delayMsMin: 1 },
					upstream: { firstByteTimeoutMs: 60, idleTimeoutMs: 60 },
					retry: { budgetBurst: 1000, backoffMs: 1 },
				},
			});
			try {
				await Promise.all(requests.map(({ stream, leavesAfterMs }) => ask(mesh.url, stream, leavesAfterMs)));
				await until('all requests have left', () => mesh.router.inflight() === 0, 20_000);
				dispatched += mesh.dispatched();
				if (mesh.dispatched() > requests.length) several++;
				const ended = [mesh.open(), mesh.endedTwice(), mesh.outcomes.length, mesh.errors.length];
				const wanted = [0, 0, mesh.dispatched(), 0];
				if (ended.join() !== wanted.join()) throw new Error(`${ended.join()} in place of ${wanted.join()}`);
			} finally {
				await mesh.close();
			}
		}),
		{ numRuns: 40, seed: 20_261_126 },
	);
	t.log(`${dispatched} attempts; ${several} runs with more attempts than requests`);
	t.true(several > 10, 'the property must be seen where requests have several attempts');
});
