import test from 'ava';
import * as fc from 'fast-check';
import { RouteMatcher } from './matcher.js';
import { dialectRoutes } from './routes.js';

const matcher = new RouteMatcher(dialectRoutes);
const seed = 20_261_126;

/** What a path is, as `dialect model id`; the methods it takes instead; or undefined. */
function read(method: string, path: string): string | undefined {
	const match = matcher.match(method, path);
	if (match === undefined) return undefined;
	if (!('route' in match)) return `[${match.join(' ')}]`;
	const { to } = match.route;
	return [typeof to === 'string' ? to : to.name, match.model, match.id].filter((part) => part !== '').join(' ');
}

test('paths are the dialects they are', (t) => {
	const cases: readonly (readonly [method: string, path: string, wanted: string | undefined])[] = [
		['POST', '/v1/chat/completions', 'openai.chat'],
		['POST', '/v3/chat/completions', 'openai.chat'],
		['GET', '/v1/chat/completions', '[POST]'],
		['POST', '/v1/rerank', 'rerank'],
		['POST', '/rerank', 'rerank'],
		['POST', '/v1/responses', 'openai.responses'],
		['GET', '/v1/responses/resp_1', 'openai.response resp_1'],
		['DELETE', '/v1/responses/resp_1', 'openai.response resp_1'],
		['POST', '/v1/responses/resp_1/cancel', 'openai.response resp_1'],
		['POST', '/v1/messages', 'anthropic.messages'],
		['POST', '/v1/audio/transcriptions', 'openai.form'],
		['GET', '/v1/models/llama', 'model llama'],
		['GET', '/v1/models/org%2Fllama', 'model org/llama'],
		['POST', '/v1/models/llama:predict', 'tfserving llama'],
		['POST', '/v1/models/llama3:8b:predict', 'tfserving llama3:8b'],
		['POST', '/v1/models/llama/versions/2:predict', 'tfserving llama'],
		['POST', '/v1/models/llama/labels/stable:classify', 'tfserving llama'],
		['GET', '/v1/models/llama/metadata', 'tfserving.model llama'],
		['GET', '/v1/models/llama/versions/2', 'tfserving.model llama'],
		['POST', '/v1/models/llama', '[GET HEAD]'],
		['GET', '/v2', 'server'],
		['GET', '/v2/health/ready', 'ready'],
		['POST', '/v2/models/org%2Fm/infer', 'kserve.infer org/m'],
		['POST', '/v2/models/m/versions/1/infer', 'kserve.infer m'],
		['POST', '/v2/models/m/generate_stream', 'kserve.generate_stream m'],
		['GET', '/v2/models/m/ready', 'model_ready m'],
		['GET', '/v2/models/m/versions/3/ready', 'model_ready m'],
		['GET', '/v2/models/versions/versions/versions', 'kserve.model versions'],
		['POST', '/predictions/m', 'torchserve m'],
		['PUT', '/predictions/m/2.0', 'torchserve m'],
		['POST', '/generate', 'native.generate'],
		['POST', '/generate_stream', 'tgi.generate_stream'],
		['GET', '/info', 'tgi.info'],
		['POST', '/v2/models/m/unknown', undefined],
		['POST', '/v1/unknown', undefined],
	];
	for (const [method, path, wanted] of cases) t.is(read(method, path), wanted, `${method} ${path}`);
});

test('a path that could be read in two ways is none', (t) => {
	for (const path of [
		'/v2/models/../infer',
		'/v2/models/./infer',
		'/v2/models/%2e%2e/infer',
		'/v2/models/%00/infer',
		'/v2/models/a%0d%0ab/infer',
		'/v2/models/%/infer',
		'/v2/models/%ff/infer',
		'/v2/models//infer',
		'/v2/models/m/infer/',
		'/v2/models/m//infer',
		'/v2//models/m/infer',
		'/v2/models/m/inf%65r',
		'/v2/%6dodels/m/infer',
		'/v2/models/m/versions/../infer',
		'/v2/models/m/versions/%31/infer',
		`/v2/models/${'m'.repeat(513)}/infer`,
	])
		t.is(read('POST', path), undefined, path);
	for (const path of ['/v1/responses/%2e%2e', '/v1/responses/..', '/v1/responses/a%2Fcancel'])
		t.is(read('DELETE', path), undefined, path);
	t.is(read('POST', '/v2/models/%252e%252e/infer'), 'kserve.infer %2e%2e', 'decoded once, and never again');
});

test('any name comes out of a path as it was put in, and its place is where it stands', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), (name) => {
			if (name === '.' || name === '..' || /[\p{Cc}\p{Cs}]/u.test(name)) return true;
			const encoded = encodeURIComponent(name);
			const path = `/v2/models/${encoded}/versions/7/generate`;
			const match = matcher.match('POST', path);
			if (match === undefined || !('route' in match)) return false;
			return match.model === name && path.slice(match.modelStart, match.modelEnd) === encoded;
		}),
		{ seed, numRuns: 300 },
	);
	const strange = fc.string({
		unit: fc.constantFrom('/', '.', '%', '2', 'e', 'v', 'm', ':', ';', '?', '\\', '\u0000'),
	});
	fc.assert(
		fc.property(strange, (tail) => {
			const match = matcher.match('POST', `/v2/models/${tail}/infer`);
			return match === undefined || ('route' in match && match.model !== '..' && !match.model.includes('\u0000'));
		}),
		{ seed, numRuns: 500 },
	);
	t.pass();
});
