// The composition root of one data-plane worker thread: shared memory, strategy runtime and router, wired to the agent's messages.
import './v8-flags.js';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CohortRecorder } from '../experiments/cohorts/recorder.js';
import { WorkerDirectory } from '../fleet/directory.js';
import { InflightReader, InflightWriter } from '../fleet/inflight.js';
import { NameTable } from '../fleet/interner.js';
import { kvCacheTokens } from '../fleet/kv-capacity.js';
import { WorkerLedger } from '../fleet/ledger.js';
import { FleetTableReader } from '../fleet/table.js';
import { LoraRows } from '../prefix/lora-rows.js';
import { createPrefixIndex } from '../prefix/prefix-index.js';
import type { TokenReply } from '../prefix/tokens/protocol.js';
import { TokenClient } from '../prefix/tokens/token-client.js';
import { DecisionTap } from '../recorder/tap.js';
import { QuotaBoard } from '../router/admission/quota-board.js';
import { TargetLimits } from '../router/admission/target-limits.js';
import type { AttemptOutcome, ModelPool } from '../router/ports.js';
import { pipelineStages } from '../router/ports.js';
import { createRouter } from '../router/router.js';
import { deciderDefaults, FALLBACK_VERSION, WorkerDecider } from '../strategy/runtime/decider.js';
import { LEAST_QUEUE_NAME } from '../strategy/runtime/fallback.js';
import { planOf } from '../strategy/runtime/plan.js';
import { createAdmissionMetrics } from '../telemetry/admission-metrics.js';
import { MetricsBlock } from '../telemetry/block.js';
import { createDecisionMetrics } from '../telemetry/decision-metrics.js';
import { createLog } from '../telemetry/logger.js';
import { watchLoopLag } from '../telemetry/loop-lag.js';
import { createNativeMetrics } from '../telemetry/native-metrics.js';
import { createPrefixMetrics, createTokenMetrics } from '../telemetry/prefix-metrics.js';
import { createRouterMetrics } from '../telemetry/router-metrics.js';
import { createTracing } from '../telemetry/tracing.js';
import { createWebSocketMetrics } from '../telemetry/websocket-metrics.js';
import { createAuthenticator } from './authenticator.js';
import { systemClock, systemRandom } from './clock.js';
import { OutcomeBatcher, outcomeBatcherDefaults } from './outcome-batcher.js';
import { BLOCK_STEP } from './recording-blocks.js';
import type { FromWorker, ToWorker, WorkerStart } from './worker-protocol.js';

const start = workerData as WorkerStart;
const agent = parentPort;
if (agent === null) throw new Error('worker.ts runs in a worker thread only');
const send = (message: FromWorker): void => agent.postMessage(message);

/** Attempts a request may have under way at once: the first and its copies. */
const ATTEMPTS_AT_ONCE = 5;

/** While native code starts, it is looked at this often. */
const READY_LOOK_MS = 2;
const LISTEN_WAIT_MS = 2000;

/** What shadows have done is told this often. */
const SHADOWS_PERIOD_MS = 1000;

// A trap is caught on the decision path; a deep stack trace would cost more than the decision.
Error.stackTraceLimit = 8;

const clock = systemClock;
const random = systemRandom();
const labels = new Map<number, string>();
const labelOf = (versionId: number): string => labels.get(versionId) ?? `version-${versionId}`;
const block = new MetricsBlock(start.metrics);
const log = createLog({ level: start.log.level, base: { worker: start.worker }, wallMs: () => clock.wallMs() });
watchLoopLag(block, clock, `worker-${start.worker}`, start.loopLagPeriodMs);

const tenants = new NameTable(start.tenantsMax);
for (const tenant of start.tenants) tenants.intern(tenant);
const loras = new NameTable(start.lorasMax);

const table = new FleetTableReader(start.table);
const counters = new InflightReader(start.inflight);
const inflightMax = start.router.inflightMax ?? 4096;
const ledger = new WorkerLedger(new InflightWriter(start.inflight, start.worker), inflightMax * ATTEMPTS_AT_ONCE, () =>
	clock.wallMs(),
);
const limits = new TargetLimits(start.limits);
const directory = new WorkerDirectory();

