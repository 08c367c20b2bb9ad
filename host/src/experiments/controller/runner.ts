// Owns the running of the mesh's experiments by this node, while it is the one that does: looks about once a second, a record written when it changed, and what
// routers follow brought in line with it. Every write is guarded by the revision that was read: of two nodes that both believe they run an experiment only one can
// write. What fails is tried again at the next look.
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { Audit } from '../../mesh/operations.js';
import type { Stored } from '../../records/records.js';
import type { ExperimentStaging } from '../../strategy/registry/staging.js';
import type { GuardrailWindows } from '../design/guardrail-windows.js';
import type { CellBorder } from '../matched/look.js';
import type { ExperimentRecord } from '../record.js';
import type { ReadingAsk } from '../telemetry/reading.js';
import type { Look } from './look.js';
import { nextBlockAtMs, stagingOfRun, stepExperiment } from './step.js';
import { Watch } from './watch.js';

const LOOK_MS = 1000;
/** What builds up is told at most so often: so much of it a take-over loses at most. */
const TELL_MS = 2000;
/** A look waits so long for routers to follow a new block before it reads without. */
const FOLLOW_MS = 700;

export interface RunnerPorts {
	readonly clock: Clock;
	/** Experiments as this node last heard of them. */
	readonly experiments: () => readonly Stored<ExperimentRecord>[];
	/** Whether this node runs experiments now; it asks for it if nobody does. */
	readonly holds: () => Promise<boolean>;
	/** Answers the revision of the write. IM_RECORD_CONFLICT when another was faster. */
	readonly write: (record: ExperimentRecord, ifRevision: number) => Promise<number>;
	readonly read: (ask: ReadingAsk) => Promise<Look['readings']>;
	/** Where requests of a model may cross to other cells, and from them. */
	readonly border: (model: string) => CellBorder;
	/** Resolves when all routers follow. */
	readonly stage: (model: string, staging: ExperimentStaging) => Promise<void>;
	/** Models that routers follow an experiment on, with its id. */
	readonly staged: () => readonly { readonly model: string; readonly id: string }[];
	/** Whether an experiment has ended or is not known, as the mesh has it and not only as this node heard. */
	readonly isOver: (id: string) => Promise<boolean>;
	readonly unstage: (model: string, id: string, promote: string | undefined) => Promise<void>;
	/** What the node before saw building up under the guardrails of an experiment; undefined where it told nothing. */
	readonly windows: (id: string) => Promise<GuardrailWindows | undefined>;
	/** Tells whoever takes over; undefined = nothing builds up any more. */
	readonly tellWindows: (id: string, windows: GuardrailWindows | undefined) => Promise<void>;
	readonly audit: (entry: Audit) => void;
	readonly failed: (what: string, error: unknown) => void;
}

interface Run {
	readonly watch: Watch;
	/** What routers were last told, and whether they are still about to follow it. */
	told: string;
	following: Promise<void> | undefined;
	lookedAtMs: number;
	/** When what builds up was last told; undefined while nothing is told. */
	toldWindowsMs: number | undefined;
}

export class ExperimentRunner {
	readonly #ports: RunnerPorts;
	readonly #runs = new Map<string, Run>();
	#timer: Timer | undefined;
	#looking: Promise<void> = Promise.resolve();
	#closed = false;

	constructor(ports: RunnerPorts) {
		this.#ports = ports;
	}

	/** To be called when experiments have changed: there may be something to run. */
	changed(): void {
		if (!this.#closed && this.#timer === undefined && this.#hasWork()) this.#later(0);
	}

	/** When each experiment was last looked at by this node; undefined where another one runs it. */
	lookedAtMs(id: string): number | undefined {
		return this.#runs.get(id)?.lookedAtMs;
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#timer?.cancel();
		await this.#looking;
	}

	#open(): Stored<ExperimentRecord>[] {
		return this.#ports.experiments().filter(({ value }) => value.state !== 'ended');
	}

	/** What routers follow although its experiment is over: it was staged while it ended, or its start was cut short. */
	#orphans(): ReturnType<RunnerPorts['staged']> {
		const open = new Set(this.#open().map(({ id }) => id));
		return this.#ports.staged().filter(({ id }) => !open.has(id));
	}

