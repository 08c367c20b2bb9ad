// Owns the loaded strategies of one mesh process: admission, warming on all workers, putting a staging in force, strikes and quarantine,
// dropping. What is loaded and staged in the mesh is decided elsewhere (registry.ts writes it, sync.ts carries it out here). Runs in the agent.
// Every change passes through one queue, so that plans have one order, and takes effect only when all workers have prepared it.
import { MeshError, type Timer } from '@infermesh/proto';
import type { ConfigValues } from '@infermesh/sdk';
import type { ModelPool } from '../../router/ports.js';
import type { AdmissionReport } from '../admission/report.js';
import type { TrapSymbols } from '../admission/result.js';
import { mapTrap } from '../admission/trap.js';
import { isNative, type NativeRun } from '../native/code.js';
import type { FallbackCause, StrikeReport } from '../runtime/decision.js';
import type { StrategyCode, StrategyModule } from '../runtime/instance.js';
import { planOf } from '../runtime/plan.js';
import { innocent, isQuarantined, type QuarantineState, strike } from '../runtime/quarantine.js';
import { rankOf } from '../signing/grade.js';
import { registryErrors } from './errors.js';
import { type Admitted, isFull } from './judge.js';
import type { ManagerOptions, ManagerPorts } from './ports.js';
import { activeLabel, planFrom, previousLabels, type Staging, stagedLabels, WHOLE_MESH } from './staging.js';
import { type ObservedOutcome, StateKeeper } from './state-keeper.js';
import { StateKeepers } from './state-keepers.js';

/** One loaded version. */
export interface LoadedStrategy {
	readonly strategy: StrategyModule;
	readonly symbols: TrapSymbols;
	readonly report: AdmissionReport;
	readonly loadedWallMs: number;
	quarantine: QuarantineState;
}

export interface LoadOptions {
	/** Name of this version in the whole mesh, `name@version`. */
	readonly label: string;
	readonly sourceMap: string | undefined;
	readonly settings: ConfigValues | undefined;
	/** How a native library runs. */
	readonly native?: NativeRun;
}

/** What decides where nothing is staged. */
const FALLBACK_LABEL = 'least_queue@builtin';
/** A plan that only tells of quarantine is tried again this often, this many times. */
const RECOMMIT_MS = 1000;

export class StrategyManager {
	readonly #options: ManagerOptions;
	readonly #ports: ManagerPorts;
	readonly #versions = new Map<number, LoadedStrategy>();
	readonly #keepers: StateKeepers;
	#staging: Staging = new Map();
	/** Versions being made active: they have been handed the state, and observe beside those staged so that no outcome is missing from it. */
	#incoming: ReadonlySet<number> = new Set();
	/** Of the plan in force, and of the last one tried. */
	#generation = 0;
	#attempted = 0;
	#nextVersion = 1;
	#queue: Promise<unknown> = Promise.resolve();
	#release: Timer | undefined;
	#retry: Timer | undefined;

