// Owns reading a module's sections into plain data. What a strategy may contain is judged by policy.ts, function bodies by
// function-scan.ts. Invariants: throws ModuleFault and nothing else; counts are bounded before anything is allocated for them;
// what it does not understand it faults, so that nothing unread can reach the engine.
import { ByteReader, ModuleFault, malformed } from './byte-reader.js';
import type { AdmissionLimits } from './limits.js';
import { Op, ValueType, valueTypeName } from './opcodes.js';

export const SectionId = {
	custom: 0,
	type: 1,
	import: 2,
	function: 3,
	table: 4,
	memory: 5,
	global: 6,
	export: 7,
	start: 8,
	element: 9,
	code: 10,
	data: 11,
	dataCount: 12,
	tag: 13,
} as const;

/** Order in which known sections may follow each other. */
const sectionOrder: Readonly<Record<number, number>> = {
	1: 1,
	2: 2,
	3: 3,
	4: 4,
	5: 5,
	13: 6,
	6: 7,
	7: 8,
	8: 9,
	9: 10,
	12: 11,
	10: 12,
	11: 13,
};

export interface Section {
	readonly id: number;
	/** Offset of the id byte. */
	readonly start: number;
	readonly payload: number;
	readonly end: number;
	/** Name of a custom section; empty otherwise. */
	readonly name: string;
	/** Offset after a custom section's name. */
	readonly body: number;
}

export interface FunctionType {
	/** Value type bytes. */
	readonly params: readonly number[];
	readonly results: readonly number[];
}

export interface MemoryLimits {
	readonly at: number;
	readonly flags: number;
	readonly minPages: number;
}

export interface ImportEntry {
	readonly at: number;
	readonly module: string;
	readonly name: string;
	readonly kind: 'function' | 'table' | 'memory' | 'global' | 'tag';
	readonly memory?: MemoryLimits;
	readonly typeIndex?: number;
}

export interface GlobalEntry {
	readonly at: number;
	readonly type: number;
	readonly mutable: boolean;
	/** Value when it is an i32 constant. */
	readonly i32?: number;
}

export interface ExportEntry {
	readonly at: number;
	readonly name: string;
	readonly kind: number;
	readonly index: number;
}

export interface TableEntry {
	readonly at: number;
	readonly minEntries: number;
	readonly maxEntries: number | undefined;
}

export interface DataSegment {
	readonly at: number;
	/** Target address; undefined for a passive segment. */
	readonly address: number | undefined;
	readonly lengthBytes: number;
}

export interface Body {
	/** Offset of the locals vector. */
	readonly start: number;
	readonly end: number;
}

export interface WasmModuleData {
	readonly bytes: Uint8Array;
	readonly sections: readonly Section[];
	readonly types: readonly FunctionType[];
	readonly imports: readonly ImportEntry[];
	/** Imported functions come first in the function index space. */
	readonly importedFunctions: number;
	/** Imported globals come first in the global index space. */
	readonly importedGlobals: number;
	/** Type index of every function, imported ones first. */
	readonly functionTypes: readonly number[];
	readonly tables: readonly TableEntry[];
	readonly memories: readonly MemoryLimits[];
	readonly globals: readonly GlobalEntry[];
	readonly exports: readonly ExportEntry[];
	readonly start: number | undefined;
	/** Functions named in element segments. */
	readonly elementFunctions: ReadonlySet<number>;
	readonly bodies: readonly Body[];
	readonly data: readonly DataSegment[];
}

interface Draft {
	bytes: Uint8Array;
	limits: AdmissionLimits;
	sections: Section[];
	types: FunctionType[];
	imports: ImportEntry[];
	importedFunctions: number;
	importedGlobals: number;
	functionTypes: number[];
	tables: TableEntry[];
	memories: MemoryLimits[];
	globals: GlobalEntry[];
	exports: ExportEntry[];
	start: number | undefined;
	elementFunctions: Set<number>;
	bodies: Body[];
	data: DataSegment[];
}

