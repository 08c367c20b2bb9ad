// Owns the native form of the ABI: the constant struct a shared library returns from its one exported function. Hooks, frame and statuses are
// those of every strategy; only how a host finds them is told here. 64-bit little-endian machines only. Append only, as the frame is.
import { hooks } from './hooks.js';

/** First word of the struct, `IMN1` in memory order. */
export const NATIVE_MAGIC = 0x314e4d49;
/** Major of the struct and of the calling convention; a host refuses another. */
export const NATIVE_ABI_MAJOR = 1;
/** Raised when fields are added at the end. A library built for an older minor loads unchanged. */
export const NATIVE_ABI_MINOR = 0;
/** The one exported function: `const im_native_strategy *infermesh_strategy(void)`. */
export const NATIVE_SYMBOL = 'infermesh_strategy';
/** Largest manifest a host reads out of a library. */
export const NATIVE_MANIFEST_BYTES_MAX = 64 * 1024;

export interface NativeFieldDef {
	readonly name: string;
	/** `text` is the address of constant bytes, `hook` that of a function or null. */
	readonly type: 'u16' | 'u32' | 'u64' | 'text' | 'hook';
	readonly offsetBytes: number;
	readonly meaning: string;
	/** Parameters of a hook, as hooks.ts has them. */
	readonly parameters?: readonly string[];
}

export interface NativeCapability {
	readonly name: string;
	readonly bit: number;
	readonly meaning: string;
}

/** Bits of the capability word: one for each hook in hooks.ts' order from bit 0, then what a library wants of its host from bit 32. */
export const nativeCapabilities: readonly NativeCapability[] = [
	...hooks.map((hook, bit) => ({ name: `HAS_${hook.name.toUpperCase()}`, bit, meaning: `the hook \`${hook.name}\`` })),
	{ name: 'WANTS_THREADS', bit: 32, meaning: 'starts threads of its own; every host of this version refuses it' },
];

const headFields: ReadonlyArray<Omit<NativeFieldDef, 'offsetBytes'>> = [
	{ name: 'magic', type: 'u32', meaning: 'NATIVE_MAGIC' },
	{ name: 'abi_major', type: 'u16', meaning: 'NATIVE_ABI_MAJOR the library was built for' },
	{ name: 'abi_minor', type: 'u16', meaning: 'NATIVE_ABI_MINOR the library was built for' },
	{
		name: 'struct_bytes',
		type: 'u32',
		meaning: 'size of this struct as the library has it; nothing beyond it is read',
	},
	{ name: 'frame_abi_version', type: 'u32', meaning: 'ABI_VERSION of the frame the library was built for' },
	{
		name: 'capabilities',
		type: 'u64',
		meaning: 'NATIVE_HAS_* of exactly the hooks that are not null, and NATIVE_WANTS_*',
	},
	{ name: 'manifest', type: 'text', meaning: 'the manifest as JSON in UTF-8, as it stands in a WebAssembly module' },
	{
		name: 'manifest_bytes',
		type: 'u64',
		meaning: 'its length without a terminating zero; at most NATIVE_MANIFEST_BYTES_MAX',
	},
];

const widths: Readonly<Record<NativeFieldDef['type'], number>> = { u16: 2, u32: 4, u64: 8, text: 8, hook: 8 };

function place(fields: ReadonlyArray<Omit<NativeFieldDef, 'offsetBytes'>>): NativeFieldDef[] {
	let at = 0;
	return fields.map((field) => {
		const width = widths[field.type];
		const offsetBytes = Math.ceil(at / width) * width;
		at = offsetBytes + width;
		return { ...field, offsetBytes };
	});
}

/** Fields in order, with their place. */
export const nativeFields: readonly NativeFieldDef[] = place([
	...headFields,
	...hooks.map(({ name, meaning, parameters }) => ({ name, type: 'hook' as const, meaning, parameters })),
]);

/** Size of the struct in this minor version. */
export const NATIVE_STRUCT_BYTES = Math.max(...nativeFields.map(({ offsetBytes, type }) => offsetBytes + widths[type]));
