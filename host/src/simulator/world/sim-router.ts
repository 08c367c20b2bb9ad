// Owns one router of the simulation: production's fleet table, fusion, counters, ledger, prefix index, pipeline and deciders, put together as a worker and its
// agent put them together, with the simulation's clock, engines and wires where sockets and threads would be.
import type { Random } from '@infermesh/proto';
import { FleetFusion } from '../../fleet/fusion.js';
import { createInflight, InflightReader, type InflightShared, InflightWriter } from '../../fleet/inflight.js';
import { NameTable } from '../../fleet/interner.js';
import { WorkerLedger } from '../../fleet/ledger.js';
import { type TargetRecord, TargetRegistry } from '../../fleet/registry.js';
import { createFleetTable, FleetTableReader, FleetTableWriter } from '../../fleet/table.js';
import { OutcomeBatcher, outcomeBatcherDefaults } from '../../main/outcome-batcher.js';
import { attemptsOf, type OutcomeBatch, observedOf } from '../../main/outcome-wire.js';
import { LoraRows } from '../../prefix/lora-rows.js';
import type { KvTableShared } from '../../prefix/precise/shared-table.js';
import { admissionDefaults } from '../../router/admission/options.js';
import { createEnv, type RouterEnv } from '../../router/env.js';
import { hedgingDefaults } from '../../router/hedge/options.js';
import { type RouterOptionsInput, routerDefaults } from '../../router/options.js';
import type {
	AttemptOutcome,
	Caller,
	Decider,
	InflightLedger,
	ModelPool,
	ModelRoute,
	RequestLog,
	RouterMetrics,
	UpstreamTarget,
} from '../../router/ports.js';
import { Routing } from '../../router/routing.js';
import { deciderDefaults } from '../../strategy/runtime/decider.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import type { SimulationSpec } from '../spec.js';
import { type ArmCosts, ArmDecider } from './arm-decider.js';
import { broken } from './broken.js';
import { Happening } from './digest.js';
import { FleetFeed } from './fleet-feed.js';
import { linkClassOf, targetSpecOf } from './fleet-layout.js';
import { REFRESH_MS, simFusionOptions } from './health-options.js';
import type { EngineProbe } from './probe.js';
import type { Prompts } from './prompts.js';
import { SimClock, START_MS, toUs } from './sim-clock.js';
import { SimDecider } from './sim-decider.js';
import { SimPrefixes } from './sim-prefixes.js';
import { SimProtocol } from './sim-protocol.js';
import { SimRequest, type WorkloadRow } from './sim-request.js';
import { Stream, stream } from './streams.js';
import type { World } from './world.js';

/** Strategies with state age it this often. */
const TICK_MS = 1000;
const NEVER_MS = 1e12;
const LORAS_MAX = 65_536;
const ignore = (): void => undefined;

export interface SimRouterParts {
	readonly world: World;
	readonly index: number;
	readonly probes: readonly EngineProbe[];
	readonly prompts: Prompts;
	/** What engines tell of their caches; undefined = nothing. */
	readonly kv: KvTableShared | undefined;
	readonly arms: readonly StrategyModule[];
	readonly costs: readonly ArmCosts[];
	/** Pool rows each arm may choose from; undefined = all of them. */
	readonly rowsOfArm: ((arm: number) => Uint32Array) | undefined;
	readonly requests: number;
	readonly defer: (task: () => void) => void;
}

export class SimRouter {
	readonly records: readonly TargetRecord[];
	readonly fusion: FleetFusion;
	readonly loras = new LoraRows(LORAS_MAX);
	readonly inflight: InflightShared;
	readonly counters: InflightReader;
	readonly feed: FleetFeed;
	readonly clock: SimClock;
	/** Called when the router's requests in flight change. */
	onInflightChange: () => void = ignore;
	readonly #parts: SimRouterParts;
	readonly #world: World;
	readonly #table: FleetTableWriter;
	readonly #env: RouterEnv;
	readonly #routing: Routing;
	readonly #protocol: SimProtocol;
	readonly #deciders: readonly ArmDecider[];
	readonly #routes: readonly ModelRoute[];
	readonly #batcher: OutcomeBatcher;
	readonly #tenants = new Map<string, Caller>();

