// The composition of experiments on a running mesh: what routers count, the one node that runs them (whoever first claims it, under its lease), what operators ask,
// and gauges. Every node can be asked; nodes that route or coordinate may run them.
import { randomUUID } from 'node:crypto';
import type { Clock, Random } from '@infermesh/proto';
import { MeshError } from '@infermesh/proto';
import type { MeshConfig } from '../config/schema.js';
import { ExperimentRunner } from '../experiments/controller/runner.js';
import type { CellBorder } from '../experiments/matched/look.js';
import { ExperimentOperations } from '../experiments/operations.js';
import type { ModelTraffic } from '../experiments/plan.js';
import { experimentSamples } from '../experiments/samples.js';
import { cutOff } from '../mesh/listing.js';
import type { Audit } from '../mesh/operations.js';
import { recordKinds } from '../records/kinds.js';
import { stagingOf } from '../strategy/registry/registry.js';
import { activeLabel, WHOLE_MESH } from '../strategy/registry/staging.js';
import { type CollectedSample, distributionOf, totalOf } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import { ExperimentReadings } from './experiment-readings.js';
import type { MeshFabric } from './fabric.js';
import { KeptExperiments } from './kept-experiments.js';
import type { MeshState } from './mesh-state.js';
import { routes } from './options.js';
import type { RouterPart } from './router-part.js';
import type { TargetService } from './target-service.js';

/** There is one for the whole mesh. */
const RUNNER_ID = 'runner';

export interface ExperimentParts {
	readonly config: MeshConfig;
	readonly clock: Clock;
	readonly random: Random;
	readonly fabric: MeshFabric;
	readonly state: MeshState;
	readonly targets: TargetService;
	readonly router: RouterPart | undefined;
	readonly audit: (entry: Audit) => void;
	readonly log: Log;
	/** Folder of a lone node's experiments; undefined = they end with the process. */
	readonly keepIn: string | undefined;
}

export class ExperimentPart {
	readonly operations: ExperimentOperations;
	readonly #parts: ExperimentParts;
	/** Of this process. */
	readonly #incarnation = randomUUID();
	readonly #runner: ExperimentRunner | undefined;
	readonly #kept: KeptExperiments | undefined;
	readonly #stop: () => void;

	constructor(parts: ExperimentParts) {
		const { config, clock, random, fabric, state, targets, router, audit, log, keepIn } = parts;
		this.#parts = parts;
		const readings = new ExperimentReadings({
			clock,
			fabric,
			own: router?.experiments,
			nodes: () => state.nodes.all().map(({ value }) => value),
		});
		const experiments = () => state.experiments.all();
		this.operations = new ExperimentOperations({
			clock,
			random,
			records: state.records,
			registry: state.registry,
			experiments,
			models: () => servedModels(targets),
			activeOn: (model) => activeOn(state, model),
			digestOf: (label) => state.strategies.get(label)?.value.digest ?? '',
			traffic: (model) => this.#traffic(model),
			border: (model) => this.#border(model),
			counted: (model) => this.#counted(model),
			level: () => state.level.level,
			runner: () => this.#runnerName(),
			audit,
			breathe: () => new Promise((resolve) => void setImmediate(resolve)),
		});
		this.#runner =
			routes(config) || config.roles.includes('coordinator')
				? new ExperimentRunner({
						clock,
						experiments,
						holds: () => this.#holds(),
						write: (record, ifRevision) =>
							state.records.put(recordKinds.experiments, record.id, record, { ifRevision }),
						read: (ask) => readings.read(ask),
						border: (model) => this.#border(model),
						stage: (model, staging) => state.registry.stageExperiment(model, staging),
						staged: () =>
							[...stagingOf(state.staging.all())].flatMap(([model, { experiment }]) =>
								experiment === undefined ? [] : [{ model, id: experiment.id }],
							),
						isOver: async (id) => {
							const found = await state.records.get(recordKinds.experiments, id);
							return found === undefined || found.value.state === 'ended';
						},
						unstage: (model, id, promote) => state.registry.endExperiment(model, id, promote),
						windows: async (id) => (await state.records.get(recordKinds.experimentWindows, id))?.value,
						tellWindows: async (id, windows) => {
							if (windows === undefined) await state.records.remove(recordKinds.experimentWindows, id);
							else await state.records.put(recordKinds.experimentWindows, id, windows);
							this.#kept?.tellWindows(id, windows);
						},
						audit,
						failed: (what, error) => log.warn({ error: error instanceof Error ? error.message : error }, what),
					})
				: undefined;
		this.#kept =
			keepIn === undefined
				? undefined
				: new KeptExperiments({
						folder: keepIn,
						clock,
						state,
						blobs: fabric.blobs,
						activeOn: (model) => activeOn(state, model),
						audit,
						log,
					});
		this.#stop = state.onChange(() => this.#runner?.changed());
		this.#runner?.changed();
	}

	/** Goes on with what a lone node had before its restart; to be called once its strategies are in force. */
	async resume(): Promise<void> {
		await this.#kept?.open();
	}

