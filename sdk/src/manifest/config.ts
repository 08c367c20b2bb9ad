// Owns the configuration of a strategy as the frame holds it: one 32-bit slot for each entry, in manifest order.
import { MeshError } from '@infermesh/proto';
import { valueFault } from './check.js';
import { manifestErrors } from './errors.js';
import type { ConfigEntry, StrategyManifest } from './schema.js';
import { didYouMean } from './suggest.js';

export type ConfigValues = Readonly<Record<string, number | boolean>>;

function writeSlot(view: DataView, at: number, entry: ConfigEntry, value: number | boolean): void {
	if (entry.type === 'f32') view.setFloat32(at, Number(value), true);
	else if (entry.type === 'i32') view.setInt32(at, Number(value), true);
	else view.setUint32(at, Number(value), true);
}

/**
 * The configuration slots for `values`, defaults where a value is not given.
 * @throws MeshError IM_MANIFEST_CONFIG for a name the manifest does not declare, a wrong type or a value out of range.
 */
export function encodeConfig(manifest: StrategyManifest, values: ConfigValues = {}): Uint32Array<ArrayBuffer> {
	const names = manifest.config.map((entry) => entry.name);
	for (const name of Object.keys(values)) {
		if (names.includes(name)) continue;
		const message = `${manifest.name} has no configuration value \`${name}\`${didYouMean(name, names)}`;
		throw new MeshError(manifestErrors, 'IM_MANIFEST_CONFIG', message, { where: name });
	}
	const slots = new Uint32Array(manifest.config.length);
	const view = new DataView(slots.buffer);
	for (const [index, entry] of manifest.config.entries()) {
		const value = values[entry.name] ?? entry.default;
		const fault = valueFault(entry, value);
		if (fault !== undefined)
			throw new MeshError(manifestErrors, 'IM_MANIFEST_CONFIG', `${entry.name}: ${fault}`, { where: entry.name });
		writeSlot(view, index * 4, entry, value);
	}
	return slots;
}
