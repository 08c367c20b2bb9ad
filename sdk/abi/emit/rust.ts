// Owns the Rust form of the ABI (sdk/rust/src/abi.rs): `#[repr(C)]` structs with their layout asserted at compile time.
import { columns } from '../columns.js';
import { structs } from '../definition.js';
import { enums } from '../enums.js';
import type { EnumDef, StructDef } from '../types.js';
import { columnConstant, generatedNotice, limits, numberText, structPrefix, upperSnake } from './names.js';

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

/** Offsets are asserted through a zeroed value, because `offset_of!` is newer than the oldest compiler we support (1.63). */
function offsetLines(struct: StructDef): string[] {
	return [
		'const _: () = {',
		`    let value = core::mem::MaybeUninit::<${struct.name}>::uninit();`,
		'    let base = value.as_ptr() as *const u8;',
		...struct.fields.map(
			(field) =>
				`    assert!(unsafe { (core::ptr::addr_of!((*value.as_ptr()).${field.name}) as *const u8).offset_from(base) } == ${field.offsetBytes});`,
		),
		'};',
	];
}

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

/** The whole text of sdk/rust/src/abi.rs. Needs no crate but core. */
export function emitRust(): string {
	return [
		`// ${generatedNotice}`,
		'use core::mem::size_of;',
		'',
		...limits.flatMap((limit) => [
			`/// ${limit.comment}`,
			`pub const ${limit.name}: u32 = ${numberText(limit.value)};`,
		]),
		...structs.flatMap(structLines),
		...enums.flatMap(enumLines),
		'',
		...columns.flatMap((column) => [
			`/// ${column.type}${column.unit === '' ? '' : `, ${column.unit}`}: ${column.meaning}`,
			`pub const ${columnConstant(column.name)}: u32 = ${column.id};`,
		]),
		'',
	].join('\n');
}
