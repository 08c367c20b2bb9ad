// Owns asking a library for its manifest. Its code has to run for that, so it runs where it can do no harm: in a sandbox that is started for this one
// question and ended after it.
import { MeshError } from '@infermesh/proto';
import { NATIVE_MANIFEST_BYTES_MAX, parseManifestJson, type StrategyManifest } from '@infermesh/sdk';
import { startSandbox } from './addon.js';
import type { NativeEngine, NativeLimits } from './code.js';
import { nativeErrors } from './errors.js';
import { refusalOf } from './refusal.js';

/** Throws IM_NATIVE_LOAD, IM_NATIVE_SYMBOL, IM_NATIVE_ABI or IM_MANIFEST_*. */
export function askManifest(
	library: Uint8Array,
	digest: string,
	engine: NativeEngine,
	limits: NativeLimits,
): StrategyManifest {
	const { startMs } = limits;
	const sandbox = startSandbox(engine, library, digest, NATIVE_MANIFEST_BYTES_MAX, limits, true);
	try {
		const readiness = sandbox.ready(startMs);
		if (readiness === 'starting')
			throw new MeshError(nativeErrors, 'IM_NATIVE_LOAD', `it did not load within ${startMs} ms`);
		if (readiness !== 'ready') throw refusalOf(sandbox.message);
		const length = Math.min(sandbox.manifestBytes, NATIVE_MANIFEST_BYTES_MAX);
		return parseManifestJson(new Uint8Array(sandbox.buffer, 0, length).slice(), 'the manifest of the library');
	} finally {
		sandbox.end(false);
	}
}
