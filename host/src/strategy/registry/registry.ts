// Owns the strategies of the whole mesh: what is loaded and what stands where, as records in replicated state. Operations here write records;
// sync.ts of every router carries them out and reports back, and an operation waits for those reports, so that its answer says what is in force.
import { type Blobs, blobIdOf } from '@infermesh/fabric';
import { type Clock, type ErrorCode, MeshError } from '@infermesh/proto';
import type { ConfigValues } from '@infermesh/sdk';
import { experimentErrors } from '../../experiments/errors.js';
import { type RouterRecord, recordKinds, type StagingRecord, type StrategyRecord } from '../../records/kinds.js';
import type { Mirror } from '../../records/mirror.js';
import type { Records, Stored } from '../../records/records.js';
import type { AdmissionReport } from '../admission/report.js';
import { isLibrary } from '../native/code.js';
import { nativeErrors } from '../native/errors.js';
import type { StrategySignature } from '../signing/signature.js';
import type { StrategyTrust } from '../signing/trust.js';
import { registryErrors } from './errors.js';
import type { StrategyJudge } from './judge.js';
import {
	type ExperimentStaging,
	experimentsUnder,
	forget,
	previousLabels,
	rollBack,
	type ScopeStaging,
	type Staging,
	stageActive,
	stageCanary,
	stagedLabels,
	stageExperiment,
	stageShadow,
	unstage,
	unstaged,
	WHOLE_MESH,
} from './staging.js';

export type StageName = 'active' | 'canary' | 'shadow' | 'loaded';

export interface StageOptions {
	/** For canary, 0 to 100. */
	readonly percent?: number | undefined;
	readonly model?: string | undefined;
}

export interface LoadRequest {
	readonly module: Uint8Array;
	readonly sourceMap: string | undefined;
	readonly settings: ConfigValues | undefined;
	readonly activate: boolean;
	/** Narrows `activate` to one model. */
	readonly model: string | undefined;
	readonly signature?: StrategySignature | undefined;
	/** Runs a native library inside the process of every router, if its signature is worth that. */
	readonly inline?: boolean | undefined;
}

export interface LoadDone {
	readonly label: string;
	readonly report: AdmissionReport;
	readonly admissionMs: number;
}

export interface RegistryPorts {
	readonly clock: Clock;
	readonly records: Records;
	readonly blobs: Blobs;
	readonly judge: StrategyJudge;
	readonly trust: StrategyTrust;
	/** What this node knows of the routers' room and of versions in quarantine: a router by itself, any other node by the records. */
	readonly local: { full(): boolean; quarantined(label: string): boolean };
	readonly strategies: Mirror<typeof recordKinds.strategies.schema>;
	readonly staging: Mirror<typeof recordKinds.staging.schema>;
	readonly routers: Mirror<typeof recordKinds.routers.schema>;
	/** Calls back after any of the three mirrors changed, until the returned function is called. */
	readonly onChange: (listener: () => void) => () => void;
	/** Who asks, for the record. */
	readonly node: string;
}

const DEFAULT_CANARY_PERCENT = 5;
/** Routers have this long to carry out what was written before the operation says who has not. */
const CARRY_OUT_MS = 20_000;

/** Key of the whole mesh's staging: a model is never called this. */
const WHOLE_MESH_ID = '*';

export const stagingId = (scope: string): string => (scope === WHOLE_MESH ? WHOLE_MESH_ID : scope);

export function stagingOf(records: readonly Stored<StagingRecord>[]): Staging {
	return new Map(
		records.map(({ id, value }): [string, ScopeStaging] => [
			id === WHOLE_MESH_ID ? WHOLE_MESH : id,
			{ history: value.history, canary: value.canary, shadow: value.shadow, experiment: value.experiment },
		]),
	);
}

function recordOf({ history, canary, shadow, experiment }: ScopeStaging): StagingRecord {
	return {
		history: [...history],
		...(canary === undefined ? {} : { canary: { ...canary } }),
		...(shadow === undefined ? {} : { shadow }),
		...(experiment === undefined ? {} : { experiment: { ...experiment } }),
	};
}

/** What a router may say of a version it could not load. */
const carryingErrors = { ...registryErrors, ...nativeErrors };

type Failure = { readonly code: string; readonly message: string };

/** What a router said went wrong, as it would have been thrown here. */
function raise(router: string, { code, message }: Failure): MeshError {
	const known = Object.hasOwn(carryingErrors, code) ? (code as ErrorCode) : 'IM_STRATEGY_PREPARE';
	return new MeshError(carryingErrors, known, message, { where: `node ${router}` });
}

/**
 * Who stages by hand what an experiment is measuring would spoil it. So would staging for the whole mesh: what the experiment's model goes back to when it ends is
 * no longer the baseline that was compared.
 */
