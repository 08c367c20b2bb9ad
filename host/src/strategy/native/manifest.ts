// Owns asking a library for its manifest. Its code has to run for that, so it runs where it can do no harm: in a sandbox that is started for this one
// question and ended after it.
import { NATIVE_MANIFEST_BYTES_MAX, parseManifestJson, type StrategyManifest } from '@infermesh/sdk';
import { START_WAIT_MS, startSandbox } from './addon.js';
import type { NativeEngine, NativeLimits } from './code.js';
import { refusalOf } from './refusal.js';

/** Throws IM_NATIVE_LOAD, IM_NATIVE_SYMBOL, IM_NATIVE_ABI or IM_MANIFEST_*. */
export function askManifest(
	library: Uint8Array,
	digest: string,
	engine: NativeEngine,
	limits: NativeLimits,
): StrategyManifest {
	const sandbox = startSandbox(engine, library, digest, NATIVE_MANIFEST_BYTES_MAX, limits, true);
	try {
		if (sandbox.ready(START_WAIT_MS) !== 'ready') throw refusalOf(sandbox.message);
		const length = Math.min(sandbox.manifestBytes, NATIVE_MANIFEST_BYTES_MAX);
		return parseManifestJson(new Uint8Array(sandbox.buffer, 0, length).slice(), 'the manifest of the library');
	} finally {
		sandbox.end(false);
	}
}