/** Reads a module. Throws `ModuleFault` with the byte offset of what is wrong. */
export function readModule(bytes: Uint8Array, limits: AdmissionLimits): WasmModuleData {
	if (bytes.length > limits.moduleBytesMax)
		throw new ModuleFault(
			'IM_ADMISSION_MODULE_SIZE',
			limits.moduleBytesMax,
			`the module has ${bytes.length} bytes; the limit is ${limits.moduleBytesMax}`,
		);
	const reader = new ByteReader(bytes);
	for (const [i, expected] of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0].entries())
		if (reader.u8('header') !== expected)
			throw malformed(i, i < 4 ? 'not a WebAssembly module' : 'not a core WebAssembly module of version 1');
	const draft: Draft = {
		bytes,
		limits,
		sections: [],
		types: [],
		imports: [],
		importedFunctions: 0,
		importedGlobals: 0,
		functionTypes: [],
		tables: [],
		memories: [],
		globals: [],
		exports: [],
		start: undefined,
		elementFunctions: new Set(),
		bodies: [],
		data: [],
	};
	let last = 0;
	while (!reader.done) last = readSection(draft, reader, last);
	if (draft.bodies.length !== draft.functionTypes.length - draft.importedFunctions)
		throw malformed(bytes.length, 'the function and code sections do not have the same length');
	checkIndices(draft);
	return draft;
}

function readSection(draft: Draft, reader: ByteReader, last: number): number {
	const start = reader.at;
	const id = reader.u8('section id');
	const payload = reader.slice(reader.u32('section size'), 'section');
	if (draft.sections.length >= draft.limits.entriesMax)
		throw new ModuleFault('IM_ADMISSION_COUNT', start, 'too many sections');
	const section = { id, start, payload: payload.at, end: payload.end };
	if (id === SectionId.custom) {
		const name = payload.name('custom section name');
		draft.sections.push({ ...section, name, body: payload.at });
		return last;
	}
	const order = sectionOrder[id];
	if (order === undefined) throw new ModuleFault('IM_ADMISSION_SECTION', start, `section ${id} is not known`);
	if (order <= last) throw malformed(start, `section ${id} is repeated or out of order`);
	draft.sections.push({ ...section, name: '', body: payload.at });
	readKnown(draft, id, payload, start);
	if (!payload.done) throw malformed(payload.at, `section ${id} is longer than its contents`);
	return order;
}

function readKnown(draft: Draft, id: number, reader: ByteReader, start: number): void {
	switch (id) {
		case SectionId.type:
			return readTypes(draft, reader);
		case SectionId.import:
			return readImports(draft, reader);
		case SectionId.function:
			return readFunctions(draft, reader);
		case SectionId.table:
			return readTables(draft, reader);
		case SectionId.memory:
			return readMemories(draft, reader);
		case SectionId.global:
			return readGlobals(draft, reader);
		case SectionId.export:
			return readExports(draft, reader);
		case SectionId.start:
			reader.u32('start function');
			draft.start = start;
			return;
		case SectionId.element:
			return readElements(draft, reader);
		case SectionId.dataCount:
			reader.u32('data count');
			return;
		case SectionId.code:
			return readBodies(draft, reader);
		case SectionId.data:
			return readData(draft, reader);
		default:
			throw new ModuleFault('IM_ADMISSION_EXCEPTIONS', start, 'the module declares exception tags');
	}
}

function readValueType(reader: ByteReader): number {
	const at = reader.at;
	const byte = reader.u8('value type');
	if (valueTypeName(byte) !== undefined) return byte;
	if (byte === 0x70 || byte === 0x6f)
		throw new ModuleFault('IM_ADMISSION_REFERENCE_TYPES', at, 'a reference value is used as a parameter or local');
	if (byte >= 0x63 && byte <= 0x74) throw new ModuleFault('IM_ADMISSION_GC', at, 'a garbage-collected type is used');
	throw malformed(at, `0x${byte.toString(16)} is not a value type`);
}

function readTypes(draft: Draft, reader: ByteReader): void {
	const count = reader.count('types', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) {
		const at = reader.at;
		const form = reader.u8('type form');
		if (form >= 0x4d && form <= 0x5f)
			throw new ModuleFault('IM_ADMISSION_GC', at, 'the module declares a garbage-collected type');
		if (form !== 0x60) throw malformed(at, 'not a function type');
		draft.types.push({ params: readArity(draft, reader), results: readArity(draft, reader) });
	}
}

function readArity(draft: Draft, reader: ByteReader): number[] {
	const count = reader.count('parameters or results', draft.limits.arityMax);
	const types: number[] = [];
	for (let i = 0; i < count; i++) types.push(readValueType(reader));
	return types;
}

