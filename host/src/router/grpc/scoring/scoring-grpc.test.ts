// The scoring API over gRPC, seen by a plain grpc-js client: the same answers as over HTTP, streams in order with errors in band, bounds, rights, backpressure, and
// a router that closes.
import { type ClientHttp2Stream, connect, constants } from 'node:http2';
import { ChannelCredentials, type ClientDuplexStream, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
	type AdmitReply,
	type AdmitRequest,
	type InferenceRequest,
	OutcomeStatus,
	type ReportOutcomeReply,
	type ReportOutcomeRequest,
	ScoreTargetsReply,
	ScoreTargetsRequest,
} from '@infermesh/proto/grpc/scoring/v1/scoring';
import { ScoringClient } from '@infermesh/proto/grpc/scoring/v1/scoring-client';
import { ServerReflectionClient } from '@infermesh/proto/standard/reflection/v1/reflection-client';
import test, { type ExecutionContext } from 'ava';
import { emptyFeatures } from '../../../strategy/runtime/decision.js';
import { flood, scoringRouter } from '../../scoring/testing.js';
import { framed } from '../../testing/grpc.js';
import { chatBody, post, type TestRouter, type TestRouterOptions, until } from '../../testing/kit.js';

const SCORE_STREAM = '/infermesh.scoring.v1.Scoring/ScoreTargetsStream';

interface Rig {
	readonly made: TestRouter;
	readonly client: ScoringClient;
}

async function rig(t: ExecutionContext, options: Partial<TestRouterOptions> = {}): Promise<Rig> {
	const made = await scoringRouter(t, options);
	const client = new ScoringClient(`127.0.0.1:${made.port}`, ChannelCredentials.createInsecure());
	t.teardown(() => client.close());
	return { made, client };
}

/** A unary call's reply, or its error. */
function call<Q, A>(
	method: (asked: Q, metadata: Metadata, done: (error: ServiceError | null, reply: A) => void) => unknown,
	asked: Q,
	key?: string,
): Promise<{ reply: A | undefined; error: ServiceError | undefined; code: unknown }> {
	const metadata = new Metadata();
	if (key !== undefined) metadata.set('authorization', `Bearer ${key}`);
	return new Promise((resolve) => {
		method(asked, metadata, (error, reply) =>
			resolve({
				reply: error === null ? reply : undefined,
				error: error ?? undefined,
				code: error?.metadata.get('x-infermesh-error')[0],
			}),
		);
	});
}

const chat = (more: Record<string, unknown> = {}, headers: Record<string, string> = {}): InferenceRequest => ({
	path: '/v1/chat/completions',
	body: Buffer.from(chatBody(more)),
	headers,
});

const asked = (
	request: InferenceRequest | undefined,
	id = 1n,
): { id: bigint; request: InferenceRequest | undefined } => ({
	id,
	request,
});

const ended = (decision: string, wrong: Partial<ReportOutcomeRequest> = {}): ReportOutcomeRequest => ({
	id: 3n,
	decision,
	outcome: {
		status: OutcomeStatus.OUTCOME_STATUS_OK,
		httpStatus: 200,
		tokensIn: undefined,
		tokensOut: 12,
		tokensCached: 0,
		ttftMs: 40,
		tpotMs: 5,
	},
	...wrong,
});

/** What a stream brings until it ends, and how it ended. */
function collected<Q, A>(stream: ClientDuplexStream<Q, A>): { readonly replies: A[]; readonly end: Promise<number> } {
	const replies: A[] = [];
	stream.on('data', (reply: A) => replies.push(reply));
	stream.on('error', () => undefined);
	return { replies, end: new Promise((resolve) => stream.on('status', ({ code }) => resolve(code))) };
}

test('the same ranks as over HTTP, for the same request, without a trace', async (t) => {
	const { made, client } = await rig(t);
	const { reply } = await call(client.scoreTargets.bind(client), asked(chat({ max_tokens: 7 }), 41n));
	const overHttp = await post(`${made.url}/api/v1/score/v1/chat/completions`, chatBody({ max_tokens: 7 }));
	const { id, error, ...scored } = reply as ScoreTargetsReply;
	t.deepEqual([id, error], [41n, undefined]);
	t.deepEqual(JSON.parse(JSON.stringify(scored)), await overHttp.json());
	t.deepEqual(made.decided[0]?.features, { ...made.decided[1]?.features, ...seeds(made) });
	t.deepEqual([made.open(), made.remembered, made.outcomes], [0, [], []]);
});

