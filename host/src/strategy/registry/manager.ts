// Owns the loaded strategies of one mesh process and what becomes of them: admission, warming on all workers, staging, strikes and quarantine,
// rollback, unloading. Runs in the agent. Every change passes through one queue, so that plans have one order, and takes effect only
// when all workers have prepared it.
import { MeshError, type Timer } from '@infermesh/proto';
import { type ConfigValues, encodeConfig } from '@infermesh/sdk';
import type { ModelPool } from '../../router/ports.js';
import type { WasmModule } from '../admission/engine.js';
import type { AdmittedModule } from '../admission/inspect.js';
import type { AdmissionReport } from '../admission/report.js';
import type { TrapSymbols } from '../admission/result.js';
import { mapTrap } from '../admission/trap.js';
import type { StrikeReport } from '../runtime/decision.js';
import type { StrategyModule } from '../runtime/instance.js';
import { planOf } from '../runtime/plan.js';
import { innocent, isQuarantined, type QuarantineState, strike } from '../runtime/quarantine.js';
import { registryErrors } from './errors.js';
import type { ManagerOptions, ManagerPorts } from './ports.js';
import {
	forget,
	planFrom,
	previousVersions,
	rollBack,
	type Staging,
	stageActive,
	stageCanary,
	stagedVersions,
	stageShadow,
	unstage,
	WHOLE_MESH,
} from './staging.js';
import { type ObservedOutcome, StateKeeper } from './state-keeper.js';

/** One loaded version. */
export interface LoadedStrategy {
	readonly strategy: StrategyModule;
	readonly symbols: TrapSymbols;
	readonly report: AdmissionReport;
	readonly loadedWallMs: number;
	quarantine: QuarantineState;
}

export type StageName = 'active' | 'canary' | 'shadow' | 'loaded';

export interface StageOptions {
	/** For canary, 0 to 100. */
	readonly percent?: number | undefined;
	readonly model?: string | undefined;
}

export interface LoadOptions {
	readonly sourceMap: string | undefined;
	readonly settings: ConfigValues | undefined;
	readonly activate: boolean;
	readonly model: string | undefined;
}

export interface Loaded {
	readonly loaded: LoadedStrategy;
	readonly report: AdmissionReport;
	readonly admissionMs: number;
}

const DEFAULT_CANARY_PERCENT = 5;
/** Versions that may be loaded whatever the number of pools: the active one, the next, and the one before. */
const LOADED_ALWAYS = 3;
/** A plan that only tells of quarantine is tried again this often, this many times. */
const RECOMMIT_MS = 1000;

