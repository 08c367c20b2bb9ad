// Owns turning the hostile corpus into modules: one .wat file for each thing a module may try, and a few that are generated because
// they are large. The first line of a file says what must become of it; see README.md. Runs nothing.
import { readdir, readFile } from 'node:fs/promises';
import { type StrategyManifest, writeManifestSection } from '@infermesh/sdk';
import wabt from 'wabt';

/** What must become of a hostile module. */
export type Expectation =
	/** Refused at admission, with at least this code. */
	| { readonly kind: 'refused'; readonly code: string }
	/** Admitted; every call of rank ends so: out of fuel, too deep, trapped, or with an answer that is not accepted. */
	| { readonly kind: 'spent' | 'stack' | 'trap' | 'invalid' }
	/** Admitted; its answers are sound, but they are no function of the frame. */
	| { readonly kind: 'ok-but-impure' }
	/** Admitted and harmless. */
	| { readonly kind: 'ok' };

export interface HostileModule {
	/** File name without extension: what it tries. */
	readonly name: string;
	readonly expect: Expectation;
	/** Assembled, with a minimal manifest section. */
	readonly wasm: Uint8Array;
	readonly wat: string;
}

const corpus = new URL('../../hostile/', import.meta.url);

// multi_memory is understood by the assembler though its types do not list it.
const features = {
	exceptions: true,
	mutable_globals: true,
	sat_float_to_int: true,
	sign_extension: true,
	simd: true,
	threads: true,
	multi_value: true,
	tail_call: true,
	bulk_memory: true,
	reference_types: true,
	function_references: true,
	gc: true,
	memory64: true,
	multi_memory: true,
	relaxed_simd: true,
};

/** Assembles the whole corpus, sorted by name. Throws when a file does not assemble or its first line is not an expectation. */
export async function assembleHostile(): Promise<HostileModule[]> {
	const files = (await readdir(corpus)).filter((name) => name.endsWith('.wat')).sort();
	const read = await Promise.all(
		files.map(async (file) => ({
			name: file.slice(0, -'.wat'.length),
			wat: await readFile(new URL(file, corpus), 'utf8'),
		})),
	);
	const assemble = await assembler();
	const made = [...read, ...generated()].map(({ name, wat }) => ({ name, wat, wasm: assemble(name, wat) }));
	return [...made, deepNesting(assemble)].map(({ name, wat, wasm }) => ({
		name,
		expect: expectation(name, wat),
		wasm: writeManifestSection(wasm, manifest(name)),
		wat,
	}));
}

/** An assembler of WebAssembly text with every proposal on, so that modules can use what admission refuses. */
export async function assembler(): Promise<(name: string, wat: string) => Uint8Array> {
	const tools = await wabt();
	return (name, wat) => {
		const parsed = tools.parseWat(`${name}.wat`, wat, features);
		try {
			return parsed.toBinary({ write_debug_names: true }).buffer;
		} finally {
			parsed.destroy();
		}
	};
}

function expectation(name: string, wat: string): Expectation {
	const words = /^;; expect: (\S+)(?: (\S+))?$/m.exec(wat.slice(0, wat.indexOf('\n')));
	const kind = words?.[1];
	const code = words?.[2];
	if (kind === 'refused' && code !== undefined) return { kind, code };
	if (kind === 'spent' || kind === 'stack' || kind === 'trap' || kind === 'invalid') return { kind };
	if (kind === 'ok-but-impure' || kind === 'ok') return { kind };
	throw new Error(`${name}.wat does not begin with an expectation`);
}

function manifest(name: string): StrategyManifest {
	return {
		name: `hostile-${name}`,
		version: '0.0.1',
		kind: 'inference',
		abi: '1.0',
		description: 'a module that tries something it must not',
		columns: ['load'],
		hooks: ['rank'],
		config: [],
		stateBytes: 64,
		logBytes: 256,
		factors: [],
		topK: 4,
		hits: true,
		source: 'assembly/index.ts',
	};
}

/** 1,100 blocks inside each other. The assembler takes for ever over them, so they are written over as many no-operations. */
function deepNesting(assemble: (name: string, wat: string) => Uint8Array): {
	readonly name: string;
	readonly wat: string;
	readonly wasm: Uint8Array;
} {
	const depth = 1100;
	const { wat } = module('deep-nesting', 'NESTING', rank(times(depth * 3, 'nop')));
	const wasm = assemble('deep-nesting', wat);
	const nops = wasm.findIndex((_, at) => wasm.subarray(at, at + 64).every((byte) => byte === 1));
	for (let i = 0; i < depth; i++) wasm.set([0x02, 0x40], nops + i * 2);
	wasm.fill(0x0b, nops + depth * 2, nops + depth * 3);
	return { name: 'deep-nesting', wat, wasm };
}

function times(count: number, text: string): string {
	return Array.from({ length: count }, () => text).join('\n');
}

function rank(body: string): string {
	return `(func (export "rank") (param i32) (result i32)\n${body}\ni32.const 0)`;
}

function module(name: string, code: string, body: string): { readonly name: string; readonly wat: string } {
	return {
		name,
		wat: `;; expect: refused IM_ADMISSION_${code}
(module
(import "env" "memory" (memory 1))
(global (export "__heap_base") i32 (i32.const 1024))
${body})`,
	};
}

/** Modules that are large by nature: their text says what the limit is about, their size comes from a count. */
function generated(): Array<{ readonly name: string; readonly wat: string }> {
	return [
		module('huge-function', 'FUNCTION_SIZE', rank(times(22_000, 'i32.const 1\ndrop'))),
		module('huge-locals', 'LOCALS', rank(times(1000, '(local v128)'))),
		module('huge-module', 'MODULE_SIZE', `${rank('')}\n${times(20, `(func\n${times(20_000, 'i32.const 1\ndrop')})`)}`),
		module('too-many-functions', 'FUNCTION_COUNT', `${rank('')}\n${times(2000, '(func)')}`),
		module('too-many-globals', 'COUNT', `${rank('')}\n${times(2000, '(global i32 (i32.const 0))')}`),
		module('br-table-huge', 'BRANCH_TABLE', rank(`block\nlocal.get 0\nbr_table ${times(5000, '0')}\nend`)),
		module(
			'element-bomb',
			'TABLE_SIZE',
			`(table 10001 funcref)\n${rank('')}\n(elem (i32.const 0) func ${times(10_001, '0')})`,
		),
	];
}
