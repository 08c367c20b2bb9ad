// Owns the interface by which the mesh reads GPUs. Sans-I/O: the host fetches pages and runs tools; an adapter turns what they wrote into a delta
// for each device. Stateless: rates are fusion's.
import type { GpuStateDelta } from '@infermesh/proto';

/** What GPUs are read from. */
export const gpuSourceKinds = [
	'dcgm',
	'amd_exporter',
	'nvidia_smi',
	'nvidia_smi_xml',
	'nvml',
	'rocm_smi',
	'amd_smi',
] as const;

export type GpuSourceKind = (typeof gpuSourceKinds)[number];

/** What one look at a source told. */
export interface GpuReading {
	/** At most `gpuBounds.devicesMax`, each with a UUID of its own. */
	readonly devices: readonly GpuStateDelta[];
	/** What could not be read of the source as a whole, within the bounds of a delta. */
	readonly unread: readonly string[];
}

export interface GpuLook {
	/** When the text arrived, in the reader's monotonic clock, ms. */
	readonly atMs: number;
	/** Node the source speaks of, where it does not say so itself. */
	readonly node: string;
}

export interface GpuAdapter {
	readonly kind: Exclude<GpuSourceKind, 'nvml'>;
	/** Never throws; text that is something else gives no device and says why. */
	read(text: string | Uint8Array, look: GpuLook): GpuReading;
}

/** Bounds of one reading. */
export const gpuBounds = Object.freeze({ devicesMax: 512, textBytesMax: 16 * 1024 * 1024 });
