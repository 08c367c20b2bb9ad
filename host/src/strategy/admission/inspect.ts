// Owns the whole admission of one module, as it runs inside the child process: manifest, scan and metering, compilation, conformance,
// calibration. Returns a report in every case, and the metered bytes when the module is admitted. Nothing here touches the outside.
import { type Clock, MeshError } from '@infermesh/proto';
import { encodeConfig, readManifest, type StrategyManifest } from '@infermesh/sdk';
import { type FuelBudget, MEMORY_PAGES_MIN, type StrategyModule } from '../runtime/instance.js';
import { admitModule } from './admit.js';
import { type CalibrationOptions, calibrate, calibrationDefaults } from './calibrate.js';
import { runConformance } from './conformance.js';
import { wasmEngine } from './engine.js';
import type { AdmissionReport, ConformanceFinding, ReportedRefusal } from './report.js';
import type { Refusal, TrapSymbols } from './result.js';

export interface InspectOptions {
	readonly fuel: FuelBudget;
	readonly moduleBytesMax: number;
	readonly calibration: CalibrationOptions;
	/** Text of a source map, when the author has one: places then name source lines. */
	readonly sourceMap: string | undefined;
}

export const inspectDefaults: Omit<InspectOptions, 'fuel' | 'moduleBytesMax'> = {
	calibration: calibrationDefaults,
	sourceMap: undefined,
};

/** What a module needs to be run: metered bytes, and the facts its instances are laid out from. */
export interface AdmittedModule {
	readonly wasm: Uint8Array;
	readonly manifest: StrategyManifest;
	readonly heapBase: number;
	readonly digest: string;
	/** For naming the source line of a trap. */
	readonly symbols: TrapSymbols;
}

export interface Inspection {
	readonly report: AdmissionReport;
	readonly admitted: AdmittedModule | undefined;
}

const SEED = 20_231_116;

/** Largest memory a compiled module accepts: 64 MiB, room for a frame of 65,536 rows. Each instance gets what its pool needs. */
const MEMORY_PAGES_MAX = 1024;

export function inspectModule(bytes: Uint8Array, options: InspectOptions, clock: Clock): Inspection {
	const blank = blankReport(bytes);
	let manifest: StrategyManifest;
	try {
		manifest = readManifest(bytes);
	} catch (error) {
		return refused(blank, [refusalOf(error)]);
	}
	const named: AdmissionReport = {
		...blank,
		name: manifest.name,
		version: manifest.version,
		kind: manifest.kind,
		abi: manifest.abi,
		hooks: manifest.hooks,
		columns: manifest.columns,
		stateBytes: manifest.stateBytes,
	};
	const scanned = admitModule(bytes, {
		memoryPages: MEMORY_PAGES_MIN,
		memoryPagesMax: MEMORY_PAGES_MAX,
		stackSlotsMax: options.fuel.stackSlotsMax,
		hooksRequired: manifest.kind === 'training' ? ['plan'] : ['rank'],
		limits: { moduleBytesMax: options.moduleBytesMax },
		...(options.sourceMap === undefined ? {} : { sourceMap: options.sourceMap }),
	});
	if (!scanned.ok) return refused(named, scanned.refusals.map(reportRefusal));
	const facts: AdmissionReport = {
		...named,
		digest: scanned.digest,
		meteredBytes: scanned.wasm.length,
		functions: scanned.stats.functions,
		loops: Object.fromEntries(scanned.exports.map((note) => [note.name, note.loops])),
	};
	const { wasm, heapBase, digest, offsetMap, functionNames, sourceMap } = scanned;
	const symbols: TrapSymbols = { offsetMap, functionNames, ...(sourceMap === undefined ? {} : { sourceMap }) };
	const admitted: AdmittedModule = { wasm, manifest, heapBase, digest, symbols };
	if (manifest.kind === 'training') return { report: { ...facts, admitted: true }, admitted };
	return tryOut(facts, admitted, options, clock);
}

function tryOut(facts: AdmissionReport, admitted: AdmittedModule, options: InspectOptions, clock: Clock): Inspection {
	let strategy: StrategyModule;
	let conformance: ConformanceFinding[];
	try {
		strategy = {
			versionId: 1,
			label: `${facts.name}@${facts.version}`,
			digest: admitted.digest,
			module: new wasmEngine.Module(admitted.wasm),
			manifest: admitted.manifest,
			heapBase: admitted.heapBase,
			config: encodeConfig(admitted.manifest),
		};
		conformance = runConformance(strategy, options.fuel, SEED);
	} catch (error) {
		return refused(facts, [refusalOf(error)]);
	}
	const failed = conformance.filter((finding) => !finding.ok);
	if (failed.length > 0) {
		const refusals = failed.map((finding) => ({
			code: 'IM_ADMISSION_CONFORMANCE',
			message: `${finding.check}: ${finding.detail}`,
			hint: 'reproduce it with `infermesh strategy test` or `strategy run`; a strategy may answer "decline" when it has no opinion',
			where: 'rank',
		}));
		return { report: { ...facts, refusals, conformance }, admitted: undefined };
	}
	const { sizes, nsPerFuel } = calibrate(strategy, options.fuel, clock, options.calibration);
	return { report: { ...facts, admitted: true, conformance, sizes, nsPerFuel }, admitted };
}

function refused(report: AdmissionReport, refusals: readonly ReportedRefusal[]): Inspection {
	return { report: { ...report, admitted: false, refusals }, admitted: undefined };
}

function refusalOf(error: unknown): ReportedRefusal {
	if (error instanceof MeshError)
		return { code: error.code, message: error.message, hint: error.hint, where: error.where ?? 'module' };
	return {
		code: 'IM_ADMISSION_INVALID',
		message: error instanceof Error ? error.message : String(error),
		hint: 'the engine refused the module; build it again with the SDK of this mesh',
		where: 'module',
	};
}

function reportRefusal({ code, what, where, hint }: Refusal): ReportedRefusal {
	const line = where.source === undefined ? undefined : `${where.source}:${where.line ?? 0}:${where.column ?? 0}`;
	const place = [where.function, line, `byte ${where.offset}`].filter((part) => part !== undefined).join(', ');
	return { code, message: what, hint, where: place };
}

/** A report on bytes of which nothing is known yet. */
export function blankReport(bytes: Uint8Array): AdmissionReport {
	return {
		admitted: false,
		name: '',
		version: '',
		kind: '',
		digest: '',
		abi: '',
		moduleBytes: bytes.length,
		meteredBytes: 0,
		functions: 0,
		hooks: [],
		columns: [],
		stateBytes: 0,
		loops: {},
		refusals: [],
		conformance: [],
		sizes: [],
		nsPerFuel: 0,
		cpuMs: 0,
	};
}
