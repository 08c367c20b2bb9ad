import { type ModelStateDelta, SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { type Fetcher, type PollerOptions, type ScrapeResult, TargetPoller } from './poller.js';
import type { TargetRecord } from './registry.js';
import { HandClock } from './testing.js';

const options: PollerOptions = {
	scrapePeriodMs: 500,
	scrapeTimeoutMs: 2000,
	bodyMaxBytes: 1000,
	checkPeriodMs: 2000,
	checkTimeoutMs: 1000,
	concurrencyMax: 2,
};

function record(id: string, more: Partial<TargetRecord['spec']> = {}): TargetRecord {
	const spec = {
		id,
		url: `http://${id}`,
		runtime: 'vllm',
		apiKey: `key-${id}`,
		metricsPath: '/metrics',
		healthPath: '/health',
		...more,
	};
	return { spec, row: 0, generation: 1, hold: 'none' } as unknown as TargetRecord;
}

/** A poller whose fetches are answered by hand. */
function open(more: Partial<PollerOptions> = {}) {
	const clock = new HandClock();
	const asked: {
		url: string;
		apiKey: string | undefined;
		timeoutMs: number;
		settle: (answer: { status: number; body: string } | Error) => void;
	}[] = [];
	const fetch: Fetcher = (url, { apiKey, timeoutMs }) =>
		new Promise((resolve, reject) => {
			asked.push({
				url,
				apiKey,
				timeoutMs,
				settle: (answer) =>
					answer instanceof Error ? reject(answer) : resolve({ status: answer.status, body: Buffer.from(answer.body) }),
			});
		});
	const seen = {
		reports: [] as string[],
		checks: [] as boolean[],
		rtts: [] as (number | undefined)[],
		scrapes: [] as ScrapeResult[],
		answers: [] as string[],
	};
	const poller = new TargetPoller(
		{ ...options, ...more },
		{
			clock,
			random: new SeededRandom(5, 0),
			fetch,
			makeReader: ({ runtime }) => ({
				read: (body, nowMs) =>
					Buffer.from(body).toString() === 'rubbish'
						? undefined
						: ({ observedAtMs: nowMs, unread: [] } satisfies ModelStateDelta),
				asks: runtime === 'kserve',
				due: () => (runtime === 'kserve' ? ['/v2'] : []),
				answer: ({ path, status }) => seen.answers.push(`${path} ${status}`),
				readCompanions: (nowMs) =>
					seen.answers.at(-1) === '/v2 200' ? { observedAtMs: nowMs, unread: [] } : undefined,
			}),
			events: {
				report: (target) => seen.reports.push(target.spec.id),
				checked: (_target, ok, rttMs) => {
					seen.checks.push(ok);
					seen.rtts.push(rttMs);
				},
				scraped: (_target, result) => seen.scrapes.push(result),
			},
		},
	);
	/** Lets promises that are settled take their course. */
	const rest = async (): Promise<void> => {
		for (let turn = 0; turn < 10; turn++) await Promise.resolve();
	};
	/** Answers everything asked so far. */
	const answer = async (status = 200, body = 'fine'): Promise<void> => {
		for (const one of asked.splice(0)) one.settle({ status, body });
		await rest();
	};
	return { clock, asked, poller, seen, rest, answer };
}

test('a target is looked at when it comes, then once a period, with its own key and time limits', async (t) => {
	const { clock, asked, poller, seen, answer } = open();
	poller.follow(record('a'));
	t.deepEqual(
		asked.map(({ url, apiKey, timeoutMs }) => [url, apiKey, timeoutMs]),
		[
			['http://a/health', 'key-a', 1000],
			['http://a/metrics', 'key-a', 2000],
		],
	);
	await answer();
	for (let round = 0; round < 20; round++) {
		clock.advance(500);
		await answer();
	}
	// Ten seconds: twenty scrapes and five checks, less what the random first wait took of them.
	t.true(seen.scrapes.length >= 19 && seen.scrapes.length <= 21, `${seen.scrapes.length}`);
	t.true(seen.checks.length >= 5 && seen.checks.length <= 6, `${seen.checks.length}`);
	t.true(seen.scrapes.every((result) => result === 'ok'));
	t.is(seen.reports.length, seen.scrapes.length);
});

test('one look of a kind at a time: a target that hangs is not asked again meanwhile', async (t) => {
	const { clock, asked, poller } = open();
	poller.follow(record('a'));
	clock.advance(60_000);
	t.is(asked.length, 2);
});

test('scrapes stay within their bound over all targets, and those beyond it wait for their turn: none is left out', async (t) => {
	const { asked, poller, answer, clock } = open();
	for (const id of ['a', 'b', 'c', 'd', 'e']) poller.follow(record(id, { healthPath: '' }));
	const turns: string[] = [];
	for (let turn = 0; turn < 4; turn++) {
		turns.push(asked.map(({ url }) => new URL(url).host).join());
		await answer();
	}
	t.deepEqual(turns, ['a,b', 'c,d', 'e', '']);
	for (let round = 0; round < 3; round++) {
		const seen = new Set<string>();
		clock.advance(500);
		while (asked.length > 0) {
			t.true(asked.length <= 2);
			for (const { url } of asked) seen.add(url);
			await answer();
		}
		if (round > 0) t.is(seen.size, 5, 'each once a period');
	}
});

test('a target that is forgotten while its scrape waits leaves its turn to the next', async (t) => {
	const { asked, poller, answer } = open();
	const gone = record('c', { healthPath: '' });
	for (const id of ['a', 'b']) poller.follow(record(id, { healthPath: '' }));
	poller.follow(gone);
	poller.follow(record('d', { healthPath: '' }));
	poller.forget(gone);
	await answer();
	t.deepEqual(
		asked.map(({ url }) => url),
		['http://d/metrics'],
	);
});

test('what a scrape brought is told by name', async (t) => {
	const { asked, clock, poller, seen, rest, answer } = open();
	poller.follow(record('a', { healthPath: '' }));
	const outcomes: ReadonlyArray<{ status: number; body: string } | Error> = [
		{ status: 200, body: 'fine' },
		{ status: 500, body: 'fine' },
		{ status: 200, body: 'rubbish' },
		Object.assign(new Error('late'), { name: 'TimeoutError' }),
		new Error('refused'),
	];
	for (const outcome of outcomes) {
		while (asked.length === 0) clock.advance(100);
		asked.shift()?.settle(outcome);
		await rest();
	}
	t.deepEqual(seen.scrapes, ['ok', 'error', 'unreadable', 'timeout', 'error']);
	t.is(seen.reports.length, 1);
	await answer();
});

test('a check is good for any 2xx and tells its round trip; anything else is bad and tells none', async (t) => {
	const { asked, clock, poller, seen, rest } = open();
	poller.follow(record('a', { metricsPath: '' }));
	for (const outcome of [
		{ status: 204, body: '' },
		{ status: 302, body: '' },
		{ status: 503, body: '' },
		new Error('refused'),
	]) {
		while (asked.length === 0) clock.advance(100);
		clock.advance(7);
		asked.shift()?.settle(outcome);
		await rest();
	}
	t.deepEqual(seen.checks, [true, false, false, false]);
	t.deepEqual(seen.rtts, [7, undefined, undefined, undefined]);
});

test('a target that is forgotten is not looked at, and a late answer of it is not told', async (t) => {
	const { clock, asked, poller, seen, rest } = open();
	const target = record('a');
	poller.follow(target);
	poller.forget(target);
	poller.forget(target);
	t.is(clock.timers, 0);
	for (const one of asked.splice(0)) one.settle({ status: 200, body: 'fine' });
	await rest();
	clock.advance(10_000);
	t.deepEqual([asked.length, seen.reports.length, seen.checks.length, seen.scrapes.length], [0, 0, 0, 0]);
});

test('closing forgets all', (t) => {
	const { clock, poller } = open();
	for (const id of ['a', 'b', 'c']) poller.follow(record(id));
	poller.close();
	t.is(clock.timers, 0);
});

test('periodic looks are spread over the period', async (t) => {
	const { asked, clock, poller, answer } = open({ concurrencyMax: 1000 });
	for (let i = 0; i < 200; i++) poller.follow(record(`t${i}`, { healthPath: '' }));
	await answer();
	clock.advance(500);
	for (let quarter = 0; quarter < 8; quarter++) {
		await answer();
		clock.advance(125);
		t.true(asked.length > 30 && asked.length < 70, `${asked.length} of 200 in a quarter of the period`);
	}
});

test('endpoints beside the metrics are asked in the same look, and speak where there are no metrics', async (t) => {
	const { clock, asked, poller, seen, rest } = open();
	poller.follow(record('a', { runtime: 'kserve', metricsPath: '', healthPath: '' }));
	await rest();
	t.deepEqual(
		asked.map(({ url }) => url),
		['http://a/v2'],
	);
	asked.shift()?.settle({ status: 200, body: '{}' });
	await rest();
	t.deepEqual([seen.answers, seen.reports, seen.scrapes], [['/v2 200'], ['a'], ['ok']]);
	clock.advance(1000);
	await rest();
	asked.shift()?.settle(new Error('refused'));
	await rest();
	t.deepEqual([seen.answers.at(-1), seen.reports.length, seen.scrapes.at(-1)], ['/v2 0', 1, 'error']);
});

test('metrics at another port are given as a whole URL', (t) => {
	const { asked, poller } = open();
	poller.follow(record('a', { metricsPath: 'http://a:8002/metrics', healthPath: '' }));
	t.deepEqual(
		asked.map(({ url }) => url),
		['http://a:8002/metrics'],
	);
});