function refuseUnderExperiment(staging: Staging, scope: string): void {
	const [first] = experimentsUnder(staging, scope);
	if (first === undefined) return;
	const { model, experiment } = first;
	const aside = scope === WHOLE_MESH ? ', or stage for another model alone: --model MODEL' : '';
	throw new MeshError(
		experimentErrors,
		'IM_EXPERIMENT_STAGING',
		`experiment ${experiment.id} runs on ${model} (${experiment.candidate} against ${experiment.baseline})`,
		{ hint: `Stop it first: infermesh experiment stop ${experiment.id}${aside}` },
	);
}

function isArm(staging: Staging, label: string): boolean {
	return experimentsUnder(staging, WHOLE_MESH).some(
		({ experiment }) => experiment.baseline === label || experiment.candidate === label,
	);
}

function modelBusy(model: string, id: string): MeshError {
	return new MeshError(experimentErrors, 'IM_EXPERIMENT_MODEL_BUSY', `experiment ${id} runs on ${model}`, {
		hint: `Wait for its end, or stop it: infermesh experiment stop ${id}`,
	});
}

export class StrategyRegistry {
	readonly #ports: RegistryPorts;

	constructor(ports: RegistryPorts) {
		this.#ports = ports;
	}

	/** Admits here, makes it durable on a quorum, publishes it; resolves when every router has it ready (and follows it, with `activate`). */
	load(request: LoadRequest): Promise<LoadDone> {
		return this.#load(request, true);
	}

