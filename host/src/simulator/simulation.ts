// Owns one simulation from its spec to its result: it puts the world together, lets events happen in order, and says when it is over. Pure: no clock but its own,
// no randomness but its seed's, no I/O. It can be run in slices, so that a caller can look, report and stop between them.
import { MeshError } from '@infermesh/proto';
import { engineProfile } from '../engine/model/profiles.js';
import { isNative } from '../strategy/native/code.js';
import { fallbackCauses } from '../strategy/runtime/decision.js';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import type { SimulationResult, StrategyCosts, TargetTotals } from './result.js';
import type { SimulationSpec, Workload } from './spec.js';
import { type ArmCosts, noCosts } from './world/arm-decider.js';
import { Assignment } from './world/assignment.js';
import { checkSpec } from './world/check-spec.js';
import { Happening } from './world/digest.js';
import { simulationErrors } from './world/errors.js';
import { EventClass, EventQueue } from './world/event-queue.js';
import { Faults } from './world/faults.js';
import { layOut, oneWayMs, type SimTarget } from './world/fleet-layout.js';
import { HealthChecks } from './world/health-checks.js';
import { KvFeed } from './world/kv-feed.js';
import { latencyOf } from './world/latency.js';
import { LoraLoader } from './world/lora-loader.js';
import { Peers } from './world/peers.js';
import { EngineProbe } from './world/probe.js';
import { type Prompts, promptsOf } from './world/prompts.js';
import { toUs } from './world/sim-clock.js';
import { SimEngine } from './world/sim-engine.js';
import { SimRouter } from './world/sim-router.js';
import { Stream, stream } from './world/streams.js';
import { Tally } from './world/tally.js';
import { TimelineRecorder } from './world/timeline.js';
import type { World } from './world/world.js';

const DRAIN_MS = 6 * 3_600_000;
/** Blocks and sequences of all engines are counted after so many events, and at the end. */
const CHECK_EVENTS = 1 << 18;

export interface SimulationProgress {
	readonly arrived: number;
	readonly ended: number;
	readonly requests: number;
	readonly simulatedMs: number;
	readonly events: number;
}

export class Simulation {
	readonly #spec: SimulationSpec;
	readonly #workload: Workload;
	readonly #arms: readonly StrategyModule[];
	readonly #queue = new EventQueue();
	readonly #deferred: (() => void)[] = [];
	readonly #costs: readonly ArmCosts[];
	readonly #engines: readonly SimEngine[];
	readonly #tally: Tally;
	readonly #assignment: Assignment;
	readonly #routers: readonly SimRouter[];
	readonly #dealing;
	readonly #kv: KvFeed | undefined;
	readonly #timeline: TimelineRecorder | undefined;
	readonly #endUs: number;
	#next = 0;
	#nextCheck = CHECK_EVENTS;
	#over = false;

