// The data port under other people's tools, for a few seconds each: every answer is good, and after it nothing is left open.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';
import { program, run, temporaryFolder } from '../support/programs.js';

const request = JSON.stringify({
	model: MODEL,
	max_tokens: 4,
	ignore_eos: true,
	messages: [{ role: 'user', content: 'hello' }],
});

async function nothingLeft(mesh: TestMesh): Promise<void> {
	await eventually('nothing is in flight', async () => (await mesh.admin.status()).traffic.inFlight === 0);
}

test.serial('wrk: keep-alive connections, many at once, for three seconds', async (t) => {
	const wrk = program('wrk', 'wrk');
	const mesh = await startTestMesh(t, { engines: 2, speed: 1000 });
	const script = path.join(temporaryFolder(t), 'post.lua');
	writeFileSync(
		script,
		`wrk.method = "POST"
wrk.body = ${JSON.stringify(request)}
wrk.headers["content-type"] = "application/json"
done = function(summary) io.write("COUNTS ", summary.requests, " ", summary.errors.status, " ", summary.errors.read, " ", summary.errors.write, " ", summary.errors.timeout, "\\n") end
`,
	);
	const { code, output } = await run(wrk, [
		'-t1',
		'-c32',
		'-d3s',
		'--timeout',
		'20s',
		'-s',
		script,
		`${mesh.dataUrl}/v1/chat/completions`,
	]);
	t.is(code, 0, output);
	const [requests = 0, ...errors] = (/COUNTS (.*)/.exec(output)?.[1] ?? '').split(' ').map(Number);
	t.log(`${requests} requests`);
	t.true(requests > 32, output);
	t.deepEqual(errors, [0, 0, 0, 0], output);
	await nothingLeft(mesh);
	t.true((await mesh.admin.status()).traffic.requestsTotal >= requests);
});

test.serial('h2load: HTTP/1.1, and HTTP/2 with many streams on few connections', async (t) => {
	const h2load = program('h2load', 'nghttp2-client');
	const mesh = await startTestMesh(t, { engines: 2, speed: 1000 });
	const body = path.join(temporaryFolder(t), 'body.json');
	writeFileSync(body, request);
	for (const [name, args] of [
		['HTTP/1.1', ['--h1', '-n', '400', '-c', '16']],
		['HTTP/2', ['-n', '400', '-c', '4', '-m', '20']],
		['HTTP/2, one stream at a time', ['-n', '100', '-c', '8', '-m', '1']],
	] as const) {
		const { code, output } = await run(h2load, [
			...args,
			'-t',
			'1',
			'-d',
			body,
			'-H',
			'content-type: application/json',
			`${mesh.dataUrl}/v1/chat/completions`,
		]);
		t.is(code, 0, output);
		const total = Number(args[args.indexOf('-n') + 1]);
		t.regex(
			output,
			new RegExp(
				`requests: ${total} total, ${total} started, ${total} done, ${total} succeeded, 0 failed, 0 errored, 0 timeout`,
			),
			name,
		);
		t.regex(output, new RegExp(`status codes: ${total} 2xx, 0 3xx, 0 4xx, 0 5xx`), name);
		await nothingLeft(mesh);
	}
});
