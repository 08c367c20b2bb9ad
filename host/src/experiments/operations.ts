// Owns what an operator can ask of experiments: plan, start, list, look at, stop, report. Whoever is asked writes records; the node that runs experiments carries them
// out. Reads answer from what this node last heard.
import { judgesByBlockAt } from '@infermesh/fabric';
import { type Clock, MeshError, type Random } from '@infermesh/proto';
import type { Asker, Audit } from '../mesh/operations.js';
import { recordKinds } from '../records/kinds.js';
import type { Records, Stored } from '../records/records.js';
import type { StrategyRegistry } from '../strategy/registry/registry.js';
import { isSwitchback, stagingOfRun } from './controller/step.js';
import { trialOf } from './controller/switchback.js';
import type { ExperimentDesign } from './design/design.js';
import { isClustered } from './design/safety-trial.js';
import { experimentErrors } from './errors.js';
import { type CellBorder, type CellLook, shared, touching } from './matched/look.js';
import { type ExperimentPlan, type ModelTraffic, planExperiment } from './plan.js';
import type { ExperimentEnd, ExperimentRecord } from './record.js';
import type { ExperimentView, PlanView, StartRequest } from './view.js';
import { documentOf, type ExperimentDocument, experimentView, planView } from './views.js';

/** Experiments that run at once. */
const RUNNING_MAX = 16;
/** Experiments kept; the oldest that have ended make room. */
const KEPT_MAX = 64;
/** A start is put off for so long at most. */
const START_WITHIN_MS = 600_000;

export interface ExperimentOperationsPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly records: Records;
	readonly registry: StrategyRegistry;
	/** As this node last heard of them. */
	readonly experiments: () => readonly Stored<ExperimentRecord>[];
	/** Models served. */
	readonly models: () => readonly string[];
	/** The label that decides for a model now; undefined = the built-in fallback. */
	readonly activeOn: (model: string) => string | undefined;
	/** Of a loaded label. */
	readonly digestOf: (label: string) => string;
	/** What the router of this node has seen of a model. */
	readonly traffic: (model: string) => Omit<ModelTraffic, 'pilot'>;
	/** Where requests of a model may cross to other cells, and from them. */
	readonly border: (model: string) => CellBorder;
	/** What this node knows of a model besides. */
	readonly counted: (
		model: string,
	) => Pick<CellLook, 'cell' | 'nodes' | 'engines' | 'requests' | 'tokensIn' | 'tokensOut'>;
	/** Of the mesh: what all its nodes understand. */
	readonly level: () => number;
	/** Name of the node that runs experiments. */
	readonly runner: () => string | undefined;
	readonly audit: (entry: Audit) => void;
	/** Lets the thread come to its other work. */
	readonly breathe: () => Promise<void>;
}

interface Prepared {
	readonly model: string;
	readonly plan: ExperimentPlan;
}

export class ExperimentOperations {
	readonly #ports: ExperimentOperationsPorts;
	#planning: Promise<unknown> = Promise.resolve();

	constructor(ports: ExperimentOperationsPorts) {
		this.#ports = ports;
	}

	/** What would be started, and how long it would take. IM_EXPERIMENT_MODEL, IM_EXPERIMENT_KIND, IM_EXPERIMENT_CELLS_SHARED, IM_EXPERIMENT_LEVEL, IM_EXPERIMENT_DESIGN, IM_STRATEGY_UNKNOWN. */
	async plan(request: StartRequest): Promise<PlanView> {
		const { model, plan } = await this.#prepare(request);
		return planView(model, plan);
	}

	/** Resolves when all routers are in its first block. What `plan` throws, and IM_EXPERIMENT_MODEL_BUSY, IM_EXPERIMENT_LIMIT. */
	async start(request: StartRequest, { by }: Asker): Promise<ExperimentView> {
		const { clock, records, registry, audit } = this.#ports;
		const { model, plan } = await this.#prepare(request);
		await this.#makeRoom();
		const record = this.#recordOf(model, plan, request, by);
		const busy = await registry.experimentOn(model);
		if (busy !== undefined) throw modelBusy(model, busy);
		await records.put(recordKinds.experiments, record.id, record, { ifRevision: 0 });
		try {
			await registry.stageExperiment(model, stagingOfRun(record, clock.wallMs()));
		} catch (error) {
			await records.remove(recordKinds.experiments, record.id);
			throw error;
		}
		audit({ by, action: 'experiment.start', object: record.id, reason: `${plan.design.candidate} on ${model}` });
		return this.#view(record);
	}

