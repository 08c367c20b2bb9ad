// Reports and progress: what a reader sees, that nothing from the network becomes markup, and that the page needs nothing but itself.
import test from 'ava';
import { Collector } from '../collector.js';
import type { Outcome } from '../outcome.js';
import { createProgress } from '../progress.js';
import type { LoadResult } from '../result.js';
import { formatMs, formatMsTick, formatNumber, formatShare } from './format.js';
import { renderHtml } from './html.js';
import { linearAxis, logAxis, position, timeAxis } from './scale.js';
import { renderText } from './text.js';

function sample(
	options: { readonly requests?: number; readonly target?: string; readonly failed?: number } = {},
): LoadResult {
	const collector = new Collector({ startMs: 0, slo: undefined, stream: true });
	const total = options.requests ?? 200;
	for (let index = 0; index < total; index++) {
		const intendedMs = index * 10;
		const strategy = index < 100 ? 'baseline_rr@1.0.0' : 'mine@0.2.0';
		const target = options.target ?? `engine-${index % 3}`;
		const isFailed = index < (options.failed ?? 0);
		const outcome: Outcome = {
			end: isFailed ? 'failed' : 'ok',
			failure: isFailed ? { kind: 'http', detail: '503 IM_ROUTER_NO_TARGET' } : undefined,
			intendedMs,
			sentMs: intendedMs + 0.5,
			firstTokenMs: intendedMs + 20 + index,
			lastTokenMs: intendedMs + 120 + index,
			endMs: intendedMs + 121 + index,
			inputTokens: 100,
			outputTokens: 11,
			target,
			strategy,
		};
		collector.sent(intendedMs, outcome.sentMs);
		collector.headers(intendedMs + 19, target, strategy);
		collector.token(intendedMs + 20, undefined);
		collector.token(intendedMs + 30, 10);
		collector.ended(outcome);
	}
	const { goodRequests, ...measured } = collector.summary();
	return {
		schema: 'infermesh.load/v1',
		startedAt: '2026-01-02T03:04:05.000Z',
		url: 'http://127.0.0.1:8080',
		model: 'llama',
		streaming: true,
		mode: 'open',
		workload: { kind: 'mooncake', name: 'conversation.jsonl', speed: 2, notes: ['timestamps were spread'] },
		partial: true,
		...measured,
		goodput: { slo: 'ttft<5s', requests: goodRequests, share: 0.985, requestsPerSecond: 10 },
		thresholds: [
			{ source: 'ttft.p99<2s', passed: true, actual: 216 },
			{ source: 'fail.rate<=0', passed: false, actual: 0.025 },
			{ source: 'tpot.p99<1s', passed: false, actual: null },
		],
		passed: false,
	};
}

test('the text report names what was run, what came of it and why it fails', (t) => {
	const text = renderText(sample({ failed: 5 }));
	for (const expected of [
		/^http:\/\/127\.0\.0\.1:8080 {2}llama {2}streamed, open loop$/m,
		/^conversation\.jsonl at 2x$/m,
		/^note: timestamps were spread$/m,
		/^PARTIAL: /m,
		/^requests {2}195 completed of 200 offered, 5 failed, 0 dropped; failure rate 2\.50 %$/m,
		/^goodput {3}98\.5 % within ttft<5s/m,
		/^TTFT +\S+ ms/m,
		/^TPOT +10\.0 ms/m,
		/^http: 503 IM_ROUTER_NO_TARGET +5$/m,
		/^engine-0 +67 /m,
		/^switch at 1\.02 s: baseline_rr@1\.0\.0 -> mine@0\.2\.0$/m,
		/^pass {2}ttft\.p99<2s {2}\(216 ms\)$/m,
		/^FAIL {2}fail\.rate<=0 {2}\(2\.50 %\)$/m,
		/^FAIL {2}tpot\.p99<1s {2}\(not measured\)$/m,
	])
		t.regex(text, expected);
	t.true(text.split('\n').every((line) => line.length <= 140));
});

