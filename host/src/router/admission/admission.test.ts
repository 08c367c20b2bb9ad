// Admission seen from a client: who waits for room and who is served next, what is refused and how it says so, and what quotas charge and give back.
import type { ServerResponse } from 'node:http';
import type { Clock } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { openPolicy } from '../../fleet/placement.js';
import type { ModelPool } from '../ports.js';
import {
	answer,
	answerWhole,
	chatBody,
	chunkEvent,
	errorOf,
	type FakeEngine,
	fakeEngine,
	firstRow,
	post,
	rawClient,
	startRouter,
	type TestRouter,
	testPool,
	until,
} from '../testing/kit.js';
import { skewedClock } from '../testing/skewed-clock.js';
import { type AdmissionOptions, admissionDefaults } from './options.js';
import type { AdmissionReason } from './ports.js';
import { CONCURRENCY, createQuotaBoard, QuotaBoard } from './quota-board.js';
import type { RoomChange } from './waiting-room.js';

const CHAT = '/v1/chat/completions';
/** The kit numbers tenants by the length of their names. */
const tenantA = { 'x-infermesh-tenant': 'a' };
const tenantB = { 'x-infermesh-tenant': 'bb' };

interface Set {
	readonly mesh: TestRouter;
	readonly engine: FakeEngine;
	/** Requests that have reached the engine and are not answered: of whom, in order. */
	readonly open: { readonly tag: string; readonly res: ServerResponse }[];
	readonly refused: AdmissionReason[];
	readonly board: QuotaBoard;
	readonly wanted: number[];
	readonly told: RoomChange[];
	readonly turns: string[];
	ask(
		tag: string,
		headers?: Readonly<Record<string, string>>,
		more?: Readonly<Record<string, unknown>>,
	): Promise<Response>;
	/** Answers the first open request; resolves with its tag. */
	answerFirst(): Promise<string>;
}

interface Given {
	/** Requests the one target takes at once. */
	readonly slots?: number;
	readonly options?: Partial<AdmissionOptions>;
	readonly pool?: (origin: string) => ModelPool;
	readonly room?: (row: number, inFlight: number) => boolean;
	/** Requests that all routers may still send to a target; default: not known. */
	readonly meshRoom?: (row: number, inFlight: number) => number | undefined;
	/** Rows of the pool. Default 1. */
	readonly rows?: number;
	readonly clock?: Clock;
}

async function setUp(t: ExecutionContext, given: Given = {}): Promise<Set> {
	const { slots = 1 } = given;
	const open: Set['open'] = [];
	const refused: AdmissionReason[] = [];
	const wanted: number[] = [];
	const told: RoomChange[] = [];
	const turns: string[] = [];
	const board = new QuotaBoard(createQuotaBoard(16, 1));
	const engine = await fakeEngine((_req, res, body) => {
		const { user } = JSON.parse(body.toString()) as { user: string };
		open.push({ tag: user, res });
	});
	let inFlight = 0;
	const pool = given.pool?.(engine.origin);
	const mesh = await startRouter({
		origins: [engine.origin],
		decide: firstRow(given.rows ?? 1),
		options: { admission: { ...admissionDefaults, ...given.options } },
		ports: {
			...(given.clock === undefined ? {} : { clock: given.clock }),
			...(pool === undefined
				? {}
				: {
						directory: {
							resolve: (model: string) => ({ requested: model, pool, fallbacks: [] }),
							models: () => [],
							passThroughPool: () => pool,
							owner: () => undefined,
						},
					}),
			ledger: {
				dispatch: () => ++inFlight,
				unreachable: () => undefined,
				firstToken: () => undefined,
				end: () => void inFlight--,
				inFlight: () => inFlight,
			},
			admission: {
				hasRoom: (row) => given.room?.(row, inFlight) ?? inFlight < slots,
				quotas: { board, worker: 0, want: (tenant) => wanted.push(tenant) },
				mesh: { handRows: 0, room: (row) => given.meshRoom?.(row, inFlight), tell: (changes) => told.push(...changes) },
				metrics: {
					refused: (reason) => refused.push(reason),
					queued: () => undefined,
					waited: () => undefined,
					turn: (turn) => turns.push(turn),
				},
			},
		},
	});
	t.teardown(async () => {
		await mesh.close();
		await engine.close();
	});
	const ask: Set['ask'] = (tag, headers = {}, more = {}) =>
		post(`${mesh.url}${CHAT}`, chatBody({ user: tag, ...more }), headers);
	const answerFirst = async (): Promise<string> => {
		await until('a request at the engine', () => open.length > 0);
		const { tag, res } = open.shift() as Set['open'][number];
		answerWhole(res.req, res, Buffer.alloc(0));
		return tag;
	};
	return { mesh, engine, open, refused, board, wanted, told, turns, ask, answerFirst };
}

