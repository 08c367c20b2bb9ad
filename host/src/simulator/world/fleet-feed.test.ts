// Reports that are put in when somebody asks, against scrapes that run: at every moment the table's side has seen the same report of every engine, of the same
// instant, whatever the period, the delay and the moments at which it is asked.
import type { ModelStateDelta } from '@infermesh/proto';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { engineProfile } from '../../engine/model/profiles.js';
import { RooflineLatency } from '../../engine/model/roofline.js';
import type { FleetFusion } from '../../fleet/fusion.js';
import type { TargetRecord } from '../../fleet/registry.js';
import { group, workloadOf } from '../simulation.test-support.js';
import { EventClass, EventQueue } from './event-queue.js';
import { FleetFeed } from './fleet-feed.js';
import { layOut } from './fleet-layout.js';
import { EngineProbe } from './probe.js';
import { promptsOf } from './prompts.js';
import { START_MS } from './sim-clock.js';
import { SimEngine } from './sim-engine.js';

const ENGINES = 7;
const END_US = 8_000_000;
const client = { firstToken: () => undefined, finished: () => undefined, died: () => undefined };

interface Seen {
	readonly atUs: number;
	readonly waiting: number;
	readonly running: number;
	readonly kvUsage: number;
}

function seenOf({ model }: SimEngine, atUs: number): Seen {
	const { waiting, running, kvBlocksUsed, config } = model;
	return { atUs, waiting, running, kvUsage: kvBlocksUsed / config.kvBlocks };
}

/** Engines under a random load, scraped for real into `scraped` (newest last) and noted by probes. */
function openFleet(seed: number, periodUs: number, delayUs: number) {
	const queue = new EventQueue();
	const random = new SeededRandom(seed);
	const profile = engineProfile('h100-8b');
	const latency = new RooflineLatency(profile.roofline);
	const probes: EngineProbe[] = [];
	const prompts = promptsOf(workloadOf({ requests: 1 }), 64);
	const engines = layOut([group({ count: ENGINES, sequencesMax: 3, kvTokens: 6400 })]).map(
		(target) =>
			new SimEngine(
				target,
				profile,
				prompts,
				latency,
				queue,
				{ changed: () => probes[target.index]?.note(queue.nowUs) },
				undefined,
			),
	);
	const scraped: Seen[][] = engines.map(() => []);
	for (const [at, engine] of engines.entries()) {
		const phaseUs = Math.floor((at * periodUs) / ENGINES);
		probes.push(new EngineProbe(engine, phaseUs, periodUs, delayUs));
		for (let atUs = phaseUs; atUs < END_US; atUs += periodUs)
			queue.at(atUs, EventClass.signal, () => {
				if (engine.life === 'up') scraped[at]?.push(seenOf(engine, atUs));
			});
	}
	const submit = (): void => {
		const engine = engines[Math.floor(random.nextFloat() * ENGINES)];
		const promptTokens = 1 + Math.floor(random.nextFloat() * 1500);
		engine?.submit({ promptTokens, outputTokens: 1 + Math.floor(random.nextFloat() * 40) }, client);
		const gapUs = Math.floor(random.nextFloat() * 25_000);
		if (queue.nowUs + gapUs < END_US) queue.at(queue.nowUs + gapUs, EventClass.wire, submit);
	};
	queue.at(0, EventClass.wire, submit);
	queue.at(3_000_000, EventClass.fault, () => engines[2]?.hang());
	queue.at(5_000_000, EventClass.fault, () => engines[2]?.revive());
	return { queue, random, engines, probes, scraped };
}

for (const periodMs of [50, 60, 333, 2500])
	for (const delayMs of [0, 30, 1700])
		test(`scraped every ${periodMs} ms, ${delayMs} ms late`, (t) => {
			const [periodUs, delayUs] = [periodMs * 1000, delayMs * 1000];
			const { queue, random, engines, probes, scraped } = openFleet(periodMs + delayMs, periodUs, delayUs);
			const put: (Seen | undefined)[] = engines.map(() => undefined);
			const fusion: Pick<FleetFusion, 'report'> = {
				report({ row }: TargetRecord, { queueDepth, running, kvUsage, observedAtMs }: ModelStateDelta) {
					const atUs = Math.round((observedAtMs - START_MS) * 1000) - delayUs;
					put[row] = { atUs, waiting: queueDepth ?? -1, running: running ?? -1, kvUsage: kvUsage ?? -1 };
				},
			};
			const records = engines.map((_, row) => ({ row }) as TargetRecord);
			const feed = new FleetFeed({ periodUs, delayUs }, fusion as FleetFusion, records, engines, probes);
			let looks = 0;
			const look = (): void => {
				looks++;
				if (looks % 3 === 0) feed.bringOne(looks % ENGINES, queue.nowUs);
				feed.bring(queue.nowUs);
				const expected = scraped.map((seen) => seen.findLast(({ atUs }) => atUs + delayUs <= queue.nowUs));
				t.deepEqual(put, expected, `at ${queue.nowUs} us`);
				const gapUs = Math.floor(random.nextFloat() ** 3 * 400_000);
				if (queue.nowUs + gapUs < END_US) queue.at(queue.nowUs + gapUs, EventClass.timer, look);
			};
			queue.at(0, EventClass.timer, look);
			while (queue.step());
			t.true(looks > 30, `${looks} looks`);
			t.true(scraped.some((seen) => seen.some(({ waiting }) => waiting > 0)));
		});
