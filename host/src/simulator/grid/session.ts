// Owns the simulations of one run: the threads, the jobs made of cells, searches for capacity, and what is told of the progress of all of them.
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { Threshold } from '../../load/threshold.js';
import type { ReportedCapacity } from '../report/document.js';
import type { SimulationScenario } from '../scenario/document.js';
import { type Capacity, findCapacity } from './capacity.js';
import { gridErrors } from './errors.js';
import { allHold, type Measured, parseUntil } from './metrics.js';
import type { CellOutcome } from './outcome.js';
import {
	type Cell,
	cellsOf,
	replicationOf,
	replicationsOf,
	type Setting,
	seedsOf,
	settingName,
	settingsOf,
	specOf,
} from './plan.js';
import { type CellJob, type GridRun, runCells } from './run.js';
import type { SimulatedStrategy } from './strategies.js';
import { ThreadPool } from './thread-pool.js';

export interface RunProgress {
	/** What is being done, for people. */
	readonly phase: string;
	readonly done: number;
	readonly failed: number;
	/** Simulations in all; 0 = not known, as in a search. */
	readonly total: number;
	/** Done and the parts of those under way, in simulations. */
	readonly progressed: number;
	/** Since the phase began. */
	readonly elapsedMs: number;
}

export interface SessionOptions {
	readonly threads: number;
	readonly clock: Clock;
	readonly signal: AbortSignal;
	readonly onProgress?: (progress: RunProgress) => void;
	/** Default 250. */
	readonly progressPeriodMs?: number;
}

export class Session {
	readonly #scenario: SimulationScenario;
	readonly #strategies: readonly SimulatedStrategy[];
	readonly #options: SessionOptions;
	readonly #pool: ThreadPool;
	#beganMs = 0;
	#phase = '';
	#done = 0;
	#failed = 0;
	#total = 0;
	#timer: Timer | undefined;

