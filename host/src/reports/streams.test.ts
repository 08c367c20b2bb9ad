// The streams of reports: properties of adapter and agent together over a link that loses and breaks at random, and the real thing over gRPC.
import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { type ReportCall, ReportStream, type ReportStreamOptions, type WireReport } from '@infermesh/adapters';
import { type CommStatsDelta, MeshError, SeededRandom } from '@infermesh/proto';
import { type ReportAck } from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import { TelemetryClient } from '@infermesh/proto/grpc/telemetry/v1/telemetry-client';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { bearer, meshChannel, refusal } from '../agent-api/grpc-testing.js';
import { openAgent, TRUST_DOMAIN } from '../agent-api/testing.js';
import { HandClock } from '../fleet/testing.js';
import { systemClock, systemRandom } from '../main/clock.js';
import { openLoopbackReports } from '../main/report-part.js';
import { StreamBounds } from '../mesh/stream-bounds.js';
import { createMetricsBuffer, MetricsBlock } from '../telemetry/block.js';
import { renderMetrics } from '../telemetry/exposition.js';
import { createLog } from '../telemetry/logger.js';
import { createMeshMetrics } from '../telemetry/mesh-metrics.js';
import { reportErrors } from './errors.js';
import { ReportLedger } from './ledger.js';
import { ReportReceiver } from './receiver.js';
import { commDelta, linkOf, testReports } from './testing.js';

const WINDOW = 4;

/** An agent whose calls go over a link that is pulled at will, with messages under way lost in both directions. */
class TestAgent {
	readonly taken: { readonly id: number; readonly ageMs: number }[] = [];
	readonly counts = { taken: 0, duplicate: 0, refused: 0, dropped: 0 };
	readonly failures: string[] = [];
	readonly #clock: HandClock;
	#ledger = new ReportLedger(16);
	#calls: { deliver: () => void; pull: () => void }[] = [];

	constructor(clock: HandClock) {
		this.#clock = clock;
	}

	/** Forgets where streams were, as a process that is started again. */
	restart(): void {
		this.pull();
		this.#ledger = new ReportLedger(16);
	}

	pull(): void {
		for (const { pull } of this.#calls.splice(0)) pull();
	}

	/** One message that is under way arrives, in either direction. */
	deliver(): void {
		this.#calls.at(-1)?.deliver();
	}

	call(): ReportCall {
		const inbound: WireReport[] = [];
		const outbound: ReportAck[] = [];
		const on: { data?: (ack: ReportAck) => void; error?: (error: Error) => void } = {};
		let open = true;
		const receiver = new ReportReceiver(
			'comm',
			'adapter',
			{ window: WINDOW, ackEveryMs: 5 },
			{
				clock: this.#clock,
				ledger: this.#ledger,
				sinks: {
					model: () => undefined,
					gpu: () => undefined,
					io: () => undefined,
					comm: (delta, { ageMs }) => {
						const id = Number(delta.jobId);
						if (id % 10 === 9) throw new MeshError(reportErrors, 'IM_REPORTS_UNSOUND');
						this.taken.push({ id, ageMs });
					},
				},
				metrics: {
					report: (_kind, result) => void this.counts[result]++,
					reportsDropped: (_kind, count) => void (this.counts.dropped += count),
				},
				send: (ack) => void outbound.push(ack),
				fail: (error) => {
					this.failures.push(error.code);
					open = false;
					on.error?.(error);
				},
				toError: (error) => error as MeshError,
			},
		);
		this.#calls.push({
			deliver: () => {
				const ack = outbound.shift();
				const report = ack === undefined ? inbound.shift() : undefined;
				if (!open) return;
				if (ack !== undefined) on.data?.(ack);
				else if (report !== undefined) receiver.take(report);
			},
			pull: () => {
				open = false;
				receiver.end();
				on.error?.(new Error('pulled'));
			},
		});
		return {
			write: (report) => inbound.push(report) > 0,
			end: () => undefined,
			cancel: () => {
				open = false;
				receiver.end();
			},
			on: (event: string, listener: unknown) => Object.assign(on, { [event]: listener }),
		};
	}
}

interface World {
	readonly clock: HandClock;
	readonly agent: TestAgent;
	readonly stream: ReportStream<'comm'>;
	readonly report: (id: number, key?: string) => void;
}

