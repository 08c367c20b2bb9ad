// Imports of a module: the functions of WASI that a strategy is given run inside it and know nothing but the frame; any other is refused by name.
import { readFileSync } from 'node:fs';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import wabt from 'wabt';
import { HEADER_REQUEST_OFFSET_WORD, REQUEST_NOW_MS_WORD } from '../gen/abi.js';
import { closeImports, givenWasi } from './wasi.js';
import { withoutZeroing } from './zeroed-memory.js';

const toolkit = await wabt();

function assemble(text: string): Uint8Array<ArrayBuffer> {
	const module = toolkit.parseWat('test.wat', `(module ${text})`);
	const { buffer } = module.toBinary({});
	module.destroy();
	return Uint8Array.from(buffer);
}

const wasi = (name: string, type: string): string =>
	`(import "wasi_snapshot_preview1" "${name}" (func $${name} ${type}))`;
const HEAP_BASE = 1000;
/** Where a host places the frame: the next multiple of 64. */
const FRAME = 1024;
const REQUEST = 512;

/** Imports around the memory, calls through the table, and a function of its own whose index must stay right. */
const module = assemble(`
	${wasi('clock_time_get', '(param i32 i64 i32) (result i32)')}
	(import "env" "memory" (memory 1 1))
	${wasi('fd_write', '(param i32 i32 i32 i32) (result i32)')}
	${wasi('environ_sizes_get', '(param i32 i32) (result i32)')}
	${wasi('sched_yield', '(result i32)')}
	${wasi('fd_close', '(param i32) (result i32)')}
	${wasi('proc_exit', '(param i32)')}
	(type $nothing (func (result i32)))
	(table 2 funcref) (elem (i32.const 0) $sched_yield $own)
	(global (export "__heap_base") i32 (i32.const ${HEAP_BASE}))
	(func $own (result i32) i32.const 42)
	(func (export "through") (param i32) (result i32) (call_indirect (type $nothing) (local.get 0)))
	(func (export "clock") (param i32) (result i32) (call $clock_time_get (local.get 0) (i64.const 0) (i32.const 8)))
	(func (export "write") (param i32) (result i32) (call $fd_write (local.get 0) (i32.const 64) (i32.const 2) (i32.const 16)))
	(func (export "environment") (result i32) (call $environ_sizes_get (i32.const 24) (i32.const 28)))
	(func (export "close") (param i32) (result i32) (call $fd_close (local.get 0)))
	(func (export "leave") (call $proc_exit (i32.const 0)))`);

function open(wasm: Uint8Array<ArrayBuffer>) {
	const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
	const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env: { memory } });
	const call = (name: string, ...args: number[]): unknown =>
		(exports[name] as (...given: number[]) => unknown)(...args);
	return { view: new DataView(memory.buffer), call };
}

test('what is given of WASI is answered inside the module, from the frame', (t) => {
	const closed = closeImports(module, 'here');
	t.deepEqual(
		WebAssembly.Module.imports(new WebAssembly.Module(closed)).map(({ name }) => name),
		['memory'],
	);
	const { view, call } = open(closed);
	t.is(call('through', 0), 0);
	t.is(call('through', 1), 42, 'indices are what they were');
	t.is(call('clock', 0), 52, 'no request, no time');
	view.setUint32(FRAME + HEADER_REQUEST_OFFSET_WORD * 4, REQUEST, true);
	view.setUint32(FRAME + REQUEST + REQUEST_NOW_MS_WORD * 4, 4_000_000_001, true);
	t.is(call('clock', 1), 0);
	t.is(view.getBigUint64(8, true), 4_000_000_001_000_000n);
	for (const [at, value] of [
		[68, 5],
		[76, 7],
	] as const)
		view.setUint32(at, value, true);
	t.is(call('write', 2), 0);
	t.is(view.getUint32(16, true), 12, 'all of both vectors');
	for (const descriptor of [0, 3, -1]) t.is(call('write', descriptor), 8);
	view.setUint32(24, 9, true);
	view.setUint32(28, 9, true);
	t.is(call('environment'), 0);
	t.deepEqual([view.getUint32(24, true), view.getUint32(28, true)], [0, 0]);
	t.is(call('close', 1), 8);
	t.throws(() => call('leave'), { instanceOf: WebAssembly.RuntimeError });
});

