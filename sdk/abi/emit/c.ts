// Owns the C form of the ABI (sdk/c/infermesh_abi.h): structs with their size and offsets asserted at compile time. C11 or C++11.
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

const cTypes: Readonly<Record<ScalarType, string>> = { u32: 'uint32_t', i32: 'int32_t', f32: 'float', u64: 'uint64_t' };

function structLines(struct: StructDef): string[] {
	const lines = ['', `/* ${struct.summary} */`, `typedef struct im_${upperSnake(struct.name).toLowerCase()} {`];
	let end = 0;
	for (const field of struct.fields) {
		const count = field.count === undefined ? '' : `[${field.count}]`;
		lines.push(
			`\t/* ${field.unit === '' ? '' : `${field.unit}: `}${field.meaning} */`,
			`\t${cTypes[field.type]} ${field.name}${count};`,
		);
		end = field.offsetBytes + (field.type === 'u64' ? 8 : 4) * (field.count ?? 1);
	}
	if (end < struct.sizeBytes) lines.push(`\tuint8_t reserved[${struct.sizeBytes - end}];`);
	const type = `im_${upperSnake(struct.name).toLowerCase()}`;
	lines.push(`} ${type};`, `#define IM_${structPrefix(struct.name)}_BYTES ${struct.sizeBytes}u`);
	lines.push(`IM_STATIC_ASSERT(sizeof(${type}) == ${struct.sizeBytes}, "${type}");`);
	for (const field of struct.fields)
		lines.push(`IM_STATIC_ASSERT(offsetof(${type}, ${field.name}) == ${field.offsetBytes}, "${type}.${field.name}");`);
	return lines;
}

function enumLines(entry: EnumDef): string[] {
	return [
		'',
		`/* ${entry.summary} */`,
		...entry.values.map((value) => {
			const meaning = value.meaning === '' ? '' : ` /* ${value.meaning} */`;
			return `#define IM_${upperSnake(entry.name)}_${upperSnake(value.name)} ${value.value}${meaning}`;
		}),
	];
}

const nativeTypes: Readonly<Record<Exclude<NativeFieldDef['type'], 'hook'>, string>> = {
	u16: 'uint16_t ',
	u32: 'uint32_t ',
	u64: 'uint64_t ',
	text: 'const char *',
};

function nativeLines(): string[] {
	const member = ({ name, type, parameters = [] }: NativeFieldDef): string =>
		type === 'hook'
			? `int32_t (*${name})(${parameters.map((one) => (one === 'frame' ? 'uint8_t *frame' : `int32_t ${one}`)).join(', ')})`
			: `${nativeTypes[type]}${name}`;
	const asserted = nativeFields.map(
		({ name, offsetBytes }) =>
			`IM_STATIC_ASSERT(offsetof(im_native_strategy, ${name}) == ${offsetBytes}, "im_native_strategy.${name}");`,
	);
	return [
		'',
		'/* What a shared library is to its host. 64-bit little-endian machines only. */',
		...nativeLimits.map(({ name, value, comment }) => `#define IM_${name} ${numberText(value)}u /* ${comment} */`),
		`#define IM_NATIVE_SYMBOL "${NATIVE_SYMBOL}"`,
		...nativeCapabilities.map(
			({ name, bit, meaning }) => `#define IM_NATIVE_${name} (UINT64_C(1) << ${bit}) /* ${meaning} */`,
		),
		'',
		'/* The constant struct a library returns. Hooks return an IM_STATUS_*; those it does not have are null. */',
		'typedef struct im_native_strategy {',
		...nativeFields.flatMap((field) => [`\t/* ${field.meaning} */`, `\t${member(field)};`]),
		'} im_native_strategy;',
		'#if UINTPTR_MAX == UINT64_MAX',
		`IM_STATIC_ASSERT(sizeof(im_native_strategy) == ${NATIVE_STRUCT_BYTES}, "im_native_strategy");`,
		...asserted,
		'#endif',
		'',
		'#ifdef __cplusplus',
		'extern "C" {',
		'#endif',
		'/* The one function a library exports: the address of its struct, the same at every call. */',
		`__attribute__((visibility("default"))) const im_native_strategy *${NATIVE_SYMBOL}(void);`,
		'#ifdef __cplusplus',
		'}',
		'#endif',
	];
}

/** The whole text of sdk/c/infermesh_abi.h. */
export function emitC(): string {
	return [
		`/* ${generatedNotice} */`,
		'#ifndef INFERMESH_ABI_H',
		'#define INFERMESH_ABI_H',
		'#include <stddef.h>',
		'#include <stdint.h>',
		'',
		'#ifdef __cplusplus',
		'#define IM_STATIC_ASSERT(condition, text) static_assert(condition, text)',
		'#else',
		'#define IM_STATIC_ASSERT(condition, text) _Static_assert(condition, text)',
		'#endif',
		'',
		...limits.map((limit) => `#define IM_${limit.name} ${numberText(limit.value)}u /* ${limit.comment} */`),
		...structs.flatMap(structLines),
		...enums.flatMap(enumLines),
		'',
		...columns.map((column) => {
			const unit = column.unit === '' ? '' : `, ${column.unit}`;
			return `#define IM_${columnConstant(column.name)} ${column.id}u /* ${column.type}${unit}: ${column.meaning} */`;
		}),
		...nativeLines(),
		'',
		'#endif',
		'',
	].join('\n');
}