function readMemoryLimits(reader: ByteReader): MemoryLimits {
	const at = reader.at;
	const flags = reader.u8('memory limits');
	if (flags > 7) throw malformed(at, 'memory limits have unknown flags');
	if ((flags & 4) !== 0) throw new ModuleFault('IM_ADMISSION_MEMORY64', at, 'the memory has 64-bit addresses');
	const minPages = reader.u32('memory minimum');
	if ((flags & 1) !== 0) reader.u32('memory maximum');
	return { at, flags, minPages };
}

function readTableType(reader: ByteReader): TableEntry {
	const at = reader.at;
	const type = reader.u8('table type');
	if (type !== 0x70)
		throw new ModuleFault('IM_ADMISSION_REFERENCE_TYPES', at, 'a table holds something other than functions');
	const flags = reader.u8('table limits');
	if (flags > 1) throw malformed(at + 1, 'table limits have unknown flags');
	const minEntries = reader.u32('table minimum');
	return { at, minEntries, maxEntries: flags === 1 ? reader.u32('table maximum') : undefined };
}

function readImports(draft: Draft, reader: ByteReader): void {
	const count = reader.count('imports', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) {
		const at = reader.at;
		const module = reader.name('import module');
		const name = reader.name('import name');
		draft.imports.push(readImport(draft, reader, { at, module, name }));
	}
}

function readImport(
	draft: Draft,
	reader: ByteReader,
	entry: { readonly at: number; readonly module: string; readonly name: string },
): ImportEntry {
	const kind = reader.u8('import kind');
	switch (kind) {
		case 0: {
			const typeIndex = reader.u32('type index');
			draft.functionTypes.push(typeIndex);
			draft.importedFunctions++;
			return { ...entry, kind: 'function', typeIndex };
		}
		case 1:
			draft.tables.push(readTableType(reader));
			return { ...entry, kind: 'table' };
		case 2: {
			const memory = readMemoryLimits(reader);
			return { ...entry, kind: 'memory', memory };
		}
		case 3: {
			const type = readValueType(reader);
			const mutable = reader.u8('mutability') !== 0;
			draft.importedGlobals++;
			draft.globals.push({ at: entry.at, type, mutable });
			return { ...entry, kind: 'global' };
		}
		case 4:
			throw new ModuleFault('IM_ADMISSION_EXCEPTIONS', entry.at, 'the module imports an exception tag');
		default:
			throw malformed(reader.at - 1, `import kind ${kind} is not known`);
	}
}

function readFunctions(draft: Draft, reader: ByteReader): void {
	const count = reader.count('functions', draft.limits.functionsMax, 'IM_ADMISSION_FUNCTION_COUNT');
	for (let i = 0; i < count; i++) draft.functionTypes.push(reader.u32('type index'));
}

function readTables(draft: Draft, reader: ByteReader): void {
	const count = reader.count('tables', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) {
		if (reader.bytes[reader.at] === 0x40)
			throw new ModuleFault('IM_ADMISSION_REFERENCE_TYPES', reader.at, 'a table has an initial expression');
		draft.tables.push(readTableType(reader));
	}
}

function readMemories(draft: Draft, reader: ByteReader): void {
	const count = reader.count('memories', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) draft.memories.push(readMemoryLimits(reader));
}

/** A constant expression of one constant and `end`: all that a strategy's globals and segments need. */
function readConstant(reader: ByteReader): { readonly type: number; readonly i32?: number } {
	const at = reader.at;
	const op = reader.u8('constant expression');
	let constant: { type: number; i32?: number };
	if (op === Op.i32Const) constant = { type: ValueType.i32, i32: reader.s32('constant') };
	else if (op === Op.i64Const) {
		reader.skipLeb(10, 'constant');
		constant = { type: ValueType.i64 };
	} else if (op === 0x43) {
		reader.skip(4, 'constant');
		constant = { type: ValueType.f32 };
	} else if (op === 0x44) {
		reader.skip(8, 'constant');
		constant = { type: ValueType.f64 };
	} else if (op === 0xfd && reader.u32('opcode') === 0x0c) {
		reader.skip(16, 'constant');
		constant = { type: ValueType.v128 };
	} else throw malformed(at, 'a global or segment is initialised by something other than a constant');
	if (reader.u8('constant expression') !== Op.end)
		throw malformed(reader.at - 1, 'a constant expression has more than one constant');
	return constant;
}