	constructor(options: ManagerOptions, ports: ManagerPorts) {
		this.#options = options;
		this.#ports = ports;
		this.#keepers = new StateKeepers(
			(strategy, pool) => this.#keeperOf(strategy, pool),
			(versionId, poolIndex, shared) => ports.workers.addState(versionId, poolIndex, shared),
		);
	}

	list(): readonly LoadedStrategy[] {
		return [...this.#versions.values()];
	}

	/** `name@version` of a version, for metrics. */
	labelOf(versionId: number): string {
		return this.#versions.get(versionId)?.strategy.label ?? `version-${versionId}`;
	}

	get staging(): Staging {
		return this.#staging;
	}

	/** The label that decides in a scope, of those loaded here. */
	active(scope: string): string | undefined {
		return activeLabel(this.#staging.get(scope), this.#ids());
	}

	isQuarantined(loaded: LoadedStrategy): boolean {
		return isQuarantined(loaded.quarantine, this.#ports.clock.nowMs());
	}

	/** Whether a label is loaded here and in quarantine now. */
	quarantined(label: string): boolean {
		const loaded = this.#versionOf(label);
		return loaded !== undefined && this.isQuarantined(loaded);
	}

	/** Admits, compiles and warms a module on all workers. It gets no request until a staging names its label. */
	async load(bytes: Uint8Array, options: LoadOptions): Promise<LoadedStrategy> {
		const { judge } = this.#ports;
		const admitted = await judge.admit(bytes, options.sourceMap);
		const config = judge.configOf(admitted.manifest, options.settings);
		// Before anything is queued: a slow compilation holds up no staging.
		const module = await this.#ports.compile(admitted, options.native ?? 'process');
		return this.#exclusively(() => this.#add(admitted, module, config, options.label));
	}

	/**
	 * Puts a staging in force; resolves when all workers have switched. Rejects with IM_STRATEGY_PREPARE, changing nothing, when one could not.
	 * Labels that are not loaded here are passed over.
	 */
	apply(staging: Staging): Promise<void> {
		return this.#exclusively(async () => {
			const ids = this.#ids();
			const changed = [...new Set([...this.#staging.keys(), ...staging.keys()])].filter(
				(scope) => activeLabel(staging.get(scope), ids) !== activeLabel(this.#staging.get(scope), ids),
			);
			const rolledBack = changed.some((scope) =>
				isShorter(staging.get(scope)?.history, this.#staging.get(scope)?.history),
			);
			const incoming = new Set<number>();
			for (const scope of changed) {
				const next = this.#versionOf(activeLabel(staging.get(scope), ids));
				if (next === undefined) continue;
				this.#handOver(next, scope);
				incoming.add(next.strategy.versionId);
			}
			this.#incoming = incoming;
			try {
				await this.#commit(staging);
			} finally {
				this.#incoming = new Set();
			}
			const [scope = WHOLE_MESH] = changed;
			const label = activeLabel(staging.get(scope) ?? staging.get(WHOLE_MESH), ids) ?? FALLBACK_LABEL;
			this.#ports.events.swapped(label, rolledBack ? 'rollback' : 'stage');
		});
	}

	/** Drops a version; it is taken out of the staging in force too. Nothing happens when it is not loaded. */
	drop(label: string): Promise<void> {
		return this.#exclusively(async () => {
			const loaded = this.#versionOf(label);
			if (loaded !== undefined) await this.#drop(loaded);
		});
	}

	/** Whether no more version fits. */
	full(): boolean {
		return isFull(this.#versions.size, this.#servedPools(), this.#options);
	}

	/** A loaded version by `name@version`, or the newest of a plain name. Throws IM_STRATEGY_UNKNOWN. */
	find(name: string): LoadedStrategy {
		const all = [...this.#versions.values()].reverse();
		const found =
			all.find(({ strategy }) => strategy.label === name) ??
			all.find(({ strategy }) => strategy.manifest.name === name);
		if (found === undefined)
			throw new MeshError(registryErrors, 'IM_STRATEGY_UNKNOWN', `no loaded strategy is called ${name}`);
		return found;
	}

	/** A strike reported by a worker. The third in a window takes the version out of routing, at once and on all workers. */
	strike(report: StrikeReport): void {
		const loaded = this.#versions.get(report.versionId);
		if (loaded === undefined) return;
		const place = mapTrap(Object.assign(new Error(report.trap), { stack: report.trap }), loaded.symbols);
		// Of native code there is no place, but how its sandbox ended.
		const where =
			place === undefined
				? isNative(loaded.strategy.module)
					? firstLine(report.trap)
					: ''
				: `${place.function}${place.source === undefined ? '' : ` (${place.source}:${place.line ?? 0})`}`;
		this.#ports.events.struck(loaded.strategy.label, report.cause, where);
		const nowMs = this.#ports.clock.nowMs();
		const before = loaded.quarantine;
		loaded.quarantine = strike(before, nowMs, this.#options.quarantine);
		if (loaded.quarantine.untilMs === before.untilMs) return;
		this.#ports.events.quarantined(loaded.strategy.label, loaded.quarantine.untilMs);
		this.#recommit(() => this.#ports.events.swapped(loaded.strategy.label, 'quarantine'));
	}

	/** Some loaded version has state: outcomes are wanted. */
	get observes(): boolean {
		return this.#keepers.any;
	}

	/** Outcomes from the workers, to the state keepers of all staged versions. */
	observe(outcomes: readonly ObservedOutcome[]): void {
		this.#keepers.observe(outcomes, this.#observing());
	}

	/** Lets staged strategies with a `tick` hook age their state. */
	tick(): void {
		if (this.#keepers.any) this.#keepers.tick(this.#observing());
	}

	/** The set of pools changed: state blocks for new or re-shaped pools are made before workers hear of them; others keep theirs. */
	poolsChanged(pools: readonly ModelPool[]): void {
		this.#keepers.retainPools(new Set(pools.map(({ index }) => index)));
		for (const { strategy } of this.#versions.values()) for (const pool of pools) this.#keepers.keep(strategy, pool);
	}

	/** The plan in force, for a worker that starts late. */
	currentPlan() {
		return planFrom(this.#staging, this.#generation, this.#quarantined(), this.#ids(), this.#grades());
	}

	/** Everything a worker that starts late must know, in order. */
	introduce(worker: Pick<ManagerPorts['workers'], 'addStrategy' | 'addState'>): void {
		for (const { strategy } of this.#versions.values()) worker.addStrategy(strategy);
		this.#keepers.introduce((versionId, poolIndex, shared) => worker.addState(versionId, poolIndex, shared));
	}

	close(): void {
		this.#release?.cancel();
		this.#retry?.cancel();
		this.#keepers.close();
	}

	async #add(admitted: Admitted, module: StrategyCode, config: Uint32Array, label: string): Promise<LoadedStrategy> {
		if (this.full()) {
			const message = `${this.#versions.size} strategies are loaded, over ${this.#servedPools()} pools`;
			throw new MeshError(registryErrors, 'IM_STRATEGY_LIMIT', message);
		}
		const { manifest, heapBase, digest, symbols, report } = admitted;
		const versionId = this.#nextVersion++;
		const strategy: StrategyModule = { versionId, label, digest, module, manifest, heapBase, config };
		const loaded: LoadedStrategy = {
			strategy,
			symbols,
			report,
			loadedWallMs: this.#ports.clock.wallMs(),
			quarantine: innocent,
		};
		this.#versions.set(versionId, loaded);
		this.#ports.workers.addStrategy(strategy);
		try {
			for (const pool of this.#ports.pools()) this.#keepers.keep(strategy, pool);
			await this.#commit(this.#staging);
		} catch (error) {
			this.#versions.delete(versionId);
			this.#keepers.drop(versionId);
			this.#ports.workers.removeStrategy(versionId);
			throw error;
		}
		return loaded;
	}

	#ids(): Map<string, number> {
		return new Map([...this.#versions].map(([versionId, { strategy }]) => [strategy.label, versionId]));
	}

	#versionOf(label: string | undefined): LoadedStrategy | undefined {
		return label === undefined
			? undefined
			: [...this.#versions.values()].find(({ strategy }) => strategy.label === label);
	}

	#servedPools(): number {
		return this.#ports.pools().filter((pool) => pool.targets.some((target) => target !== undefined)).length;
	}

	async #drop({ strategy }: LoadedStrategy): Promise<void> {
		const { versionId, label } = strategy;
		await this.#commit(this.#staging, versionId);
		this.#versions.delete(versionId);
		this.#keepers.drop(versionId);
		this.#ports.workers.removeStrategy(versionId);
		this.#ports.events.swapped(label, 'unload');
	}

	#keeperOf(strategy: StrategyModule, pool: ModelPool): StateKeeper {
		const { versionId, label } = strategy;
		const { fuel, meshSeed, statePublishMs: publishMs } = this.#options;
		const { clock, native, openView } = this.#ports;
		const onFault = (cause: FallbackCause, error: unknown): void => {
			const trap = error instanceof Error ? (error.stack ?? '') : '';
			this.strike({ versionId, label, cause, model: pool.model, trap, fuel: 0 });
		};
		const options = { fuel, meshSeed, publishMs, waits: false };
		return new StateKeeper(strategy, openView(pool), options, { clock, onFault, native });
	}

	#observing(): Set<number> {
		const ids = this.#ids();
		const versions = new Set(this.#incoming);
		for (const label of stagedLabels(this.#staging)) {
			const versionId = ids.get(label);
			if (versionId !== undefined) versions.add(versionId);
		}
		// What a version in quarantine would make of outcomes is not trusted, nor paid for.
		return versions.difference(this.#quarantined());
	}

	/**
	 * State passes from the version that decides in `scope` now to the next one, when both are the same strategy with blocks of one size. Pools
	 * that the next one decides already, or that are not in scope, keep theirs.
	 */
	#handOver(next: LoadedStrategy, scope: string): void {
		const ids = this.#ids();
		const from = this.#versionOf(
			activeLabel(this.#staging.get(scope), ids) ?? activeLabel(this.#staging.get(WHOLE_MESH), ids),
		);
		if (from === undefined || from === next) return;
		const plan = this.currentPlan();
		const wanted = ({ model }: ModelPool): boolean =>
			(scope === WHOLE_MESH || model === scope) && planOf(plan, model).activeVersionId !== next.strategy.versionId;
		this.#keepers.handOver(from.strategy, next.strategy, wanted);
	}

	/** `without`: a version about to be dropped, which no worker is to keep warm. */
	async #commit(staging: Staging, without?: number): Promise<void> {
		// A generation is used up by every attempt: a late answer to a rejected plan can never be taken for one to the next.
		const generation = ++this.#attempted;
		const ready = this.#ids();
		for (const [label, versionId] of ready) if (versionId === without) ready.delete(label);
		await this.#ports.workers.commit(planFrom(staging, generation, this.#quarantined(), ready, this.#grades()));
		this.#generation = generation;
		this.#staging = staging;
		this.#awaitRelease();
	}

	/** Keys are trusted and distrusted while what they have signed is loaded. */
	gradesChanged(): void {
		this.#recommit(() => undefined);
	}

	#grades(): Map<number, number> {
		const { gradeOf } = this.#ports;
		const grades = new Map<number, number>();
		if (gradeOf === undefined) return grades;
		for (const [versionId, { strategy }] of this.#versions) grades.set(versionId, rankOf(gradeOf(strategy.label)));
		return grades;
	}

	#quarantined(): Set<number> {
		const versions = new Set<number>();
		for (const [versionId, loaded] of this.#versions) if (this.isQuarantined(loaded)) versions.add(versionId);
		return versions;
	}

	/** Wakes when the next quarantine ends, and lets its version decide again. */
	#awaitRelease(): void {
		this.#release?.cancel();
		this.#release = undefined;
		const nowMs = this.#ports.clock.nowMs();
		const ends = [...this.#versions.values()]
			.map(({ quarantine }) => quarantine.untilMs)
			.filter((untilMs) => untilMs > nowMs);
		if (ends.length === 0) return;
		this.#release = this.#ports.clock.after(
			Math.min(...ends) - nowMs + 1,
			() => {
				const released = [...this.#versions.values()].filter(
					(loaded) => loaded.quarantine.untilMs > nowMs && !this.isQuarantined(loaded),
				);
				this.#recommit(() => {
					for (const { strategy } of released) this.#ports.events.swapped(strategy.label, 'release');
				});
			},
			{ unref: true },
		);
	}

	/** Tells the workers who is in quarantine now. Nobody waits for it, so it is tried again, at a steady pace, until all have followed. */
	#recommit(announce: () => void): void {
		const tried = this.#exclusively(async () => {
			await this.#commit(this.#staging);
			announce();
		});
		tried.catch(() => {
			this.#retry?.cancel();
			this.#retry = this.#ports.clock.after(RECOMMIT_MS, () => this.#recommit(announce), { unref: true });
		});
	}

	/** One change at a time, in the order they were asked for. */
	#exclusively<T>(change: () => Promise<T>): Promise<T> {
		const run = this.#queue.then(change, change);
		this.#queue = run.catch(() => undefined);
		return run;
	}

	/** Labels a rollback would go back to. */
	previous(): ReadonlySet<string> {
		return previousLabels(this.#staging);
	}
}

const firstLine = (text: string): string => text.slice(0, Math.max(0, text.indexOf('\n')));

/** Whether `next` is what a rollback of `before` leaves. */
function isShorter(next: readonly string[] = [], before: readonly string[] = []): boolean {
	return next.length < before.length && next.every((label, at) => before[at] === label);
}
