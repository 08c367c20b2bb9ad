// The experiments of a lone node on disk: their records in one file, replaced whole by rename, and the modules of the candidates of those that run, so that a restart
// goes on with them. A damaged file is kept aside and named; never is the start of a node held up by it. A mesh has its replicated state instead.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Blobs, type FolderLock, lockFolder, writePrivateFile } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import type { GuardrailWindows } from '../experiments/design/guardrail-windows.js';
import { experimentErrors } from '../experiments/errors.js';
import { type ExperimentRecord, experimentRecordSchema } from '../experiments/record.js';
import { resumed } from '../experiments/resume.js';
import type { Audit } from '../mesh/operations.js';
import { recordKinds, type StrategyRecord, strategyRecordSchema } from '../records/kinds.js';
import { faultOf } from '../records/records.js';
import type { CollectedSample } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import { KeptWindows } from './kept-windows.js';
import type { MeshState } from './mesh-state.js';

const FILE = 'experiments.json';
const SCHEMA = 'infermesh.kept-experiments.v1';
/** Of the file; the oldest that have ended are left out beyond it. */
const FILE_BYTES_MAX = 16 << 20;
/** Of one module or source map; admission allows no more. */
const MODULE_BYTES_MAX = 64 << 20;
/** Damaged files that are kept aside; the newest. */
const ASIDE_MAX = 4;
/** Changes of a look are written together. */
const WRITE_AFTER_MS = 100;

interface Kept {
	readonly schema: typeof SCHEMA;
	readonly savedAtMs: number;
	readonly experiments: readonly ExperimentRecord[];
	/** Candidates of experiments that have not ended; their modules lie beside this file under their blobs' names. */
	readonly strategies: readonly StrategyRecord[];
}

export interface KeptExperimentsParts {
	/** Of this node alone. */
	readonly folder: string;
	readonly clock: Clock;
	readonly state: MeshState;
	readonly blobs: Blobs;
	/** What decides on a model now. */
	readonly activeOn: (model: string) => string | undefined;
	readonly audit: (entry: Audit) => void;
	readonly log: Log;
}

export class KeptExperiments {
	readonly #parts: KeptExperimentsParts;
	readonly #failures = new Map<string, number>();
	#lock: FolderLock | undefined;
	#windows: KeptWindows | undefined;
	#stop: () => void = () => undefined;
	#written = '';
	#writing: Promise<void> = Promise.resolve();
	#due: { cancel(): void } | undefined;

	constructor(parts: KeptExperimentsParts) {
		this.#parts = parts;
	}