/** What differs from one decision to the next. */
function seeds({ decided }: TestRouter): object {
	const { seedLow, seedHigh, nowMs, nowUs } = decided[0]?.features ?? emptyFeatures();
	return { seedLow, seedHigh, nowMs, nowUs };
}

test('an admission counts until its outcome is reported, once', async (t) => {
	const { made, client } = await rig(t);
	const { reply } = await call(client.admit.bind(client), asked(chat()));
	t.like(reply, { target: 't1', model: 'm', strategy: 'second@1.0.0', error: undefined });
	const { decision } = reply as AdmitReply;
	t.is(made.remembered[0]?.id, decision);
	t.is(made.open(), 1);
	const first = await call(client.reportOutcome.bind(client), { id: 2n, decision, firstToken: true });
	t.deepEqual(first.reply, { id: 2n, error: undefined, decision, open: true });
	t.is(made.open(), 1);
	const last = await call(client.reportOutcome.bind(client), ended(decision));
	t.deepEqual(last.reply, { id: 3n, error: undefined, decision, open: false });
	t.is(made.open(), 0);
	t.like(made.outcomes[0], { decisionId: decision, status: 'ok', ttftMs: 40, tokensOut: 12, poolRow: 1 });
	const again = await call(client.reportOutcome.bind(client), ended(decision));
	t.deepEqual([again.error?.code, again.code], [status.NOT_FOUND, 'IM_SCORING_DECISION_UNKNOWN']);
});

test('what is asked by headers counts as it does over HTTP', async (t) => {
	const { made, client } = await rig(t);
	const headers = {
		'X-InferMesh-Session': 's',
		'x-infermesh-priority': '5',
		'x-infermesh-lora': 'adapter',
		'x-infermesh-tenant': 'acme',
	};
	await call(client.scoreTargets.bind(client), asked(chat({}, headers)));
	await post(`${made.url}/api/v1/score/v1/chat/completions`, chatBody(), headers);
	const [grpc, http] = made.decided;
	t.deepEqual(grpc?.features, { ...http?.features, ...seeds(made) });
	t.is(grpc?.features.priority, 5);
});

test('a stream answers each question in its order, and what is wrong with one ends nothing', async (t) => {
	const { client } = await rig(t);
	const stream = client.scoreTargetsStream(new Metadata());
	const { replies, end } = collected(stream);
	const requests = [chat(), { ...chat(), path: '/nothing' }, undefined, chat({ model: 'nobody' }), chat()];
	requests.forEach((request, at) => stream.write(asked(request, BigInt(at))));
	stream.end();
	t.is(await end, status.OK);
	t.deepEqual(
		replies.map(({ id, error, targets }) => [id, error?.code, targets.length]),
		[
			[0n, undefined, 2],
			[1n, 'IM_REQUEST_PATH', 0],
			[2n, 'IM_REQUEST_FIELD', 0],
			[3n, 'IM_ROUTE_MODEL_UNKNOWN', 0],
			[4n, undefined, 2],
		],
	);
});

test('thousands of admissions and reports by streams, while requests go on', async (t) => {
	const { made, client } = await rig(t);
	const admitting = client.admitStream(new Metadata());
	const reporting = client.reportOutcomeStream(new Metadata());
	const admitted = collected<AdmitRequest, AdmitReply>(admitting);
	const reported = collected(reporting);
	admitting.on('data', ({ decision }: AdmitReply) => reporting.write(ended(decision)));
	for (let n = 0; n < 2000; n++) admitting.write(asked(chat(), BigInt(n)));
	const meanwhile = await fetch(`${made.url}/v1/models`);
	t.is(meanwhile.status, 200);
	admitting.end();
	t.is(await admitted.end, status.OK);
	reporting.end();
	t.is(await reported.end, status.OK);
	t.deepEqual(
		admitted.replies.map(({ id }) => Number(id)),
		Array.from({ length: 2000 }, (_, at) => at),
	);
	t.is(reported.replies.filter(({ error, open }) => error === undefined && !open).length, 2000);
	t.deepEqual([made.dispatched(), made.open(), made.endedTwice()], [2000, 0, 0]);
});

