// A page in a real browser chats over WebSocket: streamed, with its key as a subprotocol, cancelled, and refused from an origin that is not listed.

import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { type Browser, chromium, type Page } from 'playwright-core';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';
import { program } from '../support/programs.js';

const KEY = 'key-of-a-page/with+odd=characters';

let browser: Browser;
let mesh: TestMesh;
let pages: Server;
let port = 0;
const closers: (() => Promise<void> | void)[] = [];

test.before(async () => {
	pages = createServer((_request, response) =>
		response.setHeader('content-type', 'text/html').end('<title>chat</title>'),
	);
	await new Promise<void>((resolve) => {
		pages.listen(0, '127.0.0.1', resolve);
	});
	({ port } = pages.address() as AddressInfo);
	const keys = [{ id: 'page', sha256: createHash('sha256').update(KEY).digest('hex') }];
	const websocket = { origins: [`http://listed.example:${port}`] };
	// Slow enough that a long chat is cancelled long before its end.
	const options = { engines: 2, speed: 2, config: { keys, data: { websocket } } };
	mesh = await startTestMesh({ teardown: (fn) => closers.push(fn) }, options);
	browser = await chromium.launch({
		executablePath: program('chromium', 'chromium'),
		args: [
			'--no-sandbox',
			'--disable-gpu',
			'--disable-background-networking',
			'--host-resolver-rules=MAP *.example 127.0.0.1',
		],
	});
});

test.after.always(async () => {
	await browser?.close();
	pages?.close();
	for (const close of closers.reverse()) await close();
});

/** An empty page at an origin of its own. */
async function pageAt(t: ExecutionContext, host: string): Promise<Page> {
	const page = await browser.newPage();
	t.teardown(() => page.close());
	await page.goto(`http://${host}:${port}/`);
	return page;
}

interface Heard {
	readonly type: string;
	readonly id?: string;
	readonly code?: number;
	readonly protocol?: string;
	readonly chunk?: { readonly choices: readonly { readonly delta: { readonly content?: string } }[] };
}

/** Opens a socket in the page, which keeps what it hears; sends `messages` when it is open. */
function chat(page: Page, url: string, protocols: readonly string[], messages: readonly unknown[]): Promise<void> {
	return page.evaluate(
		({ url: to, protocols: offered, messages: sent }) => {
			const heard: unknown[] = [];
			const socket = new WebSocket(to, [...offered]);
			Object.assign(globalThis, { heard, socket });
			socket.addEventListener('open', () => {
				heard.push({ type: 'open', protocol: socket.protocol });
				for (const message of sent) socket.send(JSON.stringify(message));
			});
			socket.addEventListener('message', ({ data }) => heard.push(JSON.parse(data as string)));
			socket.addEventListener('close', ({ code }) => heard.push({ type: 'close', code }));
		},
		{ url, protocols, messages },
	);
}

function heard(page: Page): Promise<readonly Heard[]> {
	return page.evaluate(() => (globalThis as unknown as { heard: Heard[] }).heard);
}

test.serial(
	'a page streams chats over a WebSocket, with its key among the subprotocols, and cancels one',
	async (t) => {
		const url = `${mesh.dataUrl.replace('http', 'ws')}/v1/chat/ws`;
		const page = await pageAt(t, 'localhost');
		const request = { model: MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 16, seed: 3 };
		const offered = ['infermesh.chat.v1', `bearer-base64.${Buffer.from(KEY).toString('base64url')}`];
		await chat(page, url, offered, [
			{ type: 'chat', id: 'a', request },
			{ type: 'chat', id: 'b', request: { ...request, max_tokens: 100_000, ignore_eos: true } },
		]);
		const until = (what: string, holds: (list: readonly Heard[]) => boolean): Promise<void> =>
			eventually(what, async () => holds(await heard(page)));
		await until(
			'the first is done and the second streams',
			(list) =>
				list.some(({ type, id }) => type === 'done' && id === 'a') &&
				list.some(({ type, id }) => type === 'chunk' && id === 'b'),
		);
		await page.evaluate(() => {
			(globalThis as unknown as { socket: WebSocket }).socket.send('{"type":"cancel","id":"b"}');
		});
		await until('the second is cancelled', (list) => list.some(({ type, id }) => type === 'cancelled' && id === 'b'));
		const list = await heard(page);
		t.like(list[0], { type: 'open', protocol: 'infermesh.chat.v1' });
		const text = list
			.flatMap(({ type, id, chunk }) =>
				type === 'chunk' && id === 'a' ? [chunk?.choices[0]?.delta.content ?? ''] : [],
			)
			.join('');
		const whole = await mesh
			.client(KEY)
			.chat.completions.create({ ...request, messages: [{ role: 'user', content: 'Hello' }] });
		t.is(text, whole.choices[0]?.message.content ?? '');
		// What was cancelled does not run on to its end, which is a long way off.
		await eventually('no engine works for it any more', async () => {
			const states = await mesh.admin.targets();
			return states.every(({ inFlight }) => inFlight === 0);
		});
	},
);

test.serial('a page without the key, or from elsewhere, gets no socket', async (t) => {
	const url = `${mesh.dataUrl.replace('http', 'ws')}/v1/chat/ws`;
	const good = ['infermesh.chat.v1', `bearer-base64.${Buffer.from(KEY).toString('base64url')}`];
	for (const [host, offered] of [
		['localhost', ['infermesh.chat.v1']],
		['localhost', ['infermesh.chat.v1', 'bearer.wrong']],
		['app.example', good],
	] as const) {
		const page = await pageAt(t, host);
		await chat(page, url, offered, []);
		await eventually('it is closed', async () => (await heard(page)).some(({ type }) => type === 'close'));
		t.deepEqual(await heard(page), [{ type: 'close', code: 1006 }]);
	}
	const page = await pageAt(t, 'listed.example');
	await chat(page, url, good, []);
	await eventually('it is open', async () => (await heard(page)).some(({ type }) => type === 'open'));
	t.pass();
});