/** Has requests wait one after another, so that their order is known. */
async function waitInOrder(set: Set, asks: readonly (() => Promise<Response>)[]): Promise<Promise<Response>[]> {
	const answers: Promise<Response>[] = [];
	for (const ask of asks) {
		answers.push(ask());
		await until('it waits', () => set.mesh.router.waiting() === answers.length);
	}
	return answers;
}

test('what a target has no room for waits here, and is served when there is', async (t) => {
	const set = await setUp(t);
	const first = set.ask('one');
	await until('one is at the engine', () => set.open.length === 1);
	const [second] = await waitInOrder(set, [() => set.ask('two')]);
	t.is(set.engine.seen.length, 1);
	t.is(await set.answerFirst(), 'one');
	t.is(await set.answerFirst(), 'two');
	t.is((await first).status, 200);
	t.is((await second)?.status, 200);
	t.is(set.mesh.router.waiting(), 0);
	t.deepEqual(set.refused, []);
});

test('tenants are served by weight of what they take, whoever asked first', async (t) => {
	const set = await setUp(t, { options: { tenantShare: 1 } });
	set.board.limit(1, 0, [], 1, 0);
	set.board.limit(2, 0, [], 3, 0);
	const busy = set.ask('busy');
	await until('the engine is busy', () => set.open.length === 1);
	const asks = [
		...Array.from({ length: 8 }, () => () => set.ask('a', tenantA)),
		...Array.from({ length: 8 }, () => () => set.ask('b', tenantB)),
	];
	const answers = await waitInOrder(set, asks);
	await set.answerFirst();
	const order: string[] = [];
	for (let n = 0; n < 16; n++) order.push(await set.answerFirst());
	await Promise.all([busy, ...answers]);
	t.is(order.slice(0, 8).filter((tag) => tag === 'b').length, 6, order.join(''));
});

test('a more urgent request goes first, and of one tenant’s the one that is due first', async (t) => {
	const set = await setUp(t);
	const busy = set.ask('busy');
	await until('the engine is busy', () => set.open.length === 1);
	const answers = await waitInOrder(set, [
		() => set.ask('plain'),
		() => set.ask('relaxed', { 'x-infermesh-slo-ttft-ms': '5000' }),
		() => set.ask('tight', { 'x-infermesh-slo-ttft-ms': '100' }),
		() => set.ask('low', { 'x-infermesh-priority': '-1' }),
		() => set.ask('urgent', { 'x-infermesh-priority': '5' }),
	]);
	const order: string[] = [];
	for (let n = 0; n < 6; n++) order.push(await set.answerFirst());
	await Promise.all([busy, ...answers]);
	t.deepEqual(order, ['busy', 'urgent', 'tight', 'relaxed', 'plain', 'low']);
});

test('the queue has a bound, and who finds it full is told so with a time to come back', async (t) => {
	const set = await setUp(t, { options: { requestsMax: 2, tenantShare: 1, bandShares: [1, 1, 1, 1] } });
	const busy = set.ask('busy');
	await until('the engine is busy', () => set.open.length === 1);
	const answers = await waitInOrder(set, [() => set.ask('one'), () => set.ask('two')]);
	const third = await set.ask('three');
	t.is(third.status, 503);
	t.is(third.headers.get('x-infermesh-error'), 'IM_FLOW_QUEUE_FULL');
	t.true(Number(third.headers.get('retry-after')) >= 1);
	t.is((await errorOf(third)).code, 'IM_FLOW_QUEUE_FULL');
	t.deepEqual(set.refused, ['queue_full']);
	for (let n = 0; n < 3; n++) await set.answerFirst();
	await Promise.all([busy, ...answers]);
});

