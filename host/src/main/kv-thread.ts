// The composition root of the thread that follows KV events: sockets, the index of what engines hold, and its published form in shared
// memory. Apart from everything that must be on time; the agent tells it which targets there are.
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { KvIndex } from '../prefix/precise/kv-index.js';
import { KvReader, type KvReaderOptions, type KvTarget } from '../prefix/precise/kv-reader.js';
import { type KvTableShared, KvTableWriter } from '../prefix/precise/shared-table.js';
import { MetricsBlock } from '../telemetry/block.js';
import { createKvMetrics } from '../telemetry/kv-metrics.js';
import { createLog, type LogLevel } from '../telemetry/logger.js';
import { watchLoopLag } from '../telemetry/loop-lag.js';
import { systemClock, systemRandom } from './clock.js';

export interface KvThreadStart {
	readonly table: KvTableShared;
	readonly blocksMax: number;
	readonly options: KvReaderOptions;
	readonly metrics: SharedArrayBuffer;
	readonly logLevel: LogLevel;
	readonly loopLagPeriodMs: number;
}

export type ToKvThread =
	| { readonly kind: 'targets'; readonly targets: readonly KvTarget[] }
	| { readonly kind: 'close' };

const start = workerData as KvThreadStart;
const agent = parentPort;
if (agent === null) throw new Error('kv-thread.ts runs in a worker thread only');

const clock = systemClock;
const block = new MetricsBlock(start.metrics);
const log = createLog({ level: start.logLevel, base: { thread: 'kv-events' }, wallMs: () => clock.wallMs() });
const lag = watchLoopLag(block, clock, 'kv-events', start.loopLagPeriodMs);
const writer = new KvTableWriter(start.table);
// A thread before this one may have died with things half said.
writer.reset();
/** Targets whose subscription is broken: said once, and once again when it is back. */
const broken = new Set<string>();
const metrics = createKvMetrics(block);
const reader = new KvReader(start.options, new KvIndex(start.blocksMax, writer), writer, {
	clock,
	random: systemRandom(),
	connect: ({ host, port }) => connect({ host, port }),
	metrics: {
		...metrics,
		batch(batch, lagS) {
			if (broken.size > 0) broken.clear();
			metrics.batch(batch, lagS);
		},
		broken(target, reason) {
			if (broken.has(target)) return;
			broken.add(target);
			log.warn({ target, reason }, 'KV events of a target are not heard; what it holds is guessed until they are');
		},
	},
});

agent.on('message', (message: ToKvThread) => {
	if (message.kind === 'targets') return reader.follow(message.targets);
	reader.close();
	lag.stop();
	agent.close();
});