	/** Throws IM_SIMULATION_*, IM_ENGINE_PROFILE_UNKNOWN, IM_ENGINE_OPTIONS_INVALID. */
	constructor(spec: SimulationSpec, workload: Workload, arms: readonly StrategyModule[]) {
		checkSpec(spec);
		this.#spec = spec;
		this.#workload = workload;
		this.#arms = arms;
		this.#costs = arms.map(noCosts);
		const targets = layOut(spec.fleet);
		this.#tally = new Tally(workload, targets.length, spec.slo, spec.router.askedArm !== undefined);
		this.#assignment = new Assignment(spec, arms.length, targets.length);
		const probes: EngineProbe[] = [];
		const prompts = this.#routerPrompts();
		if (spec.signals.prefix === 'events') this.#kv = this.#kvFeed(targets, prompts);
		this.#engines = targets.map((target) => this.#engine(target, probes));
		for (const [at, engine] of this.#engines.entries()) {
			const periodUs = toUs(spec.signals.periodMs);
			const phaseUs = Math.floor((at * periodUs) / targets.length);
			probes.push(new EngineProbe(engine, phaseUs, periodUs, toUs(spec.signals.delayMs)));
		}
		const world = this.#world(targets);
		this.#routers = Array.from(
			{ length: spec.router.count },
			(_, index) =>
				new SimRouter({
					world,
					index,
					probes,
					prompts,
					kv: this.#kv?.table,
					arms,
					costs: this.#costs,
					rowsOfArm: this.#assignment.rowsOfArm,
					requests: workload.requests.length,
					defer: (task) => this.#deferred.push(task),
				}),
		);
		this.#dealing = stream(spec.seed, Stream.dealing);
		const last = workload.requests.at(-1)?.atMs ?? 0;
		this.#endUs = toUs(last / spec.speed) + toUs(spec.drainMs ?? DRAIN_MS);
		const bins = spec.timelineBins;
		if (bins > 0) this.#timeline = new TimelineRecorder(targets.length, bins, toUs(last / spec.speed) / bins);
		this.#connect(world);
		this.#scheduleArrival();
	}

	get progress(): SimulationProgress {
		const { arrived, ended } = this.#tally;
		return {
			arrived,
			ended,
			requests: this.#workload.requests.length,
			simulatedMs: this.#queue.nowUs / 1000,
			events: this.#queue.ran,
		};
	}

	/** Lets up to `eventsMax` events happen; false when the run is over. Throws IM_SIMULATION_BROKEN. */
	run(eventsMax: number): boolean {
		for (let left = eventsMax; left > 0 && !this.#over; left--) {
			if (this.#isDone() || !this.#queue.step() || this.#queue.nowUs > this.#endUs) this.#over = true;
			while (this.#deferred.length > 0) (this.#deferred.shift() as () => void)();
			if (this.#queue.ran < this.#nextCheck) continue;
			this.#nextCheck += CHECK_EVENTS;
			for (const engine of this.#engines) engine.check();
		}
		return !this.#over;
	}

	/** What came of it. Once; `partial` says why the run was not carried through. */
	result(wallMs: number, partial?: string): SimulationResult {
		const { digest } = this.#tally;
		for (const engine of this.#engines) engine.check();
		const summary = this.#tally.summary(this.#engines, this.#arms.length);
		for (const { totals, target } of this.#engines)
			digest.add(Happening.totals, totals.busyUs, target.index, totals.prefillTokens, totals.decodeTokens);
		return {
			name: this.#spec.name,
			strategies: this.#arms.map((arm, index) => costsOf(arm, this.#costs[index] as ArmCosts)),
			targets: this.#engines.map((engine) => this.#totalsOf(engine)),
			summary,
			...(this.#timeline === undefined
				? {}
				: { timelines: this.#timeline.result(this.#queue.nowUs, this.#tally.rows) }),
			...(this.#spec.keepRequests ? { rows: this.#tally.rows } : {}),
			digest: digest.end(),
			simulatedMs: this.#queue.nowUs / 1000,
			wallMs,
			events: this.#queue.ran,
			...(partial === undefined ? {} : { partial }),
		};
	}

	/** Ends the sandboxes of native strategies: the collector does not know what they cost. */
	close(): void {
		for (const router of this.#routers) router.close();
	}

	/** What routers hear of engines beside their reports, and of each other. */
	#connect(world: World): void {
		const goesOn = (): boolean => !this.#isDone();
		const routers = this.#routers;
		for (const router of routers) router.keepFresh(goesOn);
		for (const record of routers[0]?.records ?? [])
			this.#kv?.follow(record.row, record.generation, routers[0]?.poolOf(0).modelId ?? 0);
		const tellLoras = (engine: SimEngine): void => {
			const names = [...engine.loras];
			for (const router of routers) router.lorasChanged(engine.target.index, names);
		};
		world.loras.onChange = (engine) =>
			void this.#queue.at(this.#queue.nowUs + toUs(this.#spec.signals.delayMs), EventClass.signal, () =>
				tellLoras(engine),
			);
		for (const engine of this.#engines) if (engine.loras.size > 0) tellLoras(engine);
		const checks = new HealthChecks(this.#queue, this.#engines.length, (engine, ok) => {
			for (const router of routers) router.checked(engine.target.index, ok);
		});
		new Faults(world, {
			lifeChanged: (engine) => {
				checks.watch(engine);
				if (engine.life !== 'lost') return;
				this.#kv?.lost(engine.target.index);
				world.loras.onChange(engine);
			},
			drained: (engine, drained) => {
				for (const router of routers) router.drain(engine.target.index, drained);
			},
		}).schedule();
		if (routers.length > 1) new Peers(this.#queue, routers, this.#spec.router.peerDelayMs).start(goesOn);
	}

	/** Routers know prompts by the workload's blocks, or by those that engines tell of. Throws IM_SIMULATION_BLOCKS. */
	#routerPrompts(): Prompts {
		const { fleet, signals } = this.#spec;
		if (signals.prefix !== 'events') return promptsOf(this.#workload, this.#workload.blockTokens);
		const sizes = new Set(fleet.map(({ blockTokens }) => blockTokens));
		const [blockTokens] = sizes;
		if (sizes.size === 1 && blockTokens !== undefined) return promptsOf(this.#workload, blockTokens);
		const message = 'engines that tell of their caches must have blocks of one size here';
		throw new MeshError(simulationErrors, 'IM_SIMULATION_BLOCKS', message);
	}

	#kvFeed(targets: readonly SimTarget[], prompts: Prompts): KvFeed {
		const blocksOf = ({ group }: SimTarget): number =>
			((group.kvTokens ?? engineProfile(group.profile).kvTokens) + group.hostKvTokens) / group.blockTokens;
		const blocks = Math.ceil(targets.reduce((sum, target) => sum + blocksOf(target), 0));
		const delayUs = toUs(this.#spec.signals.prefixDelayMs);
		return new KvFeed({ rows: targets.length, blocks, delayUs }, this.#queue, prompts);
	}

	#isDone(): boolean {
		return this.#tally.ended === this.#workload.requests.length;
	}

	#engine(target: SimTarget, probes: readonly EngineProbe[]): SimEngine {
		const profile = engineProfile(target.group.profile);
		const latency = latencyOf(target.group.latency, profile);
		const prompts = promptsOf(this.#workload, target.group.blockTokens);
		const watcher = {
			changed: (engine: SimEngine) => {
				const { nowUs } = this.#queue;
				probes[target.index]?.note(nowUs);
				this.#timeline?.note(engine, nowUs);
			},
		};
		return new SimEngine(target, profile, prompts, latency, this.#queue, watcher, this.#kv?.observer(target.index));
	}

	#world(targets: readonly SimTarget[]): World {
		const spec = this.#spec;
		const engines = this.#engines;
		const byOrigin = new Map(targets.map(({ origin, index }) => [origin, index]));
		return {
			spec,
			queue: this.#queue,
			engines,
			wayUs: targets.map(({ group }) => toUs(oneWayMs(spec.network, spec.router, group))),
			decisionUs: Math.round(spec.router.decisionUs),
			loras: new LoraLoader(this.#queue),
			tally: this.#tally,
			engineAt: (origin) => engines[byOrigin.get(origin) ?? -1],
			transferUs: (from, to, tokens) => {
				const bytes = tokens * from.profile.roofline.kvBytesPerToken;
				const wayMs = oneWayMs(spec.network, from.target.group, to.target.group);
				return toUs(2 * wayMs + (bytes / spec.network.transferBytesPerSecond) * 1000);
			},
		};
	}

	#scheduleArrival(): void {
		const row = this.#workload.requests[this.#next];
		if (row === undefined) return;
		const atUs = Math.max(this.#queue.nowUs, toUs(row.atMs / this.#spec.speed));
		this.#queue.at(atUs, EventClass.arrival, () => {
			const index = this.#next++;
			this.#scheduleArrival();
			const router = this.#routers[Math.floor(this.#dealing.nextFloat() * this.#routers.length)] as SimRouter;
			router.arrive(index, row, this.#assignment.armOf(index, row, atUs));
		});
	}

	#totalsOf({ target, totals, model }: SimEngine): TargetTotals {
		return {
			id: target.id,
			requests: this.#tally.perTarget[target.index] as number,
			busyShare: this.#queue.nowUs === 0 ? 0 : totals.busyUs / this.#queue.nowUs,
			prefillTokens: totals.prefillTokens,
			decodeTokens: totals.decodeTokens,
			preemptions: totals.preemptions + model.counters.preemptions,
		};
	}
}

function costsOf({ label, digest, module }: StrategyModule, costs: ArmCosts): StrategyCosts {
	const { decisions, fuel, fuelMax, fallbacks, trap } = costs;
	const metered = !isNative(module);
	return {
		label,
		digest,
		decisions,
		fallbacks: Object.fromEntries(
			fallbackCauses.flatMap((cause) => {
				const count = fallbacks.get(cause);
				return count === undefined ? [] : [[cause, count]];
			}),
		),
		fuelMean: metered ? (decisions === 0 ? 0 : fuel / decisions) : null,
		fuelMax: metered ? fuelMax : null,
		...(trap === undefined ? {} : { trap }),
	};
}