test('an admission with a lease is renewed by report, and is cancelled without', async (t) => {
	const { made, client } = await rig(t);
	const admit = (headers: Record<string, string>) =>
		call<AdmitRequest, AdmitReply>(client.admit.bind(client), asked(chat({}, headers)));
	const report = (told: ReportOutcomeRequest) =>
		call<ReportOutcomeRequest, ReportOutcomeReply>(client.reportOutcome.bind(client), told);
	const held = await admit({ 'X-Infermesh-Lease-Ms': '60000' });
	t.is(held.reply?.expiresInMs, 60_000);
	const renew = { id: 3n, decision: held.reply?.decision ?? '', renew: true };
	t.like((await report(renew)).reply, { id: 3n, decision: renew.decision, open: true });
	t.is(made.open(), 1);
	const brief = await admit({ 'x-infermesh-lease-ms': '1' });
	await until('it has lapsed', () => made.admissionEnds.length === 1);
	t.deepEqual([made.admissionEnds, made.open()], [['lapsed'], 1]);
	t.like(made.outcomes, [{ decisionId: brief.reply?.decision, status: 'cancelled' }]);
	t.is((await report({ ...renew, decision: brief.reply?.decision ?? '' })).code, 'IM_SCORING_DECISION_UNKNOWN');
	t.is((await admit({ 'x-infermesh-lease-ms': 'long' })).code, 'IM_REQUEST_FIELD');
});

test('what is open is bounded, in a stream as elsewhere, and is worth another try', async (t) => {
	const { made, client } = await rig(t, { options: { scoring: { admissionsMax: 2 } } });
	const stream = client.admitStream(new Metadata());
	const { replies, end } = collected(stream);
	for (let n = 0; n < 3; n++) stream.write(asked(chat()));
	stream.end();
	await end;
	t.like(replies[2]?.error, { code: 'IM_ROUTE_SATURATED', retryAfterMs: 1000 });
	const full = await call(client.admit.bind(client), asked(chat()));
	t.deepEqual([full.error?.code, full.code], [status.RESOURCE_EXHAUSTED, 'IM_ROUTE_SATURATED']);
	t.is(made.open(), 2);
});

test('only trusted callers may ask, and only while their key stands', async (t) => {
	const keyed = await rig(t, { key: 'k' });
	const none = await call(keyed.client.scoreTargets.bind(keyed.client), asked(chat()));
	t.deepEqual([none.error?.code, none.code], [status.UNAUTHENTICATED, 'IM_REQUEST_UNAUTHENTICATED']);
	const plain = await call(keyed.client.admit.bind(keyed.client), asked(chat()), 'k');
	t.deepEqual([plain.error?.code, plain.code], [status.PERMISSION_DENIED, 'IM_SCORING_DENIED']);
	t.is(keyed.made.decided.length, 0);
	let stands = true;
	const trusted = { tenant: 'default', tenantId: 1, policyMask: 0, trusted: true };
	const { client } = await rig(t, {
		ports: { authenticator: { authenticate: () => (stands ? trusted : undefined), stands: () => stands } },
	});
	const mine = new Metadata();
	mine.set('authorization', 'Bearer mine');
	const stream = client.scoreTargetsStream(mine);
	const { replies, end } = collected(stream);
	stream.write(asked(chat()));
	await until('it has been answered', () => replies.length === 1);
	stands = false;
	stream.write(asked(chat()));
	stream.end();
	await end;
	t.deepEqual(
		replies.map(({ error }) => error?.code),
		[undefined, 'IM_REQUEST_UNAUTHENTICATED'],
	);
});

test('bad reports are refused by name', async (t) => {
	const { client } = await rig(t);
	const code = async (report: ReportOutcomeRequest) => (await call(client.reportOutcome.bind(client), report)).code;
	const { outcome } = ended('x');
	t.is(await code({ id: 1n, decision: 'x' }), 'IM_REQUEST_FIELD');
	t.is(
		await code(ended('x', { outcome: { ...(outcome as NonNullable<typeof outcome>), status: 0 } })),
		'IM_REQUEST_FIELD',
	);
	t.is(
		await code(ended('x', { outcome: { ...(outcome as NonNullable<typeof outcome>), ttftMs: -1 } })),
		'IM_REQUEST_FIELD',
	);
	t.is(
		await code(ended('x', { outcome: { ...(outcome as NonNullable<typeof outcome>), tpotMs: Number.NaN } })),
		'IM_REQUEST_FIELD',
	);
	t.is(await code(ended('x')), 'IM_SCORING_DECISION_UNKNOWN');
});