const cohorts = new CohortRecorder({
	clock,
	experimentOn: (model) => planOf(decider.runtimes.current(), model).experiment,
	post: (deltas) => send({ kind: 'cohorts', deltas }),
});

const tap = new DecisionTap({
	worker: start.worker,
	clock,
	place: { zone: start.zone, region: start.region, topK: start.topK },
	promptBlocks: (words, at, most) => prefixes.promptBlocks(BLOCK_STEP, words, at, most),
});

const decider: WorkerDecider = new WorkerDecider(
	{
		...deciderDefaults,
		fuel: start.fuel,
		spares: start.spares,
		waits: false,
		topK: start.topK,
		spreadRatio: start.spreadRatio,
		explorationRatio: start.explorationRatio,
		witnessEvery: start.witnessEvery,
		zone: start.zone,
		region: start.region,
		meshSeed: start.meshSeed,
		explain: { entriesMax: start.explainEntriesMax },
		shadow: start.shadow,
	},
	{
		clock,
		random,
		table,
		counters,
		control: start.control,
		native: createNativeMetrics(block, labelOf),
		metrics: createDecisionMetrics(block, {
			label: labelOf,
			fallbackLabel: LEAST_QUEUE_NAME,
			fallbackVersion: FALLBACK_VERSION,
		}),
		defer: (task) => setImmediate(task),
		onStrike: (strike) => send({ kind: 'strike', strike }),
		recorder: tap,
		enrolled: (cohort, cause, durationNs, fuel) => cohorts.decided(cohort, cause, durationNs, fuel),
		onLog: (label, text) => send({ kind: 'strategyLog', label, text }),
	},
);

const batcher = new OutcomeBatcher(outcomeBatcherDefaults, clock, (batch) => send({ kind: 'outcomes', batch }));

const { tracer, close: closeTracing } = await createTracing({
	endpoint: start.tracing.endpoint,
	ratio: start.tracing.ratio,
	queueMax: start.tracing.queueMax,
	resource: { 'service.name': 'infermesh', 'infermesh.node': start.tracing.node, 'infermesh.zone': start.tracing.zone },
});

const authenticator = createAuthenticator(start.keys, clock, {
	defaultTenantId: tenants.find('default'),
	openWithoutKeys: start.openWithoutKeys,
});

const loraRows = new LoraRows(start.lorasMax);
const prefixes = createPrefixIndex(start.prefixIndex, {
	nowMs: () => clock.nowMs(),
	cacheTokens: (row) => kvCacheTokens(table, row),
	metrics: createPrefixMetrics(block),
	kv: start.kvTable,
	loras: loraRows,
});

let tokenizers: readonly MessagePort[] = [];
const tokenClient = new TokenClient(start.tokens, {
	clock,
	threads: () => tokenizers.length,
	send: (thread, request) => tokenizers[thread]?.postMessage(request, [request.body.buffer as ArrayBuffer]),
	metrics: createTokenMetrics(block),
});

const router = createRouter(
	{ ...start.router, logRequests: start.log.requests },
	{
		clock,
		random,
		directory,
		decider,
		ledger,
		outcomes: {
			record(outcome: AttemptOutcome) {
				decider.outcome(outcome);
				tap.outcome(outcome);
				batcher.add(outcome);
			},
			enlisted: (cohort) => cohorts.enlisted(cohort),
			ended: (pool, cohort, request) => cohorts.ended(pool.model, cohort, request),
			loadReported: (target, orca, inFlight) => batcher.load(target, orca, inFlight),
		},
		prefixes,
		tokens: tokenClient,
		interner: { tenant: (name) => tenants.find(name), lora: (name) => loras.intern(name) },
		authenticator,
		responseKey: start.responseKey,
		metrics: createRouterMetrics(block, { tenantName: (id) => tenants.name(id), stages: pipelineStages }),
		webSockets: createWebSocketMetrics(block),
		tracer,
		log,
		admission: {
			hasRoom: (row) => limits.hasRoom(row, counters),
			quotas: {
				board: new QuotaBoard(start.quotas),
				worker: start.worker,
				want: (tenant) => send({ kind: 'quotaWanted', tenant }),
			},
			mesh: {
				room: (row) => limits.room(row, counters),
				handRows: limits.byHand ? limits.rowsMax : 0,
				tell: (flows) => send({ kind: 'flows', flows }),
			},
			metrics: createAdmissionMetrics(block, (id) => tenants.name(id)),
		},
	},
);