	constructor(parts: SimRouterParts) {
		const { world, index, prompts } = parts;
		const { spec } = world;
		const rows = world.engines.length;
		this.#parts = parts;
		this.#world = world;
		this.clock = new SimClock(world.queue);
		const random = stream(spec.seed, Stream.router + index);
		const tableShared = createFleetTable(rows);
		this.#table = new FleetTableWriter(tableShared);
		const tableReader = new FleetTableReader(tableShared);
		this.inflight = createInflight(rows, 1);
		this.counters = new InflightReader(this.inflight);
		const names = namesFor(rows);
		const registry = new TargetRegistry(this.#table, names, 0);
		this.fusion = new FleetFusion(simFusionOptions, this.#table, this.counters, registry);
		this.records = world.engines.map(({ target }) => registry.add(targetSpecOf(target, spec.model)));
		this.#introduce();
		this.feed = new FleetFeed(
			{ periodUs: toUs(spec.signals.periodMs), delayUs: toUs(spec.signals.delayMs) },
			this.fusion,
			this.records,
			world.engines,
			parts.probes,
		);
		const pool = registry.pools()[0] as ModelPool;
		this.#routes = this.#poolsFor(pool).map((one) => ({ requested: spec.model, pool: one, fallbacks: [] }));
		const options = {
			...deciderDefaults,
			zone: names.zones.intern(spec.router.zone),
			region: names.regions.intern(spec.router.region),
			meshSeed: [random.nextU32(), random.nextU32()] as const,
		};
		this.#deciders = parts.arms.map(
			(strategy, arm) =>
				new ArmDecider(
					strategy,
					this.poolOf(arm),
					options,
					{ clock: this.clock, random, table: tableReader, counters: this.counters, defer: parts.defer },
					parts.costs[arm] as ArmCosts,
				),
		);
		this.#batcher = new OutcomeBatcher(outcomeBatcherDefaults, this.clock, (batch) => this.#learn(batch));
		const deciding = (): SimRequest | undefined => this.#env.promptOf as SimRequest | undefined;
		this.#env = createEnv(routerOptions(spec), {
			clock: this.clock,
			random,
			directory: noDirectory,
			decider: this.#decider(random, deciding),
			ledger: this.#ledger(parts.requests),
			outcomes: { record: (outcome) => this.#record(outcome), loadReported: ignore, enlisted: ignore, ended: ignore },
			prefixes: new SimPrefixes({
				kind: spec.signals.prefix,
				prompts,
				engines: world.engines,
				cacheBlocks: world.engines.map(({ model: { config } }) =>
					Math.floor(((config.kvBlocks + config.hostBlocks) * config.blockTokens) / prompts.blockTokens),
				),
				kv: parts.kv,
				loras: this.loras,
				request: () => deciding()?.index ?? -1,
				nowMs: () => this.clock.nowMs(),
				routers: spec.router.count,
			}),
			interner: { tenant: () => 0, lora: (name) => names.models.intern(`lora:${name}`) },
			authenticator: { authenticate: () => undefined, stands: () => true },
			metrics: this.#metrics(),
			log: failLoudly,
		});
		this.#routing = new Routing(this.#env);
		this.#protocol = new SimProtocol(world, this.#env);
		this.#protocol.routing = this.#routing;
	}