	#hasWork(): boolean {
		return this.#open().length > 0 || this.#orphans().length > 0;
	}

	#later(delayMs: number): void {
		this.#timer = this.#ports.clock.after(
			delayMs,
			() => {
				this.#looking = this.#round().finally(() => {
					this.#timer = undefined;
					if (!this.#closed && this.#hasWork()) this.#later(this.#pauseMs());
				});
			},
			{ unref: true },
		);
	}

	/** Until the next look: a block is begun when it is due. */
	#pauseMs(): number {
		const nowMs = this.#ports.clock.wallMs();
		const due = this.#open().map(({ value }) => (nextBlockAtMs(value, nowMs) ?? Number.POSITIVE_INFINITY) - nowMs);
		return Math.max(1, Math.min(LOOK_MS, ...due));
	}

	async #round(): Promise<void> {
		const { holds, failed } = this.#ports;
		const open = this.#open();
		const ids = new Set(open.map(({ id }) => id));
		for (const id of this.#runs.keys()) if (!ids.has(id)) await this.#forget(id);
		const isHeld = await holds().catch((error: unknown) => {
			failed('asking for the running of experiments', error);
			return undefined;
		});
		if (isHeld !== true) {
			if (isHeld === false) this.#runs.clear();
			return;
		}
		for (const orphan of this.#orphans()) await this.#clear(orphan);
		// One after the other: a look is short, and experiments are few.
		for (const stored of open) {
			try {
				await this.#look(stored);
			} catch (error) {
				if (!(error instanceof MeshError) || error.code !== 'IM_RECORD_CONFLICT')
					failed(`running experiment ${stored.id}`, error);
			}
		}
	}

	async #clear({ model, id }: { readonly model: string; readonly id: string }): Promise<void> {
		const { isOver, unstage, failed } = this.#ports;
		try {
			if (await isOver(id)) await unstage(model, id, undefined);
		} catch (error) {
			failed(`ending what is left of experiment ${id}`, error);
		}
	}

	async #look({ value: record, revision }: Stored<ExperimentRecord>): Promise<void> {
		if (record.state === 'ending') return this.#end(record, revision);
		const { clock, read, write } = this.#ports;
		const nowMs = clock.wallMs();
		const run = await this.#runOf(record, nowMs);
		const { tag, model, nextBlock } = record;
		// Before they are told of a new block: what they follow until now says whether the last one was ended in time.
		const readings = await read({ tag, model, fromBlock: nextBlock });
		await this.#follow(record, run, nowMs);
		run.lookedAtMs = nowMs;
		const next = stepExperiment(record, { nowMs, readings, ...this.#border(record) }, run.watch);
		if (next !== record) {
			const written = await write(next, revision);
			if (next.state === 'ending') return this.#end(next, written);
		}
		await this.#tell(record.id, run, nowMs);
	}

	#border({ design, model }: ExperimentRecord): Pick<Look, 'border'> {
		return design.kind === 'matched-cells' ? { border: this.#ports.border(model) } : {};
	}

	async #runOf(record: ExperimentRecord, nowMs: number): Promise<Run> {
		let run = this.#runs.get(record.id);
		if (run === undefined) {
			const windows = await this.#ports.windows(record.id).catch((error: unknown) => {
				this.#ports.failed(`reading what builds up under experiment ${record.id}`, error);
				return undefined;
			});
			run = {
				watch: new Watch(record, nowMs, windows),
				told: '',
				following: undefined,
				lookedAtMs: nowMs,
				toldWindowsMs: windows?.atMs,
			};
			this.#runs.set(record.id, run);
		}
		return run;
	}

	/** What builds up, at most every `TELL_MS`; that nothing does any more, once. A failure costs no more than a later rollback after a take-over. */
	async #tell(id: string, run: Run, nowMs: number): Promise<void> {
		const windows = run.watch.windows();
		if (windows === undefined && run.toldWindowsMs === undefined) return;
		if (windows !== undefined && run.toldWindowsMs !== undefined && nowMs < run.toldWindowsMs + TELL_MS) return;
		run.toldWindowsMs = windows === undefined ? undefined : nowMs;
		await this.#ports
			.tellWindows(id, windows)
			.catch((error: unknown) => this.#ports.failed(`telling what builds up under experiment ${id}`, error));
	}

	async #forget(id: string): Promise<void> {
		const { tellWindows, failed } = this.#ports;
		this.#runs.delete(id);
		await tellWindows(id, undefined).catch((error: unknown) => failed(`forgetting experiment ${id}`, error));
	}

	/** Tells routers what they are to follow, if it is something new; waits a little for them. */
	async #follow(record: ExperimentRecord, run: Run, nowMs: number): Promise<void> {
		const { clock, stage, failed } = this.#ports;
		const staging = stagingOfRun(record, nowMs);
		const text = JSON.stringify(staging);
		if (run.following === undefined && run.told !== text) {
			run.following = stage(record.model, staging)
				.then(() => {
					run.told = text;
					return undefined;
				})
				.catch((error: unknown) => failed(`staging block ${staging.block} of experiment ${record.id}`, error))
				.finally(() => {
					run.following = undefined;
				});
		}
		if (run.following === undefined) return;
		const late = Promise.withResolvers<void>();
		const timer = clock.after(FOLLOW_MS, late.resolve);
		await Promise.race([run.following, late.promise]);
		timer.cancel();
	}

	/** Routers follow what the experiment leaves; then it is over. Asked again it does what is left to do. */
	async #end(record: ExperimentRecord, revision: number): Promise<void> {
		const { clock, unstage, write, audit } = this.#ports;
		const { id, model, design, end } = record;
		if (end === undefined) throw new Error(`experiment ${id} is ending without an end`);
		await unstage(model, id, end.how === 'promote' ? design.candidate : undefined);
		await write({ ...record, state: 'ended', end: { ...end, restoredAtMs: clock.wallMs() } }, revision);
		await this.#forget(id);
		audit({ by: end.by, action: `experiment.${end.how}`, object: id, reason: end.reason });
	}
}
