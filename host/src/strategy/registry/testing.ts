// Owns a strategy manager for tests: a clock moved by hand, workers that only remember what they were told, and the shipped least_queue admitted once.
import type { Clock } from '@infermesh/proto';
import { createInflight, InflightReader } from '../../fleet/inflight.js';
import { openPolicy } from '../../fleet/placement.js';
import { PoolView } from '../../fleet/pool-view.js';
import { createFleetTable, FleetTableReader } from '../../fleet/table.js';
import { systemClock } from '../../main/clock.js';
import { openStrategy } from '../../project/prepare.js';
import type { ModelPool } from '../../router/ports.js';
import { wasmEngine } from '../admission/engine.js';
import { inspectModule } from '../admission/inspect.js';
import { type AdmittedModule, type Inspection, inspectDefaults } from '../admission/try-out.js';
import { fuelDefaults } from '../runtime/instance.js';
import type { RoutingPlan } from '../runtime/plan.js';
import { quarantineDefaults } from '../runtime/quarantine.js';
import { StrategyJudge } from './judge.js';
import { StrategyManager } from './manager.js';

/** A clock that only moves when told, with its timers. */
export class HandClock implements Clock {
	now = 1000;
	#timers: { at: number; fn: () => void }[] = [];
	nowMs = (): number => this.now;
	wallMs = (): number => this.now;
	after(delayMs: number, fn: () => void) {
		const timer = { at: this.now + delayMs, fn };
		this.#timers.push(timer);
		return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
	}
	every(): never {
		throw new Error('not used');
	}
	async advance(ms: number): Promise<void> {
		this.now += ms;
		const due = this.#timers.filter((timer) => timer.at <= this.now);
		this.#timers = this.#timers.filter((timer) => timer.at > this.now);
		for (const timer of due) timer.fn();
		await settled();
	}
}

export async function settled(): Promise<void> {
	for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

export const { wasm } = await openStrategy('least_queue');
const limits = { fuel: fuelDefaults, moduleBytesMax: 1 << 20, calibration: { sizes: [16], decisions: 10, seed: 1 } };
const inspected: Inspection = inspectModule(wasm, { ...inspectDefaults, ...limits }, systemClock);

/** `manifest`: what the strategies claim beside what least_queue does. */
export function managerForTests(poolCount = 1, manifest: Partial<AdmittedModule['manifest']> = {}) {
	const clock = new HandClock();
	const table = createFleetTable(64);
	const counters = createInflight(64, 1);
	const pools: ModelPool[] = Array.from({ length: poolCount }, (_, index) => ({
		index,
		model: `m${index}`,
		modelId: index + 1,
		revision: undefined,
		policy: openPolicy,
		targets: [
			{
				id: `t${index}`,
				tableRow: index,
				generation: 0,
				origin: 'http://t',
				pathPrefix: '',
				apiKey: undefined,
				runtime: 'vllm',
				upstreamModel: undefined,
			},
		],
	}));
	const { admitted, report } = inspected;
	const claimed: Inspection = {
		report,
		admitted: admitted && { ...admitted, manifest: { ...admitted.manifest, ...manifest } },
	};
	const committed: RoutingPlan[] = [];
	const attempted: number[] = [];
	const events: string[] = [];
	const workers = { failing: false };
	const judge = new StrategyJudge(
		{ fuel: fuelDefaults, moduleBytesMax: 1 << 20, settings: {} },
		{ clock, admit: () => Promise.resolve(claimed), admitted: () => undefined },
	);
	const manager = new StrategyManager(
		{
			fuel: fuelDefaults,
			loadedMax: 6,
			instancesMax: 40,
			instancesPerPool: 3,
			quarantine: quarantineDefaults,
			statePublishMs: 10,
			meshSeed: [1, 2],
		},
		{
			clock,
			judge,
			compile: ({ wasm }) => Promise.resolve(new wasmEngine.Module(wasm)),
			workers: {
				addStrategy: () => undefined,
				addState: () => undefined,
				removeStrategy: () => undefined,
				commit(plan) {
					attempted.push(plan.generation);
					if (workers.failing) return Promise.reject(new Error('a worker did not answer'));
					committed.push(plan);
					return Promise.resolve();
				},
			},
			pools: () => pools,
			openView: (pool) =>
				new PoolView(
					new FleetTableReader(table),
					new InflightReader(counters),
					pool.targets.map((target) => target?.tableRow ?? 0),
				),
			events: {
				swapped: (label, kind) => events.push(`${kind} ${label}`),
				struck: () => undefined,
				quarantined: (label) => events.push(`quarantined ${label}`),
			},
		},
	);
	const strike = (versionId: number) =>
		manager.strike({ versionId, label: '', cause: 'trap', model: 'm0', trap: '', fuel: 0 });
	return { manager, judge, clock, committed, attempted, events, workers, strike, pools };
}
