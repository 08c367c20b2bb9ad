// Hedging of gRPC calls, as clients and engines see it: real HTTP/2 on both sides, engines that say nothing, take nothing or refuse, and what each was sent.
import { constants, type ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { ModelInferRequest, type ModelStreamInferResponse } from '@infermesh/proto/inference';
import test, { type ExecutionContext } from 'ava';
import type { AttemptOutcome } from '../ports.js';
import {
	answerGrpc,
	answerInfer,
	framed,
	type GrpcRig,
	grpcRig,
	infer,
	inferRequest,
	inferResponse,
	refuseGrpc,
	streamResponse,
} from '../testing/grpc.js';
import { type FakeHttp2, fakeHttp2, type StreamHandler } from '../testing/http2.js';
import { until } from '../testing/kit.js';
import { hedgingDefaults } from './options.js';

/** Budget that never runs out, earned by one served call. */
const generous = { ...hedgingDefaults, budgetRatio: 1e6, budgetTokensMax: 1e9, delayMsMin: 1 };

interface Given {
	readonly engines: readonly StreamHandler[];
	readonly replayBytesMax?: number;
	/** Copies asked for with the call; 0 = none. */
	readonly copies?: number;
}

interface HedgeRig extends GrpcRig {
	readonly engines: readonly FakeHttp2[];
}

/** The last engine serves the call that earns the budget; after it the decision ranks them in order and asks for copies. */
async function open(t: ExecutionContext, given: Given): Promise<HedgeRig> {
	const engines = await Promise.all(given.engines.map((handler) => fakeHttp2(handler)));
	const last = engines.length - 1;
	let hedging = false;
	const rig = await grpcRig(t, engines, {
		options: {
			hedge: generous,
			retry: { attemptsMax: 3, budgetBurst: 100, staleConnectionMs: 0 },
			...(given.replayBytesMax === undefined ? {} : { grpc: { replayBytesMax: given.replayBytesMax } }),
		},
		decide: (out, excluded) => {
			const rows = engines.map((_, row) => row).filter((row) => !excluded.includes(row));
			out.rows.set(rows);
			out.count = rows.length;
			out.chosen = hedging ? 0 : rows.indexOf(last);
			out.verdict = 'route';
			out.cause = 'none';
			out.strategy = 'first@1.0.0';
			out.hedgeDelayMs = 5;
			out.hedgeCopies = hedging ? (given.copies ?? 1) : 0;
		},
	});
	t.is((await infer(rig.client, inferRequest('m'))).error, undefined);
	await until('it is over', () => rig.mesh.outcomes.length === 1);
	rig.mesh.outcomes.length = 0;
	hedging = true;
	return { ...rig, engines };
}

const silent: StreamHandler = (stream) => void stream.resume();

function shapes(outcomes: readonly AttemptOutcome[]): unknown[] {
	return outcomes
		.toSorted((a, b) => a.poolRow - b.poolRow)
		.map(({ target, status: how, hedge, lost }) => [target.id, how, hedge, lost]);
}

async function settled(t: ExecutionContext, { mesh }: GrpcRig, outcomes: number): Promise<void> {
	await until('all attempts have ended', () => mesh.router.inflight() === 0 && mesh.outcomes.length === outcomes);
	t.deepEqual([mesh.open(), mesh.endedTwice(), mesh.errors], [0, 0, []]);
}

test('a unary call that is late brings a copy, whose engine answers; the first one’s stream is reset', async (t) => {
	const rig = await open(t, { engines: [silent, answerInfer] });
	const { mesh, client, engines } = rig;
	const request = inferRequest('m', 'x', 100_000);
	const answer = await infer(client, request);
	t.is(answer.error, undefined);
	t.is(answer.head.get('x-infermesh-target')[0], 't1');
	t.deepEqual(Buffer.from(answer.id ?? '', 'base64'), framed(ModelInferRequest.encode(request).finish()), 'all of it');
	await until('the loser was told', () => engines[0]?.resets.length === 1);
	t.deepEqual(engines[0]?.resets, [constants.NGHTTP2_CANCEL]);
	await settled(t, rig, 2);
	t.deepEqual(shapes(mesh.outcomes), [
		['t0', 'cancelled', 'first', true],
		['t1', 'ok', 'copy', false],
	]);
	t.deepEqual(mesh.hedges, ['sent', 'won']);
	const loser = mesh.outcomes.find(({ lost }) => lost);
	t.true((loser?.wastedTokens ?? 0) > 0);
	t.deepEqual(mesh.waste, [[loser?.wastedTokens ?? 0, 0]]);
});

/** Answers a stream when the client has sent all; `got` is told of what comes. */
function answering(got: (bytes: number) => void): StreamHandler {
	return (stream) => {
		stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
		stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
		stream.on('data', ({ length }: Buffer) => got(length));
		stream.on('end', () => stream.end(framed(streamResponse('done'))));
	};
}

test('a target that takes nothing does not hold up its copy: all the client sends reaches it', async (t) => {
	let bytes = 0;
	const answers: StreamHandler = (stream, headers, engine) =>
		String(headers[':path']).endsWith('ModelStreamInfer')
			? answering((more) => (bytes += more))(stream, headers, engine)
			: answerInfer(stream, headers, engine);
	const rig = await open(t, { engines: [(stream) => void stream.pause(), answers], replayBytesMax: 10_000_000 });
	const call = rig.client.modelStreamInfer();
	call.on('data', () => undefined);
	call.on('error', () => undefined);
	const ended = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
	call.write(inferRequest('m'));
	await until('the copy is out', () => rig.mesh.hedges.includes('sent'));
	for (let at = 0; at < 10; at++) call.write(inferRequest('m', 'x', 100_000));
	call.end();
	t.is(await ended, status.OK);
	t.true(bytes > 1_000_000, String(bytes));
	await settled(t, rig, 2);
	t.deepEqual(shapes(rig.mesh.outcomes), [
		['t0', 'cancelled', 'first', true],
		['t1', 'ok', 'copy', false],
	]);
});

test('what the client sends while nothing has come reaches all of its targets, and later only the one that won', async (t) => {
	const got = [0, 0];
	const held: ServerHttp2Stream[] = [];
	const counts =
		(row: number): StreamHandler =>
		(stream) => {
			if (held.length <= row) held[row] = stream;
			stream.on('data', ({ length }: Buffer) => {
				got[row] = (got[row] as number) + length;
			});
		};
	let warm = true;
	const rig = await open(t, {
		engines: [
			counts(0),
			(stream, headers, engine) => {
				if (!warm) return counts(1)(stream, headers, engine);
				warm = false;
				answerInfer(stream, headers, engine);
			},
		],
	});
	const { mesh, client } = rig;
	const call = client.modelStreamInfer();
	const ids: (string | undefined)[] = [];
	call.on('data', ({ inferResponse: response }: ModelStreamInferResponse) => ids.push(response?.id));
	call.on('error', () => undefined);
	const ended = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
	call.write(inferRequest('m'));
	await until('the copy is out', () => mesh.hedges.includes('sent'));
	call.write(inferRequest('m', 'second', 1000));
	await until('both have both', () => got[0] === got[1] && (got[0] as number) > 1000);
	const [before] = got;
	const winner = held[1] as ServerHttp2Stream;
	winner.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
	winner.once('wantTrailers', () => winner.sendTrailers({ 'grpc-status': '0' }));
	winner.write(framed(streamResponse('a')));
	await until('the client has it', () => ids.length === 1);
	call.write(inferRequest('m', 'third', 500));
	await until('the winner has it', () => (got[1] as number) > (before as number) + 500);
	winner.on('end', () => winner.end());
	call.end();
	t.is(await ended, status.OK);
	t.is(got[0], before);
	await settled(t, rig, 2);
	t.deepEqual(shapes(mesh.outcomes), [
		['t0', 'cancelled', 'first', true],
		['t1', 'ok', 'copy', false],
	]);
});

test('what is not held any more is not copied', async (t) => {
	let bytes = 0;
	const slow: StreamHandler = (stream, headers, engine) => {
		answering((length) => (bytes += length))(stream, headers, engine);
	};
	let first = true;
	const rig = await open(t, {
		engines: [
			slow,
			(stream, headers, engine) => {
				if (first) answerInfer(stream, headers, engine);
				first = false;
			},
		],
		replayBytesMax: 100,
	});
	const { mesh, client } = rig;
	const call = client.modelStreamInfer();
	call.on('data', () => undefined);
	call.on('error', () => undefined);
	const ended = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
	call.write(inferRequest('m'));
	call.write(inferRequest('m', 'long', 5000));
	await until('the wish was refused', () => mesh.hedges.length === 1);
	await until('the engine has all', () => bytes > 5000);
	call.end();
	t.is(await ended, status.OK);
	t.deepEqual(mesh.hedges, ['not_held']);
	await settled(t, rig, 1);
});

test('a refusal leaves the answer to the other', async (t) => {
	const refused: ServerHttp2Stream[] = [];
	const good: ServerHttp2Stream[] = [];
	let warm = true;
	const rig = await open(t, {
		engines: [
			(stream) => {
				stream.resume();
				refused.push(stream);
			},
			(stream, headers, engine) => {
				if (warm) answerInfer(stream, headers, engine);
				else good.push(stream);
				warm = false;
			},
		],
	});
	const answered = infer(rig.client, inferRequest('m'));
	await until('both have it', () => refused.length === 1 && good.length === 1);
	refuseGrpc(refused[0] as ServerHttp2Stream, status.UNAVAILABLE);
	await until('it has refused', () => rig.mesh.outcomes.length === 1);
	answerGrpc(good[0] as ServerHttp2Stream, [inferResponse('a')]);
	t.is((await answered).id, 'a');
	await settled(t, rig, 2);
	t.deepEqual(shapes(rig.mesh.outcomes), [
		['t0', 'rejected', 'first', false],
		['t1', 'ok', 'copy', false],
	]);
});

test('when all copies fail the call is retried elsewhere', async (t) => {
	const asked: ServerHttp2Stream[] = [];
	const holds: StreamHandler = (stream) => {
		stream.resume();
		asked.push(stream);
	};
	const rig = await open(t, { engines: [holds, holds, answerInfer] });
	const answered = infer(rig.client, inferRequest('m'));
	await until('both have it', () => asked.length === 2);
	refuseGrpc(asked[0] as ServerHttp2Stream, status.UNAVAILABLE);
	await until('one has refused', () => rig.mesh.outcomes.length === 1);
	asked[1]?.close(constants.NGHTTP2_INTERNAL_ERROR);
	const answer = await answered;
	t.is(answer.error, undefined);
	t.is(answer.head.get('x-infermesh-target')[0], 't2');
	await settled(t, rig, 3);
});

test('a status that is the request’s own doing wins, as any answer does', async (t) => {
	let warm = true;
	const rig = await open(t, {
		engines: [
			silent,
			(stream, headers, engine) => {
				if (!warm) return refuseGrpc(stream, status.INVALID_ARGUMENT, 'bad');
				warm = false;
				answerInfer(stream, headers, engine);
			},
		],
	});
	t.is((await infer(rig.client, inferRequest('m'))).error?.code, status.INVALID_ARGUMENT);
	await settled(t, rig, 2);
	t.deepEqual(rig.mesh.hedges, ['sent', 'won']);
	t.deepEqual(rig.engines[0]?.resets, [constants.NGHTTP2_CANCEL]);
});

test('a call of a stateful model’s sequence is never copied', async (t) => {
	const rig = await open(t, {
		engines: [(stream) => void setTimeout(() => answerGrpc(stream, [inferResponse('a')]), 60), answerInfer],
	});
	const inSequence = inferRequest('m');
	const id = { boolParam: undefined, int64Param: 7n, stringParam: undefined, doubleParam: undefined };
	const answer = await infer(rig.client, {
		...inSequence,
		parameters: { sequence_id: { ...id, uint64Param: undefined } },
	});
	t.is(answer.head.get('x-infermesh-target')[0], 't0');
	await settled(t, rig, 1);
	t.deepEqual(rig.mesh.hedges, []);
	t.not(rig.mesh.decided.at(-1)?.features.sessionLow, 0, 'and keep to their target as a session does');
});