test('one tenant fills its part of the queue only', async (t) => {
	const set = await setUp(t, { options: { requestsMax: 4, tenantShare: 0.5, bandShares: [1, 1, 1, 1] } });
	const busy = set.ask('busy');
	await until('the engine is busy', () => set.open.length === 1);
	const answers = await waitInOrder(set, [() => set.ask('a', tenantA), () => set.ask('a', tenantA)]);
	const over = await set.ask('a', tenantA);
	t.is(over.status, 429);
	t.is(over.headers.get('x-infermesh-error'), 'IM_FLOW_TENANT_QUEUE_FULL');
	const other = set.ask('b', tenantB);
	await until('another tenant waits', () => set.mesh.router.waiting() === 3);
	for (let n = 0; n < 4; n++) await set.answerFirst();
	t.is((await other).status, 200);
	await Promise.all([busy, ...answers]);
});

test('waiting ends with the deadline, or with the longest time that requests may wait', async (t) => {
	const set = await setUp(t, { options: { waitMaxMs: 300 } });
	const busy = set.ask('busy');
	await until('the engine is busy', () => set.open.length === 1);
	const [late, long] = await Promise.all([set.ask('late', { 'x-infermesh-deadline-ms': '50' }), set.ask('long')]);
	t.is(late.status, 504);
	t.is(late.headers.get('x-infermesh-error'), 'IM_ROUTE_DEADLINE');
	t.is(long.status, 503);
	t.is(long.headers.get('x-infermesh-error'), 'IM_FLOW_WAIT');
	t.is(set.engine.seen.length, 1, 'neither was sent anywhere');
	await set.answerFirst();
	t.is((await busy).status, 200);
});