function readGlobals(draft: Draft, reader: ByteReader): void {
	const count = reader.count('globals', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) {
		const at = reader.at;
		const type = readValueType(reader);
		const mutability = reader.u8('mutability');
		if (mutability > 1) throw malformed(reader.at - 1, 'a global has unknown flags');
		const { i32 } = readConstant(reader);
		draft.globals.push({ at, type, mutable: mutability === 1, ...(i32 === undefined ? {} : { i32 }) });
	}
}

function readExports(draft: Draft, reader: ByteReader): void {
	const count = reader.count('exports', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) {
		const at = reader.at;
		const name = reader.name('export name');
		const kind = reader.u8('export kind');
		if (kind > 3) throw malformed(reader.at - 1, `export kind ${kind} is not known`);
		draft.exports.push({ at, name, kind, index: reader.u32('export index') });
	}
}

function readElements(draft: Draft, reader: ByteReader): void {
	const segments = reader.count('element segments', draft.limits.entriesMax);
	let total = 0;
	for (let i = 0; i < segments; i++) {
		const at = reader.at;
		const flags = reader.u32('element segment flags');
		if (flags !== 0 && flags !== 2)
			throw new ModuleFault(
				'IM_ADMISSION_REFERENCE_TYPES',
				at,
				'an element segment is not active or holds expressions',
			);
		if (flags === 2 && reader.u32('table index') !== 0) throw malformed(at, 'an element segment is for another table');
		if (readConstant(reader).type !== ValueType.i32) throw malformed(at, 'a segment offset is not an i32');
		if (flags === 2 && reader.u8('element kind') !== 0) throw malformed(at, 'an element segment has an unknown kind');
		const count = reader.count('table entries', draft.limits.tableEntriesMax, 'IM_ADMISSION_TABLE_SIZE');
		total += count;
		if (total > draft.limits.tableEntriesMax)
			throw new ModuleFault('IM_ADMISSION_TABLE_SIZE', at, `element segments hold more than ${total - count} entries`);
		for (let k = 0; k < count; k++) draft.elementFunctions.add(reader.u32('function index'));
	}
}

function readBodies(draft: Draft, reader: ByteReader): void {
	const count = reader.count('function bodies', draft.limits.functionsMax, 'IM_ADMISSION_FUNCTION_COUNT');
	for (let i = 0; i < count; i++) {
		const at = reader.at;
		const size = reader.u32('function size');
		if (size > draft.limits.functionBytesMax && size <= reader.left)
			throw new ModuleFault(
				'IM_ADMISSION_FUNCTION_SIZE',
				at,
				`function ${draft.importedFunctions + i} has ${size} bytes; the limit is ${draft.limits.functionBytesMax}`,
			);
		const start = reader.at;
		reader.skip(size, 'function body');
		draft.bodies.push({ start, end: reader.at });
	}
}

function readData(draft: Draft, reader: ByteReader): void {
	const count = reader.count('data segments', draft.limits.entriesMax);
	for (let i = 0; i < count; i++) {
		const at = reader.at;
		const flags = reader.u32('data segment flags');
		if (flags > 2) throw malformed(at, 'a data segment has unknown flags');
		if (flags === 2 && reader.u32('memory index') !== 0)
			throw new ModuleFault('IM_ADMISSION_MULTI_MEMORY', at, 'a data segment is for another memory');
		let address: number | undefined;
		if (flags !== 1) {
			const { i32 } = readConstant(reader);
			if (i32 === undefined) throw malformed(at, 'a segment offset is not an i32');
			address = i32 >>> 0;
		}
		const lengthBytes = reader.u32('data length');
		reader.skip(lengthBytes, 'data segment');
		draft.data.push({ at, address, lengthBytes });
	}
}

function checkIndices(draft: Draft): void {
	for (const type of draft.functionTypes)
		if (type >= draft.types.length) throw malformed(0, `type index ${type} does not exist`);
	for (const index of draft.elementFunctions)
		if (index >= draft.functionTypes.length) throw malformed(0, `function ${index} in a table does not exist`);
	for (const { at, kind, index } of draft.exports) {
		if (kind === 0 && index >= draft.functionTypes.length) throw malformed(at, `function ${index} does not exist`);
		if (kind === 3 && index >= draft.globals.length) throw malformed(at, `global ${index} does not exist`);
	}
}
