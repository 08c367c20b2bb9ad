// Owns the fuel profile of a strategy: a variant of its module that counts at every charge site decides on the frames of an ordinary
// instance, and the fuel is summed by source line. Fuel is the same as in the module that is loaded.
import { MeshError } from '@infermesh/proto';
import { placeFrame } from '@infermesh/sdk';
import { instrumentProfile } from '../strategy/admission/admit.js';
import { type WasmGlobal, wasmEngine } from '../strategy/admission/engine.js';
import { type ProfileLine, readProfile } from '../strategy/admission/profile.js';
import { FUEL_EXPORT, STACK_EXPORT } from '../strategy/admission/rewrite.js';
import { isLibrary } from '../strategy/native/code.js';
import { deciderDefaults } from '../strategy/runtime/decider.js';
import { MEMORY_PAGES_MIN, type StrategyInstance } from '../strategy/runtime/instance.js';
import { projectErrors } from './errors.js';
import { Bench, measureDefaults } from './measure.js';
import { MEMORY_PAGES_MAX, type PreparedStrategy } from './prepare.js';
import { table } from './table.js';

export interface FuelProfile {
	readonly targets: number;
	readonly decisions: number;
	/** Fuel of all decisions. */
	readonly fuel: number;
	/** Most first. */
	readonly lines: readonly ProfileLine[];
}

const DECISIONS = 200;
const LINES_SHOWN = 20;

/** Profiles `strategy` on a synthetic pool of `targets` rows. Throws IM_PROJECT_NO_FUEL, IM_RUN_NO_INSTANCE. */
export function profileFuel(strategy: PreparedStrategy, targets: number): FuelProfile {
	if (isLibrary(strategy.wasm))
		throw new MeshError(projectErrors, 'IM_PROJECT_NO_FUEL', undefined, { where: strategy.where });
	const module = instrumentProfile(strategy.wasm, {
		memoryPages: MEMORY_PAGES_MIN,
		memoryPagesMax: MEMORY_PAGES_MAX,
		stackSlotsMax: deciderDefaults.fuel.stackSlotsMax,
		...(strategy.sourceMap === undefined ? {} : { sourceMap: strategy.sourceMap }),
	});
	if (!module.ok) throw new MeshError(projectErrors, 'IM_PROJECT_REFUSED', undefined, { where: strategy.where });
	const bench = new Bench(strategy.module, targets, measureDefaults);
	const twin = new Twin(module.wasm, module.heapBase, bench.write());
	let decisions = 0;
	for (; decisions < DECISIONS; decisions++) {
		bench.rig.nextRequest();
		if (!twin.rank(bench.write())) break;
	}
	const lines = readProfile(module, twin.exports);
	return { targets, decisions, fuel: lines.reduce((sum, line) => sum + line.fuel, 0), lines };
}

export function renderProfile(profile: FuelProfile): string {
	const rows = profile.lines
		.slice(0, LINES_SHOWN)
		.map((line) => [
			`${((100 * line.fuel) / Math.max(1, profile.fuel)).toFixed(1)}%`,
			String(Math.round(line.fuel / Math.max(1, profile.decisions))),
			line.source === undefined ? '-' : `${line.source}:${line.line}`,
			line.function,
		]);
	const head = `fuel by source line, ${profile.decisions} decisions at ${profile.targets} targets:`;
	return `${head}\n${table(['share', 'per decision', 'line', 'function'], rows)}`;
}

/** An instance of the counting variant, fed with the frames of an ordinary instance. */
class Twin {
	readonly exports: Readonly<Record<string, unknown>>;
	readonly #base: number;
	readonly #bytes: Uint8Array;

	constructor(wasm: Uint8Array, heapBase: number, like: StrategyInstance) {
		const placed = placeFrame(like.layout, heapBase);
		const pages = Math.max(placed.pages, MEMORY_PAGES_MIN);
		const memory = new wasmEngine.Memory({ initial: pages, maximum: pages });
		this.exports = new wasmEngine.Instance(new wasmEngine.Module(wasm), { env: { memory } }).exports;
		this.#base = placed.baseBytes;
		this.#bytes = new Uint8Array(memory.buffer, placed.baseBytes, like.layout.frameBytes);
		this.#call('init', like);
	}

	/** False when the strategy trapped; the twin is then of no further use. */
	rank(like: StrategyInstance): boolean {
		return this.#call('rank', like);
	}

	#call(hook: string, like: StrategyInstance): boolean {
		const run = this.exports[hook] as ((frame: number) => number) | undefined;
		if (run === undefined) return true;
		this.#bytes.set(like.bytes);
		(this.exports[FUEL_EXPORT] as WasmGlobal<bigint>).value = BigInt(like.fuelBudget);
		(this.exports[STACK_EXPORT] as WasmGlobal<number>).value = 0;
		try {
			run(this.#base);
			return true;
		} catch {
			return false;
		}
	}
}