function world(options: Partial<ReportStreamOptions> = {}, seed = 7): World {
	const clock = new HandClock();
	const agent = new TestAgent(clock);
	const stream = new ReportStream<'comm'>(
		{ kind: 'comm', adapter: 'test', heldMax: 8, ackTimeoutMs: 1000, retryMinMs: 10, retryMaxMs: 100, ...options },
		{ clock, random: new SeededRandom(seed), connect: () => agent.call() },
	);
	const report = (id: number, key = `key${id}`): void =>
		stream.report(key, '', commDelta(clock.nowMs(), { jobId: String(id) }));
	return { clock, agent, stream, report };
}

/** All that is under way arrives, and all pauses pass. */
function settle({ clock, agent }: World): void {
	for (let round = 0; round < 300; round++) {
		agent.deliver();
		clock.advance(5);
	}
}

const steps = fc.array(
	fc.oneof(
		{ weight: 6, arbitrary: fc.constant('report') },
		{ weight: 12, arbitrary: fc.constant('deliver') },
		{ weight: 4, arbitrary: fc.constant('pass') },
		{ weight: 2, arbitrary: fc.constant('pull') },
	),
	{ maxLength: 150 },
);

test('over a link that breaks at will every report is taken once, in order, or counted as dropped', (t) => {
	fc.assert(
		fc.property(steps, fc.integer(), (script, seed) => {
			const made = world({}, seed);
			const { clock, agent, stream, report } = made;
			let id = 0;
			for (const step of script) {
				if (step === 'report') report(++id);
				else if (step === 'deliver') agent.deliver();
				else if (step === 'pull') agent.pull();
				else clock.advance(7);
			}
			settle(made);
			const ids = agent.taken.map((one) => one.id);
			const refused = agent.counts.refused;
			const { dropped, held } = stream.counts;
			const ordered = ids.every((one, at) => at === 0 || one > (ids[at - 1] ?? 0));
			// A report may be both taken and dropped: taken, and dropped before its acknowledgement had come.
			const accounted = ids.length + refused <= id && ids.length + refused + dropped >= id;
			if (!ordered || !accounted || held !== 0 || agent.failures.some((code) => code === 'IM_REPORTS_WINDOW'))
				throw new Error(JSON.stringify({ id, ids, dropped, held, refused, failures: agent.failures }));
			// The newest is never the one that is dropped.
			if (id > 0 && id % 10 !== 9 && ids.at(-1) !== id) throw new Error(`the newest, ${id}, is not there`);
			if (dropped === 0 && ids.length + refused !== id) throw new Error('lost without being counted');
			stream.close();
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

test('while nobody answers, reports of one thing make place for newer ones of it', (t) => {
	const made = world();
	for (let id = 1; id <= 40; id++) made.report(id, id % 2 === 0 ? 'even' : `odd${id}`);
	t.deepEqual(made.stream.counts, { dropped: 32, refused: 0, held: 8 });
	settle(made);
	const ids = made.agent.taken.map(({ id }) => id);
	t.is(ids.at(-1), 40);
	t.is(ids.filter((id) => id % 2 === 0).length, 1, 'of the even ones only the newest is left');
	t.is(made.agent.counts.dropped, 32, 'the agent is told how many were dropped');
});

test('a report is as old as it was observed, however often it was sent', (t) => {
	const made = world();
	made.report(1);
	made.clock.advance(5000);
	settle(made);
	t.is(made.agent.taken.length, 1);
	t.true((made.agent.taken[0]?.ageMs ?? 0) >= 5000);
});

test('an agent that was started again gets what was not acknowledged', (t) => {
	const made = world();
	made.report(1);
	settle(made);
	made.agent.restart();
	made.report(2);
	made.report(3);
	settle(made);
	t.deepEqual(
		made.agent.taken.map(({ id }) => id),
		[1, 2, 3],
	);
});

test('what a sink refuses is told, and the stream goes on', (t) => {
	const made = world();
	for (const id of [8, 9, 10]) made.report(id);
	settle(made);
	t.deepEqual(made.stream.counts, { dropped: 0, refused: 1, held: 0 });
	t.deepEqual(made.agent.counts, { taken: 2, duplicate: 0, refused: 1, dropped: 0 });
});

test('an agent that goes silent is given up, and the pause grows', (t) => {
	const clock = new HandClock();
	const opened: number[] = [];
	const stream = new ReportStream<'comm'>(
		{ kind: 'comm', adapter: 'test', ackTimeoutMs: 1000, retryMinMs: 100, retryMaxMs: 1000 },
		{
			clock,
			random: new SeededRandom(1),
			connect: () => {
				opened.push(clock.nowMs());
				return { write: () => true, end: () => undefined, cancel: () => undefined, on: () => undefined };
			},
		},
	);
	stream.report('k', '', commDelta(clock.nowMs()));
	clock.advance(20_000);
	stream.close();
	const pauses = opened.slice(1).map((at, index) => at - (opened[index] ?? 0) - 1000);
	t.true(pauses.length > 5);
	t.true((pauses[0] ?? 0) <= 100 && (pauses.at(-1) ?? 0) >= 500, pauses.join());
	const count = opened.length;
	clock.advance(20_000);
	t.is(opened.length, count, 'nothing after it was closed');
});

test('a report that breaks every call it is sent in is given up, and the next ones come through', (t) => {
	const made = world();
	const { clock, agent } = made;
	let broken = 0;
	const poisoned = new ReportStream<'comm'>(
		{ kind: 'comm', adapter: 'test', retryMinMs: 10, retryMaxMs: 100 },
		{
			clock,
			random: new SeededRandom(3),
			connect: () => {
				const call = agent.call();
				return {
					...call,
					write: (report) => {
						if ((report.state as CommStatsDelta | undefined)?.jobId !== '1') return call.write(report);
						broken++;
						agent.pull();
						return true;
					},
				};
			},
		},
	);
	for (const id of [1, 2, 3]) poisoned.report(`k${id}`, '', commDelta(clock.nowMs(), { jobId: String(id) }));
	settle(made);
	t.deepEqual(
		agent.taken.map(({ id }) => id),
		[2, 3],
	);
	t.is(broken, 8);
	t.is(poisoned.counts.dropped, 1);
	poisoned.close();
});

test('a stream that does not open, or sends beyond its window, is ended by name; a second call takes over', (t) => {
	const clock = new HandClock();
	const ledger = new ReportLedger(2);
	const ended: string[] = [];
	const open = (): ReportReceiver =>
		new ReportReceiver(
			'comm',
			'me',
			{ window: 2, ackEveryMs: 5 },
			{
				clock,
				ledger,
				sinks: { model: () => undefined, gpu: () => undefined, comm: () => undefined, io: () => undefined },
				metrics: { report: () => undefined, reportsDropped: () => undefined },
				send: () => undefined,
				fail: ({ code }) => ended.push(code),
				toError: (error) => error as MeshError,
			},
		);
	const message = (given: Partial<WireReport>): WireReport => ({
		opening: undefined,
		head: undefined,
		target: '',
		state: undefined,
		...given,
	});
	const opening = message({ opening: { streamId: 'a', adapter: 'x' } });
	const report = (sequence: bigint) => message({ head: { sequence, ageMs: 0, dropped: 0n } });
	open().take(report(1n));
	open().take(message({ opening: { streamId: 'no spaces', adapter: '' } }));
	const bad = open();
	bad.take(opening);
	bad.take(report(0n));
	t.deepEqual(ended.splice(0), ['IM_REPORTS_OPENING', 'IM_REPORTS_OPENING', 'IM_REPORTS_OPENING']);
	const greedy = open();
	greedy.take(opening);
	for (const sequence of [1n, 2n, 3n]) greedy.take(report(sequence));
	t.deepEqual(ended.splice(0), ['IM_REPORTS_WINDOW']);
	const [first, second] = [open(), open()];
	first.take(opening);
	second.take(opening);
	t.deepEqual(ended, ['IM_REPORTS_SUPERSEDED']);
	t.is(ledger.fed().length, 1);
});

/** A stream over real gRPC. */
function connected(t: ExecutionContext, client: TelemetryClient, metadata = bearer('')): ReportStream<'comm'> {
	const plain = metadata.get('authorization')[0] === 'Bearer ';
	const stream = new ReportStream<'comm'>(
		{ kind: 'comm', adapter: 'test', retryMinMs: 10, retryMaxMs: 50 },
		{
			clock: systemClock,
			random: systemRandom(),
			connect: () => (plain ? client.reportCommStats() : client.reportCommStats(metadata)) as unknown as ReportCall,
		},
	);
	t.teardown(() => {
		stream.close();
		client.close();
	});
	return stream;
}

const delta = (jobId: string): CommStatsDelta =>
	commDelta(systemClock.nowMs(), { jobId, links: [linkOf({ up: true, errorsPerSec: 3 })] });

test('over mTLS a node’s and a client’s reports are taken, and those of readers refused', async (t) => {
	const agent = await openAgent(t, { callers: { readers: [`spiffe://${TRUST_DOMAIN}/client/bob`] } });
	const client = (who: typeof agent.asNode) => new TelemetryClient(agent.address, who, meshChannel(TRUST_DOMAIN));
	const stream = connected(t, client(agent.asNode));
	for (const job of ['a', 'b', 'c']) stream.report(job, '', delta(job));
	await stream.flushed();
	const reports = agent.reports.commReports();
	t.deepEqual(
		reports.map(({ value, adapter, caller }) => [value.jobId, value.links[0]?.errorsPerSec, adapter, caller]),
		['a', 'b', 'c'].map((job) => [job, 3, 'test', reports[0]?.caller ?? '']),
	);
	t.regex(reports[0]?.caller ?? '', /^spiffe:\/\/mesh\.test\/node\//);
	t.regex(agent.metrics(), /infermesh_reports_total\{kind="comm",result="taken"\} 3/);
	const refused = new Promise<never>((_resolve, reject) => {
		const bob = client(agent.asClient);
		t.teardown(() => bob.close());
		bob
			.reportIoState()
			.on('error', reject)
			.on('data', () => undefined);
	});
	t.deepEqual(await refusal(refused), [status.PERMISSION_DENIED, 'IM_AGENT_READ_ONLY']);
});

async function loopback(t: ExecutionContext, tokens: readonly { name: string; token: string }[] = []) {
	const metrics = createMetricsBuffer();
	const meshMetrics = createMeshMetrics(new MetricsBlock(metrics));
	const reports = testReports(systemClock);
	const open = (port: number) =>
		openLoopbackReports(port, {
			tokens,
			bounds: new StreamBounds((count) => meshMetrics.agentStreams(count)),
			log: createLog({ level: 'silent', wallMs: () => 0 }),
			metrics: meshMetrics,
			streamsMax: 16,
			clock: systemClock,
			options: { window: 4, ackEveryMs: 1 },
			sinks: {
				model: () => undefined,
				gpu: () => undefined,
				comm: (one, origin) => reports.comm(one, origin),
				io: (one, origin) => reports.io(one, origin),
			},
		});
	const first = await open(0);
	t.teardown(() => first.close());
	return { first, open, reports, metrics: () => renderMetrics([metrics]) };
}

test('a lone node takes reports on loopback, and they go on over a restart of its port', async (t) => {
	const { first, open, reports } = await loopback(t);
	const port = Number(first.address?.split(':')[1]);
	const stream = connected(t, new TelemetryClient(`127.0.0.1:${port}`, credentials.createInsecure()));
	for (let job = 0; job < 10; job++) stream.report(`${job}`, '', delta(`${job}`));
	await stream.flushed();
	t.is(reports.commReports().length, 10);
	first.close();
	stream.report('late', '', delta('late'));
	const second = await open(port);
	t.teardown(() => second.close());
	t.is(second.address, `127.0.0.1:${port}`);
	await stream.flushed();
	t.is(reports.commReports().at(-1)?.value.jobId, 'late');
	t.deepEqual(stream.counts, { dropped: 0, refused: 0, held: 0 });
	t.is((await open(port)).address, undefined, 'a port that is taken keeps nobody from starting');
});

test('where there are tokens one is asked for', async (t) => {
	const { first, reports } = await loopback(t, [{ name: 'ann', token: 's3cret' }]);
	const address = first.address ?? '';
	const stranger = new TelemetryClient(address, credentials.createInsecure());
	t.teardown(() => stranger.close());
	const refused = new Promise<never>((_resolve, reject) => {
		stranger
			.reportCommStats()
			.on('error', reject)
			.on('data', () => undefined);
	});
	const error = await t.throwsAsync<ServiceError>(refused);
	t.is(String(error?.metadata.get('x-infermesh-error')[0]), 'IM_ADMIN_UNAUTHENTICATED');
	const stream = connected(t, new TelemetryClient(address, credentials.createInsecure()), bearer('s3cret'));
	stream.report('k', '', delta('j'));
	await stream.flushed();
	t.is(reports.commReports()[0]?.caller, 'token:ann');
});