	/**
	 * Loads again under the label it had what a lone node had loaded before its restart; judged as any other, and left alone where it is loaded already. What `load`
	 * throws, and IM_RECORD_CONFLICT when the label is another module's now.
	 */
	async restore(label: string, request: LoadRequest): Promise<void> {
		if (this.#ports.strategies.get(label)?.value.blob !== blobIdOf(request.module))
			await this.#load(request, true, label);
	}

	async #load(request: LoadRequest, judged: boolean, as?: string): Promise<LoadDone> {
		const { clock, judge, local, blobs, records, trust } = this.#ports;
		// Said before anything is loaded that could not be used.
		if (request.activate) refuseUnderExperiment(await this.#readStaging(), request.model ?? WHOLE_MESH);
		const began = clock.nowMs();
		const { report, manifest, digest } = await judge.admit(request.module, request.sourceMap);
		const inline = request.inline === true;
		if (judged) {
			const plain = `${manifest.name}@${manifest.version}`;
			const grade = trust.admit(request.module, request.signature, plain);
			if (inline) trust.admitInline(request.module, grade, plain);
		}
		const admissionMs = clock.nowMs() - began;
		judge.configOf(manifest, request.settings);
		if (local.full()) await this.#makeRoom(manifest.name);
		const blob = await blobs.put(request.module);
		const sourceMapBlob =
			request.sourceMap === undefined ? undefined : await blobs.put(Buffer.from(request.sourceMap, 'utf8'));
		const record: Omit<StrategyRecord, 'label'> = {
			blob,
			...(sourceMapBlob === undefined ? {} : { sourceMapBlob }),
			digest,
			bytes: request.module.length,
			...(isLibrary(request.module) ? { native: inline ? ('inline' as const) : ('process' as const) } : {}),
			...(request.settings === undefined ? {} : { settings: { ...request.settings } }),
			...(request.signature === undefined ? {} : { signature: { ...request.signature } }),
			loadedBy: this.#ports.node,
			loadedAtMs: Math.floor(clock.wallMs()),
		};
		const { label, revision } =
			as === undefined
				? await this.#publish(`${manifest.name}@${manifest.version}`, record)
				: {
						label: as,
						revision: await records.put(recordKinds.strategies, as, { ...record, label: as }, { ifRevision: 0 }),
					};
		try {
			await this.#carriedOut('load', revision, (router) => {
				return router.refused[label] ?? router.loaded.includes(label);
			});
		} catch (error) {
			// What one router cannot load is of no use to the mesh.
			await records.remove(recordKinds.strategies, label);
			throw error;
		}
		if (request.activate) await this.stage(label, 'active', { model: request.model });
		return { label, report, admissionMs };
	}

	/**
	 * What decides in a mesh where nothing is staged yet: what its operators have configured, whoever has signed it. Several nodes may do this at once: a module that is loaded already is not loaded again, and
	 * whoever stages first decides.
	 */
	async seed(request: LoadRequest): Promise<void> {
		const blob = blobIdOf(request.module);
		const known = this.#ports.strategies.all().find(({ value }) => value.blob === blob)?.id;
		const label = known ?? (await this.#load({ ...request, activate: false }, false)).label;
		await this.#restage((before) => (before.has(WHOLE_MESH) ? before : stageActive(before, WHOLE_MESH, label)));
	}

	/** Gives a loaded strategy a stage; resolves when every router has switched. */
	async stage(name: string, stage: StageName, options: StageOptions): Promise<string> {
		const label = this.find(name);
		if (stage !== 'loaded' && this.#ports.local.quarantined(label))
			throw new MeshError(registryErrors, 'IM_STRATEGY_QUARANTINED', `${label} is in quarantine`);
		const scope = options.model ?? WHOLE_MESH;
		await this.#restage((before) => {
			// Who takes a strategy out of every stage spoils only the experiment that it is an arm of, and would find it deciding still.
			const isElsewhere = stage === 'loaded' && scope === WHOLE_MESH && !isArm(before, label);
			if (!isElsewhere) refuseUnderExperiment(before, scope);
			const besides = stage === 'canary' || stage === 'shadow';
			if (besides && before.get(scope)?.history.at(-1) === label)
				throw new MeshError(registryErrors, 'IM_STRATEGY_ACTIVE', `${label} is active already`);
			if (stage === 'active') return stageActive(before, scope, label);
			if (stage === 'canary') return stageCanary(before, scope, label, options.percent ?? DEFAULT_CANARY_PERCENT);
			if (stage === 'shadow') return stageShadow(before, scope, label);
			return unstage(before, options.model, label);
		});
		return label;
	}

	/** Back to the active strategy before, in one scope. Answers the label that decides there now; undefined = the built-in fallback. */
	async rollback(model: string | undefined): Promise<string | undefined> {
		const scope = model ?? WHOLE_MESH;
		const after = await this.#restage((before) => {
			refuseUnderExperiment(before, scope);
			const next = rollBack(before, scope);
			if (next === undefined) throw new MeshError(registryErrors, 'IM_STRATEGY_NO_PREVIOUS');
			return next;
		});
		return after.get(scope)?.history.at(-1) ?? after.get(WHOLE_MESH)?.history.at(-1);
	}

	/**
	 * Puts a model under experiment or moves its experiment on to a later block; resolves when every router has switched. IM_EXPERIMENT_MODEL_BUSY when
	 * another one has the model, IM_EXPERIMENT_OVERTAKEN when a later block stands already: whoever asks is not the one who runs it any more.
	 */
	async stageExperiment(model: string, next: ExperimentStaging): Promise<void> {
		await this.#restage((before) => {
			const present = before.get(model)?.experiment;
			if (present !== undefined && present.id !== next.id) throw modelBusy(model, present.id);
			if (present !== undefined && present.block > next.block)
				throw new MeshError(experimentErrors, 'IM_EXPERIMENT_OVERTAKEN', `${next.id} is at block ${present.block}`);
			return stageExperiment(before, model, next);
		});
	}

	/** Ends an experiment's hold on a model, if it still has it: what stood before decides again, or with `promote` this label from now on. */
	async endExperiment(model: string, id: string, promote: string | undefined): Promise<void> {
		await this.#restage((before) => {
			if (before.get(model)?.experiment?.id !== id) return before;
			const ended = stageExperiment(before, model, undefined);
			return promote === undefined ? ended : stageActive(ended, model, promote);
		});
	}

	/** The experiment that has a model, if one has. */
	async experimentOn(model: string): Promise<string | undefined> {
		return (await this.#readStaging()).get(model)?.experiment?.id;
	}

	/** Experiments that staging in a scope would spoil: of the model, or of any model for the whole mesh (undefined). */
	async experimentsUnder(model: string | undefined): Promise<readonly string[]> {
		return experimentsUnder(await this.#readStaging(), model ?? WHOLE_MESH).map(({ experiment }) => experiment.id);
	}

	/** Drops a strategy that is on no stage. */
	async unload(name: string): Promise<string> {
		const label = this.find(name);
		await this.#unload(label);
		return label;
	}

	/** The label of a loaded strategy by `name@version`, or the newest of a plain name. Throws IM_STRATEGY_UNKNOWN. */
	find(name: string): string {
		const all = [...this.#ports.strategies.all()].sort((a, b) => b.revision - a.revision);
		const found = all.find(({ id }) => id === name) ?? all.find(({ id }) => id.slice(0, id.lastIndexOf('@')) === name);
		if (found === undefined)
			throw new MeshError(registryErrors, 'IM_STRATEGY_UNKNOWN', `no loaded strategy is called ${name}`);
		return found.id;
	}

	async #unload(label: string): Promise<void> {
		const { records } = this.#ports;
		const staging = await this.#readStaging();
		if (stagedLabels(staging).has(label))
			throw new MeshError(registryErrors, 'IM_STRATEGY_STAGED', `${label} is staged`);
		await this.#restage((before) => forget(before, label));
		await records.remove(recordKinds.strategies, label);
		await this.#carriedOut('unload', 0, (router) => !router.loaded.includes(label));
	}

	/** Drops the oldest version of the same strategy that nobody would miss: on no stage, and not what a rollback goes back to. */
	async #makeRoom(name: string): Promise<void> {
		const staging = await this.#readStaging();
		const kept = stagedLabels(staging).union(previousLabels(staging));
		const oldest = [...this.#ports.strategies.all()]
			.sort((a, b) => a.revision - b.revision)
			.find(({ id }) => id.slice(0, id.lastIndexOf('@')) === name && !kept.has(id));
		if (oldest !== undefined) await this.#unload(oldest.id);
	}

	/** The same name and version may be loaded again while it is being written: build metadata (semver §10) tells them apart. */
	async #publish(
		plain: string,
		record: Omit<StrategyRecord, 'label'>,
	): Promise<{ readonly label: string; readonly revision: number }> {
		const marked = `${plain}+${record.digest.slice(0, 8)}`;
		const taken = this.#ports.strategies.all().some(({ id }) => id === plain || id.startsWith(`${plain}+`));
		for (let attempt = taken ? 1 : 0; ; attempt++) {
			const label = attempt === 0 ? plain : attempt === 1 ? marked : `${marked}.${attempt}`;
			try {
				const revision = await this.#ports.records.put(
					recordKinds.strategies,
					label,
					{ ...record, label },
					{ ifRevision: 0 },
				);
				return { label, revision };
			} catch (error) {
				if (!(error instanceof MeshError) || error.code !== 'IM_RECORD_CONFLICT') throw error;
			}
		}
	}

	async #readStaging(): Promise<Staging> {
		return stagingOf((await this.#ports.records.list(recordKinds.staging)).items);
	}

	/** Writes what `change` makes of the staging, in one transaction guarded by what was read, and waits until all routers follow it. */
	async #restage(change: (before: Staging) => Staging): Promise<Staging> {
		const { records } = this.#ports;
		const { items } = await records.list(recordKinds.staging);
		const before = stagingOf(items);
		const after = change(before);
		const revision = await this.#writeStaging(items, after);
		if (revision === undefined) return after;
		try {
			await this.#carriedOut('stage', revision, (router) => {
				if (router.stagingRevision < revision) return false;
				return router.stagingFailure ?? true;
			});
		} catch (error) {
			// A router could not switch: none is to differ from the others, so all go back.
			const { items: written } = await records.list(recordKinds.staging);
			if (written.every((item) => item.revision <= revision)) await this.#writeStaging(written, before);
			throw error;
		}
		return after;
	}

	/** Answers the revision of the write; undefined when there was nothing to write. */
	async #writeStaging(present: readonly Stored<StagingRecord>[], next: Staging): Promise<number | undefined> {
		const before = new Map(present.map((item) => [item.id, item]));
		const wanted = new Map([...next].map(([scope, staged]) => [stagingId(scope), recordOf(staged)]));
		const changed = [...new Set([...before.keys(), ...wanted.keys()])].filter(
			(id) => JSON.stringify(recordOf({ ...unstaged, ...before.get(id)?.value })) !== JSON.stringify(wanted.get(id)),
		);
		if (changed.length === 0) return undefined;
		return this.#ports.records.putAll(
			recordKinds.staging,
			changed.map((id) => ({ id, value: wanted.get(id), ifRevision: before.get(id)?.revision ?? 0 })),
		);
	}

	/**
	 * Waits until `done` holds for every router that is there. A failure from `done` is what that router says went wrong. IM_STRATEGY_LAGGING names
	 * those that have not answered in time; they follow when they can.
	 */
	#carriedOut(what: string, revision: number, done: (router: RouterRecord) => boolean | Failure): Promise<void> {
		const { clock, routers, onChange } = this.#ports;
		return new Promise((resolve, reject) => {
			const look = (): void => {
				const answers = routers.all().map(({ id, value }) => ({ id, answer: done(value) }));
				for (const { id, answer } of answers) if (typeof answer === 'object') return end(raise(id, answer));
				const lagging = answers.filter(({ answer }) => answer !== true).map(({ id }) => id);
				if (lagging.length === 0) return end(undefined);
				behind = lagging;
			};
			let behind: readonly string[] = [];
			const end = (error: MeshError | undefined): void => {
				timer.cancel();
				stop();
				if (error === undefined) resolve();
				else reject(error);
			};
			const stop = onChange(look);
			const timer = clock.after(CARRY_OUT_MS, () =>
				end(
					new MeshError(
						registryErrors,
						'IM_STRATEGY_LAGGING',
						`${what} is written (revision ${revision}); not carried out yet by ${behind.join(', ')}`,
						{ details: { nodes: behind } },
					),
				),
			);
			look();
		});
	}
}