	/** The first strategy is the baseline. */
	constructor(scenario: SimulationScenario, strategies: readonly SimulatedStrategy[], options: SessionOptions) {
		this.#scenario = scenario;
		this.#strategies = strategies;
		this.#options = options;
		this.#pool = new ThreadPool(
			strategies.map(({ module }) => module),
			options.threads,
			options.signal,
		);
		this.#begin('starting', 0);
		this.#tell();
	}

	/** Stops threads and progress. */
	async close(): Promise<void> {
		this.#timer?.cancel();
		await this.#pool.close();
	}

	/** Runs the grid; `capacities` turn loads into speeds where they are shares. */
	async grid(capacities: readonly ReportedCapacity[]): Promise<GridRun> {
		const scenario = this.#scenario;
		const speedOf = (setting: Setting, load: number): number => {
			if (scenario.grid.loads.of === 'speed') return load;
			const found = capacities.find((it) => it.variant === setting.variant && it.segment === setting.segment);
			return load * (found?.speed ?? 1);
		};
		const replications = replicationsOf(scenario, speedOf, this.#strategies.length);
		const cells = cellsOf(scenario, replications, this.#strategies.length);
		this.#begin('simulating', cells.length);
		return runCells(
			cells,
			(cell) => this.#jobOf(cell),
			(job) => this.#pool.run(job),
			({ done, failed }) => {
				this.#done = done;
				this.#failed = failed;
			},
		);
	}

	/** Whether the first cell of the last strategy, run again, gives the same digest; null when there is none, or it was stopped. */
	async repeats({ records }: GridRun): Promise<boolean | null> {
		const first = records.find((record) => record.state === 'done' && record.strategy === this.#strategies.length - 1);
		if (first?.state !== 'done' || this.#options.signal.aborted) return null;
		this.#begin('running a replication again', 1);
		const again = await this.#pool.run(this.#jobOf(first));
		return again.partial === undefined ? again.digest === first.outcome.digest : null;
	}

	/** Capacity of every strategy under every setting. A search that fails is in its entry. */
	capacities(until: readonly Threshold[]): Promise<ReportedCapacity[]> {
		this.#begin('searching capacities', 0);
		const searches = settingsOf(this.#scenario).flatMap((setting) =>
			this.#strategies.map((_, strategy) => this.#search(setting, strategy, until)),
		);
		return Promise.all(searches);
	}

	/** Capacity that loads are shares of: one a variant and segment, without faults. Throws IM_SIMULATE_NO_CAPACITY and _INTERRUPTED. */
	async baseCapacities(): Promise<ReportedCapacity[]> {
		const { capacityOf, until } = this.#scenario.grid.loads;
		const strategy = capacityOf === '' ? 0 : this.#strategies.findIndex(({ label }) => label === capacityOf);
		if (strategy < 0)
			throw new MeshError(gridErrors, 'IM_SIMULATE_OPTION', `\`${capacityOf}\` is none of the strategies`, {
				where: 'grid.loads.capacity_of',
			});
		this.#begin(`searching the capacity of ${this.#strategies[strategy]?.label ?? ''}`, 0);
		const condition = parseUntil(until);
		const healthy = settingsOf(this.#scenario).map(({ variant, segment }) => ({ variant, segment, faults: '' }));
		const distinct = healthy.filter(
			(setting, index) =>
				healthy.findIndex((it) => it.variant === setting.variant && it.segment === setting.segment) === index,
		);
		const found = await Promise.all(distinct.map((setting) => this.#search(setting, strategy, condition)));
		for (const { error, speed, broken, ...setting } of found) {
			if (this.#options.signal.aborted) throw new MeshError(gridErrors, 'IM_SIMULATE_INTERRUPTED');
			if (error === null && speed > 0 && broken !== null) continue;
			const name = settingName(setting);
			const why = error ?? (speed === 0 ? `${until} holds at no speed` : `no speed breaks ${until}`);
			throw new MeshError(gridErrors, 'IM_SIMULATE_NO_CAPACITY', name === '' ? why : `${name}: ${why}`);
		}
		return found;
	}

	async #search(setting: Setting, strategy: number, until: readonly Threshold[]): Promise<ReportedCapacity> {
		let perSpeed = 0;
		let known: Capacity = { speed: 0, broken: Number.POSITIVE_INFINITY, tried: 0 };
		const reported = (error: string | null): ReportedCapacity => ({
			...setting,
			strategy: this.#strategies[strategy]?.label ?? '',
			speed: known.speed,
			broken: known.broken === Number.POSITIVE_INFINITY ? null : known.broken,
			requestsPerSecond: known.speed * perSpeed,
			tried: known.tried,
			error,
		});
		const holdsAt = async (at: number): Promise<boolean> => {
			const outcomes = await Promise.all(
				seedsOf(this.#scenario).map((seed) => this.#pool.run(this.#searchJob(setting, strategy, at, seed))),
			);
			if (outcomes.some(({ partial }) => partial !== undefined))
				throw new MeshError(gridErrors, 'IM_SIMULATE_INTERRUPTED', 'stopped before its end');
			this.#done += outcomes.length;
			perSpeed = arrivalsPerSecond(outcomes) * specOf(this.#scenario, setting, 1, 0).speed;
			return allHold(until, outcomes.flatMap(measured));
		};
		try {
			await findCapacity(holdsAt, { onTried: (found) => (known = found) });
			return reported(null);
		} catch (error) {
			return reported(error instanceof Error ? error.message : String(error));
		}
	}

	#searchJob(setting: Setting, strategy: number, speed: number, seed: number): CellJob {
		const replication = replicationOf(setting, speed, speed, seed);
		const spec = specOf(this.#scenario, setting, speed, seed);
		const { faults: _faults, ...healthy } = spec;
		return this.#jobOf({ replication, strategy, spec: setting.faults === '' ? { ...healthy, faults: [] } : spec });
	}

	#jobOf({ replication, strategy, spec }: Cell): CellJob {
		const { workload, grid } = this.#scenario;
		const { seed, segment } = replication;
		const common = { workload: { spec: workload, seed, segment }, slos: grid.slos };
		// The baseline of an experiment is itself run alone: the truth beside it.
		if (spec.assignment.kind === 'single' || strategy === 0)
			return { ...common, spec: { ...spec, assignment: { kind: 'single', arm: 0 } }, arms: [strategy] };
		return { ...common, spec, arms: [0, strategy] };
	}

	#begin(phase: string, total: number): void {
		this.#beganMs = this.#options.clock.nowMs();
		this.#phase = phase;
		this.#total = total;
		this.#done = 0;
		this.#failed = 0;
	}

	#tell(): void {
		const { clock, onProgress, progressPeriodMs = 250 } = this.#options;
		if (onProgress === undefined) return;
		this.#timer = clock.after(progressPeriodMs, () => {
			onProgress({
				phase: this.#phase,
				done: this.#done,
				failed: this.#failed,
				total: this.#total,
				progressed: this.#done + this.#failed + this.#pool.underWay,
				elapsedMs: clock.nowMs() - this.#beganMs,
			});
			this.#tell();
		});
	}
}

function measured({ summary, costs }: CellOutcome): Measured[] {
	const cost = costs.at(-1);
	return cost === undefined ? [] : [{ summary, costs: cost }];
}

/** Mean over outcomes of requests by the span of their arrivals, as the workload has them. */
function arrivalsPerSecond(outcomes: readonly CellOutcome[]): number {
	const rates = outcomes.map(({ workload }) => (workload.requests * 1000) / Math.max(1, workload.spanMs));
	return rates.reduce((sum, rate) => sum + rate, 0) / Math.max(1, rates.length);
}
