// Owns static admission as a whole: bytes in, either a metered module with what is known of it, or the reasons for refusing it.
// Pure and synchronous; running the module (conformance, calibration) and process limits around all this belong to others.
import { createHash } from 'node:crypto';
import { hooks } from '@infermesh/sdk';
import { ModuleFault } from './byte-reader.js';
import { type FunctionPlan, planCalls } from './call-graph.js';
import { type CountedLoop, findCountedLoop } from './counted-loops.js';
import { type WasmModule, wasmEngine } from './engine.js';
import { type AdmissionCode, admissionErrors } from './errors.js';
import { scanFunction } from './function-scan.js';
import { type AdmissionLimits, defaultAdmissionLimits } from './limits.js';
import { functionNames } from './names.js';
import { buildOffsetMap, originalOffset } from './offset-map.js';
import { checkDeclarations } from './policy.js';
import { type InstructionWeights, weighInstructions } from './profile.js';
import {
	type AdmissionResult,
	type AdmissionStats,
	type AdmitOptions,
	type AdmittedModule,
	admitDefaults,
	type ExportNote,
	type ProfiledModule,
	type Refusal,
	type RefusedModule,
	type Where,
} from './result.js';
import { type Rewritten, rewriteModule } from './rewrite.js';
import { type FunctionScan, InstructionBuffer } from './scanned-function.js';
import { type DecodedSourceMap, decodeSourceMap, sourcePosition } from './source-map.js';
import { readModule, type WasmModuleData } from './wasm-reader.js';
import { FUEL_WEIGHTS_VERSION } from './weights.js';

/** Raised whenever the inserted code changes in a way that a digest must show. */
export const INSTRUMENTER_VERSION = 1;

/** Scans, judges and meters a module. Never throws for what the bytes contain. */
export function admitModule(bytes: Uint8Array, options: AdmitOptions): AdmissionResult {
	const admission = new Admission(bytes, options);
	const done = admission.run(false);
	return done === undefined ? admission.refused() : done;
}

/** As `admitModule`, with an execution counter at every charge site. Same fuel; for `strategy bench --profile`, not for serving. */
export function instrumentProfile(bytes: Uint8Array, options: AdmitOptions): ProfiledModule | RefusedModule {
	const admission = new Admission(bytes, options);
	const done = admission.run(true);
	return done === undefined ? admission.refused() : { ...done, sites: admission.sites, weights: admission.weights };
}

/** Digest that names a strategy's exact behaviour: source module, instrumenter and fuel weights. */
export function admissionDigest(bytes: Uint8Array): string {
	return createHash('sha256')
		.update(bytes)
		.update(`\0instrumenter ${INSTRUMENTER_VERSION}\0weights ${FUEL_WEIGHTS_VERSION}`)
		.digest('hex');
}

class Admission {
	readonly bytes: Uint8Array;
	readonly options: AdmitOptions;
	readonly limits: AdmissionLimits;
	readonly sourceMap: DecodedSourceMap | undefined;
	readonly refusals: Refusal[] = [];
	/** Counted loops by function index and loop. */
	readonly counted = new Map<number, ReadonlyArray<CountedLoop | undefined>>();
	names: Map<number, string> = new Map();
	sites: Rewritten['sites'] = [];
	weights: InstructionWeights[] = [];

	constructor(bytes: Uint8Array, options: AdmitOptions) {
		this.bytes = bytes;
		this.options = options;
		this.limits = { ...defaultAdmissionLimits, ...options.limits };
		this.sourceMap = options.sourceMap === undefined ? undefined : decodeSourceMap(options.sourceMap);
	}

	refused(): RefusedModule {
		return { ok: false, refusals: this.refusals };
	}

	run(profile: boolean): AdmittedModule | undefined {
		const module = this.#guard(undefined, () => readModule(this.bytes, this.limits));
		if (module === undefined) return undefined;
		this.names = functionNames(module);
		const heapBase = this.#declarations(module);
		const scans = this.#scan(module, profile);
		if (this.refusals.length > 0 || heapBase === undefined) return undefined;
		return this.#meter(module, scans, heapBase, profile);
	}

