// The instruction table agrees with the engine: every accepted opcode decodes to the right length and moves as many operands as it
// says; what is not in the table is refused.
import test from 'ava';
import { admitModule } from './admit.js';
import { ByteWriter } from './byte-writer.js';
import { wasmEngine } from './engine.js';
import { Op, type Opcode, opcodes, PREFIX_MISC, PREFIX_SIMD, ValueType } from './opcodes.js';
import { buildModule } from './testing.js';

const valueTypes = Object.values(ValueType);
const control = new Set(['block', 'label', 'branchTable', 'func', 'callIndirect', 'refused']);

function writeOpcode(out: ByteWriter, key: number): ByteWriter {
	if (key >= PREFIX_SIMD) return out.u8(0xfd).u32(key - PREFIX_SIMD);
	if (key >= PREFIX_MISC) return out.u8(0xfc).u32(key - PREFIX_MISC);
	return out.u8(key);
}

const immediateBytes: Readonly<Record<string, number>> = {
	none: 0,
	local: 1,
	global: 1,
	memarg: 2,
	memargLane: 3,
	memory: 1,
	memoryCopy: 2,
	memoryInit: 2,
	dataDrop: 1,
	i32: 1,
	i64: 1,
	bytes4: 4,
	bytes8: 8,
	bytes16: 16,
	lane: 1,
};

/** All lists of `length` value types. */
function combinations(length: number): number[][] {
	if (length === 0) return [[]];
	return combinations(length - 1).flatMap((rest) => valueTypes.map((type) => rest.concat(type)));
}

function moduleWith(key: number, opcode: Opcode, params: readonly number[], results: readonly number[]): Uint8Array {
	const code = new ByteWriter(64);
	for (let i = 0; i < params.length; i++) code.u8(Op.localGet).u32(i + 1);
	writeOpcode(code, key);
	const extra = opcode.immediates === 'selectTyped' ? [1, params[0] ?? 0] : undefined;
	code.raw(Uint8Array.from(extra ?? Array.from({ length: immediateBytes[opcode.immediates] ?? 0 }, () => 0)));
	for (let i = 0; i < results.length; i++) code.u8(0x1a);
	code.u8(Op.i32Const).u8(0);
	// The operands come as parameters of a second function; rank itself is empty.
	const rank = new ByteWriter(8).u8(Op.i32Const).u8(0).finish();
	const { i32 } = ValueType;
	return buildModule({
		types: [
			{ params: [i32], results: [i32] },
			{ params: [i32, ...params], results: [i32] },
		],
		functions: [
			{ type: 0, exportAs: 'rank', locals: [], code: rank },
			{ type: 1, locals: [], code: code.finish() },
		],
		passiveData: Uint8Array.of(1),
		globals: 1,
	});
}

test('every accepted opcode has the operands and immediates the engine gives it', (t) => {
	let checked = 0;
	for (const [key, opcode] of opcodes.entries()) {
		if (opcode === undefined || control.has(opcode.immediates)) continue;
		if (key === Op.else || key === Op.end || key === Op.return || key === Op.localSet || key === Op.localTee) continue;
		const results = Array.from({ length: opcode.pushes }, () => ValueType.i32);
		const valid = combinations(opcode.pops)
			.map((params) => moduleWith(key, opcode, params, results))
			.find((bytes) => wasmEngine.validate(bytes) || opcode.name === 'global.set');
		if (valid === undefined) {
			t.fail(`${opcode.name}: the engine accepts no ${opcode.pops} operands and ${opcode.pushes} results`);
			continue;
		}
		if (!wasmEngine.validate(valid)) continue;
		const admitted = admitModule(valid, { memoryPages: 1 });
		t.true(admitted.ok, `${opcode.name}: ${admitted.ok ? '' : JSON.stringify(admitted.refusals)}`);
		checked++;
	}
	t.true(checked > 380, `${checked} opcodes`);
});

test('an opcode outside the table is refused, whatever the engine thinks of it', (t) => {
	for (let key = 0; key < opcodes.length; key++) {
		if (key === 0xfc || key === 0xfd) continue;
		const opcode = opcodes[key];
		if (opcode !== undefined && opcode.refused === undefined) continue;
		const stand: Opcode = { name: '', immediates: 'none', pops: 0, pushes: 0, weightClass: 'free', weight: 0 };
		const result = admitModule(moduleWith(key, stand, [], []), { memoryPages: 1 });
		t.false(result.ok, `key ${key} was admitted`);
		if (!result.ok) t.is(result.refusals[0]?.code, opcode?.refused ?? 'IM_ADMISSION_OPCODE', `key ${key}`);
	}
});

test('names are unique but for select, and follow the families of the specification', (t) => {
	const names = opcodes.flatMap((opcode) =>
		opcode === undefined || opcode.refused !== undefined || opcode.name === 'select' ? [] : [opcode.name],
	);
	t.is(new Set(names).size, names.length);
	t.is(opcodes[PREFIX_SIMD + 0xe4]?.name, 'f32x4.add');
	t.is(opcodes[PREFIX_SIMD + 0xff]?.name, 'f64x2.convert_low_i32x4_u');
	t.is(opcodes[0xc4]?.name, 'i64.extend32_s');
});
