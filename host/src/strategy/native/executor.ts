// Owns running a native strategy over one frame: in a sandbox of its own, or in this process. What a sandbox may have done to the parts of the frame that
// only the host writes is looked for after every call, so that a wild write is a fault of the strategy and not an answer.
import { MeshError } from '@infermesh/proto';
import {
	COLUMN_TABLE_ENTRIES,
	type FrameLayout,
	HEADER_BYTES,
	HEADER_STATE_EPOCH_WORD,
	HEADER_TABLE_EPOCH_WORD,
	type HookName,
	hooks as hookDefinitions,
} from '@infermesh/sdk';
import type { FallbackCause } from '../runtime/decision.js';
import { causeOfStatus, type Executor } from '../runtime/executor.js';
import { type AddonInline, type AddonProcess, loadAddon, START_WAIT_MS, startSandbox } from './addon.js';
import type { NativeCode } from './code.js';
import { nativeErrors } from './errors.js';
import { type NativeEvents, nobodyListens, type SandboxEnd } from './events.js';
import { refusalOf } from './refusal.js';

const hookNumbers: Readonly<Record<string, number>> = Object.fromEntries(
	hookDefinitions.map(({ name }, number) => [name, number]),
);
const RANK = hookNumbers['rank'] as number;

/** Negative results of a call, in the order of handoff.h: what they are to the decider. */
const callFaults: readonly FallbackCause[] = ['no_instance', 'trap', 'deadline', 'host_error'];

/** Opens a native strategy; a sandbox is started and not waited for. Throws IM_NATIVE_ADDON, and the addon's own errors. */
export function openNative(
	code: NativeCode,
	{
		versionId,
		digest,
		hooks,
	}: { readonly versionId: number; readonly digest: string; readonly hooks: readonly HookName[] },
	layout: FrameLayout,
	events: NativeEvents = nobodyListens,
): Executor {
	const { engine, library, limits } = code;
	if (code.native === 'inline') {
		const { Inline } = loadAddon(engine.addon);
		return new NativeExecutor(new Inline(library, digest, layout.frameBytes), undefined, hooks, layout);
	}
	const sandbox = startSandbox(engine, library, digest, layout.frameBytes, limits);
	const watched = { sandbox, versionId, deadlineNs: limits.deadlineUs * 1000, events };
	events.started(versionId);
	return new NativeExecutor(sandbox, watched, hooks, layout);
}

/** A sandbox and who is told of it. */
interface Watched {
	readonly sandbox: AddonProcess;
	readonly versionId: number;
	readonly deadlineNs: number;
	readonly events: NativeEvents;
}

class NativeExecutor implements Executor {
	readonly buffer: ArrayBuffer;
	readonly base = 0;
	readonly lastFuel = 0;
	poisoned = false;
	lastTrap: unknown = undefined;
	readonly #runner: AddonInline | AddonProcess;
	/** Undefined for what runs in this process. */
	readonly #watched: Watched | undefined;
	readonly #figures: Float64Array | undefined;
	readonly #hooks: ReadonlySet<HookName>;
	#ready: boolean;
	/** The sandbox may still be at work on a call that was given up. */
	#late = false;
	#ended = false;
	/** Header and column table, and what the host left there before the first call. The header's epochs are the host's to change. */
	readonly #header: Uint32Array;
	readonly #table: Uint32Array;
	#guards: { readonly header: Uint32Array; readonly table: Uint32Array } | undefined;

	constructor(
		runner: AddonInline | AddonProcess,
		watched: Watched | undefined,
		hooks: readonly HookName[],
		layout: FrameLayout,
	) {
		this.#runner = runner;
		this.#watched = watched;
		this.#figures = watched?.sandbox.figures;
		this.#hooks = new Set<HookName>([...hooks, 'init']);
		this.#ready = watched === undefined;
		this.buffer = runner.buffer;
		this.#header = new Uint32Array(this.buffer, 0, HEADER_BYTES / 4);
		this.#table = new Uint32Array(this.buffer, layout.columnsOffset, COLUMN_TABLE_ENTRIES);
	}

