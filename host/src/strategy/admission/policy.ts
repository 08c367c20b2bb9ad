// Owns the rules of what a strategy module may declare: imports, exports, memory, tables, data, hooks. Reads sections only; what
// functions may do is decided opcode by opcode in function-scan.ts. Reports every breach it finds, not just the first.
import { type HookDef, hooks } from '@infermesh/sdk';
import { PAGE_BYTES } from './engine.js';
import type { AdmissionCode } from './errors.js';
import type { AdmissionLimits } from './limits.js';
import { ValueType } from './opcodes.js';
import { RESERVED_PREFIX } from './rewrite.js';
import type { ExportEntry, ImportEntry, WasmModuleData } from './wasm-reader.js';

export interface PolicyOptions {
	/** Most pages the host gives to the module's own data and stack. */
	readonly staticPagesMax: number;
	readonly hooksRequired: readonly string[] | undefined;
	readonly limits: AdmissionLimits;
}

export type Report = (code: AdmissionCode, offset: number, what: string, functionIndex?: number) => void;

const KIND_FUNCTION = 0;
const KIND_GLOBAL = 3;
const SHARED = 2;

/** Checks the declarations of a module; returns the frame's base address when it has a usable `__heap_base`. */
export function checkDeclarations(module: WasmModuleData, options: PolicyOptions, report: Report): number | undefined {
	if (module.start !== undefined) report('IM_ADMISSION_START', module.start, 'the module has a start section');
	for (const entry of module.imports) checkImport(entry, options, report);
	checkMemories(module, report);
	checkTables(module, options, report);
	for (const entry of module.exports) checkExport(module, entry, report);
	checkHooks(module, options, report);
	const heapBase = findHeapBase(module, report);
	if (heapBase !== undefined) checkHeap(module, heapBase, options, report);
	return heapBase;
}

function checkImport(entry: ImportEntry, options: PolicyOptions, report: Report): void {
	const full = `${entry.module}.${entry.name}`;
	if (entry.kind === 'function') return report('IM_ADMISSION_IMPORT_FUNCTION', entry.at, `the module imports ${full}`);
	if (entry.memory === undefined || full !== 'env.memory')
		return report('IM_ADMISSION_IMPORT', entry.at, `the module imports the ${entry.kind} ${full}`);
	if ((entry.memory.flags & SHARED) !== 0)
		report('IM_ADMISSION_SHARED_MEMORY', entry.memory.at, 'env.memory is declared as shared');
	if (entry.memory.minPages > options.staticPagesMax)
		report(
			'IM_ADMISSION_MEMORY_SIZE',
			entry.memory.at,
			`the module asks for ${entry.memory.minPages} pages; the host gives ${options.staticPagesMax}`,
		);
}

function checkMemories(module: WasmModuleData, report: Report): void {
	const imported = module.imports.filter((entry) => entry.kind === 'memory').length;
	const own = module.memories[0];
	if (imported + module.memories.length > 1)
		report('IM_ADMISSION_MULTI_MEMORY', own?.at ?? 0, 'the module has more than one memory');
	else if (own !== undefined) report('IM_ADMISSION_MEMORY', own.at, 'the module declares a memory of its own');
	else if (imported === 0) report('IM_ADMISSION_MEMORY', 0, 'the module has no memory');
	for (const memory of module.memories)
		if ((memory.flags & SHARED) !== 0)
			report('IM_ADMISSION_SHARED_MEMORY', memory.at, 'a memory is declared as shared');
}

function checkTables(module: WasmModuleData, { limits }: PolicyOptions, report: Report): void {
	const [first, second] = module.tables;
	if (second !== undefined) report('IM_ADMISSION_REFERENCE_TYPES', second.at, 'the module has more than one table');
	if (first === undefined) return;
	const entries = Math.max(first.minEntries, first.maxEntries ?? 0);
	if (entries > limits.tableEntriesMax)
		report(
			'IM_ADMISSION_TABLE_SIZE',
			first.at,
			`the table may have ${entries} entries; the limit is ${limits.tableEntriesMax}`,
		);
}

function checkExport(module: WasmModuleData, entry: ExportEntry, report: Report): void {
	if (entry.name.startsWith(RESERVED_PREFIX))
		report('IM_ADMISSION_EXPORT_RESERVED', entry.at, `the module exports ${entry.name}`);
	if (entry.kind === KIND_GLOBAL && module.globals[entry.index]?.mutable === true)
		report('IM_ADMISSION_EXPORT_MUTABLE', entry.at, `the exported global ${entry.name} is mutable`);
}

function checkHooks(module: WasmModuleData, { hooksRequired }: PolicyOptions, report: Report): void {
	const exported = new Set(module.exports.map((entry) => entry.name));
	const decides = hooks.filter((hook) => hook.required).map((hook) => hook.name);
	if (hooksRequired === undefined && !decides.some((name) => exported.has(name)))
		report('IM_ADMISSION_HOOK', 0, `the module exports neither ${decides.join(' nor ')}`);
	for (const name of hooksRequired ?? [])
		if (!exported.has(name)) report('IM_ADMISSION_HOOK', 0, `the module does not export ${name}`);
	for (const entry of module.exports) {
		const hook = hooks.find((each) => each.name === entry.name);
		if (hook === undefined || (entry.kind === KIND_FUNCTION && isHook(module, entry.index, hook))) continue;
		const index = entry.kind === KIND_FUNCTION ? entry.index : undefined;
		const signature = `(${hook.parameters.map(() => 'i32').join(', ')}) -> i32`;
		report('IM_ADMISSION_HOOK', entry.at, `the export ${entry.name} is not a function ${signature}`, index);
	}
}

function isHook(module: WasmModuleData, index: number, hook: HookDef): boolean {
	const type = module.types[module.functionTypes[index] ?? -1];
	if (type === undefined || type.params.length !== hook.parameters.length || type.results.length !== 1) return false;
	return [...type.params, ...type.results].every((each) => each === ValueType.i32);
}

function findHeapBase(module: WasmModuleData, report: Report): number | undefined {
	const entry = module.exports.find((each) => each.name === '__heap_base');
	const global = entry?.kind === KIND_GLOBAL ? module.globals[entry.index] : undefined;
	if (entry === undefined) {
		report('IM_ADMISSION_HEAP_BASE', 0, 'the module does not export __heap_base');
		return undefined;
	}
	if (global === undefined || global.mutable || global.i32 === undefined) {
		report('IM_ADMISSION_HEAP_BASE', entry.at, '__heap_base is not a constant i32');
		return undefined;
	}
	return global.i32 >>> 0;
}

function checkHeap(module: WasmModuleData, heapBase: number, options: PolicyOptions, report: Report): void {
	if (heapBase > options.staticPagesMax * PAGE_BYTES)
		report(
			'IM_ADMISSION_MEMORY_SIZE',
			0,
			`__heap_base is ${heapBase}; the host gives ${options.staticPagesMax * PAGE_BYTES} bytes`,
		);
	for (const segment of module.data) {
		const end = (segment.address ?? 0) + segment.lengthBytes;
		if (segment.address !== undefined && end > heapBase)
			report('IM_ADMISSION_DATA', segment.at, `a data segment ends at ${end}, above __heap_base ${heapBase}`);
	}
}