	samples(): CollectedSample[] {
		const { state, log } = this.#parts;
		const told = state.experiments.all().flatMap(({ id, value }) => {
			try {
				return experimentSamples(value);
			} catch (error) {
				// Evidence that this version cannot read must not cost the rest of the metrics.
				log.warn({ experiment: id, error: String(error) }, 'an experiment cannot be told');
				return [];
			}
		});
		return [...told, ...(this.#kept?.samples() ?? [])];
	}

	async close(): Promise<void> {
		this.#stop();
		await this.#runner?.close();
		await this.#kept?.close();
	}

	/** A claim of this node from before its last start is its own still: it need not wait for that lease to end. */
	async #holds(): Promise<boolean> {
		const { state, fabric } = this.#parts;
		// Passed over while it ran: what the others have staged since may be more than this version knows.
		if (state.level.refusal() !== undefined) return false;
		const held = state.experimentRunner.get(RUNNER_ID);
		const node = fabric.nodeId;
		if (held !== undefined && held.value.node !== node) return false;
		if (held?.value.incarnation === this.#incarnation) return true;
		const lease = fabric.lease();
		try {
			await state.records.put(
				recordKinds.experimentRunner,
				RUNNER_ID,
				{ node, incarnation: this.#incarnation },
				{ ifRevision: held?.revision ?? 0, ...(lease === undefined ? {} : { lease }) },
			);
			return true;
		} catch (error) {
			if (error instanceof MeshError && error.code === 'IM_RECORD_CONFLICT') return false;
			if (cutOff(error)) return false;
			throw error;
		}
	}

	/** Rows of other cells are where requests go; a cell that is heard of, and has the model, may send its own. */
	#border(model: string): CellBorder {
		const { fabric, targets } = this.#parts;
		const rows = targets.registry.records().filter(({ spec }) => spec.models.includes(model));
		const others = fabric.cells?.others() ?? [];
		return {
			sendsTo: [...new Set(rows.flatMap(({ spec }) => spec.cell ?? []))].sort(),
			hearsOf: others
				.filter(({ stale, summary }) => !stale && summary.models.some((one) => one.model === model))
				.map(({ summary }) => summary.cell)
				.sort(),
		};
	}

	#counted(model: string) {
		const { config, router, state, targets } = this.#parts;
		const buffers = router?.metricsBuffers ?? [];
		const tokens = (kind: string): number =>
			totalOf(buffers, 'tokens', (labels) => labels[0] === model && labels[3] === kind);
		return {
			cell: config.fabric.cell,
			nodes: state.nodes.all().map(({ id }) => id),
			engines: targets.registry
				.records()
				.filter(({ spec }) => spec.cell === undefined && spec.models.includes(model))
				.map(({ spec }) => spec.url),
			requests: distributionOf(buffers, 'requestDuration', ([name]) => name === model).counts.reduce(
				(a, b) => a + b,
				0,
			),
			tokensIn: tokens('input'),
			tokensOut: tokens('output'),
		};
	}

	#runnerName(): string | undefined {
		const { state } = this.#parts;
		const id = state.experimentRunner.get(RUNNER_ID)?.value.node;
		return id === undefined ? undefined : (state.nodes.get(id)?.value.name ?? id);
	}

	#traffic(model: string): Omit<ModelTraffic, 'pilot'> {
		const { router, config, targets } = this.#parts;
		const { capacity } = config;
		const slo = targets.registry.pools().find((pool) => pool.model === model)?.policy.slos.common;
		const view = router?.capacity.views().find((one) => one.model === model);
		const durations = distributionOf(router?.metricsBuffers ?? [], 'requestDuration', ([name]) => name === model);
		return {
			requestsPerS: view?.demandPerS ?? 0,
			goodRatio: view?.goodRatio,
			e2eP50Ms: quantileMs(durations, 0.5),
			e2eP95Ms: quantileMs(durations, 0.95),
			// No engine says how long its prefix cache takes to be written over once.
			cacheTurnoverMs: 0,
			objectives: {
				ttftMs: slo?.ttftMs ?? capacity.ttft_ms,
				tpotMs: slo?.tpotMs ?? capacity.tpot_ms,
				ttftPerTokenMs: 0,
			},
		};
	}
}

function servedModels(targets: TargetService): string[] {
	const pools = targets.registry
		.pools()
		.filter((pool) => pool.elsewhere !== true && pool.targets.some((target) => target !== undefined));
	return [...new Set(pools.map(({ model }) => model))].sort();
}

function activeOn(state: MeshState, model: string): string | undefined {
	const staging = stagingOf(state.staging.all());
	const known = new Set(state.strategies.all().map(({ id }) => id));
	return activeLabel(staging.get(model), known) ?? activeLabel(staging.get(WHOLE_MESH), known);
}

/** Upper bound of the bucket that holds the quantile; 0 where there is none. */
function quantileMs({ bounds, counts }: ReturnType<typeof distributionOf>, q: number): number {
	const total = counts.reduce((sum, one) => sum + one, 0);
	let seen = 0;
	for (let at = 0; at < bounds.length; at++) {
		seen += counts[at] as number;
		const bound = bounds[at] as number;
		if (total > 0 && seen >= q * total)
			return Number.isFinite(bound) ? bound * 1000 : (bounds[at - 1] as number) * 1000;
	}
	return 0;
}