test('the page is self-contained, shows the plots and carries the result', (t) => {
	const result = sample({ failed: 5 });
	const html = renderHtml(result);
	t.false(/(?:src|href)="(?!data:)/.test(html), 'no external resource');
	t.false(/url\(|@import|fetch\(/.test(html));
	for (const title of [
		'Latency to first token',
		'Latency per token',
		'TTFT by time due',
		'Output tokens a second',
		'Requests in flight',
		'by target',
		'by strategy',
	])
		t.true(html.includes(`<b>${title}`) || html.includes(`${title}</b>`), title);
	t.is(html.match(/<line class="marker"/g)?.length, 6, 'the switch is marked in every chart over time');
	t.true(html.includes('1 baseline_rr@1.0.0 → mine@0.2.0'));
	t.false(/NaN|undefined|Infinity/.test(html.replaceAll(/<script[\s\S]*?<\/script>/g, '')));
	const json = /<script type="application\/json" id="result">(.*?)<\/script>/s.exec(html)?.[1] ?? '';
	t.deepEqual(JSON.parse(json), result);
});

test('names from the network never become markup', (t) => {
	const evil = `</script><img src=x onerror="alert(1)">'&`;
	const html = renderHtml(sample({ target: evil }));
	t.false(html.includes('<img'));
	t.false(html.includes('</script><'.concat('img')));
	t.is(html.match(/<script/g)?.length, 2);
	t.true(html.includes('&lt;/script&gt;&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&#39;&amp;'));
});

test('an empty result and a result of one request render', (t) => {
	for (const requests of [0, 1]) {
		const result = sample({ requests });
		const html = renderHtml(result);
		t.false(/NaN|undefined|Infinity/.test(html.replaceAll(/<script[\s\S]*?<\/script>/g, '')), `${requests} requests`);
		t.true(renderText(result).includes(`${requests} completed`));
	}
});

test('numbers are written for people', (t) => {
	t.deepEqual([0, 0.0005, 0.8124, 12.345, 999.4, 1234, 59_999, 250_000, null].map(formatMs), [
		'0 ms',
		'0.500 µs',
		'812 µs',
		'12.3 ms',
		'999 ms',
		'1.23 s',
		'60.0 s',
		'4m 10s',
		'–',
	]);
	t.deepEqual([1, 10, 2500, 0.05].map(formatMsTick), ['1 ms', '10 ms', '2.5 s', '50 µs']);
	t.deepEqual([0, 5, 12.345, 1234.5, 1_234_567].map(formatNumber), ['0', '5', '12.3', '1,235', '1,234,567']);
	t.deepEqual([0, 1, 0.5, 0.99995, 0.9912, 0.00001].map(formatShare), [
		'0 %',
		'100 %',
		'50.0 %',
		'>99.99 %',
		'99.12 %',
		'<0.01 %',
	]);
});

test('axes cover their values and put ticks inside', (t) => {
	for (const max of [0, 0.003, 1, 7, 58, 999, 123_456]) {
		const axis = linearAxis(max);
		t.true(axis.max >= max && axis.ticks.length >= 3 && axis.ticks.length <= 8, `${max}: ${axis.ticks.join(' ')}`);
	}
	for (const seconds of [0.5, 5, 54.6, 900, 3537]) {
		const axis = timeAxis(seconds);
		t.true(
			axis.ticks.length >= 2 && axis.ticks.length <= 9 && (axis.ticks.at(-1) ?? 0) <= seconds + 1e-6,
			`${seconds}`,
		);
	}
	const log = logAxis(0.1, 1000);
	t.deepEqual(
		[0, 0.1, 1000, 5000].map((value) => position(log, value)),
		[0, 0, 1, 1],
	);
	t.true(Math.abs(position(log, 10) - 0.5) < 1e-9);
	t.true(logAxis(5, 5).ticks.length > 0);
});

test('progress is one redrawn line on a terminal, a line per period elsewhere', (t) => {
	const snapshot = {
		elapsedMs: 0,
		sent: 9,
		completed: 5,
		failed: 1,
		dropped: 0,
		inFlight: 3,
		ttftP50Ms: 12.3,
		ttftP99Ms: 45.6,
		requestsPerSecond: 7,
		outputTokensPerSecond: 1234,
		strategy: 'mine@0.2.0',
	};
	const write = (isTTY: boolean): string[] => {
		const written: string[] = [];
		const progress = createProgress({ isTTY, columns: 60, write: (text) => written.push(text) });
		for (let second = 1; second <= 12; second++) progress.update({ ...snapshot, elapsedMs: second * 1000 });
		progress.done();
		return written;
	};
	const terminal = write(true);
	t.is(terminal.length, 13);
	t.true(terminal.every((text) => text.startsWith('\r\x1b[2K') && text.length <= 5 + 59));
	t.deepEqual(
		write(false).map((line) => line.slice(0, 26)),
		['00:05  5 done  3 in flight', '00:10  5 done  3 in flight', '00:12  5 done  3 in flight'],
	);
	t.regex(
		write(false)[0] ?? '',
		/1 failed {2}7 req\/s {2}1,234 tok\/s {2}TTFT p50 12\.3 ms p99 45\.6 ms {2}mine@0\.2\.0\n$/,
	);
});
