// Owns the whole admission of one module or library, as it runs inside the child process: manifest, scan and metering, compilation, conformance,
// calibration. Returns a report in every case, and the metered bytes when the module is admitted. Nothing here touches the outside.
import type { Clock } from '@infermesh/proto';
import { readManifest, type StrategyManifest } from '@infermesh/sdk';
import { isLibrary } from '../native/code.js';
import { inspectLibrary } from '../native/inspect-native.js';
import { MEMORY_PAGES_MIN } from '../runtime/instance.js';
import { admitModule } from './admit.js';
import { wasmEngine } from './engine.js';
import type { AdmissionReport, ReportedRefusal } from './report.js';
import type { Refusal, TrapSymbols } from './result.js';
import {
	type AdmittedModule,
	blankReport,
	type Inspection,
	type InspectOptions,
	refusalOf,
	refused,
	tryOut,
} from './try-out.js';

/** Largest memory a compiled module accepts: 64 MiB, room for a frame of 65,536 rows. Each instance gets what its pool needs. */
const MEMORY_PAGES_MAX = 1024;

export function inspectModule(bytes: Uint8Array, options: InspectOptions, clock: Clock): Inspection {
	if (isLibrary(bytes)) return inspectLibrary(bytes, options, clock);
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
	return tryOut(facts, admitted, () => new wasmEngine.Module(admitted.wasm), options, clock);
}

function reportRefusal({ code, what, where, hint }: Refusal): ReportedRefusal {
	const line = where.source === undefined ? undefined : `${where.source}:${where.line ?? 0}:${where.column ?? 0}`;
	const place = [where.function, line, `byte ${where.offset}`].filter((part) => part !== undefined).join(', ');
	return { code, message: what, hint, where: place };
}
