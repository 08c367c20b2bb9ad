// What becomes of what was admitted for another router when that is gone: seen by grpc-js clients whose sockets are killed on the way.
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { ChannelCredentials, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import {
	type AdmitReply,
	type AdmitRequest,
	OutcomeStatus,
	ScoreTargetsRequest,
} from '@infermesh/proto/grpc/scoring/v1/scoring';
import { ScoringClient } from '@infermesh/proto/grpc/scoring/v1/scoring-client';
import test, { type ExecutionContext } from 'ava';
import { framed } from '../../testing/grpc.js';
import { chatBody, startRouter, type TestRouter, type TestRouterOptions, until } from '../../testing/kit.js';

const SCORE_STREAM = '/infermesh.scoring.v1.Scoring/ScoreTargetsStream';

const request = (pad = ''): ScoreTargetsRequest & AdmitRequest => ({
	id: 1n,
	request: { path: '/v1/chat/completions', body: Buffer.from(chatBody({ pad })), headers: {} },
});

interface Rig {
	readonly made: TestRouter;
	/** Over a relay. */
	readonly client: ScoringClient;
	/** Kills the sockets of the client on their way, by a reset. */
	readonly kill: () => void;
	/** Of the relay. */
	readonly port: number;
}

async function rig(t: ExecutionContext, options: Partial<TestRouterOptions> = {}): Promise<Rig> {
	const made = await startRouter({ origins: ['http://127.0.0.1:1'], ...options });
	const sockets = new Set<Socket>();
	const relay = createServer((near) => {
		const far = connect(made.port, '127.0.0.1');
		for (const [one, other] of [
			[near, far],
			[far, near],
		] as const) {
			sockets.add(one);
			one.on('error', () => undefined);
			one.on('close', () => {
				sockets.delete(one);
				other.destroy();
			});
			one.pipe(other);
		}
	});
	await new Promise<void>((resolve) => void relay.listen(0, '127.0.0.1', resolve));
	const address = relay.address();
	const port = typeof address === 'object' && address !== null ? address.port : 0;
	const client = new ScoringClient(`127.0.0.1:${port}`, ChannelCredentials.createInsecure(), {
		'grpc.use_local_subchannel_pool': 1,
	});
	const kill = (): void => {
		for (const socket of sockets) socket.resetAndDestroy();
	};
	t.teardown(async () => {
		client.close();
		kill();
		relay.close();
		await made.close();
	});
	return { made, client, kill, port };
}

interface Admitting {
	readonly stream: ClientDuplexStream<AdmitRequest, AdmitReply>;
	readonly replies: readonly AdmitReply[];
}

async function admitting(client: ScoringClient, count: number): Promise<Admitting> {
	const stream = client.admitStream(new Metadata());
	const replies: AdmitReply[] = [];
	stream.on('data', (reply: AdmitReply) => replies.push(reply));
	stream.on('error', () => undefined);
	for (let n = 0; n < count; n++) stream.write(request());
	await until('all are admitted', () => replies.length === count);
	return { stream, replies };
}

function admit(client: ScoringClient): Promise<AdmitReply> {
	return new Promise((resolve, reject) =>
		client.admit(request(), new Metadata(), (error, reply) => (error === null ? resolve(reply) : reject(error))),
	);
}

function report(client: ScoringClient, decision: string): Promise<string> {
	const outcome = {
		status: OutcomeStatus.OUTCOME_STATUS_OK,
		httpStatus: 200,
		tokensIn: undefined,
		tokensOut: 1,
		tokensCached: 0,
		ttftMs: 1,
		tpotMs: 1,
	};
	return new Promise((resolve) =>
		client.reportOutcome({ id: 2n, decision, outcome }, new Metadata(), (error) =>
			resolve(error === null ? 'OK' : String(error.metadata.get('x-infermesh-error')[0])),
		),
	);
}

const statuses = ({ outcomes }: TestRouter): readonly string[] => outcomes.map(({ status }) => status);

test('what a stream admitted ends when its socket is killed: load taken back, told as cancelled, counted', async (t) => {
	const { made, client, kill } = await rig(t);
	const { replies } = await admitting(client, 5);
	t.is(await report(client, replies[0]?.decision ?? ''), 'OK');
	t.is(made.open(), 4);
	kill();
	await until('all have ended', () => made.open() === 0);
	t.deepEqual(statuses(made), ['ok', 'cancelled', 'cancelled', 'cancelled', 'cancelled']);
	t.deepEqual(made.admissionEnds, ['reported', ...Array.from({ length: 4 }, () => 'disconnected')]);
	t.is(made.endedTwice(), 0);
	t.is(await report(client, replies[1]?.decision ?? ''), 'IM_SCORING_DECISION_UNKNOWN');
});

test('a stream that its caller cancels ends what it admitted, and nothing of others on the same connection', async (t) => {
	const { made, client } = await rig(t);
	const first = await admitting(client, 2);
	const second = await admitting(client, 1);
	const single = await admit(client);
	first.stream.cancel();
	await until('two have ended', () => made.open() === 2);
	t.is(await report(client, second.replies[0]?.decision ?? ''), 'OK');
	t.is(await report(client, single.decision), 'OK');
	t.deepEqual(made.admissionEnds, ['disconnected', 'disconnected', 'reported', 'reported']);
});

test('a stream that ends well leaves its admissions to be reported on, and these end with the connection', async (t) => {
	const { made, client, kill } = await rig(t);
	const { stream, replies } = await admitting(client, 3);
	const over = new Promise((resolve) => stream.on('status', ({ code }) => resolve(code)));
	stream.end();
	t.is(await over, 0);
	t.is(made.open(), 3);
	t.is(await report(client, replies[0]?.decision ?? ''), 'OK');
	kill();
	await until('the others have ended', () => made.open() === 0);
	t.deepEqual(made.admissionEnds, ['reported', 'disconnected', 'disconnected']);
});

test('a channel that closes, or is killed, ends what it admitted one by one', async (t) => {
	for (const how of ['closes', 'killed'] as const) {
		const { made, client, kill } = await rig(t);
		await Promise.all([admit(client), admit(client)]);
		t.is(made.open(), 2);
		if (how === 'closes') client.close();
		else kill();
		await until(`both have ended: ${how}`, () => made.open() === 0);
		t.deepEqual(statuses(made), ['cancelled', 'cancelled']);
	}
});

test('a connection that this router has told to go for doing nothing, or for its age, ends no admission', async (t) => {
	const idle = await rig(t, { options: { keepAliveTimeoutMs: 2000 } });
	const { decision } = await admit(idle.client);
	let closed = false;
	const channel = idle.client.getChannel();
	channel.watchConnectivityState(channel.getConnectivityState(false), Number.POSITIVE_INFINITY, () => (closed = true));
	await until('the connection is closed', () => closed, 20_000);
	t.is(idle.made.open(), 1);
	t.is(await report(idle.client, decision), 'OK', 'there is one worker only, and it has the admission');
});

test('the bytes of questions whose caller is gone are held no longer', async (t) => {
	const { made, kill, port } = await rig(t, { options: { bodyBytesTotalMax: 200_000 } });
	const other = new ScoringClient(`127.0.0.1:${made.port}`, ChannelCredentials.createInsecure());
	t.teardown(() => other.close());
	// As much as the bound does not let in beside half of another.
	const asked = (): Promise<string> =>
		new Promise((resolve) =>
			other.scoreTargets(request('x'.repeat(150_000)), new Metadata(), (error) =>
				resolve(error === null ? 'OK' : String(error.metadata.get('x-infermesh-error')[0])),
			),
		);
	const whole = framed(ScoreTargetsRequest.encode(request()).finish());
	const half = framed(ScoreTargetsRequest.encode(request('x'.repeat(150_000))).finish()).subarray(0, 120_000);
	for (let round = 0; round < 3; round++) {
		const session = connectHttp2(`http://127.0.0.1:${port}`);
		session.on('error', () => undefined);
		const stream = session.request({ ':method': 'POST', ':path': SCORE_STREAM, 'content-type': 'application/grpc' });
		stream.on('error', () => undefined);
		let answers = 0;
		stream.on('data', () => answers++);
		stream.write(whole);
		await until('the question is answered', () => answers > 0);
		stream.write(half);
		await until('half a question is held', async () => (await asked()) === 'IM_ROUTE_SATURATED');
		const before = made.ended.length;
		kill();
		await until('the stream has ended', () => made.ended.length > before);
		t.is(await asked(), 'OK');
	}
	t.is(made.open(), 0);
});