	#declarations(module: WasmModuleData): number | undefined {
		const { memoryPages, memoryPagesMax, hooksRequired } = this.options;
		const staticPagesMax = Math.min(this.limits.staticPagesMax, memoryPagesMax ?? memoryPages);
		return checkDeclarations(
			module,
			{ staticPagesMax, hooksRequired, limits: this.limits },
			(code, offset, what, functionIndex) => this.#refuse(code, offset, what, functionIndex),
		);
	}

	#scan(module: WasmModuleData, profile: boolean): FunctionScan[] {
		const largest = module.bodies.reduce((most, body) => Math.max(most, body.end - body.start), 0);
		const buffer = new InstructionBuffer(largest);
		const scans: FunctionScan[] = [];
		for (let i = 0; i < module.bodies.length && this.refusals.length < this.limits.refusalsMax; i++) {
			const index = module.importedFunctions + i;
			const scan = this.#guard(index, () => scanFunction(module, index, this.limits, buffer));
			if (scan === undefined) continue;
			scans.push(scan);
			if (scan.loops.length > 0)
				this.counted.set(
					index,
					scan.loops.map((loop) => findCountedLoop(buffer, loop)),
				);
			if (profile) this.weights.push(weighInstructions(buffer, scan));
		}
		const loops = scans.reduce((sum, scan) => sum + scan.loops.length, 0);
		if (loops > this.limits.loopsMax) {
			const largest = scans.reduce((most, scan) => (scan.loops.length > most.loops.length ? scan : most));
			const what = `the module has ${loops} loops; ${this.limits.loopsMax} is the bound`;
			this.#refuse(
				'IM_ADMISSION_COUNT',
				module.bodies[largest.index - module.importedFunctions]?.start ?? 0,
				what,
				largest.index,
			);
		}
		return scans;
	}

	#meter(
		module: WasmModuleData,
		scans: readonly FunctionScan[],
		heapBase: number,
		profile: boolean,
	): AdmittedModule | undefined {
		const { memoryPages, memoryPagesMax, precharge } = this.options;
		const stackSlotsMax = this.options.stackSlotsMax ?? admitDefaults.stackSlotsMax;
		const { foldCostMax, foldSlotsMax } = admitDefaults;
		const plans = planCalls(
			scans,
			module.exports,
			module.elementFunctions,
			(index, loop) => this.counted.get(index)?.[loop] !== undefined,
			{ stackSlotsMax, foldCostMax, foldSlotsMax },
		);
		const charged = precharge ?? admitDefaults.precharge;
		const rewritten = rewriteModule(module, scans, plans, {
			memoryPagesMin: memoryPages,
			memoryPagesMax: memoryPagesMax ?? memoryPages,
			stackSlotsMax,
			profile,
			hooks: hooks.map((hook) => hook.name),
			countedLoop: (index, loop) => (charged ? this.counted.get(index)?.[loop] : undefined),
		});
		if (!this.#validate(rewritten)) return undefined;
		this.sites = rewritten.sites;
		for (const weights of this.weights) addFolded(weights, scans, plans);
		return {
			ok: true,
			wasm: rewritten.wasm,
			digest: admissionDigest(this.bytes),
			heapBase,
			exports: exportNotes(module, plans),
			stats: this.#stats(scans, plans, rewritten),
			offsetMap: buildOffsetMap(rewritten.runs),
			functionNames: this.names,
			...(this.sourceMap === undefined ? {} : { sourceMap: this.sourceMap }),
		};
	}

	/** Types are the engine's to check. Its message names a byte of the rewritten module, which is mapped back. */
	#validate(rewritten: Rewritten): boolean {
		if (wasmEngine.validate(rewritten.wasm)) return true;
		let message = 'the engine gives no reason';
		try {
			compile(rewritten.wasm);
		} catch (error) {
			message = error instanceof Error ? error.message : String(error);
		}
		const at = /@\+(\d+)/.exec(message)?.[1];
		const { offset } = originalOffset(buildOffsetMap(rewritten.runs), Number(at ?? 0));
		const index = /#(\d+)/.exec(message)?.[1];
		this.#refuse('IM_ADMISSION_INVALID', offset, message, index === undefined ? undefined : Number(index));
		return false;
	}

	#stats(scans: readonly FunctionScan[], plans: readonly FunctionPlan[], rewritten: Rewritten): AdmissionStats {
		let loopsCounted = 0;
		for (const loops of this.counted.values()) for (const loop of loops) if (loop !== undefined) loopsCounted++;
		return {
			bytesIn: this.bytes.length,
			bytesOut: rewritten.wasm.length,
			functions: scans.length,
			instructions: scans.reduce((sum, scan) => sum + scan.instructions, 0),
			loops: scans.reduce((sum, scan) => sum + scan.loops.length, 0),
			loopsCounted,
			functionsFolded: plans.filter((plan) => plan.folded).length,
			functionsCountingDepth: plans.filter((plan) => !plan.folded && plan.countedSlots > 0).length,
		};
	}

	/** Runs a step that may fault; a fault becomes a refusal, anything else is a bug and passes on. */
	#guard<T>(functionIndex: number | undefined, step: () => T): T | undefined {
		try {
			return step();
		} catch (error) {
			if (!(error instanceof ModuleFault)) throw error;
			this.#refuse(error.code, error.offset, error.message, functionIndex);
			return undefined;
		}
	}

	#refuse(code: AdmissionCode, offset: number, what: string, functionIndex?: number): void {
		if (this.refusals.length >= this.limits.refusalsMax) return;
		const name = functionIndex === undefined ? undefined : this.names.get(functionIndex);
		const position =
			this.sourceMap === undefined || functionIndex === undefined ? undefined : sourcePosition(this.sourceMap, offset);
		const where: Where = {
			offset,
			...(functionIndex === undefined ? {} : { functionIndex }),
			...(name === undefined ? {} : { function: name }),
			...position,
		};
		this.refusals.push({ code, what, where, hint: admissionErrors[code].hint });
	}
}

function compile(wasm: Uint8Array): WasmModule {
	return new wasmEngine.Module(wasm);
}

/** A folded callee is charged where it is called: its cost belongs to the call. */
function addFolded(weights: InstructionWeights, scans: readonly FunctionScan[], plans: readonly FunctionPlan[]): void {
	for (const edit of scans[weights.functionIndex]?.edits ?? []) {
		if (edit.kind !== 'call' || edit.callee < 0) continue;
		const plan = plans[edit.callee];
		if (plan?.folded !== true) continue;
		const i = weights.offsets.indexOf(edit.at);
		weights.costs[i] = (weights.costs[i] ?? 0) + plan.cost;
	}
}

function exportNotes(module: WasmModuleData, plans: readonly FunctionPlan[]): ExportNote[] {
	const notes: ExportNote[] = [];
	for (const entry of module.exports) {
		const plan = entry.kind === 0 ? plans[entry.index] : undefined;
		if (plan === undefined) continue;
		notes.push({
			name: entry.name,
			loops: plan.loops,
			...(plan.fuelMax === undefined ? {} : { fuelMax: plan.fuelMax }),
			...(Number.isFinite(plan.stackSlots) ? { stackSlots: plan.stackSlots } : {}),
		});
	}
	return notes;
}