	get ready(): boolean {
		if (!this.#ready && !this.poisoned) this.#look(0);
		return this.#ready;
	}

	awaitReady(waitMs: number = START_WAIT_MS): void {
		if (!this.#ready && !this.poisoned) this.#look(waitMs);
		if (!this.#ready && this.poisoned)
			throw this.lastTrap ?? new MeshError(nativeErrors, 'IM_NATIVE_LOAD', 'it has ended');
	}

	rank(): FallbackCause {
		return this.#run(RANK, 0);
	}

	call(hook: HookName, argument: number): FallbackCause {
		return this.#hooks.has(hook) ? this.#run(hookNumbers[hook] as number, argument) : 'no_instance';
	}

	settle(): FallbackCause {
		if (!this.#late || this.#watched === undefined) return 'none';
		this.#late = false;
		const result = this.#watched.sandbox.settle();
		return result === 0 ? this.#intact('none') : this.#failed(result, this.#watched);
	}

	close(): void {
		this.#end('closed');
	}

	#look(waitMs: number): void {
		const sandbox = this.#watched?.sandbox;
		const readiness = sandbox?.ready(waitMs);
		this.#ready = readiness === 'ready';
		if (readiness !== 'refused' && readiness !== 'gone') return;
		this.lastTrap = refusalOf(sandbox?.message ?? '');
		this.#end('load');
	}

	/** Nothing runs here any more; the sandbox is killed unless it has ended. */
	#end(why: SandboxEnd): void {
		this.poisoned = true;
		if (this.#watched === undefined || this.#ended) return;
		this.#ended = true;
		const { sandbox, events, versionId } = this.#watched;
		sandbox.end(why !== 'closed');
		events.ended(versionId, why);
	}

	#run(hook: number, argument: number): FallbackCause {
		this.lastTrap = undefined;
		// Code in this process could change the guards as well: it is trusted.
		if (this.#watched === undefined) return causeOfStatus(this.#runner.call(hook, argument));
		this.#guards ??= { header: this.#header.slice(), table: this.#table.slice() };
		const { header } = this.#guards;
		header[HEADER_STATE_EPOCH_WORD] = this.#header[HEADER_STATE_EPOCH_WORD] as number;
		header[HEADER_TABLE_EPOCH_WORD] = this.#header[HEADER_TABLE_EPOCH_WORD] as number;
		const status = this.#runner.call(hook, argument);
		if (status < 0) return this.#failed(status, this.#watched);
		this.#timed(this.#watched);
		return this.#intact(causeOfStatus(status));
	}

	/** `cause`, unless the strategy has written where only the host writes. */
	#intact(cause: FallbackCause): FallbackCause {
		const guards = this.#guards;
		if (guards === undefined) return cause;
		if (!same(guards.header, this.#header)) return this.#overwritten('the header');
		if (!same(guards.table, this.#table)) return this.#overwritten('the column table');
		return cause;
	}

	#timed({ versionId, deadlineNs, events }: Watched): void {
		const ns = this.#figures?.[0] as number;
		events.answered(versionId, ns);
		if (ns > deadlineNs) events.allowed(versionId, 'answered');
	}

	#failed(result: number, { sandbox, versionId, events }: Watched): FallbackCause {
		const cause = callFaults[-1 - result] ?? 'host_error';
		this.#late = cause === 'host_error';
		if (cause === 'host_error') events.allowed(versionId, 'given_up');
		if (cause !== 'trap' && cause !== 'deadline') return cause;
		this.lastTrap = new Error(sandbox.message);
		this.#end(cause);
		return cause;
	}

	/** Whoever writes there cannot be believed in the rest of the frame either. */
	#overwritten(what: string): FallbackCause {
		this.#end('corrupt');
		this.lastTrap = new Error(`the strategy wrote over ${what} of its frame`);
		return 'corrupt';
	}
}

function same(left: Uint32Array, right: Uint32Array): boolean {
	for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
	return true;
}
