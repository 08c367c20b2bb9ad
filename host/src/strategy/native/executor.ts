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
import { type AddonInline, type AddonProcess, loadAddon, startSandbox } from './addon.js';
import type { NativeCode } from './code.js';
import { nativeErrors } from './errors.js';
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
	digest: string,
	hooks: readonly HookName[],
	layout: FrameLayout,
): Executor {
	const { engine, library, limits } = code;
	const { frameBytes } = layout;
	const runner =
		code.native === 'inline'
			? new (loadAddon(engine.addon).Inline)(library, digest, frameBytes)
			: startSandbox(engine, library, digest, frameBytes, limits);
	return new NativeExecutor(runner, hooks, layout, code);
}

class NativeExecutor implements Executor {
	readonly buffer: ArrayBuffer;
	readonly base = 0;
	readonly lastFuel = 0;
	poisoned = false;
	lastTrap: unknown = undefined;
	readonly #runner: AddonInline | AddonProcess;
	readonly #sandbox: AddonProcess | undefined;
	readonly #hooks: ReadonlySet<HookName>;
	readonly #startMs: number;
	#ready: boolean;
	/** The sandbox may still be at work on a call that was given up. */
	#late = false;
	/** Header and column table, and what the host left there before the first call. The header's epochs are the host's to change. */
	readonly #header: Uint32Array;
	readonly #table: Uint32Array;
	#guards: { readonly header: Uint32Array; readonly table: Uint32Array } | undefined;

	constructor(
		runner: AddonInline | AddonProcess,
		hooks: readonly HookName[],
		layout: FrameLayout,
		{ limits }: NativeCode,
	) {
		this.#runner = runner;
		this.#sandbox = 'pid' in runner ? runner : undefined;
		this.#hooks = new Set<HookName>([...hooks, 'init']);
		this.#startMs = limits.startMs;
		this.#ready = this.#sandbox === undefined;
		this.buffer = runner.buffer;
		this.#header = new Uint32Array(this.buffer, 0, HEADER_BYTES / 4);
		this.#table = new Uint32Array(this.buffer, layout.columnsOffset, COLUMN_TABLE_ENTRIES);
	}

	get ready(): boolean {
		if (!this.#ready && !this.poisoned) this.#look(0);
		return this.#ready;
	}

	awaitReady(): void {
		if (this.#ready) return;
		this.#look(this.#startMs);
		if (this.#ready) return;
		this.close();
		throw this.lastTrap ?? new MeshError(nativeErrors, 'IM_NATIVE_LOAD', `it did not load within ${this.#startMs} ms`);
	}

	rank(): FallbackCause {
		return this.#run(RANK, 0);
	}

	call(hook: HookName, argument: number): FallbackCause {
		return this.#hooks.has(hook) ? this.#run(hookNumbers[hook] as number, argument) : 'no_instance';
	}

	settle(): FallbackCause {
		if (!this.#late) return 'none';
		this.#late = false;
		const result = this.#sandbox?.settle() ?? 0;
		return result === 0 ? this.#intact('none') : this.#failed(result);
	}

	close(): void {
		this.poisoned = true;
		this.#sandbox?.end(false);
	}

	#look(waitMs: number): void {
		const readiness = this.#sandbox?.ready(waitMs);
		this.#ready = readiness === 'ready';
		if (readiness !== 'refused' && readiness !== 'gone') return;
		this.poisoned = true;
		this.lastTrap = refusalOf(this.#sandbox?.message ?? '');
	}

	#run(hook: number, argument: number): FallbackCause {
		this.lastTrap = undefined;
		// Code in this process could change the guards as well: it is trusted.
		if (this.#sandbox === undefined) return causeOfStatus(this.#runner.call(hook, argument));
		this.#guards ??= { header: this.#header.slice(), table: this.#table.slice() };
		const { header } = this.#guards;
		header[HEADER_STATE_EPOCH_WORD] = this.#header[HEADER_STATE_EPOCH_WORD] as number;
		header[HEADER_TABLE_EPOCH_WORD] = this.#header[HEADER_TABLE_EPOCH_WORD] as number;
		const status = this.#runner.call(hook, argument);
		if (status < 0) return this.#failed(status);
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

	#failed(result: number): FallbackCause {
		const cause = callFaults[-1 - result] ?? 'host_error';
		this.#late = cause === 'host_error';
		if (cause !== 'trap' && cause !== 'deadline') return cause;
		this.poisoned = true;
		this.lastTrap = new Error(this.#sandbox?.message ?? '');
		return cause;
	}

	/** Whoever writes there cannot be believed in the rest of the frame either. */
	#overwritten(what: string): FallbackCause {
		this.poisoned = true;
		this.#sandbox?.end(true);
		this.lastTrap = new Error(`the strategy wrote over ${what} of its frame`);
		return 'corrupt';
	}
}

function same(left: Uint32Array, right: Uint32Array): boolean {
	for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
	return true;
}