let shadowsTold = false;
clock.every(
	SHADOWS_PERIOD_MS,
	() => {
		const counts = decider.shadows();
		if (counts.length > 0 || shadowsTold) send({ kind: 'shadows', counts });
		shadowsTold = counts.length > 0;
	},
	{ unref: true },
);

async function close(graceMs: number): Promise<void> {
	await router.close({ graceMs });
	batcher.flush();
	cohorts.flush();
	await closeTracing();
	for (const port of tokenizers) port.close();
	decider.close();
	send({ kind: 'closed' });
	agent?.close();
}

function listen(): void {
	router.server.once('error', (error: Error) => send({ kind: 'failed', message: error.message }));
	router.server.listen({ host: start.host, port: start.port, reusePort: true }, () => {
		const address = router.server.address();
		send({ kind: 'listening', port: typeof address === 'object' && address !== null ? address.port : start.port });
	});
}

/** A worker that takes another's place takes its first requests when its strategies are ready, or when that takes too long. */
async function listenSoon(): Promise<void> {
	const untilMs = clock.nowMs() + LISTEN_WAIT_MS;
	try {
		while (clock.nowMs() < untilMs && !decider.runtimes.ready(decider.runtimes.current())) await pause(READY_LOOK_MS);
	} catch {
		// A strategy that cannot start leaves its requests to the fallback.
	}
	listen();
}

function setPools(pools: readonly ModelPool[]): void {
	decider.runtimes.setPools(pools);
	prefixes.retain(pools);
	// Connections to targets that are gone are closed once nothing is in flight on them.
	router.retainOrigins(
		new Set(
			pools.flatMap((pool) =>
				pool.targets.flatMap((target) =>
					target === undefined ? [] : [target.origin, target.grpcOrigin ?? target.origin],
				),
			),
		),
	);
}

/** Goes on with requests while native code starts; how long that may take is bounded by the sandbox itself. */
async function prepare({ plan }: Extract<ToWorker, { kind: 'prepare' }>): Promise<void> {
	const { generation } = plan;
	try {
		decider.runtimes.prepare(plan);
		while (!decider.runtimes.ready(plan)) await pause(READY_LOOK_MS);
		send({ kind: 'prepared', generation, error: undefined });
	} catch (error) {
		send({ kind: 'prepared', generation, error: error instanceof Error ? error.message : String(error) });
	}
}

function pause(ms: number): Promise<void> {
	return new Promise((resolve) => void clock.after(ms, resolve));
}

agent.on('message', (message: ToWorker) => {
	switch (message.kind) {
		case 'directory':
			setPools(directory.update(message.snapshot));
			break;
		case 'loras':
			loraRows.update(message.sets);
			break;
		case 'strategy':
			labels.set(message.strategy.versionId, message.strategy.label);
			decider.runtimes.addStrategy(message.strategy);
			break;
		case 'state':
			decider.runtimes.addState(message.versionId, message.poolIndex, message.shared);
			break;
		case 'forget':
			decider.runtimes.removeStrategy(message.versionId);
			break;
		case 'access':
			for (const tenant of message.tenants) tenants.intern(tenant);
			authenticator.replace(message.keys);
			router.setResponseKey(message.responseKey);
			break;
		case 'prepare':
			void prepare(message);
			break;
		case 'tls':
			router.setTls(message.tls);
			break;
		case 'quotaGranted':
			router.quotaGranted(message.tenants);
			break;
		case 'flowsHeard':
			router.flowsHeard(message.flows);
			break;
		case 'tokenizers':
			for (const port of tokenizers) port.close();
			tokenClient.lost();
			tokenizers = message.ports;
			for (const port of tokenizers) port.on('message', (reply: TokenReply) => tokenClient.replied(reply));
			break;
		case 'listen':
			void listenSoon();
			break;
		case 'explain':
			send({ kind: 'explained', query: message.query, decision: decider.explain(message.decisionId) });
			break;
		case 'record':
			tap.start(message.ring, { sample: message.sample });
			break;
		case 'recordEnd':
			tap.stop();
			break;
		case 'logLevel':
			log.setLevel(message.level);
			break;
		case 'close':
			void close(message.graceMs);
			break;
	}
});
