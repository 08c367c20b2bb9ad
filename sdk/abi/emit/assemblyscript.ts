// Owns the AssemblyScript form of the ABI (sdk/assembly/abi.ts): byte offsets, and unmanaged classes whose fields lie where the
// structs' fields lie, so that `request.tokens_in` is one load.
import { columns } from '../columns.js';
import { structs } from '../definition.js';
import { enums } from '../enums.js';
import type { EnumDef, PlacedField, StructDef } from '../types.js';
import { columnConstant, generatedNotice, limits, numberText, structPrefix, upperSnake } from './names.js';

function comment(field: PlacedField): string {
	const unit = field.unit === '' ? '' : `${field.unit}: `;
	return `/** ${unit}${field.meaning} */`;
}

/** Scalars are fields of the class; inline arrays, which AssemblyScript has not, are byte offsets and must come last. */
function structLines(struct: StructDef): string[] {
	const prefix = structPrefix(struct.name);
	const scalars = struct.fields.filter((field) => field.count === undefined);
	const arrays = struct.fields.filter((field) => field.count !== undefined);
	if (struct.fields.findIndex((field) => field.count !== undefined) < scalars.length && arrays.length > 0)
		throw new Error(`${struct.name}: arrays must follow the scalars`);
	return [
		'',
		`export const ${prefix}_BYTES: u32 = ${struct.sizeBytes};`,
		...arrays.flatMap((field) => [
			`/** Byte offset of ${field.type}[${field.count}]. ${field.meaning} */`,
			`export const ${prefix}_${upperSnake(field.name)}: usize = ${field.offsetBytes};`,
		]),
		`/** ${struct.summary} */`,
		'@unmanaged',
		`export class ${struct.name} {`,
		...scalars.flatMap((field) => [`\t${comment(field)}`, `\t${field.name}: ${field.type};`]),
		'}',
	];
}

/** A reserved word gets an underscore behind it. */
function memberName(name: string): string {
	return name === 'default' ? 'default_' : name;
}

function enumLines(entry: EnumDef): string[] {
	return [
		'',
		`/** ${entry.summary} */`,
		`export namespace ${entry.name} {`,
		...entry.values.flatMap((value) => [
			...(value.meaning === '' ? [] : [`\t/** ${value.meaning} */`]),
			`\texport const ${memberName(value.name)}: i32 = ${value.value};`,
		]),
		'}',
	];
}

/** The whole text of sdk/assembly/abi.ts. */
export function emitAssemblyScript(): string {
	return [
		`// ${generatedNotice}`,
		'',
		...limits.flatMap((limit) => [
			`/** ${limit.comment} */`,
			`export const ${limit.name}: u32 = ${numberText(limit.value)};`,
		]),
		...structs.flatMap(structLines),
		...enums.flatMap(enumLines),
		'',
		...columns.flatMap((column) => [
			`/** ${column.type}${column.unit === '' ? '' : `, ${column.unit}`}: ${column.meaning} */`,
			`export const ${columnConstant(column.name)}: u32 = ${column.id};`,
		]),
		'',
	].join('\n');
}
