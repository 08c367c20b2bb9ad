// Owns the admission of a native library, as it runs inside the admission child: the file is read, its code is asked for the manifest in a sandbox, and it
// is tried out there as a WebAssembly strategy is. Returns a report in every case.
import { createHash } from 'node:crypto';
import { type Clock, MeshError } from '@infermesh/proto';
import { buildOffsetMap } from '../admission/offset-map.js';
import type { AdmissionReport } from '../admission/report.js';
import { blankReport, type Inspection, type InspectOptions, refusalOf, refused, tryOut } from '../admission/try-out.js';
import { checkLibrary } from './check-library.js';
import type { NativeCode, NativeTrial } from './code.js';
import { nativeErrors } from './errors.js';
import { askManifest } from './manifest.js';

/** Kind of machine this is, as `checkLibrary` names it. */
export const ownPlatform = `${process.platform}-${process.arch}`;

/** Digest that names a library's exact behaviour: its bytes. */
export function libraryDigest(bytes: Uint8Array): string {
	return createHash('sha256').update(bytes).update('\0native').digest('hex');
}

/** Reads, asks and tries out `bytes`. `options.native`: what with, and within which limits. */
export function inspectLibrary(bytes: Uint8Array, options: InspectOptions, clock: Clock): Inspection {
	const { facts, problems } = checkLibrary(bytes, ownPlatform);
	const digest = libraryDigest(bytes);
	const blank: AdmissionReport = { ...blankReport(bytes), platform: facts?.platform ?? '', digest };
	if (problems.length > 0) return refused(blank, problems.map(refusalOf));
	const trial = options.native;
	if (trial === undefined) return refused(blank, [refusalOf(new MeshError(nativeErrors, 'IM_NATIVE_BUILD'))]);
	try {
		return admit(bytes, blank, trial, options, clock);
	} catch (error) {
		return refused(blank, [refusalOf(error)]);
	}
}

function admit(
	bytes: Uint8Array,
	blank: AdmissionReport,
	{ engine, limits }: NativeTrial,
	options: InspectOptions,
	clock: Clock,
): Inspection {
	const manifest = askManifest(bytes, blank.digest, engine, limits);
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
	const symbols = {
		offsetMap: buildOffsetMap({ at: [], origin: [], injected: [] }),
		functionNames: new Map<number, string>(),
	};
	const admitted = { wasm: bytes, manifest, heapBase: 0, digest: blank.digest, symbols };
	const module: NativeCode = { native: 'process', library: bytes, engine, limits };
	return tryOut(named, admitted, () => module, options, clock);
}