	/** The pool an arm's requests are decided in. */
	poolOf(arm: number): ModelPool {
		return (this.#routes[this.#routes.length === 1 ? 0 : arm] as ModelRoute).pool;
	}

	/** A request comes in. */
	arrive(index: number, row: WorkloadRow, arm: number): void {
		const { queue, tally, spec } = this.#world;
		const route = this.#routes[this.#routes.length === 1 ? 0 : arm] as ModelRoute;
		const request = new SimRequest(
			this.#protocol,
			index,
			arm,
			row,
			queue.nowUs,
			this.clock.nowMs(),
			this.#caller(row.tenant ?? ''),
			route,
		);
		tally.arrive(request);
		const { timeoutMs } = spec.router;
		if (timeoutMs > 0) request.timeout = this.clock.after(timeoutMs, () => this.#protocol.giveUp(request));
		this.#routing.enter(request);
		this.#routing.guarded(request, () => this.#routing.begin(request));
	}

	/** What follows from time alone, until the run is over. */
	refresh(nowUs: number): void {
		this.feed.bring(nowUs);
		this.fusion.refresh(START_MS + nowUs / 1000);
	}

	/** The result of a health check. */
	checked(row: number, ok: boolean): void {
		this.feed.bring(this.#world.queue.nowUs);
		this.fusion.checked(this.records[row] as TargetRecord, ok, undefined, this.clock.nowMs());
	}

	/** The target is to get no new requests, or is to get them again. */
	drain(row: number, drained: boolean): void {
		(this.records[row] as TargetRecord).hold = drained ? 'draining' : 'none';
		this.refresh(this.#world.queue.nowUs);
	}

	/** An engine's adapters have changed. */
	lorasChanged(row: number, names: readonly string[]): void {
		const { generation } = this.records[row] as TargetRecord;
		this.loras.update([{ row, generation, names }]);
	}

	/** Periodic work, for as long as `goesOn` says. */
	keepFresh(goesOn: () => boolean): void {
		const every = (periodMs: number, fn: () => void): void => {
			const turn = (): void => {
				if (!goesOn()) return;
				fn();
				this.clock.after(periodMs, turn);
			};
			this.clock.after(periodMs, turn);
		};
		every(REFRESH_MS, () => this.refresh(this.#world.queue.nowUs));
		if (this.#deciders.some(({ observes }) => observes))
			every(TICK_MS, () => {
				for (const decider of this.#deciders) decider.tick();
			});
	}

	/** Registers targets with what is known of them from the start: they answer, and how far they are. */
	#introduce(): void {
		const { wayUs, spec } = this.#world;
		for (const record of this.records) {
			this.fusion.follow(record, START_MS);
			this.fusion.checked(record, true, undefined, START_MS);
			this.fusion.linked(
				record,
				{
					basis: 'measured',
					reach: 'reached',
					rttMs: (2 * (wayUs[record.row] as number)) / 1000,
					ageMs: 0,
					error: 0,
					bandwidthBytesPerS: spec.network.transferBytesPerSecond,
					linkClass: linkClassOf(spec.router, record.spec),
				},
				START_MS,
			);
		}
		this.#table.publish();
	}

	/** Ends the sandboxes of native strategies. */
	close(): void {
		for (const decider of this.#deciders) decider.close();
	}

	#poolsFor(pool: ModelPool): readonly ModelPool[] {
		const { rowsOfArm, arms } = this.#parts;
		if (rowsOfArm === undefined) return [pool];
		const poolOf = (arm: number): ModelPool => {
			const policy = { ...pool.policy, allowed: rowsOfArm(arm) };
			return { ...pool, index: arm, policy };
		};
		return arms.map((_, arm) => poolOf(arm));
	}

	#decider(random: Random, deciding: () => SimRequest | undefined): Decider {
		const { world } = this.#parts;
		return new SimDecider({
			world,
			random,
			exploration: stream(world.spec.seed, Stream.exploration),
			deciders: this.#deciders.map(({ decider }) => decider),
			deciding,
			mayTake: (pool, row) => {
				const { allowed } = pool.policy;
				const target = pool.targets[row];
				if (
					target === undefined ||
					(allowed !== undefined && ((allowed[row >>> 5] as number) & (1 << (row & 31))) === 0)
				)
					return false;
				return this.records[target.tableRow]?.hold === 'none' && world.engines[target.tableRow]?.life === 'up';
			},
			bringUp: () => {
				this.feed.bring(world.queue.nowUs);
				this.#table.publish();
			},
		});
	}

	/** Reports that have come count what was in flight when they came, so they are put in before that changes. */
	#ledger(requests: number): InflightLedger {
		const ledger = new WorkerLedger(new InflightWriter(this.inflight, 0), 2 * requests + 1024, () =>
			this.clock.wallMs(),
		);
		const { queue } = this.#world;
		const rows = new Map<number, number>();
		const before = (entry: number): void => this.feed.bringOne(rows.get(entry) ?? 0, queue.nowUs);
		return {
			dispatch: (target: UpstreamTarget, promptTokens, uncachedTokens) => {
				this.feed.bringOne(target.tableRow, queue.nowUs);
				const entry = ledger.dispatch(target, promptTokens, uncachedTokens);
				rows.set(entry, target.tableRow);
				this.onInflightChange();
				return entry;
			},
			unreachable: (target) => ledger.unreachable(target),
			firstToken: (entry) => {
				ledger.firstToken(entry);
				this.onInflightChange();
			},
			end: (entry) => {
				before(entry);
				rows.delete(entry);
				ledger.end(entry);
				this.onInflightChange();
			},
			inFlight: (target) => ledger.inFlight(target),
		};
	}

	#record(outcome: AttemptOutcome): void {
		const { tally, queue } = this.#world;
		tally.digest.add(Happening.outcome, queue.nowUs, outcome.target.tableRow, outcome.tokensOut, outcome.ttftMs);
		this.#batcher.add(outcome);
	}

	#learn(batch: OutcomeBatch): void {
		this.feed.bring(this.#world.queue.nowUs);
		this.fusion.attempts(attemptsOf(batch), Math.floor(this.clock.nowMs()));
		if (!this.#deciders.some(({ observes }) => observes)) return;
		const observed = observedOf(batch);
		for (const [arm, decider] of this.#deciders.entries())
			decider.observe(observed.filter(({ poolIndex }) => poolIndex === this.poolOf(arm).index));
	}

	#metrics(): RouterMetrics {
		const { tally } = this.#world;
		return {
			requestStarted: ignore,
			requestEnded: ignore,
			attempt: ignore,
			retry: () => {
				tally.retries++;
			},
			prefill: ignore,
			hedge: (_pool, result) => {
				if (result === 'sent') tally.hedges++;
			},
			hedgeWaste: ignore,
			tokens: ignore,
			streamChunks: ignore,
			admissionEnded: ignore,
			http2Closed: ignore,
			stage: ignore,
		};
	}

	#caller(tenant: string): Caller {
		let caller = this.#tenants.get(tenant);
		if (caller === undefined) {
			caller = { tenant, tenantId: tenant === '' ? 0 : this.#tenants.size + 1, policyMask: 0, trusted: true };
			this.#tenants.set(tenant, caller);
		}
		return caller;
	}
}

function namesFor(rows: number): ConstructorParameters<typeof TargetRegistry>[1] {
	const table = (): NameTable => new NameTable(rows + LORAS_MAX);
	return {
		targets: table(),
		nodes: table(),
		zones: table(),
		regions: table(),
		models: table(),
		revisions: table(),
	};
}

function routerOptions({ router }: SimulationSpec): RouterOptionsInput {
	return {
		logRequests: false,
		stageSampleMask: 0xffff_ffff >>> 1,
		upstream: { firstByteTimeoutMs: router.firstByteTimeoutMs ?? NEVER_MS },
		retry: { attemptsMax: router.retriesMax + 1 },
		hold: { requestsMax: router.holdMax, waitMaxMs: router.holdMsMax, ageingPerS: router.holdAgeingPerS },
		hedge: router.hedging
			? { ...hedgingDefaults, copies: 1, delayMs: router.hedgeDelayMs ?? 0, budgetRatio: router.hedgeBudget }
			: { ...hedgingDefaults, copiesMax: 0 },
		admission: { ...admissionDefaults, enabled: false },
		sweepMs: routerDefaults.sweepMs,
	};
}

const noDirectory = {
	resolve: () => undefined,
	models: () => [],
	passThroughPool: () => undefined,
	owner: () => undefined,
};

/** What production logs as an error inside the router is a bug, and ends the run. */
const failLoudly: RequestLog = {
	info: ignore,
	warn: ignore,
	error: ({ error }, message) => {
		throw broken(`${message}: ${String(error)}`);
	},
};
