// Owns the carrying out, on one router, of what the registry says of strategies: modules are fetched by digest, verified, admitted and warmed; the
// staging is put in force as a whole; what is gone is dropped; and what was done is reported under the node's own record. One pass at a time;
// a change during a pass leads to another. What fails for want of somebody else (a blob's holder, a worker) is tried again.
import type { Blobs } from '@infermesh/fabric';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { RouterRecord, recordKinds, StrategyRecord } from '../../records/kinds.js';
import type { Mirror } from '../../records/mirror.js';
import type { StrategyTrust } from '../signing/trust.js';
import type { StrategyManager } from './manager.js';
import { stagingOf } from './registry.js';

export interface SyncPorts {
	readonly clock: Clock;
	readonly blobs: Blobs;
	readonly manager: StrategyManager;
	readonly trust: StrategyTrust;
	readonly strategies: Mirror<typeof recordKinds.strategies.schema>;
	readonly staging: Mirror<typeof recordKinds.staging.schema>;
	/** Publishes what this router has done. Called once per pass that changed it. */
	readonly report: (record: RouterRecord) => Promise<void>;
	readonly failed: (what: string, error: unknown) => void;
}

const RETRY_MS = 1000;
const RETRY_MAX_MS = 30_000;

type Failure = RouterRecord['refused'][string];

export class StrategySync {
	readonly #ports: SyncPorts;
	readonly #refused = new Map<string, Failure>();
	#stagingRevision = 0;
	#stagingFailure: Failure | undefined;
	#reported = '';
	#running = false;
	#idle: Promise<void> = Promise.resolve();
	#again = false;
	#closed = false;
	#failures = 0;
	#retry: Timer | undefined;

	constructor(ports: SyncPorts) {
		this.#ports = ports;
	}

	/** To be called when strategies or staging have changed. */
	changed(): void {
		this.#retry?.cancel();
		this.#again = true;
		if (!this.#running) this.#idle = this.#run();
	}

	/** Resolves when the pass under way, and those it led to, are done. */
	idle(): Promise<void> {
		return this.#idle;
	}

	close(): void {
		this.#closed = true;
		this.#retry?.cancel();
	}

	async #run(): Promise<void> {
		this.#running = true;
		while (this.#again && !this.#closed) {
			this.#again = false;
			const complete = await this.#pass();
			if (complete) this.#failures = 0;
			else this.#later();
		}
		this.#running = false;
	}

	#later(): void {
		this.#retry?.cancel();
		const delayMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** this.#failures++);
		this.#retry = this.#ports.clock.after(delayMs, () => this.changed(), { unref: true });
	}

	/** Answers whether everything wanted is in force. */
	async #pass(): Promise<boolean> {
		const { manager, strategies } = this.#ports;
		let complete = true;
		const wanted = new Map(strategies.all().map((item) => [item.id, item.value]));
		for (const label of this.#refused.keys()) if (!wanted.has(label)) this.#refused.delete(label);
		const loaded = new Set(manager.list().map(({ strategy }) => strategy.label));
		// What the staging names first: a node that comes back serves before it has everything.
		for (const [label, record] of [...wanted].sort(([a], [b]) => this.#rank(a) - this.#rank(b)))
			if (!loaded.has(label)) complete = (await this.#load(label, record)) && complete;
		complete = (await this.#stage()) && complete;
		for (const label of loaded) if (!wanted.has(label)) complete = (await this.#drop(label)) && complete;
		await this.#report();
		return complete;
	}

	#rank(label: string): number {
		return this.#ports.staging.all().some(({ value }) => value.history.at(-1) === label) ? 0 : 1;
	}

	async #load(label: string, record: StrategyRecord): Promise<boolean> {
		const { blobs, manager } = this.#ports;
		try {
			const module = await blobs.get(record.blob);
			// Whoever published it has checked the signature; this router believes its own eyes.
			const grade = this.#ports.trust.gradeOf(module, record.signature, label);
			if (record.native === 'inline') this.#ports.trust.admitInline(module, grade, label);
			const map = record.sourceMapBlob === undefined ? undefined : await blobs.get(record.sourceMapBlob);
			await manager.load(module, {
				label,
				sourceMap: map === undefined ? undefined : Buffer.from(map).toString('utf8'),
				settings: record.settings,
				native: record.native ?? 'process',
			});
			this.#refused.delete(label);
			return true;
		} catch (error) {
			this.#ports.failed(`loading ${label}`, error);
			this.#refused.set(label, failureOf(error));
			return !isRetryable(error);
		}
	}

	async #stage(): Promise<boolean> {
		const { manager, staging } = this.#ports;
		const records = staging.all();
		const revision = Math.max(staging.revision, ...records.map((record) => record.revision));
		if (revision === this.#stagingRevision && this.#stagingFailure === undefined) return true;
		try {
			await manager.apply(stagingOf(records));
			this.#stagingFailure = undefined;
		} catch (error) {
			this.#ports.failed('putting the staging in force', error);
			this.#stagingFailure = failureOf(error);
		}
		this.#stagingRevision = revision;
		return this.#stagingFailure === undefined;
	}

	async #drop(label: string): Promise<boolean> {
		try {
			await this.#ports.manager.drop(label);
			return true;
		} catch (error) {
			this.#ports.failed(`dropping ${label}`, error);
			return false;
		}
	}

	async #report(): Promise<void> {
		const record: RouterRecord = {
			loaded: this.#ports.manager.list().map(({ strategy }) => strategy.label),
			refused: Object.fromEntries(this.#refused),
			stagingRevision: this.#stagingRevision,
			...(this.#stagingFailure === undefined ? {} : { stagingFailure: this.#stagingFailure }),
		};
		const text = JSON.stringify(record);
		if (text === this.#reported) return;
		try {
			await this.#ports.report(record);
			this.#reported = text;
		} catch (error) {
			this.#ports.failed('reporting to the mesh', error);
			this.#later();
		}
	}
}

function failureOf(error: unknown): Failure {
	if (error instanceof MeshError) return { code: error.code, message: error.message };
	return { code: 'IM_STRATEGY_PREPARE', message: error instanceof Error ? error.message : String(error) };
}

/** Whether the same may succeed later without anybody changing a record. */
function isRetryable(error: unknown): boolean {
	return !(error instanceof MeshError) || error.entry.retryable;
}