test('a client that leaves while it waits leaves its place, and its quota, as they were', async (t) => {
	const set = await setUp(t);
	set.board.limit(1, 1 << CONCURRENCY, [], 1, 0);
	set.board.grantSlots(1, 10);
	const busy = set.ask('busy', tenantB);
	await until('the engine is busy', () => set.open.length === 1);
	const body = chatBody({ user: 'gone' });
	const client = rawClient(
		set.mesh.port,
		`POST ${CHAT} HTTP/1.1\r\nhost: x\r\nx-infermesh-tenant: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
	);
	await until('it waits', () => set.mesh.router.waiting() === 1);
	t.is(set.board.inUse(1), 1);
	t.is(set.board.waiting(1), 1);
	client.socket.destroy();
	await until('its place is free', () => set.mesh.router.waiting() === 0);
	t.is(set.board.inUse(1), 0);
	t.is(set.board.waiting(1), 0);
	await set.answerFirst();
	await busy;
	t.is(set.engine.seen.length, 1);
});

test('a tenant that may go to full targets only holds up nobody else', async (t) => {
	const pool = (origin: string): ModelPool => ({
		...testPool([origin, origin]),
		policy: { ...openPolicy, closedTo: new Map([['a', [1]]]) },
	});
	const set = await setUp(t, { pool, rows: 2, room: (row, inFlight) => row === 1 || inFlight === 0 });
	const busy = set.ask('busy');
	await until('the first target is busy', () => set.open.length === 1);
	const [confined] = await waitInOrder(set, [() => set.ask('a', tenantA)]);
	const other = set.ask('b', tenantB);
	await until('the other goes where there is room', () => set.open.length === 2);
	t.is(set.mesh.router.waiting(), 1);
	t.is(set.open[1]?.tag, 'b');
	await set.answerFirst();
	await set.answerFirst();
	t.is(await set.answerFirst(), 'a');
	await Promise.all([busy, other, confined]);
	const named = await set.ask('a', { ...tenantA, 'x-infermesh-force-target': 't1' });
	t.deepEqual(
		[named.status, named.headers.get('x-infermesh-error'), named.headers.get('retry-after')],
		[503, 'IM_ROUTE_NO_TARGET', '1'],
		'not even by name',
	);
});

test('without flow control nothing waits here, and quotas hold all the same', async (t) => {
	const set = await setUp(t, { options: { enabled: false, leaseWaitMs: 1 } });
	set.board.limit(1, 1 << CONCURRENCY, [], 1, 0);
	const both = [set.ask('one', tenantB), set.ask('two', tenantB)];
	await until('both are at the engine', () => set.open.length === 2);
	const refused = await set.ask('three', tenantA);
	t.is(refused.status, 429);
	t.is(refused.headers.get('x-infermesh-error'), 'IM_QUOTA_CONCURRENCY');
	await set.answerFirst();
	await set.answerFirst();
	await Promise.all(both);
});

const everything = (perMs: number, burst: number) => Array.from({ length: 5 }, () => ({ burst, perMs }));
/** Requests a minute, tokens in, tokens out. */
const LIMITED = (1 << 1) | (1 << 2) | (1 << 3);

test('what was expected is charged when a request comes, and settled by the usage of its answer', async (t) => {
	const set = await setUp(t);
	set.board.limit(1, LIMITED, everything(1, 1000), 1, 0);
	for (const dimension of [1, 2, 3]) set.board.grant(1, dimension, 500);
	const asked = set.ask('a', tenantA, { max_tokens: 100 });
	await until('it is at the engine', () => set.open.length === 1);
	t.is(set.board.balance(1, 1), 499);
	t.is(set.board.balance(1, 3), 400, 'as much output as it asked for at most');
	await set.answerFirst();
	t.is((await asked).status, 200);
	await until('it is settled', () => set.board.inUse(1) === 0);
	t.is(set.board.balance(1, 1), 499);
	t.is(set.board.balance(1, 2), 500 - answer.usage.prompt_tokens);
	t.is(set.board.balance(1, 3), 500 - answer.usage.completion_tokens);
});

test('a stream longer than expected is charged as it goes, and settled by what it was', async (t) => {
	const set = await setUp(t);
	set.board.limit(1, LIMITED, everything(1, 1000), 1, 0);
	for (const dimension of [1, 2, 3]) set.board.grant(1, dimension, 500);
	const leaves = new AbortController();
	const headers = { 'content-type': 'application/json', ...tenantA };
	const body = chatBody({ user: 'a', stream: true, max_tokens: 10 });
	const asked = fetch(`${set.mesh.url}${CHAT}`, { method: 'POST', headers, body, signal: leaves.signal });
	await until('it is at the engine', () => set.open.length === 1);
	t.is(set.board.balance(1, 3), 490);
	const [{ res }] = set.open as [Set['open'][number]];
	res.writeHead(200, { 'content-type': 'text/event-stream' });
	res.write(chunkEvent('a').repeat(700));
	t.is((await asked).status, 200);
	await until('what it took is charged while it goes on', () => set.board.balance(1, 3) === -200);
	leaves.abort();
	await until('it is settled', () => set.board.inUse(1) === 0);
	t.deepEqual([set.board.balance(1, 1), set.board.balance(1, 3), set.board.spent(1, 3)], [499, -200, 700]);
});

test('an engine that fails costs the tenant its request and no tokens', async (t) => {
	const set = await setUp(t);
	set.board.limit(1, LIMITED, everything(1, 1000), 1, 0);
	for (const dimension of [1, 2, 3]) set.board.grant(1, dimension, 500);
	const asked = set.ask('a', tenantA);
	await until('it is at the engine', () => set.open.length === 1);
	set.open[0]?.res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}');
	t.is((await asked).status, 400);
	await until('it is settled', () => set.board.inUse(1) === 0);
	t.deepEqual(
		[1, 2, 3].map((dimension) => set.board.balance(1, dimension)),
		[499, 500, 500],
	);
});

test('an answer that did not come by its own deadline pays what was expected, as one whose client has left', async (t) => {
	const { clock, advance } = skewedClock();
	const set = await setUp(t, { clock });
	set.board.limit(1, LIMITED, everything(1, 1000), 1, 0);
	for (const dimension of [1, 2, 3]) set.board.grant(1, dimension, 500);
	const asking = set.ask('a', { ...tenantA, 'x-infermesh-deadline-ms': '600000' }, { max_tokens: 100 });
	await until('it is at the engine', () => set.open.length === 1);
	advance(600_001);
	const asked = await asking;
	t.deepEqual([asked.status, asked.headers.get('x-infermesh-error')], [504, 'IM_ROUTE_DEADLINE']);
	await until('it is settled', () => set.board.inUse(1) === 0);
	t.is(set.board.balance(1, 1), 499);
	t.true(set.board.balance(1, 2) < 500);
	t.is(set.board.balance(1, 3), 400);
});

test('a request waits for its quota to be leased, and goes on when it is', async (t) => {
	const set = await setUp(t, { options: { leaseWaitMs: 60_000 } });
	set.board.limit(1, 1 << 1, everything(1, 1000), 1, 0);
	const asked = [set.ask('one', tenantA), set.ask('two', tenantA)];
	await until('both are counted as wanted', () => set.board.denied(1, 1) === 2);
	t.deepEqual(set.wanted, [1], 'the agent is asked once');
	set.board.grant(1, 1, 1);
	set.mesh.router.quotaGranted([1]);
	await set.answerFirst();
	const statuses = (await Promise.all(asked)).map(({ status }) => status);
	t.deepEqual(
		statuses.toSorted((a, b) => a - b),
		[200, 429],
	);
});

test('a quota that is used up is refused with the time at which it is there again', async (t) => {
	const set = await setUp(t);
	set.board.limit(1, 1 << 2, everything(0.001, 1000), 1, 0);
	set.board.readyAgain(1, 2, performance.timeOrigin + performance.now() + 4000);
	const refused = await set.ask('a', tenantA);
	t.is(refused.status, 429);
	t.is(refused.headers.get('x-infermesh-error'), 'IM_QUOTA_TOKENS');
	const prompt = set.mesh.decided.length;
	t.is(prompt, 0, 'nothing was decided for it');
	const seconds = Number(refused.headers.get('retry-after'));
	t.true(seconds >= 4 && seconds <= 12, `the prompt’s few tokens come one a second after four: ${seconds}`);
	t.deepEqual(set.refused, ['quota_tokens']);
	t.is(set.board.refusals(1), 1);
});

test('a prompt larger than the quota ever holds is refused for good', async (t) => {
	const set = await setUp(t);
	set.board.limit(1, 1 << 2, everything(1, 1), 1, 0);
	const refused = await set.ask('a', tenantA);
	t.is(refused.status, 429);
	t.is(refused.headers.get('x-infermesh-error'), 'IM_QUOTA_TOO_LARGE');
	t.is(refused.headers.get('retry-after'), null);
});

test('requests that a strategy holds keep its order, and beyond its window others wait in theirs', async (t) => {
	let room = false;
	const keys = new Map([
		['late', 9],
		['early', 1],
	]);
	const order: string[] = [];
	const engine = await fakeEngine((req, res, body) => {
		order.push((JSON.parse(body.toString()) as { user: string }).user);
		answerWhole(req, res, body);
	});
	const names = ['late', 'early', 'third'];
	let asked = 0;
	const mesh = await startRouter({
		origins: [engine.origin],
		options: { admission: { ...admissionDefaults, strategyWindow: 2 } },
		decide: (out, excluded, features) => {
			firstRow(1)(out, excluded);
			if (room) return;
			out.verdict = 'hold';
			out.holdKey = keys.get(names[asked++] ?? '') ?? features.waitedMs;
		},
	});
	t.teardown(async () => {
		await mesh.close();
		await engine.close();
	});
	const answers: Promise<Response>[] = [];
	for (const [at, name] of names.entries()) {
		answers.push(post(`${mesh.url}${CHAT}`, chatBody({ user: name })));
		await until(`${name} waits`, () => mesh.router.held() + mesh.router.waiting() === at + 1);
		if (at === 1) t.is(mesh.router.held(), 2);
	}
	t.is(mesh.router.waiting(), 1);
	room = true;
	for (const one of await Promise.all(answers)) t.is(one.status, 200);
	t.deepEqual(order.toSorted(), names.toSorted());
	t.is(order[2], 'third');
});

test('who is owed goes beyond this router’s part of a target; who is ahead is given what would be idle', async (t) => {
	let left = 0;
	const set = await setUp(t, { slots: 1, meshRoom: () => left });
	const heard = (tenant: number, service: number, waiting: number): void =>
		set.mesh.router.flowsHeard([{ pool: 0, band: 2, tenant, service, waiting }]);
	const busy = set.ask('busy', tenantA);
	await until('the engine is busy', () => set.open.length === 1);
	const answers = await waitInOrder(
		set,
		Array.from({ length: 4 }, () => () => set.ask('a', tenantA)),
	);
	// Another tenant waits elsewhere and has had as much: this one is owed what room there is.
	heard(2, 0, 3);
	left = 1;
	await until('it goes though the router has its part', () => set.open.length === 2);
	// The other has had much less: it comes first, wherever it waits.
	left = 0;
	heard(2, -1e6, 3);
	await set.answerFirst();
	await set.answerFirst();
	left = admissionDefaults.aheadGap;
	await new Promise((resolve) => void setTimeout(resolve, 5 * admissionDefaults.lookMs));
	t.is(set.open.length, 0, 'there is room, but not for it');
	left = admissionDefaults.aheadGap + 1;
	await until('a target would be idle', () => set.open.length === 1);
	left = 0;
	await set.answerFirst();
	heard(2, 2e6, 3);
	for (let n = 0; n < 2; n++) t.is(await set.answerFirst(), 'a', 'it is owed again, and has its part');
	await Promise.all([busy, ...answers]);
	t.deepEqual(set.turns, ['owed', 'ahead', 'owed', 'owed']);
	t.deepEqual(set.refused, []);
});

test('what is less urgent than others that wait elsewhere is given what would be idle, and what is more urgent goes beyond this router’s part', async (t) => {
	let left = admissionDefaults.outrankedGap;
	// On a slow machine nothing is starved, either.
	const set = await setUp(t, { slots: 1, meshRoom: () => left, options: { agedMs: 600_000 } });
	const heard = (band: number, waiting: number): void =>
		set.mesh.router.flowsHeard([{ pool: 0, band, tenant: 2, service: 0, waiting }]);
	const busy = set.ask('busy', tenantA);
	await until('the engine is busy', () => set.open.length === 1);
	const answers = await waitInOrder(
		set,
		Array.from({ length: 2 }, () => () => set.ask('a', tenantA)),
	);
	heard(0, 3);
	await set.answerFirst();
	await new Promise((resolve) => void setTimeout(resolve, 5 * admissionDefaults.lookMs));
	t.is(set.open.length, 0, 'there is room, but not for it');
	left++;
	await until('a target would be idle', () => set.open.length === 1);
	heard(0, 0);
	heard(3, 3);
	left = 1;
	await until('it goes though the router has its part', () => set.open.length === 2);
	for (let n = 0; n < 2; n++) await set.answerFirst();
	await Promise.all([busy, ...answers]);
	t.deepEqual(set.turns, ['outranked', 'owed']);
});

test('a request that nobody waits before here takes its turn among those that wait elsewhere, and is told of', async (t) => {
	const set = await setUp(t);
	t.is((await answered(set, set.ask('before', tenantA))).status, 200);
	t.deepEqual(set.told, [], 'nothing waited');
	set.mesh.router.flowsHeard([{ pool: 0, band: 2, tenant: 2, service: 0, waiting: 1 }]);
	t.is((await answered(set, set.ask('now', tenantA))).status, 200);
	await until('what it took is told', () => set.told.some(({ service }) => service > 0));
	await until('and that nothing waits', () => set.told.at(-1)?.waiting === 0);
	t.deepEqual(set.turns, ['owed']);
	t.true(set.told.every(({ pool, band, tenant }) => pool === 0 && band === 2 && tenant === 1));
});

async function answered(set: Set, answer: Promise<Response>): Promise<Response> {
	await set.answerFirst();
	return answer;
}