test('every function that is given makes a valid module of its own', (t) => {
	const types: Readonly<Record<string, string>> = {
		clock_time_get: '(param i32 i64 i32) (result i32)',
		fd_close: '(param i32) (result i32)',
		fd_prestat_dir_name: '(param i32 i32 i32) (result i32)',
		fd_seek: '(param i32 i64 i32 i32) (result i32)',
		fd_write: '(param i32 i32 i32 i32) (result i32)',
		proc_exit: '(param i32)',
		sched_yield: '(result i32)',
	};
	for (const name of givenWasi) {
		const one = assemble(
			`${wasi(name, types[name] ?? '(param i32 i32) (result i32)')}(global (export "__heap_base") i32 (i32.const 0))(memory 1)(func)`,
		);
		t.true(WebAssembly.validate(closeImports(one, 'here')), name);
	}
});

test('a module without function imports stays as it is', (t) => {
	const plain = assemble('(import "env" "memory" (memory 1 1)) (func (export "rank") (result i32) i32.const 0)');
	t.is(closeImports(plain, 'here'), plain);
	const bare = assemble('(func)');
	t.is(closeImports(bare, 'here'), bare);
});

test('every import that is not given is refused by name, with what to do instead', (t) => {
	const refused = (...imports: readonly string[]): MeshError => {
		const error = t.throws(() => closeImports(assemble(`${imports.join('')}(func)`), 'src/lib.rs'), {
			instanceOf: MeshError,
		});
		t.is(error.code, 'IM_BUILD_IMPORT');
		t.is(error.where, 'src/lib.rs');
		return error;
	};
	const both = refused(
		wasi('random_get', '(param i32 i32) (result i32)'),
		wasi('sched_yield', '(result i32)'),
		'(import "env" "cosf" (func (param f32) (result f32)))',
	);
	t.is(both.message, 'it imports wasi_snapshot_preview1.random_get, env.cosf');
	t.regex(both.hint ?? '', /frame\.random.*nothing the crate is linked with defines it/);
	t.regex(refused(wasi('path_open', '(param i32)')).hint ?? '', /no files/);
	t.regex(refused(wasi('fd_read', '(param i32)')).hint ?? '', /no files/);
	t.regex(refused(wasi('sock_send', '(param i32)')).hint ?? '', /no network/);
	t.regex(refused(wasi('thread_spawn', '(param i32)')).hint ?? '', /clock_time_get/);
	// A name that every object has is no function of WASI.
	t.regex(refused(wasi('toString', '(param i32)')).message, /toString/);
});

test('the page on Rust lists what is given, and nothing else', (t) => {
	const page = readFileSync(new URL('../../../../docs/strategies-rust.md', import.meta.url), 'utf8');
	const section = page.slice(page.indexOf('## WASI'), page.indexOf('## Limits'));
	const rows = section.split('\n').filter((line) => line.startsWith('| `'));
	const named = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name));
	t.is(named.length, givenWasi.length);
	for (const name of givenWasi) t.true(named.includes(name), name);
});

test('a start that only zeroes memory is not needed; any other stays for admission to refuse', (t) => {
	const starting = (body: string) =>
		assemble(
			`(memory 1) (func $other (result i32) i32.const 1) (func $start ${body}) (start $start) (global $seen (mut i32) (i32.const 0))`,
		);
	const fill = (value: number) => `i32.const 70000 i32.const ${value} i32.const 300 memory.fill `;
	const hasStart = (wasm: Uint8Array<ArrayBuffer>) => !Buffer.from(wasm).equals(Buffer.from(withoutZeroing(wasm)));
	for (const body of ['', fill(0), fill(0) + fill(0)]) {
		const shorter = withoutZeroing(starting(body));
		t.true(hasStart(starting(body)) && WebAssembly.validate(shorter) && !hasStart(shorter), body);
	}
	for (const body of [
		fill(1),
		`${fill(0)}i32.const 1 global.set $seen`,
		'(local i32)',
		'i32.const 0 i32.const 0 i32.store',
		'unreachable',
	])
		t.false(hasStart(starting(body)), body);
	t.false(hasStart(assemble('(func)')));
});
