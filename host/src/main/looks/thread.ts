// Owns the looking thread: it fetches metrics, health answers and pages of exporters, runs tools, and reads all of it, so that no loop which must be on
// time does. The agent gets what was seen in batches and only writes columns.
import { parentPort, workerData } from 'node:worker_threads';
import { isRuntimeName, LabelCache, RuntimeReader } from '@infermesh/adapters';
import { SeededRandom } from '@infermesh/proto';
import { type Polled, type PolledSpec, TargetPoller } from '../../fleet/poller.js';
import { SourcePoller } from '../../signals/source-poller.js';
import { systemClock } from '../clock.js';
import { createFetcher } from '../fetcher.js';
import { Outbox } from './outbox.js';
import type { FromLooks, LooksStart, ToLooks } from './protocol.js';
import { readNvml, runTool } from './tools.js';

interface Followed extends Polled {
	readonly key: number;
}

const port = parentPort;
const { seed, tls, poller: pollerOptions, gpus, batchMs } = workerData as LooksStart;
const random = new SeededRandom(...seed);
const { fetch, setTls } = createFetcher(systemClock, tls);
const labels = new LabelCache();
const followed = new Map<number, Followed>();
const outbox = new Outbox(systemClock, batchMs, (batch: FromLooks) => port?.postMessage(batch));

const makeReader = ({ runtime, models, metricsPath }: PolledSpec): RuntimeReader =>
	new RuntimeReader({
		...(isRuntimeName(runtime) ? { runtime } : {}),
		models,
		labels,
		// A runtime named `openai` has nothing to tell beyond that; one nobody named, without metrics, wants to be left alone.
		hints: runtime === 'auto' && metricsPath !== '',
	});

const targets = new TargetPoller<Followed>(pollerOptions, {
	clock: systemClock,
	random,
	fetch,
	makeReader,
	events: {
		report: ({ key }, delta) => outbox.add('reports', { key, delta }),
		checked: ({ key }, ok, rttMs) => outbox.add('checks', { key, ok, rttMs }),
		scraped: ({ key }, result, durationMs) => outbox.add('scrapes', { key, result, durationMs }),
	},
});

function startGpus(): SourcePoller {
	return new SourcePoller({
		...gpus,
		clock: systemClock,
		random,
		fetch,
		run: runTool,
		nvml: readNvml,
		looked: (look) => outbox.add('gpus', look),
	});
}

port?.on('message', (message: ToLooks) => {
	if (message.kind === 'follow') {
		const one: Followed = { key: message.key, spec: message.spec };
		followed.set(message.key, one);
		targets.follow(one);
	} else if (message.kind === 'forget') {
		const one = followed.get(message.key);
		followed.delete(message.key);
		if (one !== undefined) targets.forget(one);
	} else if (message.kind === 'tls') setTls(message.tls);
	else startGpus();
});
