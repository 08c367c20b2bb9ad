// Prefixes end to end: emulated engines publish what they hold, the mesh follows, a prompt goes to the engine that has most of it, and what an
// engine has let go is not claimed any more.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';

const BLOCK = 16;

function prompt(blocks: number, from: number): number[] {
	return Array.from({ length: blocks * BLOCK }, (_, at) => from + at);
}

interface Sent {
	readonly target: string;
	readonly decision: string;
	readonly cached: number;
}

function complete(url: string, tokens: readonly number[]): Promise<Sent> {
	return ask(`${url}/v1/completions`, { prompt: tokens, max_tokens: 1 });
}

/** What an engine says of its cache: in OpenAI's words, or in SGLang's. */
interface Answer {
	readonly usage?: { readonly prompt_tokens_details?: { readonly cached_tokens?: number } };
	readonly meta_info?: { readonly cached_tokens?: number };
}

async function ask(url: string, asked: object): Promise<Sent> {
	const response = await fetch(url, {
		method: 'POST',
		headers: { 'content-type': 'application/json', 'x-infermesh-model': MODEL },
		body: JSON.stringify({ model: MODEL, ...asked }),
	});
	const body = (await response.json()) as Answer;
	if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(body)}`);
	return {
		target: response.headers.get('x-infermesh-target') ?? '',
		decision: response.headers.get('x-infermesh-decision') ?? '',
		cached: (body.usage?.prompt_tokens_details ?? body.meta_info)?.cached_tokens ?? 0,
	};
}

async function metric(mesh: TestMesh, name: string, having = ''): Promise<number> {
	const text = await (await fetch(`${mesh.mesh.adminUrl}/metrics`)).text();
	const lines = text.split('\n').filter((line) => line.startsWith(`infermesh_${name}`) && line.includes(having));
	return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

test('a repeated prefix goes to its holder while it holds it, and is not claimed once it is evicted', async (t) => {
	t.timeout(120_000);
	const engine = { model: { kvBlocks: 64 }, kvEvents: { port: 0, replayPort: 0 } };
	const mesh = await startTestMesh(t, {
		engines: [engine, engine, { ...engine, kvEvents: { ...engine.kvEvents, encoding: 'array', names: 'bytes' } }],
		config: { data: { prefix_index: { speculative_ms: 1 } } },
	});
	await eventually('all events are followed', async () => (await metric(mesh, 'kv_targets_live')) === 3);
	const shared = prompt(32, 0);
	const first = await complete(mesh.dataUrl, [...shared, ...prompt(2, 100_000)]);
	await eventually('the prompt is known', async () => (await metric(mesh, 'kv_index_positions')) >= 32);
	for (let turn = 1; turn <= 4; turn++) {
		const next = await complete(mesh.dataUrl, [...shared, ...prompt(2, 100_000 * (turn + 1))]);
		t.is(next.target, first.target, 'the holder');
		t.is(next.cached, 32 * BLOCK);
		const explained = await mesh.admin.explain(next.decision);
		t.is(explained.cachedSource, 'precise');
		t.is(explained.cachedTokens, 32 * BLOCK);
	}
	t.is(await metric(mesh, 'prefix_hit_tokens_total', 'source="precise"'), 4 * 32 * BLOCK);
	for (const [path, body] of [
		['/v1/completions', { prompt: [shared], max_tokens: 1 }],
		['/inference/v1/generate', { token_ids: shared, sampling_params: { max_tokens: 1 } }],
		['/generate', { input_ids: shared, sampling_params: { max_new_tokens: 1 } }],
	] as const) {
		const sent = await ask(`${mesh.dataUrl}${path}`, body);
		t.is(sent.target, first.target, path);
		t.true(sent.cached >= 31 * BLOCK, `${path}: ${sent.cached}`);
		t.is((await mesh.admin.explain(sent.decision)).cachedSource, 'precise', path);
	}
	t.true((await metric(mesh, 'prefix_cached_tokens_total', 'kind="reported"')) >= 4 * 32 * BLOCK);

	// Others fill the holder's cache behind the mesh's back.
	const holder = mesh.engines[Number(first.target.split('-')[1]) - 1]?.url ?? '';
	for (let other = 0; other < 3; other++) await complete(holder, prompt(50, 1_000_000 * (other + 1)));
	const removed = async (): Promise<number> => metric(mesh, 'kv_events_total', 'kind="removed"');
	await eventually('it has let the prompt go, and said so', async () => (await removed()) >= 32);
	await eventually('its events are applied', async () => {
		const after = await complete(mesh.dataUrl, [...shared, ...prompt(2, 900_000)]);
		const explained = await mesh.admin.explain(after.decision);
		return explained.cachedTokens === 0 || after.cached >= explained.cachedTokens;
	});
	const known = await metric(mesh, 'kv_index_blocks');
	t.true(known <= 3 * 64, `${known} blocks known of 192 there can be`);
});

test('without events the mesh goes by what it has sent, and says that it guesses', async (t) => {
	t.timeout(120_000);
	const mesh = await startTestMesh(t, { engines: 3, config: { data: { workers: 1 } } });
	const shared = prompt(64, 0);
	const first = await complete(mesh.dataUrl, [...shared, ...prompt(2, 100_000)]);
	const next = await complete(mesh.dataUrl, [...shared, ...prompt(2, 200_000)]);
	t.is(next.target, first.target);
	t.is((await mesh.admin.explain(next.decision)).cachedSource, 'approximate');
});

/** A tokeniser of words in Hugging Face's form: enough to be opened and asked. */
function writeTokenizer(folder: string): void {
	const tokenizer = {
		version: '1.0',
		added_tokens: [],
		normalizer: null,
		pre_tokenizer: { type: 'Whitespace' },
		post_processor: null,
		decoder: null,
		model: { type: 'WordLevel', vocab: { '[UNK]': 0, a: 1 }, unk_token: '[UNK]' },
	};
	writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
	writeFileSync(
		join(folder, 'chat_template.jinja'),
		"{% for message in messages %}{{ message['role'] }} {{ message['content'] }} {% endfor %}",
	);
}

test('chats are tokenised apart from the data plane: by the engine itself, or from files', async (t) => {
	t.timeout(120_000);
	const folder = mkdtempSync(join(tmpdir(), 'infermesh-tokenizer-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	writeTokenizer(folder);
	const engine = { models: [MODEL, 'from-files'], kvEvents: { port: 0, replayPort: 0 } };
	const mesh = await startTestMesh(t, {
		engines: [engine, engine],
		config: {
			data: { tokenizer: { wait_ms: 10_000 }, prefix_index: { speculative_ms: 1 } },
			models: { tokenizers: { [MODEL]: { kind: 'engine' }, 'from-files': { kind: 'file', path: folder } } },
		},
	});
	await eventually('all events are followed', async () => (await metric(mesh, 'kv_targets_live')) === 2);
	const chat = async (model: string, question: string): Promise<Sent> => {
		const response = await fetch(`${mesh.dataUrl}/v1/chat/completions`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({
				model,
				max_tokens: 1,
				messages: [
					{ role: 'system', content: 'You are patient. '.repeat(100) },
					{ role: 'user', content: question },
				],
			}),
		});
		const body = (await response.json()) as { usage?: { prompt_tokens_details?: { cached_tokens?: number } } };
		t.is(response.status, 200, JSON.stringify(body));
		return {
			target: response.headers.get('x-infermesh-target') ?? '',
			decision: response.headers.get('x-infermesh-decision') ?? '',
			cached: body.usage?.prompt_tokens_details?.cached_tokens ?? 0,
		};
	};
	const first = await chat(MODEL, 'Why?');
	await eventually('the prompt is known', async () => (await metric(mesh, 'kv_index_positions')) >= 26);
	const next = await chat(MODEL, 'How?');
	t.is(next.target, first.target);
	const explained = await mesh.admin.explain(next.decision);
	t.is(explained.cachedSource, 'precise');
	t.is(explained.cachedTokens, next.cached, 'what is expected is what the engine had');
	t.is(await metric(mesh, 'tokenizations_total', 'result="done"'), 2);
	await chat('from-files', 'Who?');
	t.is(await metric(mesh, 'tokenizations_total', 'result="done"'), 3);
	t.is(await metric(mesh, 'tokenizations_total', 'result="late"'), 0);
});