/** A stream below grpc-js. */
function raw(t: ExecutionContext, made: TestRouter, path: string): ClientHttp2Stream {
	const session = connect(made.url);
	session.on('error', () => undefined);
	t.teardown(() => session.destroy());
	const stream = session.request({
		':method': 'POST',
		':path': path,
		'content-type': 'application/grpc',
		te: 'trailers',
	});
	stream.on('error', () => undefined);
	return stream;
}

function ending(stream: ClientHttp2Stream): Promise<unknown> {
	return new Promise((resolve) => {
		stream.on('response', (head) => {
			if (head['x-infermesh-error'] !== undefined) resolve(head['x-infermesh-error']);
		});
		stream.on('trailers', (trailers) => resolve(trailers['x-infermesh-error'] ?? trailers['grpc-status']));
		stream.on('close', () => resolve(stream.rstCode));
	});
}

const question = (): Uint8Array => ScoreTargetsRequest.encode(asked(chat())).finish();

test('what is no message ends the call by name: half of one, a compressed one, one beyond the bound, none', async (t) => {
	const { made } = await rig(t, { options: { bodyBytesMax: 1000 } });
	const whole = framed(question());
	const large = framed(ScoreTargetsRequest.encode(asked(chat({ pad: 'x'.repeat(80_000) }))).finish());
	const bad = [whole.subarray(0, 40), framed(question(), 1), large, framed(Buffer.from([0x0a, 0xff, 0xff]))];
	for (const path of [SCORE_STREAM, SCORE_STREAM.replace('Stream', '')])
		for (const bytes of bad) {
			const stream = raw(t, made, path);
			stream.end(bytes);
			stream.resume();
			t.is(await ending(stream), 'IM_REQUEST_GRPC');
		}
	const empty = raw(t, made, SCORE_STREAM.replace('Stream', ''));
	empty.end();
	t.is(await ending(empty), 'IM_REQUEST_GRPC');
});

test('a message may come cut in any way', async (t) => {
	const { made } = await rig(t);
	const bytes = Buffer.concat([framed(question()), framed(question())]);
	const stream = raw(t, made, SCORE_STREAM);
	for (const byte of bytes) stream.write(Buffer.from([byte]));
	stream.end();
	const chunks: Buffer[] = [];
	stream.on('data', (chunk: Buffer) => chunks.push(chunk));
	t.is(await ending(stream), '0');
	const all = Buffer.concat(chunks);
	const length = all.readUInt32BE(1);
	t.is(ScoreTargetsReply.decode(all.subarray(5, 5 + length)).targets.length, 2);
	t.is(all.length, 2 * (5 + length));
});

test('a caller that takes no answers is asked nothing more, and is cut in time', async (t) => {
	const { made } = await rig(t, { options: { clientWriteTimeoutMs: 300 } });
	const session = connect(made.url, { settings: { initialWindowSize: 0 } });
	session.on('error', () => undefined);
	t.teardown(() => session.destroy());
	const stream = session.request({ ':method': 'POST', ':path': SCORE_STREAM, 'content-type': 'application/grpc' });
	t.is(await flood(stream, framed(question())), constants.NGHTTP2_INTERNAL_ERROR);
	t.true(made.decided.length > 0 && made.decided.length < 5000, `${made.decided.length} questions were answered`);
});

test('a router that closes ends streams well, and what was admitted', async (t) => {
	const { made, client } = await rig(t);
	const stream = client.admitStream(new Metadata());
	const { replies, end } = collected(stream);
	stream.write(asked(chat()));
	await until('it is admitted', () => replies.length === 1);
	const closing = made.router.close({ graceMs: 20_000 });
	t.is(await end, status.OK);
	await closing;
	t.deepEqual([made.open(), made.outcomes.at(-1)?.status], [0, 'cancelled']);
});

test('reflection knows the service', async (t) => {
	const { made } = await rig(t);
	const reflection = new ServerReflectionClient(`127.0.0.1:${made.port}`, ChannelCredentials.createInsecure());
	t.teardown(() => reflection.close());
	const stream = reflection.serverReflectionInfo();
	stream.on('error', () => undefined);
	const names = new Promise<readonly string[]>((resolve) =>
		stream.on('data', ({ listServicesResponse }) =>
			resolve((listServicesResponse?.service ?? []).map(({ name }: { name: string }) => name)),
		),
	);
	stream.write({ host: '', listServices: '*' });
	t.true((await names).includes('infermesh.scoring.v1.Scoring'));
	stream.end();
});