export class StrategyManager {
	readonly #options: ManagerOptions;
	readonly #ports: ManagerPorts;
	readonly #versions = new Map<number, LoadedStrategy>();
	/** Keepers by version and pool index. */
	readonly #keepers = new Map<number, Map<number, { readonly pool: ModelPool; readonly keeper: StateKeeper }>>();
	#staging: Staging = new Map();
	/** The version being made active: it has been handed the state, and observes beside those staged so that no outcome is missing from it. */
	#incoming: number | undefined;
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
	}

	list(): readonly LoadedStrategy[] {
		return [...this.#versions.values()];
	}

	get staging(): Staging {
		return this.#staging;
	}

	/** `name@version` of a version, or of the fallback when it is unknown. */
	label(versionId: number): string | undefined {
		return this.#versions.get(versionId)?.strategy.label;
	}

	isQuarantined(loaded: LoadedStrategy): boolean {
		return isQuarantined(loaded.quarantine, this.#ports.clock.nowMs());
	}

	/** Admits, compiles and warms a module on all workers; it gets no request unless `activate`. IM_STRATEGY_REFUSED carries the report. */
	async load(bytes: Uint8Array, options: LoadOptions): Promise<Loaded> {
		const began = this.#ports.clock.nowMs();
		const { fuel, moduleBytesMax } = this.#options;
		const { report, admitted } = await this.#ports.admit(bytes, {
			fuel,
			moduleBytesMax,
			sourceMap: options.sourceMap,
			calibration: { sizes: [16, 1024], decisions: 100, seed: 7 },
		});
		const admissionMs = this.#ports.clock.nowMs() - began;
		this.#ports.events.admitted(
			report.name === '' ? 'unknown' : `${report.name}@${report.version}`,
			admitted !== undefined,
			admissionMs,
		);
		if (admitted === undefined) {
			const first = report.refusals[0];
			throw new MeshError(
				registryErrors,
				'IM_STRATEGY_REFUSED',
				first === undefined ? undefined : `${first.code}: ${first.message} (${first.where})`,
				{
					...(first === undefined ? {} : { hint: first.hint }),
					details: { report },
				},
			);
		}
		if (admitted.manifest.kind !== 'inference')
			throw new MeshError(registryErrors, 'IM_STRATEGY_KIND', `${report.name} is a ${report.kind} strategy`);
		const settings = options.settings ?? this.#options.settings[admitted.manifest.name] ?? {};
		// Before anything is queued: a slow compilation holds up no staging.
		const config = encodeConfig(admitted.manifest, settings);
		const module = await this.#ports.compile(admitted.wasm);
		const loaded = await this.#exclusively(() => this.#add(admitted, module, config, report));
		if (options.activate) await this.stage(loaded.strategy.label, 'active', { model: options.model });
		return { loaded, report, admissionMs };
	}

	/** Puts a loaded version on a stage; resolves when all workers have switched. */
	stage(name: string, stage: StageName, options: StageOptions): Promise<LoadedStrategy> {
		return this.#exclusively(async () => {
			const loaded = this.find(name);
			if (stage !== 'loaded' && this.isQuarantined(loaded)) {
				throw new MeshError(registryErrors, 'IM_STRATEGY_QUARANTINED', `${loaded.strategy.label} is in quarantine`);
			}
			const { versionId } = loaded.strategy;
			const scope = options.model ?? WHOLE_MESH;
			const besides = stage === 'canary' || stage === 'shadow';
			if (besides && this.#staging.get(scope)?.history.at(-1) === versionId)
				throw new MeshError(registryErrors, 'IM_STRATEGY_ACTIVE', `${loaded.strategy.label} is active already`);
			const next =
				stage === 'active'
					? stageActive(this.#staging, scope, versionId)
					: stage === 'canary'
						? stageCanary(this.#staging, scope, versionId, options.percent ?? DEFAULT_CANARY_PERCENT)
						: stage === 'shadow'
							? stageShadow(this.#staging, scope, versionId)
							: unstage(this.#staging, options.model, versionId);
			if (stage === 'active') await this.#activate(loaded, scope, next);
			else await this.#commit(next);
			this.#ports.events.swapped(loaded.strategy.label, 'stage');
			return loaded;
		});
	}

	/** Back to the active version before, in one scope. Returns the version that decides now, or undefined for the built-in fallback. */
	rollback(model: string | undefined): Promise<LoadedStrategy | undefined> {
		return this.#exclusively(async () => {
			const scope = model ?? WHOLE_MESH;
			const next = rollBack(this.#staging, scope);
			if (next === undefined) throw new MeshError(registryErrors, 'IM_STRATEGY_NO_PREVIOUS');
			const versionId = next.get(scope)?.history.at(-1) ?? next.get(WHOLE_MESH)?.history.at(-1);
			const loaded = versionId === undefined ? undefined : this.#versions.get(versionId);
			if (loaded === undefined) await this.#commit(next);
			else await this.#activate(loaded, scope, next);
			this.#ports.events.swapped(loaded?.strategy.label ?? 'least_queue@builtin', 'rollback');
			return loaded;
		});
	}

	/** Drops a version that is on no stage. */
	unload(name: string): Promise<LoadedStrategy> {
		return this.#exclusively(async () => {
			const loaded = this.find(name);
			const { versionId, label } = loaded.strategy;
			if (stagedVersions(this.#staging).has(versionId))
				throw new MeshError(registryErrors, 'IM_STRATEGY_STAGED', `${label} is staged`);
			await this.#drop(loaded);
			return loaded;
		});
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
		const where =
			place === undefined
				? ''
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
		return this.#keepers.size > 0;
	}

	/** Outcomes from the workers, to the state keepers of all staged versions. */
	observe(outcomes: readonly ObservedOutcome[]): void {
		const staged = this.#observing();
		const byPool = Map.groupBy(outcomes, (outcome) => outcome.poolIndex);
		for (const [versionId, keepers] of this.#keepers) {
			if (!staged.has(versionId)) continue;
			for (const [poolIndex, batch] of byPool) keepers.get(poolIndex)?.keeper.observe(batch);
		}
	}

	/** Lets staged strategies with a `tick` hook age their state. */
	tick(): void {
		if (this.#keepers.size === 0) return;
		const staged = this.#observing();
		for (const [versionId, keepers] of this.#keepers) {
			if (staged.has(versionId)) for (const { keeper } of keepers.values()) keeper.tick();
		}
	}

	/** The set of pools changed: state blocks for new or re-shaped pools are made before workers hear of them; others keep theirs. */
	poolsChanged(pools: readonly ModelPool[]): void {
		for (const loaded of this.#versions.values()) {
			if (!keepsState(loaded)) continue;
			for (const pool of pools) this.#keep(loaded, pool);
		}
	}

	/** The plan in force, for a worker that starts late. */
	currentPlan() {
		return planFrom(this.#staging, this.#generation, this.#quarantined(), this.#versions.keys());
	}

	/** Everything a worker that starts late must know, in order. */
	introduce(worker: Pick<ManagerPorts['workers'], 'addStrategy' | 'addState'>): void {
		for (const { strategy } of this.#versions.values()) worker.addStrategy(strategy);
		for (const [versionId, keepers] of this.#keepers)
			for (const [poolIndex, { keeper }] of keepers) worker.addState(versionId, poolIndex, keeper.shared);
	}

	close(): void {
		this.#release?.cancel();
		this.#retry?.cancel();
	}

	async #add(
		admitted: AdmittedModule,
		module: WasmModule,
		config: Uint32Array,
		report: AdmissionReport,
	): Promise<LoadedStrategy> {
		if (this.#full()) await this.#makeRoom(admitted.manifest.name);
		if (this.#full()) {
			const message = `${this.#versions.size} strategies are loaded, over ${this.#servedPools()} pools`;
			throw new MeshError(registryErrors, 'IM_STRATEGY_LIMIT', message);
		}
		const { manifest, heapBase, digest, symbols } = admitted;
		const versionId = this.#nextVersion++;
		const label = this.#uniqueLabel(`${manifest.name}@${manifest.version}`, digest);
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
		if (keepsState(loaded)) for (const pool of this.#ports.pools()) this.#keep(loaded, pool);
		try {
			await this.#commit(this.#staging);
		} catch (error) {
			this.#versions.delete(versionId);
			this.#keepers.delete(versionId);
			this.#ports.workers.removeStrategy(versionId);
			throw error;
		}
		return loaded;
	}

	/** Loading is where instances are bounded: what is loaded can always be staged, quarantined and rolled back. */
	#full(): boolean {
		const { loadedMax, instancesMax, instancesPerPool } = this.#options;
		if (this.#versions.size >= loadedMax) return true;
		const instances = (this.#versions.size + 1) * this.#servedPools() * instancesPerPool;
		return this.#versions.size >= LOADED_ALWAYS && instances > instancesMax;
	}

	#servedPools(): number {
		return this.#ports.pools().filter((pool) => pool.targets.some((target) => target !== undefined)).length;
	}

	/** Drops the oldest version of the same strategy that nobody would miss: on no stage, and not what a rollback goes back to. */
	async #makeRoom(name: string): Promise<void> {
		const kept = new Set([...stagedVersions(this.#staging), ...previousVersions(this.#staging)]);
		const oldest = [...this.#versions.values()].find(
			({ strategy }) => strategy.manifest.name === name && !kept.has(strategy.versionId),
		);
		if (oldest !== undefined) await this.#drop(oldest);
	}

	async #drop({ strategy }: LoadedStrategy): Promise<void> {
		const { versionId, label } = strategy;
		await this.#commit(forget(this.#staging, versionId), versionId);
		this.#versions.delete(versionId);
		this.#keepers.delete(versionId);
		this.#ports.workers.removeStrategy(versionId);
		this.#ports.events.swapped(label, 'unload');
	}

	/** The same name and version may be loaded again while it is being written: build metadata (semver §10) tells them apart. */
	#uniqueLabel(label: string, digest: string): string {
		const taken = [...this.#versions.values()].filter(
			({ strategy }) => strategy.label === label || strategy.label.startsWith(`${label}+`),
		);
		if (taken.length === 0) return label;
		const marked = `${label}+${digest.slice(0, 8)}`;
		return taken.some(({ strategy }) => strategy.label === marked) ? `${marked}.${this.#nextVersion}` : marked;
	}

	#keep(loaded: LoadedStrategy, pool: ModelPool): void {
		const { strategy } = loaded;
		const keepers =
			this.#keepers.get(strategy.versionId) ?? new Map<number, { pool: ModelPool; keeper: StateKeeper }>();
		const { fuel, meshSeed } = this.#options;
		const previous = keepers.get(pool.index);
		if (previous?.pool === pool) return;
		const keeper = new StateKeeper(
			strategy,
			this.#ports.openView(pool),
			fuel,
			meshSeed,
			this.#options.statePublishMs,
			this.#ports.clock,
			(cause, trap) =>
				this.strike({
					versionId: strategy.versionId,
					label: strategy.label,
					cause,
					model: pool.model,
					trap: trap instanceof Error ? (trap.stack ?? '') : '',
					fuel: 0,
				}),
		);
		if (previous !== undefined) keeper.adopt(previous.keeper.snapshot());
		keepers.set(pool.index, { pool, keeper });
		this.#keepers.set(strategy.versionId, keepers);
		this.#ports.workers.addState(strategy.versionId, pool.index, keeper.shared);
	}

	#observing(): Set<number> {
		const versions = stagedVersions(this.#staging);
		if (this.#incoming !== undefined) versions.add(this.#incoming);
		// What a version in quarantine would make of outcomes is not trusted, nor paid for.
		return versions.difference(this.#quarantined());
	}

	async #activate(next: LoadedStrategy, scope: string, staging: Staging): Promise<void> {
		this.#handOver(next, scope);
		this.#incoming = next.strategy.versionId;
		try {
			await this.#commit(staging);
		} finally {
			this.#incoming = undefined;
		}
	}

	/**
	 * State passes from the version that decides in `scope` now to the next one, when both are the same strategy with blocks of one size. Pools
	 * that the next one decides already, or that are not in scope, keep theirs.
	 */
	#handOver(next: LoadedStrategy, scope: string): void {
		const fromId = this.#staging.get(scope)?.history.at(-1) ?? this.#staging.get(WHOLE_MESH)?.history.at(-1);
		const from = fromId === undefined ? undefined : this.#versions.get(fromId);
		if (from === undefined || from === next || !sameState(from, next)) return;
		const source = this.#keepers.get(from.strategy.versionId);
		const plan = this.currentPlan();
		for (const [poolIndex, { pool, keeper }] of this.#keepers.get(next.strategy.versionId) ?? []) {
			if (scope !== WHOLE_MESH && pool.model !== scope) continue;
			if (planOf(plan, pool.model).activeVersionId === next.strategy.versionId) continue;
			const state = source?.get(poolIndex)?.keeper.snapshot();
			if (state !== undefined) keeper.adopt(state);
		}
	}

	/** `without`: a version about to be dropped, which no worker is to keep warm. */
	async #commit(staging: Staging, without?: number): Promise<void> {
		// A generation is used up by every attempt: a late answer to a rejected plan can never be taken for one to the next.
		const generation = ++this.#attempted;
		const ready = [...this.#versions.keys()].filter((versionId) => versionId !== without);
		await this.#ports.workers.commit(planFrom(staging, generation, this.#quarantined(), ready));
		this.#generation = generation;
		this.#staging = staging;
		this.#awaitRelease();
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

	/** Versions a rollback would go back to. */
	previous(): ReadonlySet<number> {
		return previousVersions(this.#staging);
	}
}

function keepsState({ strategy }: LoadedStrategy): boolean {
	const { stateBytes, hooks } = strategy.manifest;
	return stateBytes > 0 && (hooks.includes('observe') || hooks.includes('tick'));
}

function sameState(a: LoadedStrategy, b: LoadedStrategy): boolean {
	return (
		a.strategy.manifest.name === b.strategy.manifest.name &&
		a.strategy.manifest.stateBytes === b.strategy.manifest.stateBytes
	);
}
