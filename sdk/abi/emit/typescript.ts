// Owns the TypeScript form of the ABI (sdk/src/gen/abi.ts): plain constants, so that a host indexes its 32-bit views without a lookup.
import { columns } from '../columns.js';
import { structs } from '../definition.js';
import { enums } from '../enums.js';
import { NATIVE_STRUCT_BYTES, NATIVE_SYMBOL, nativeCapabilities } from '../native.js';
import {
	columnConstant,
	generatedNotice,
	limits,
	nativeLimits,
	numberText,
	structPrefix,
	upperSnake,
} from './names.js';

function structLines(): string[] {
	const lines: string[] = [];
	for (const struct of structs) {
		const prefix = structPrefix(struct.name);
		lines.push('', `/** ${struct.name}: ${struct.summary} */`, `export const ${prefix}_BYTES = ${struct.sizeBytes};`);
		for (const field of struct.fields) {
			const unit = field.unit === '' ? '' : `, ${field.unit}`;
			const count = field.count === undefined ? '' : `[${field.count}]`;
			lines.push(
				`/** ${field.type}${count}${unit}: ${field.meaning} */`,
				`export const ${prefix}_${upperSnake(field.name)}_WORD = ${field.offsetBytes / 4};`,
			);
		}
	}
	return lines;
}

function enumLines(): string[] {
	const lines: string[] = [];
	for (const entry of enums) {
		lines.push('', `/** ${entry.summary} */`, `export const ${entry.name} = {`);
		for (const value of entry.values) {
			if (value.meaning !== '') lines.push(`\t/** ${value.meaning} */`);
			lines.push(`\t${value.name}: ${value.value},`);
		}
		lines.push('} as const;', `export type ${entry.name} = (typeof ${entry.name})[keyof typeof ${entry.name}];`);
	}
	return lines;
}

function columnLines(): string[] {
	const lines: string[] = [];
	for (const column of columns) {
		const unit = column.unit === '' ? '' : `, ${column.unit}`;
		lines.push(
			`/** ${column.type}${unit}: ${column.meaning} */`,
			`export const ${columnConstant(column.name)} = ${column.id};`,
		);
	}
	lines.push('', '/** Column names by id. */', 'export const columnNames = [');
	for (const column of columns) lines.push(`\t'${column.name}',`);
	lines.push('] as const;', 'export type ColumnName = (typeof columnNames)[number];');
	return lines;
}

/** Bits are given by number: the word has 64 of them. */
function nativeLines(): string[] {
	return [
		...nativeLimits.flatMap((limit) => [
			`/** ${limit.comment} */`,
			`export const ${limit.name} = ${numberText(limit.value)};`,
		]),
		'/** The one function a native library exports. */',
		`export const NATIVE_SYMBOL = '${NATIVE_SYMBOL}';`,
		'/** Size of the struct it returns. */',
		`export const NATIVE_STRUCT_BYTES = ${NATIVE_STRUCT_BYTES};`,
		...nativeCapabilities.flatMap(({ name, bit, meaning }) => [
			`/** Bit of the capability word: ${meaning} */`,
			`export const NATIVE_${name}_BIT = ${bit};`,
		]),
	];
}

/** The whole text of sdk/src/gen/abi.ts. `*_WORD` is a 32-bit word index inside its block; of a u64, the low word. */
export function emitTypeScript(): string {
	return [
		`// ${generatedNotice}`,
		'// `*_WORD`: index of a 32-bit word inside its block (of a u64, the low word; the high word follows). `COLUMN_*`: column id.',
		'',
		...limits.flatMap((limit) => [
			`/** ${limit.comment} */`,
			`export const ${limit.name} = ${numberText(limit.value)};`,
		]),
		...structLines(),
		...enumLines(),
		'',
		...columnLines(),
		'',
		...nativeLines(),
		'',
	].join('\n');
}
