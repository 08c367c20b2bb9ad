// Owns what the admission of any strategy ends with, whatever it is written in: it is run, in this child process, over golden and adversarial frames, then
// timed; and the shapes of question and answer. Reading and judging the bytes is inspect.ts's, for native code inspect-native.ts's.
import { type Clock, MeshError } from '@infermesh/proto';
import { encodeConfig, type StrategyManifest } from '@infermesh/sdk';
import type { NativeTrial } from '../native/code.js';
import type { FuelBudget, StrategyCode, StrategyModule } from '../runtime/instance.js';
import { type CalibrationOptions, calibrate, calibrationDefaults } from './calibrate.js';
import { runConformance } from './conformance.js';
import type { AdmissionReport, ConformanceFinding, ReportedRefusal } from './report.js';
import type { TrapSymbols } from './result.js';

export interface InspectOptions {
	readonly fuel: FuelBudget;
	readonly moduleBytesMax: number;
	readonly calibration: CalibrationOptions;
	/** Text of a source map, when the author has one: places then name source lines. */
	readonly sourceMap: string | undefined;
	/** What native libraries are tried out with; without it they are refused. */
	readonly native?: NativeTrial;
}

export const inspectDefaults: Omit<InspectOptions, 'fuel' | 'moduleBytesMax'> = {
	calibration: calibrationDefaults,
	sourceMap: undefined,
};

/** What a module needs to be run: metered bytes (of a native library the bytes as they are), and the facts its instances are laid out from. */
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

/** Runs what has been found sound as bytes: conformance, then calibration. */
export function tryOut(
	facts: AdmissionReport,
	admitted: AdmittedModule,
	code: () => StrategyCode,
	options: InspectOptions,
	clock: Clock,
): Inspection {
	let strategy: StrategyModule;
	let conformance: ConformanceFinding[];
	try {
		strategy = {
			versionId: 1,
			label: `${facts.name}@${facts.version}`,
			digest: admitted.digest,
			module: code(),
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

export function refused(report: AdmissionReport, refusals: readonly ReportedRefusal[]): Inspection {
	return { report: { ...report, admitted: false, refusals }, admitted: undefined };
}

export function refusalOf(error: unknown): ReportedRefusal {
	if (error instanceof MeshError)
		return { code: error.code, message: error.message, hint: error.hint, where: error.where ?? 'module' };
	return {
		code: 'IM_ADMISSION_INVALID',
		message: error instanceof Error ? error.message : String(error),
		hint: 'the engine refused the module; build it again with the SDK of this mesh',
		where: 'module',
	};
}

/** A report on bytes of which nothing is known yet. */
export function blankReport(bytes: Uint8Array): AdmissionReport {
	return {
		admitted: false,
		platform: 'wasm',
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
