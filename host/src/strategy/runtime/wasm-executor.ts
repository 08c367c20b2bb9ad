// Owns running a WebAssembly strategy: its memory, its instance, calls under fuel, and what a trap says. An executor is never used again after a trap.
import { type HookName, hooks as hookDefinitions } from '@infermesh/sdk';
import { type WasmGlobal, type WasmModule, wasmEngine } from '../admission/engine.js';
import { ENTRY_EXPORT, fuelLeft, type MeteredHook, type MeteredHookWith, statusOf } from '../admission/entry.js';
import { FUEL_EXPORT, STACK_EXPORT } from '../admission/rewrite.js';
import { trapCause } from '../admission/trap.js';
import type { FallbackCause } from './decision.js';
import { causeOfStatus, type Executor } from './executor.js';

export class WasmExecutor implements Executor {
	readonly buffer: ArrayBuffer;
	readonly base: number;
	readonly ready = true;
	poisoned = false;
	lastFuel = 0;
	lastTrap: unknown = undefined;
	readonly #fuel: WasmGlobal<bigint>;
	readonly #stack: WasmGlobal<number>;
	readonly #budget: number;
	readonly #stackSlotsMax: number;
	/** Metered entries: fuel goes in with the call, status and fuel left come out of it. */
	readonly #rank: MeteredHook | undefined;
	readonly #hooks: ReadonlyMap<HookName, MeteredHook | MeteredHookWith>;

	/** Throws the engine's own LinkError or RuntimeError. `budget`: most fuel of one call. */
	constructor(module: WasmModule, base: number, pages: number, budget: number, stackSlotsMax: number) {
		const memory = new wasmEngine.Memory({ initial: pages, maximum: pages });
		const { exports } = new wasmEngine.Instance(module, { env: { memory } });
		this.buffer = memory.buffer;
		this.base = base;
		this.#fuel = exports[FUEL_EXPORT] as WasmGlobal<bigint>;
		this.#stack = exports[STACK_EXPORT] as WasmGlobal<number>;
		this.#budget = budget;
		this.#stackSlotsMax = stackSlotsMax;
		this.#rank = exports[`${ENTRY_EXPORT}rank`] as MeteredHook | undefined;
		const hooks = new Map<HookName, MeteredHook | MeteredHookWith>();
		for (const { name } of hookDefinitions) {
			const entry = exports[`${ENTRY_EXPORT}${name}`];
			if (entry !== undefined) hooks.set(name as HookName, entry as MeteredHook | MeteredHookWith);
		}
		this.#hooks = hooks;
	}

	rank(): FallbackCause {
		this.lastTrap = undefined;
		if (this.#rank === undefined) return 'no_instance';
		try {
			return this.#returned(this.#rank(this.base, this.#budget));
		} catch (error) {
			return this.#trapped(error);
		}
	}

	call(hook: HookName, argument: number): FallbackCause {
		const entry = this.#hooks.get(hook);
		if (entry === undefined) return 'no_instance';
		try {
			return this.#returned(
				hook === 'observe' ? entry(this.base, argument, this.#budget) : (entry as MeteredHook)(this.base, this.#budget),
			);
		} catch (error) {
			return this.#trapped(error);
		}
	}

	settle(): FallbackCause {
		return 'none';
	}

	awaitReady(): void {}

	close(): void {}

	#returned(result: number): FallbackCause {
		this.lastFuel = this.#budget - fuelLeft(result);
		return causeOfStatus(statusOf(result));
	}

	#trapped(error: unknown): FallbackCause {
		this.poisoned = true;
		this.lastTrap = error;
		const left = this.#fuel.value;
		this.lastFuel = left < 0n ? this.#budget : this.#budget - Number(left);
		const cause = trapCause(error, { fuel: left, stackSlots: this.#stack.value, stackSlotsMax: this.#stackSlotsMax });
		return cause === 'spent' ? 'fuel' : cause;
	}
}