	/** What this mesh would be as a cell of a matched comparison. IM_EXPERIMENT_MODEL. */
	look(asked: string | undefined): CellLook {
		const { traffic, border, counted, activeOn } = this.#ports;
		const model = this.#modelOf(asked);
		return {
			...counted(model),
			model,
			baseline: activeOn(model) ?? '',
			requestsPerS: traffic(model).requestsPerS,
			border: border(model),
		};
	}

	/** The newest first. */
	list(): ExperimentView[] {
		return [...this.#ports.experiments()]
			.sort((a, b) => b.value.startedAtMs - a.value.startedAtMs)
			.map(({ value }) => this.#view(value));
	}

	/** IM_EXPERIMENT_UNKNOWN. */
	async get(id: string): Promise<ExperimentView> {
		return this.#view((await this.#find(id)).value);
	}

	/** IM_EXPERIMENT_UNKNOWN. */
	async report(id: string): Promise<ExperimentDocument> {
		return documentOf((await this.#find(id)).value);
	}

	/** Back to the baseline; resolves when all routers follow. IM_EXPERIMENT_UNKNOWN, IM_EXPERIMENT_ENDED. */
	async stop(id: string, reason: string, { by }: Asker): Promise<ExperimentView> {
		const { clock, records, registry, audit } = this.#ports;
		await this.#find(id);
		const end: ExperimentEnd = { how: 'stop', reason, by, atMs: clock.wallMs() };
		await records.update(recordKinds.experiments, id, (present) => {
			if (present?.state !== 'running')
				throw new MeshError(experimentErrors, 'IM_EXPERIMENT_ENDED', `experiment ${id} runs no more`);
			return { ...present, state: 'ending' as const, end };
		});
		const { model } = (await this.#find(id)).value;
		await registry.endExperiment(model, id, undefined);
		let isOwn = false;
		const ended = await records.update(recordKinds.experiments, id, (present) => {
			// Whoever runs experiments may have been faster, and has told of it then.
			isOwn = present?.state === 'ending';
			if (present === undefined || !isOwn) return undefined;
			return { ...present, state: 'ended' as const, end: { ...end, restoredAtMs: clock.wallMs() } };
		});
		if (isOwn) audit({ by, action: 'experiment.stop', object: id, reason });
		return this.#view(ended?.value ?? (await this.#find(id)).value);
	}

	/** Stops what runs on a model, or (undefined) on any: somebody takes a strategy back and will not wait. */
	async stopOn(model: string | undefined, reason: string, asker: Asker): Promise<void> {
		for (const id of await this.#ports.registry.experimentsUnder(model)) {
			try {
				await this.stop(id, reason, asker);
			} catch (error) {
				// It has ended by itself meanwhile: the staging is what says so in the end.
				if (!(error instanceof MeshError) || error.code !== 'IM_EXPERIMENT_ENDED') throw error;
				await this.#ports.registry.endExperiment((await this.#find(id)).value.model, id, undefined);
			}
		}
	}

	#view(record: ExperimentRecord): ExperimentView {
		return experimentView(record, this.#ports.clock.wallMs(), this.#ports.runner());
	}

	async #find(id: string): Promise<Stored<ExperimentRecord>> {
		const found = await this.#ports.records
			.get(recordKinds.experiments, id)
			// Without quorum what this node last heard is better than nothing.
			.catch((error: unknown) => {
				const held = this.#ports.experiments().find((one) => one.id === id);
				if (held === undefined) throw error;
				return held;
			});
		if (found !== undefined) return found;
		throw new MeshError(experimentErrors, 'IM_EXPERIMENT_UNKNOWN', `no experiment is called ${id}`);
	}

	async #prepare(request: StartRequest): Promise<Prepared> {
		const { registry, activeOn, traffic, random, breathe } = this.#ports;
		const model = this.#modelOf(request.model);
		if (request.kind === 'matched-cells') this.#checkCell(request, model);
		const candidate = registry.find(request.candidate);
		const baseline = activeOn(model);
		if (baseline === undefined)
			throw new MeshError(experimentErrors, 'IM_EXPERIMENT_MODEL', `no strategy is active on ${model}`, {
				hint: 'Make the baseline active first: infermesh strategy stage NAME active',
			});
		const seen = { ...traffic(model), pilot: this.#pilotOf(model) };
		// A seed of 0 is one too; drawn, so that nobody chooses it by what it brings.
		const planned = (): Promise<ExperimentPlan> =>
			planExperiment(request, { baseline, candidate }, seen, random.nextU32(), breathe);
		// One at a time: slices of many would be as long as one of them in one piece.
		const plan = this.#planning.then(planned, planned);
		this.#planning = plan;
		const made = await plan;
		this.#checkLevel(made.design);
		return { model, plan: made };
	}

	/** The level never falls: what may start may go on. */
	#checkLevel(design: ExperimentDesign): void {
		const level = this.#ports.level();
		const isMatched = design.kind === 'matched-cells';
		if (!(isClustered(design) || isMatched) || judgesByBlockAt(level)) return;
		throw new MeshError(
			experimentErrors,
			'IM_EXPERIMENT_LEVEL',
			`the mesh is at level ${level}: not all of its nodes ${isMatched ? 'know matched cells' : `judge a split by ${design.splitBy} by blocks`}`,
		);
	}

	/** A part of one mesh is no cell: its halves share waiting, holds, fetches and learned state (docs/adr/0014). */
	#checkCell({ cell, cellPairs }: StartRequest, model: string): void {
		if (cell === undefined || cellPairs === undefined)
			throw new MeshError(
				experimentErrors,
				'IM_EXPERIMENT_KIND',
				'this mesh was not told which cell it is, nor the others',
			);
		const touched = touching(this.#ports.border(model), cellPairs.flat());
		if (touched !== undefined) throw shared(`${cell}: ${touched}`);
	}

	/** Differences of the pairs of the newest switchback on a model. */
	#pilotOf(model: string): readonly number[] {
		const ended = this.#ports
			.experiments()
			.filter(({ value }) => value.model === model && value.state === 'ended' && isSwitchback(value))
			.sort((a, b) => b.value.startedAtMs - a.value.startedAtMs);
		return ended[0] === undefined ? [] : trialOf(ended[0].value).pairs.map(({ difference }) => difference);
	}

	#modelOf(asked: string | undefined): string {
		const models = this.#ports.models();
		const only = models.length === 1 ? models[0] : undefined;
		const model = asked ?? only;
		if (model !== undefined && models.includes(model)) return model;
		const all = models.length === 0 ? 'none is served now' : `these are served: ${models.join(', ')}`;
		throw new MeshError(
			experimentErrors,
			'IM_EXPERIMENT_MODEL',
			model === undefined ? `no model was named; ${all}` : `model ${model} is not served; ${all}`,
		);
	}

	#recordOf(
		model: string,
		{ design, notes, forecast }: ExperimentPlan,
		{ tag: given, startAtMs = 0 }: Pick<StartRequest, 'tag' | 'startAtMs'>,
		by: string,
	): ExperimentRecord {
		const { clock, random, digestOf } = this.#ports;
		const tag = given ?? Math.max(1, random.nextU32());
		return {
			id: `x-${tag.toString(16).padStart(8, '0')}`,
			tag,
			model,
			digests: { baseline: digestOf(design.baseline), candidate: digestOf(design.candidate) },
			design: design satisfies ExperimentDesign,
			notes: [...notes],
			...(forecast === undefined ? {} : { forecast }),
			startedBy: by,
			// Clocks of cells differ a little: none begins before it is told to.
			startedAtMs: Math.max(Math.ceil(clock.wallMs()), Math.min(startAtMs, clock.wallMs() + START_WITHIN_MS)),
			state: 'running',
			nextBlock: 0,
			gaps: [],
			routers: {},
			figures: { baseline: [], candidate: [] },
			points: [],
			muted: [],
		};
	}

	async #makeRoom(): Promise<void> {
		const { records, experiments } = this.#ports;
		const all = [...experiments()].sort((a, b) => a.value.startedAtMs - b.value.startedAtMs);
		const ended = all.filter(({ value }) => value.state === 'ended');
		if (all.length - ended.length >= RUNNING_MAX)
			throw new MeshError(experimentErrors, 'IM_EXPERIMENT_LIMIT', `${RUNNING_MAX} experiments run`);
		for (const { id } of ended.slice(0, Math.max(0, all.length + 1 - KEPT_MAX)))
			await records.remove(recordKinds.experiments, id);
	}
}

function modelBusy(model: string, id: string): MeshError {
	return new MeshError(experimentErrors, 'IM_EXPERIMENT_MODEL_BUSY', `experiment ${id} runs on ${model}`, {
		hint: `Wait for its end, or stop it: infermesh experiment stop ${id}`,
	});
}
