import { readFileSync } from 'node:fs';
import test from 'ava';
import wabt from 'wabt';
import { type WasmGlobal, wasmEngine } from '../admission/engine.js';
import { gateBytes, openFuelGate } from './fuel-gate.js';

const tools = await wabt();

function assemble(text: string): Uint8Array {
	const module = tools.parseWat('gate.wat', text);
	return new Uint8Array(module.toBinary({}).buffer);
}

/** A strategy that notes what it was given, then uses 30 fuel; a frame of 7 makes it trap. */
function open() {
	const bytes = assemble(`(module
		(global $fuel (export "fuel") (mut i64) (i64.const -5))
		(global $stack (export "stack") (mut i32) (i32.const 9))
		(global (export "given") (mut i64) (i64.const 0))
		(global (export "depth") (mut i32) (i32.const 1))
		(func (export "rank") (param $frame i32) (result i32)
			(global.set 2 (global.get $fuel))
			(global.set 3 (global.get $stack))
			(global.set $fuel (i64.sub (global.get $fuel) (i64.const 30)))
			(if (i32.eq (local.get $frame) (i32.const 7)) (then unreachable))
			(i32.add (local.get $frame) (i32.const 1))))`);
	const { exports } = new wasmEngine.Instance(new wasmEngine.Module(bytes), {});
	const fuel = exports['fuel'] as WasmGlobal<bigint>;
	const gate = openFuelGate(fuel, exports['stack'] as WasmGlobal<number>, exports['rank']);
	return { gate, fuel, given: exports['given'] as WasmGlobal<bigint>, depth: exports['depth'] as WasmGlobal<number> };
}

test('the bytes are those of the text in the comment', (t) => {
	const source = readFileSync(new URL('../../../../src/strategy/runtime/fuel-gate.ts', import.meta.url), 'utf8');
	const text = [...source.matchAll(/^ \* {5}(.*)$/gm)].map((match) => match[1]).join('\n');
	t.deepEqual(gateBytes, assemble(text));
});

test('fills the fuel, clears the depth, passes the frame, and tells what is left', (t) => {
	const { gate, given, depth } = open();
	t.is(gate.rank(41, 1000), 42);
	t.is(given.value, 1000n);
	t.is(depth.value, 0);
	t.is(gate.left(), 970);
});

test('carries every budget a number can hold exactly', (t) => {
	const { gate, given } = open();
	gate.rank(0, Number.MAX_SAFE_INTEGER);
	t.is(given.value, BigInt(Number.MAX_SAFE_INTEGER));
	t.is(gate.left(), Number.MAX_SAFE_INTEGER - 30);
});

test('a trap passes through and leaves the globals as they were at the trap', (t) => {
	const { gate, fuel } = open();
	t.throws(() => gate.rank(7, 100), { instanceOf: Error, message: 'unreachable' });
	t.is(fuel.value, 70n);
});

test('refuses a rank of another type', (t) => {
	const { fuel } = open();
	const bytes = assemble(
		'(module (func (export "rank") (param f32)) (global (export "stack") (mut i32) (i32.const 0)))',
	);
	const { exports } = new wasmEngine.Instance(new wasmEngine.Module(bytes), {});
	t.throws(() => openFuelGate(fuel, exports['stack'] as WasmGlobal<number>, exports['rank']), { message: /type/ });
});
