// Owns the Rust form of the ABI (sdk/rust/src/abi.rs): `#[repr(C)]` structs with their layout asserted at compile time.
import { columns } from '../columns.js';
import { structs } from '../definition.js';
import { enums } from '../enums.js';
import {
	NATIVE_STRUCT_BYTES,
	NATIVE_SYMBOL,
	type NativeFieldDef,
	nativeCapabilities,
	nativeFields,
} from '../native.js';
import type { EnumDef, ScalarType, StructDef } from '../types.js';
import {
	columnConstant,
	generatedNotice,
	limits,
	nativeLimits,
	numberText,
	structPrefix,
	upperSnake,
} from './names.js';

function structLines(struct: StructDef): string[] {
	const lines = [
		'',
		`pub const ${structPrefix(struct.name)}_BYTES: usize = ${struct.sizeBytes};`,
		`/// ${struct.summary}`,
		'#[repr(C, align(16))]',
		'#[derive(Clone, Copy)]',
		`pub struct ${struct.name} {`,
	];
	let end = 0;
	for (const field of struct.fields) {
		const type = field.count === undefined ? field.type : `[${field.type}; ${field.count}]`;
		lines.push(
			`    /// ${field.unit === '' ? '' : `${field.unit}: `}${field.meaning}`,
			`    pub ${field.name}: ${type},`,
		);
		end = field.offsetBytes + (field.type === 'u64' ? 8 : 4) * (field.count ?? 1);
	}
	if (end < struct.sizeBytes) lines.push(`    pub reserved: [u8; ${struct.sizeBytes - end}],`);
	lines.push('}', `const _: () = assert!(size_of::<${struct.name}>() == ${struct.sizeBytes});`);
	return [...lines, ...offsetLines(struct)];
}

/**
 * Offsets are asserted by reading a struct made of words that each hold their own number, because neither `offset_of!` nor `offset_from` in constants
 * is in the oldest compiler we support (1.63).
 */
function offsetLines(struct: StructDef): string[] {
	return [
		'const _: () = {',
		`    let numbered: ${struct.name} = unsafe { core::mem::transmute(numbered_words::<${struct.sizeBytes / 4}>()) };`,
		...struct.fields.map(
			(field) => `    assert!(${firstWord(field.name, field.type, field.count)} == ${field.offsetBytes / 4});`,
		),
		'};',
	];
}

/** The first 32 bits of a field; a u64 keeps them in its low half. */
function firstWord(name: string, type: ScalarType, count: number | undefined): string {
	const value = `numbered.${name}${count === undefined ? '' : '[0]'}`;
	return type === 'f32' ? `unsafe { core::mem::transmute::<f32, u32>(${value}) }` : `${value} as u32`;
}

const numberedWords = [
	'',
	'/// 0, 1, 2 … Only assertions call it, which some compilers do not count.',
	'#[allow(dead_code)]',
	'const fn numbered_words<const COUNT: usize>() -> [u32; COUNT] {',
	'    let mut words = [0; COUNT];',
	'    let mut index = 0;',
	'    while index < COUNT {',
	'        words[index] = index as u32;',
	'        index += 1;',
	'    }',
	'    words',
	'}',
];

function enumLines(entry: EnumDef): string[] {
	return [
		'',
		`// ${entry.summary}`,
		...entry.values.flatMap((value) => [
			...(value.meaning === '' ? [] : [`/// ${value.meaning}`]),
			`pub const ${upperSnake(entry.name)}_${upperSnake(value.name)}: i32 = ${value.value};`,
		]),
	];
}

/** A library has no use for these in WebAssembly, where addresses are 32 bits wide. */
const nativeOnly = '#[cfg(target_pointer_width = "64")]';

const nativeTypes: Readonly<Record<Exclude<NativeFieldDef['type'], 'hook'>, string>> = {
	u16: 'u16',
	u32: 'u32',
	u64: 'u64',
	text: '*const u8',
};

function nativeLines(): string[] {
	const type = (field: NativeFieldDef): string =>
		field.type === 'hook'
			? `Option<unsafe extern "C" fn(${(field.parameters ?? []).map((one) => `${one}: ${one === 'frame' ? '*mut u8' : 'i32'}`).join(', ')}) -> i32>`
			: nativeTypes[field.type];
	return [
		'',
		...nativeLimits.flatMap((limit) => [
			`/// ${limit.comment}`,
			`pub const ${limit.name}: u32 = ${numberText(limit.value)};`,
		]),
		...nativeCapabilities.flatMap(({ name, bit, meaning }) => [
			`/// ${meaning}`,
			`pub const NATIVE_${name}: u64 = 1 << ${bit};`,
		]),
		'',
		`/// The constant struct a library returns from \`extern "C" fn ${NATIVE_SYMBOL}() -> *const NativeStrategy\`, its one exported function.`,
		'/// Hooks return a STATUS_*; those it does not have are `None`.',
		nativeOnly,
		'#[repr(C)]',
		'pub struct NativeStrategy {',
		...nativeFields.flatMap((field) => [`    /// ${field.meaning}`, `    pub ${field.name}: ${type(field)},`]),
		'}',
		nativeOnly,
		`const _: () = assert!(size_of::<NativeStrategy>() == ${NATIVE_STRUCT_BYTES});`,
		'/// Nothing in it is ever written: every thread may read it.',
		nativeOnly,
		'unsafe impl Sync for NativeStrategy {}',
	];
}

/** The whole text of sdk/rust/src/abi.rs. Needs no crate but core. */
export function emitRust(): string {
	return [
		`// ${generatedNotice}`,
		'// The oldest compiler has no `to_bits` in constants; newer ones advise it, by a name that the oldest does not know.',
		'#![allow(unknown_lints, unnecessary_transmutes)]',
		'use core::mem::size_of;',
		'',
		...limits.flatMap((limit) => [
			`/// ${limit.comment}`,
			`pub const ${limit.name}: u32 = ${numberText(limit.value)};`,
		]),
		...numberedWords,
		...structs.flatMap(structLines),
		...enums.flatMap(enumLines),
		'',
		...columns.flatMap((column) => [
			`/// ${column.type}${column.unit === '' ? '' : `, ${column.unit}`}: ${column.meaning}`,
			`pub const ${columnConstant(column.name)}: u32 = ${column.id};`,
		]),
		...nativeLines(),
		'',
	].join('\n');
}