	/** Goes on with what was kept, and keeps from now on. Never rejects: what goes wrong is logged by name and counted. */
	async open(): Promise<void> {
		const { folder, state, clock } = this.#parts;
		try {
			this.#lock = lockFolder(folder);
		} catch (error) {
			// Another node runs in this folder: its experiments are not this one's.
			this.#failed(error);
			return;
		}
		const kept = this.#read();
		this.#windows = new KeptWindows({
			folder,
			clock,
			writeAfterMs: WRITE_AFTER_MS,
			failed: (error) => this.#failed(error),
		});
		for (const record of kept?.experiments ?? []) {
			try {
				await this.#restore(record, kept?.strategies ?? []);
			} catch (error) {
				this.#failed(error);
			}
		}
		this.#windows.retain(new Set(kept?.experiments.map(({ id }) => id)));
		this.#stop = state.onChange(() => this.#changed());
		this.#changed();
	}

	/** What builds up under the guardrails of an experiment; undefined = nothing any more. */
	tellWindows(id: string, windows: GuardrailWindows | undefined): void {
		this.#windows?.tell(id, windows);
	}

	samples(): CollectedSample[] {
		return [...this.#failures].map(([code, value]) => ({ metric: 'experimentKeptFailures', labels: [code], value }));
	}

	async close(): Promise<void> {
		this.#stop();
		this.#due?.cancel();
		if (this.#lock === undefined) return;
		await this.#writing;
		await this.#write();
		this.#windows?.flush();
		this.#lock.release();
		this.#lock = undefined;
	}

	async #restore(record: ExperimentRecord, strategies: readonly StrategyRecord[]): Promise<void> {
		const { state, clock, activeOn, audit } = this.#parts;
		const { design, model, id } = record;
		let failure: string | undefined;
		if (record.state === 'running')
			try {
				await this.#load(design.candidate, strategies);
			} catch (error) {
				failure = error instanceof MeshError ? `${error.code}: ${error.message}` : String(error);
			}
		const label = activeOn(model);
		const digest = (of: string): string | undefined => state.strategies.get(of)?.value.digest;
		const next = resumed(record, {
			nowMs: Math.floor(clock.wallMs()),
			active: label === undefined ? undefined : { label, digest: digest(label) ?? '' },
			candidateDigest: failure === undefined ? digest(design.candidate) : undefined,
			...(failure === undefined ? {} : { candidateFailure: failure }),
		});
		const windows = this.#windows?.of(id);
		if (next.state !== 'running') this.#windows?.tell(id, undefined);
		// Before the experiment is there to be run: whoever runs it reads them once.
		else if (windows !== undefined)
			await state.records.put(recordKinds.experimentWindows, id, { ...windows, restarted: true });
		await state.records.put(recordKinds.experiments, id, next, { ifRevision: 0 });
		if (next.state === 'running')
			audit({ by: 'rule', action: 'experiment.resume', object: id, reason: 'the node restarted' });
		else if (record.state !== 'ended')
			audit({ by: 'rule', action: 'experiment.end', object: id, reason: next.end?.reason ?? '' });
	}

	async #load(label: string, strategies: readonly StrategyRecord[]): Promise<void> {
		const found = strategies.find((one) => one.label === label);
		if (found === undefined) return;
		const { blob, sourceMapBlob, settings, signature } = found;
		await this.#parts.state.registry.restore(label, {
			module: this.#readBlob(blob),
			sourceMap: sourceMapBlob === undefined ? undefined : Buffer.from(this.#readBlob(sourceMapBlob)).toString('utf8'),
			settings,
			activate: false,
			model: undefined,
			signature,
		});
	}

	#read(): Kept | undefined {
		const file = path.join(this.#parts.folder, FILE);
		if (!existsSync(file)) return undefined;
		try {
			const { size } = statSync(file);
			if (size > 2 * FILE_BYTES_MAX) throw new RangeError(`it has ${size} bytes`);
			const read = JSON.parse(readFileSync(file, 'utf8')) as Kept;
			const fault = faultOfKept(read);
			if (fault !== undefined) throw new RangeError(fault);
			return read;
		} catch (cause) {
			const aside = path.join(this.#parts.folder, `experiments.damaged-${Math.floor(this.#parts.clock.wallMs())}.json`);
			const why = cause instanceof Error ? cause.message : String(cause);
			try {
				renameSync(file, aside);
				this.#pruneAside();
			} catch (error) {
				this.#failed(error);
			}
			this.#failed(
				new MeshError(experimentErrors, 'IM_EXPERIMENT_KEPT', `${why}; it is kept as ${aside}`, { where: file, cause }),
			);
			return undefined;
		}
	}

	#pruneAside(): void {
		const { folder } = this.#parts;
		const aside = readdirSync(folder).filter((name) => name.startsWith('experiments.damaged-'));
		for (const name of aside.sort().slice(0, Math.max(0, aside.length - ASIDE_MAX)))
			rmSync(path.join(folder, name), { force: true });
	}

	#changed(): void {
		if (this.#lock === undefined || this.#due !== undefined) return;
		this.#due = this.#parts.clock.after(
			WRITE_AFTER_MS,
			() => {
				this.#writing = this.#writing.then(() => {
					this.#due = undefined;
					return this.#write();
				});
			},
			{ unref: true },
		);
	}

	/** The file as it should be, if it is not. */
	async #write(): Promise<void> {
		const { folder, state, clock, blobs } = this.#parts;
		const experiments = state.experiments
			.all()
			.map(({ value }) => value)
			.sort((a, b) => b.startedAtMs - a.startedAtMs);
		const open = new Set(experiments.flatMap((one) => (one.state === 'ended' ? [] : [one.design.candidate])));
		const strategies = state.strategies.all().flatMap(({ value }) => (open.has(value.label) ? [value] : []));
		const text = JSON.stringify({ experiments: bounded(experiments), strategies });
		if (text === this.#written || (experiments.length === 0 && !existsSync(path.join(folder, FILE)))) return;
		try {
			mkdirSync(folder, { recursive: true, mode: 0o700 });
			const names = strategies
				.flatMap(({ blob, sourceMapBlob }) => [blob, sourceMapBlob])
				.filter((name) => name !== undefined);
			// Modules first: the file never names one that is not there.
			for (const name of names) {
				const file = this.#blobFile(name);
				const bytes = existsSync(file) ? undefined : await blobs.get(name);
				if (bytes !== undefined) writePrivateFile(file, bytes);
			}
			const head = JSON.stringify({ schema: SCHEMA, savedAtMs: Math.floor(clock.wallMs()) });
			writePrivateFile(path.join(folder, FILE), `${head.slice(0, -1)},${text.slice(1)}\n`);
			for (const name of readdirSync(folder))
				if (name.endsWith('.blob') && !names.includes(name.slice(0, -'.blob'.length)))
					rmSync(path.join(folder, name), { force: true });
			this.#written = text;
		} catch (cause) {
			this.#failed(
				new MeshError(experimentErrors, 'IM_EXPERIMENT_KEPT_WRITE', 'experiments could not be written', {
					where: folder,
					cause,
				}),
			);
		}
	}

	#blobFile(name: string): string {
		return path.join(this.#parts.folder, `${name}.blob`);
	}

	/** Only what its name says it is. */
	#readBlob(name: string): Uint8Array {
		const file = this.#blobFile(name);
		if (statSync(file).size > MODULE_BYTES_MAX) throw new RangeError(`${file} is too large`);
		const bytes = readFileSync(file);
		if (createHash('sha256').update(bytes).digest('hex') !== name)
			throw new MeshError(experimentErrors, 'IM_EXPERIMENT_KEPT', 'the module is not what it was', { where: file });
		return bytes;
	}

	#failed(error: unknown): void {
		const code = error instanceof MeshError ? error.code : 'IM_EXPERIMENT_KEPT';
		this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
		const { message } = error instanceof Error ? error : { message: String(error) };
		const where = error instanceof MeshError ? error.where : undefined;
		this.#parts.log.error({ code, error: message, where }, 'experiments of before the restart');
	}
}

function faultOfKept({ schema, experiments, strategies }: Partial<Kept>): string | undefined {
	if (schema !== SCHEMA) return `its schema is not ${SCHEMA}`;
	if (!Array.isArray(experiments) || !Array.isArray(strategies)) return 'experiments or strategies are missing';
	for (const [at, one] of experiments.entries()) {
		const fault = faultOf(experimentRecordSchema, one);
		if (fault !== undefined) return `experiments[${at}]${fault}`;
	}
	for (const [at, one] of strategies.entries()) {
		const fault = faultOf(strategyRecordSchema, one);
		if (fault !== undefined) return `strategies[${at}]${fault}`;
	}
	return undefined;
}

/** All that have not ended, and as many of the newest that have as there is room for. */
function bounded(newestFirst: readonly ExperimentRecord[]): readonly ExperimentRecord[] {
	let room = FILE_BYTES_MAX;
	return newestFirst.filter((one) => {
		room -= JSON.stringify(one).length;
		return room > 0 || one.state !== 'ended';
	});
}
