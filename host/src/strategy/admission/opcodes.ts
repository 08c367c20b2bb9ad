// Owns the instruction table: for every opcode its name, immediates, stack effect, weight class, and whether it is accepted.
// An opcode that is not here is unknown, and unknown means refused. Decoding and charging belong to others.
import type { AdmissionCode } from './errors.js';
import { fuelWeights, type WeightClass } from './weights.js';

export type Immediates =
	| 'none'
	| 'block'
	| 'label'
	| 'branchTable'
	| 'func'
	| 'callIndirect'
	| 'selectTyped'
	| 'local'
	| 'global'
	| 'memarg'
	| 'memargLane'
	| 'memory'
	| 'memoryCopy'
	| 'memoryInit'
	| 'dataDrop'
	| 'i32'
	| 'i64'
	| 'bytes4'
	| 'bytes8'
	| 'bytes16'
	| 'lane'
	| 'refused';

export interface Opcode {
	readonly name: string;
	readonly immediates: Immediates;
	readonly pops: number;
	readonly pushes: number;
	readonly weightClass: WeightClass;
	readonly weight: number;
	readonly refused?: AdmissionCode;
}

/** Key of an opcode: one-byte opcodes as they are, 0xfc n at 0x100 + n, 0xfd n at 0x200 + n. */
export const PREFIX_MISC = 0x100;
export const PREFIX_SIMD = 0x200;
const KEYS = 0x400;

type Row = readonly [first: number, effect: string, immediates: Immediates, weightClass: WeightClass, names: string];

// Names of consecutive opcodes; a dash leaves a number unassigned.
const accepted: readonly Row[] = [
	[0x00, '0>0', 'none', 'free', 'unreachable nop'],
	[0x02, '0>0', 'block', 'free', 'block loop'],
	[0x04, '1>0', 'block', 'branch', 'if'],
	[0x05, '0>0', 'none', 'free', 'else'],
	[0x0b, '0>0', 'none', 'free', 'end'],
	[0x0c, '0>0', 'label', 'branch', 'br'],
	[0x0d, '1>0', 'label', 'branch', 'br_if'],
	[0x0e, '1>0', 'branchTable', 'branchTable', 'br_table'],
	[0x0f, '0>0', 'none', 'branch', 'return'],
	[0x10, '0>0', 'func', 'call', 'call'],
	[0x11, '1>0', 'callIndirect', 'callIndirect', 'call_indirect'],
	[0x1a, '1>0', 'none', 'free', 'drop'],
	[0x1b, '3>1', 'none', 'alu', 'select'],
	[0x1c, '3>1', 'selectTyped', 'alu', 'select'],
	[0x20, '0>1', 'local', 'free', 'local.get'],
	[0x21, '1>0', 'local', 'free', 'local.set'],
	[0x22, '1>1', 'local', 'free', 'local.tee'],
	[0x23, '0>1', 'global', 'global', 'global.get'],
	[0x24, '1>0', 'global', 'global', 'global.set'],
	[
		0x28,
		'1>1',
		'memarg',
		'load',
		'i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u',
	],
	[
		0x36,
		'2>0',
		'memarg',
		'store',
		'i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32',
	],
	[0x3f, '0>1', 'memory', 'alu', 'memory.size'],
	[0x41, '0>1', 'i32', 'free', 'i32.const'],
	[0x42, '0>1', 'i64', 'free', 'i64.const'],
	[0x43, '0>1', 'bytes4', 'free', 'f32.const'],
	[0x44, '0>1', 'bytes8', 'free', 'f64.const'],
	[0x45, '1>1', 'none', 'alu', 'i32.eqz'],
	[0x46, '2>1', 'none', 'alu', 'i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u'],
	[0x50, '1>1', 'none', 'alu', 'i64.eqz'],
	[0x51, '2>1', 'none', 'alu', 'i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u'],
	[0x5b, '2>1', 'none', 'float', 'f32.eq f32.ne f32.lt f32.gt f32.le f32.ge f64.eq f64.ne f64.lt f64.gt f64.le f64.ge'],
	[0x67, '1>1', 'none', 'mul', 'i32.clz i32.ctz i32.popcnt'],
	[0x6a, '2>1', 'none', 'alu', 'i32.add i32.sub'],
	[0x6c, '2>1', 'none', 'mul', 'i32.mul'],
	[0x6d, '2>1', 'none', 'div', 'i32.div_s i32.div_u i32.rem_s i32.rem_u'],
	[0x71, '2>1', 'none', 'alu', 'i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr'],
	[0x79, '1>1', 'none', 'mul', 'i64.clz i64.ctz i64.popcnt'],
	[0x7c, '2>1', 'none', 'alu', 'i64.add i64.sub'],
	[0x7e, '2>1', 'none', 'mul', 'i64.mul'],
	[0x7f, '2>1', 'none', 'div', 'i64.div_s i64.div_u i64.rem_s i64.rem_u'],
	[0x83, '2>1', 'none', 'alu', 'i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr'],
	[0x8b, '1>1', 'none', 'float', 'f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest'],
	[0x91, '1>1', 'none', 'floatDiv', 'f32.sqrt'],
	[0x92, '2>1', 'none', 'float', 'f32.add f32.sub f32.mul'],
	[0x95, '2>1', 'none', 'floatDiv', 'f32.div'],
	[0x96, '2>1', 'none', 'float', 'f32.min f32.max f32.copysign'],
	[0x99, '1>1', 'none', 'float', 'f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest'],
	[0x9f, '1>1', 'none', 'floatDiv', 'f64.sqrt'],
	[0xa0, '2>1', 'none', 'float', 'f64.add f64.sub f64.mul'],
	[0xa3, '2>1', 'none', 'floatDiv', 'f64.div'],
	[0xa4, '2>1', 'none', 'float', 'f64.min f64.max f64.copysign'],
	[0xa7, '1>1', 'none', 'alu', 'i32.wrap_i64'],
	[0xa8, '1>1', 'none', 'convert', 'i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u'],
	[0xac, '1>1', 'none', 'alu', 'i64.extend_i32_s i64.extend_i32_u'],
	[
		0xae,
		'1>1',
		'none',
		'convert',
		'i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64 f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32',
	],
	[
		0xbc,
		'1>1',
		'none',
		'alu',
		'i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64 i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s',
	],
	[
		PREFIX_MISC,
		'1>1',
		'none',
		'convert',
		'i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u',
	],
	[PREFIX_MISC + 8, '3>0', 'memoryInit', 'bulk', 'memory.init'],
	[PREFIX_MISC + 9, '0>0', 'dataDrop', 'bulk', 'data.drop'],
	[PREFIX_MISC + 10, '3>0', 'memoryCopy', 'bulk', 'memory.copy'],
	[PREFIX_MISC + 11, '3>0', 'memory', 'bulk', 'memory.fill'],
	[
		PREFIX_SIMD,
		'1>1',
		'memarg',
		'simdLoad',
		'v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u v128.load32x2_s v128.load32x2_u v128.load8_splat v128.load16_splat v128.load32_splat v128.load64_splat',
	],
	[PREFIX_SIMD + 0x0b, '2>0', 'memarg', 'simdStore', 'v128.store'],
	[PREFIX_SIMD + 0x0c, '0>1', 'bytes16', 'free', 'v128.const'],
	[PREFIX_SIMD + 0x0d, '2>1', 'bytes16', 'simdFloat', 'i8x16.shuffle'],
	[PREFIX_SIMD + 0x0e, '2>1', 'none', 'simdFloat', 'i8x16.swizzle'],
	[
		PREFIX_SIMD + 0x0f,
		'1>1',
		'none',
		'simdFloat',
		'i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat',
	],
	[PREFIX_SIMD + 0x15, '1>1', 'lane', 'simdFloat', 'i8x16.extract_lane_s i8x16.extract_lane_u'],
	[PREFIX_SIMD + 0x17, '2>1', 'lane', 'simdFloat', 'i8x16.replace_lane'],
	[PREFIX_SIMD + 0x18, '1>1', 'lane', 'simdFloat', 'i16x8.extract_lane_s i16x8.extract_lane_u'],
	[PREFIX_SIMD + 0x1a, '2>1', 'lane', 'simdFloat', 'i16x8.replace_lane'],
	[PREFIX_SIMD + 0x1b, '1>1', 'lane', 'simdFloat', 'i32x4.extract_lane'],
	[PREFIX_SIMD + 0x1c, '2>1', 'lane', 'simdFloat', 'i32x4.replace_lane'],
	[PREFIX_SIMD + 0x1d, '1>1', 'lane', 'simdFloat', 'i64x2.extract_lane'],
	[PREFIX_SIMD + 0x1e, '2>1', 'lane', 'simdFloat', 'i64x2.replace_lane'],
	[PREFIX_SIMD + 0x1f, '1>1', 'lane', 'simdFloat', 'f32x4.extract_lane'],
	[PREFIX_SIMD + 0x20, '2>1', 'lane', 'simdFloat', 'f32x4.replace_lane'],
	[PREFIX_SIMD + 0x21, '1>1', 'lane', 'simdFloat', 'f64x2.extract_lane'],
	[PREFIX_SIMD + 0x22, '2>1', 'lane', 'simdFloat', 'f64x2.replace_lane'],
	[
		PREFIX_SIMD + 0x23,
		'2>1',
		'none',
		'simd',
		'i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u i8x16.ge_s i8x16.ge_u i16x8.eq i16x8.ne i16x8.lt_s i16x8.lt_u i16x8.gt_s i16x8.gt_u i16x8.le_s i16x8.le_u i16x8.ge_s i16x8.ge_u i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u i32x4.ge_s i32x4.ge_u',
	],
	[
		PREFIX_SIMD + 0x41,
		'2>1',
		'none',
		'simdFloat',
		'f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge',
	],
	[PREFIX_SIMD + 0x4d, '1>1', 'none', 'simd', 'v128.not'],
	[PREFIX_SIMD + 0x4e, '2>1', 'none', 'simd', 'v128.and v128.andnot v128.or v128.xor'],
	[PREFIX_SIMD + 0x52, '3>1', 'none', 'simdFloat', 'v128.bitselect'],
	[PREFIX_SIMD + 0x53, '1>1', 'none', 'simdFloat', 'v128.any_true'],
	[
		PREFIX_SIMD + 0x54,
		'2>1',
		'memargLane',
		'simdLoad',
		'v128.load8_lane v128.load16_lane v128.load32_lane v128.load64_lane',
	],
	[
		PREFIX_SIMD + 0x58,
		'2>0',
		'memargLane',
		'simdStore',
		'v128.store8_lane v128.store16_lane v128.store32_lane v128.store64_lane',
	],
	[PREFIX_SIMD + 0x5c, '1>1', 'memarg', 'simdLoad', 'v128.load32_zero v128.load64_zero'],
	[PREFIX_SIMD + 0x5e, '1>1', 'none', 'simdFloat', 'f32x4.demote_f64x2_zero f64x2.promote_low_f32x4'],
	[PREFIX_SIMD + 0x60, '1>1', 'none', 'simd', 'i8x16.abs i8x16.neg'],
	[PREFIX_SIMD + 0x62, '1>1', 'none', 'simdSlow', 'i8x16.popcnt'],
	[PREFIX_SIMD + 0x63, '1>1', 'none', 'simdFloat', 'i8x16.all_true i8x16.bitmask'],
	[PREFIX_SIMD + 0x65, '2>1', 'none', 'simdFloat', 'i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u'],
	[PREFIX_SIMD + 0x67, '1>1', 'none', 'simdFloat', 'f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest'],
	[PREFIX_SIMD + 0x6b, '2>1', 'none', 'simdSlow', 'i8x16.shl i8x16.shr_s i8x16.shr_u'],
	[
		PREFIX_SIMD + 0x6e,
		'2>1',
		'none',
		'simd',
		'i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s i8x16.sub_sat_u',
	],
	[PREFIX_SIMD + 0x74, '1>1', 'none', 'simdFloat', 'f64x2.ceil f64x2.floor'],
	[PREFIX_SIMD + 0x76, '2>1', 'none', 'simd', 'i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u'],
	[PREFIX_SIMD + 0x7a, '1>1', 'none', 'simdFloat', 'f64x2.trunc'],
	[PREFIX_SIMD + 0x7b, '2>1', 'none', 'simd', 'i8x16.avgr_u'],
	[
		PREFIX_SIMD + 0x7c,
		'1>1',
		'none',
		'simdFloat',
		'i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u',
	],
	[PREFIX_SIMD + 0x80, '1>1', 'none', 'simd', 'i16x8.abs i16x8.neg'],
	[PREFIX_SIMD + 0x82, '2>1', 'none', 'simdSlow', 'i16x8.q15mulr_sat_s'],
	[PREFIX_SIMD + 0x83, '1>1', 'none', 'simdFloat', 'i16x8.all_true i16x8.bitmask'],
	[PREFIX_SIMD + 0x85, '2>1', 'none', 'simdFloat', 'i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u'],
	[
		PREFIX_SIMD + 0x87,
		'1>1',
		'none',
		'simdFloat',
		'i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u i16x8.extend_high_i8x16_u',
	],
	[PREFIX_SIMD + 0x8b, '2>1', 'none', 'simdFloat', 'i16x8.shl i16x8.shr_s i16x8.shr_u'],
	[
		PREFIX_SIMD + 0x8e,
		'2>1',
		'none',
		'simd',
		'i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s i16x8.sub_sat_u',
	],
	[PREFIX_SIMD + 0x94, '1>1', 'none', 'simdFloat', 'f64x2.nearest'],
	[
		PREFIX_SIMD + 0x95,
		'2>1',
		'none',
		'simdFloat',
		'i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u i16x8.extmul_high_i8x16_u',
	],
	[PREFIX_SIMD + 0xa0, '1>1', 'none', 'simd', 'i32x4.abs i32x4.neg'],
	[PREFIX_SIMD + 0xa3, '1>1', 'none', 'simdFloat', 'i32x4.all_true i32x4.bitmask'],
	[
		PREFIX_SIMD + 0xa7,
		'1>1',
		'none',
		'simdFloat',
		'i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u',
	],
	[PREFIX_SIMD + 0xab, '2>1', 'none', 'simdFloat', 'i32x4.shl i32x4.shr_s i32x4.shr_u'],
	[PREFIX_SIMD + 0xae, '2>1', 'none', 'simd', 'i32x4.add - - i32x4.sub'],
	[
		PREFIX_SIMD + 0xb5,
		'2>1',
		'none',
		'simdFloat',
		'i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u i32x4.dot_i16x8_s - i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u',
	],
	[PREFIX_SIMD + 0xc0, '1>1', 'none', 'simdFloat', 'i64x2.abs i64x2.neg - i64x2.all_true i64x2.bitmask'],
	[
		PREFIX_SIMD + 0xc7,
		'1>1',
		'none',
		'simdFloat',
		'i64x2.extend_low_i32x4_s i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u',
	],
	[PREFIX_SIMD + 0xcb, '2>1', 'none', 'simdSlow', 'i64x2.shl i64x2.shr_s i64x2.shr_u'],
	[PREFIX_SIMD + 0xce, '2>1', 'none', 'simd', 'i64x2.add - - i64x2.sub'],
	[
		PREFIX_SIMD + 0xd5,
		'2>1',
		'none',
		'simdSlow',
		'i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u i64x2.extmul_high_i32x4_u',
	],
	[PREFIX_SIMD + 0xe0, '1>1', 'none', 'simd', 'f32x4.abs f32x4.neg'],
	[PREFIX_SIMD + 0xe3, '1>1', 'none', 'simdDiv', 'f32x4.sqrt'],
	[PREFIX_SIMD + 0xe4, '2>1', 'none', 'simdFloat', 'f32x4.add f32x4.sub f32x4.mul'],
	[PREFIX_SIMD + 0xe7, '2>1', 'none', 'simdDiv', 'f32x4.div'],
	[PREFIX_SIMD + 0xe8, '2>1', 'none', 'simdSlow', 'f32x4.min f32x4.max'],
	[PREFIX_SIMD + 0xea, '2>1', 'none', 'simdFloat', 'f32x4.pmin f32x4.pmax'],
	[PREFIX_SIMD + 0xec, '1>1', 'none', 'simd', 'f64x2.abs f64x2.neg'],
	[PREFIX_SIMD + 0xef, '1>1', 'none', 'simdDiv', 'f64x2.sqrt'],
	[PREFIX_SIMD + 0xf0, '2>1', 'none', 'simdFloat', 'f64x2.add f64x2.sub f64x2.mul'],
	[PREFIX_SIMD + 0xf3, '2>1', 'none', 'simdDiv', 'f64x2.div'],
	[PREFIX_SIMD + 0xf4, '2>1', 'none', 'simdSlow', 'f64x2.min f64x2.max'],
	[PREFIX_SIMD + 0xf6, '2>1', 'none', 'simdFloat', 'f64x2.pmin f64x2.pmax'],
	[
		PREFIX_SIMD + 0xf8,
		'1>1',
		'none',
		'simdSlow',
		'i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u',
	],
];

type RefusedRow = readonly [first: number, last: number, code: AdmissionCode, names: string];

// Known but refused: a range and the names of its members (the last name stands for the rest of the range).
const refused: readonly RefusedRow[] = [
	[0x06, 0x0a, 'IM_ADMISSION_EXCEPTIONS', 'try catch throw rethrow throw_ref'],
	[0x12, 0x13, 'IM_ADMISSION_TAIL_CALL', 'return_call return_call_indirect'],
	[0x14, 0x14, 'IM_ADMISSION_REFERENCE_TYPES', 'call_ref'],
	[0x15, 0x15, 'IM_ADMISSION_TAIL_CALL', 'return_call_ref'],
	[0x18, 0x19, 'IM_ADMISSION_EXCEPTIONS', 'delegate catch_all'],
	[0x1f, 0x1f, 'IM_ADMISSION_EXCEPTIONS', 'try_table'],
	[0x25, 0x25, 'IM_ADMISSION_REFERENCE_TYPES', 'table.get'],
	[0x26, 0x26, 'IM_ADMISSION_TABLE_CHANGE', 'table.set'],
	[0x40, 0x40, 'IM_ADMISSION_MEMORY_GROW', 'memory.grow'],
	[0xd0, 0xd2, 'IM_ADMISSION_REFERENCE_TYPES', 'ref.null ref.is_null ref.func'],
	[0xd3, 0xd6, 'IM_ADMISSION_GC', 'ref.eq ref.as_non_null br_on_null br_on_non_null'],
	[0xe0, 0xe6, 'IM_ADMISSION_OPCODE', 'cont.new cont.bind suspend resume resume_throw resume_throw_ref switch'],
	[0xfb, 0xfb, 'IM_ADMISSION_GC', 'a garbage-collection instruction'],
	[0xfe, 0xfe, 'IM_ADMISSION_THREADS', 'an atomic instruction'],
	[PREFIX_MISC + 12, PREFIX_MISC + 12, 'IM_ADMISSION_TABLE_CHANGE', 'table.init'],
	[PREFIX_MISC + 13, PREFIX_MISC + 13, 'IM_ADMISSION_TABLE_CHANGE', 'elem.drop'],
	[PREFIX_MISC + 14, PREFIX_MISC + 15, 'IM_ADMISSION_TABLE_CHANGE', 'table.copy table.grow'],
	[PREFIX_MISC + 16, PREFIX_MISC + 16, 'IM_ADMISSION_REFERENCE_TYPES', 'table.size'],
	[PREFIX_MISC + 17, PREFIX_MISC + 17, 'IM_ADMISSION_TABLE_CHANGE', 'table.fill'],
	[PREFIX_SIMD + 0x100, PREFIX_SIMD + 0x1ff, 'IM_ADMISSION_RELAXED_SIMD', 'a relaxed SIMD instruction'],
];

function build(): ReadonlyArray<Opcode | undefined> {
	const table: Array<Opcode | undefined> = Array.from({ length: KEYS }, () => undefined);
	for (const [first, effect, immediates, weightClass, names] of accepted) {
		const [pops = 0, pushes = 0] = effect.split('>').map(Number);
		for (const [i, name] of names.split(' ').entries()) {
			if (name === '-') continue;
			if (table[first + i] !== undefined) throw new Error(`opcode ${name} is declared twice`);
			table[first + i] = { name, immediates, pops, pushes, weightClass, weight: fuelWeights[weightClass] };
		}
	}
	for (const [first, last, code, names] of refused) {
		const each = first === last || last - first > 16 ? [names] : names.split(' ');
		for (let key = first; key <= last; key++) {
			const name = each[Math.min(key - first, each.length - 1)] ?? names;
			table[key] = {
				name,
				immediates: 'refused',
				pops: 0,
				pushes: 0,
				weightClass: 'refused',
				weight: 0,
				refused: code,
			};
		}
	}
	return Object.freeze(table);
}

/** Every known opcode by key; undefined = unknown, to be refused. */
export const opcodes: ReadonlyArray<Opcode | undefined> = build();

export const Op = {
	unreachable: 0x00,
	block: 0x02,
	loop: 0x03,
	if: 0x04,
	else: 0x05,
	end: 0x0b,
	br: 0x0c,
	brIf: 0x0d,
	brTable: 0x0e,
	return: 0x0f,
	call: 0x10,
	callIndirect: 0x11,
	select: 0x1b,
	localGet: 0x20,
	localSet: 0x21,
	localTee: 0x22,
	globalGet: 0x23,
	globalSet: 0x24,
	i32Const: 0x41,
	i64Const: 0x42,
	i32Eqz: 0x45,
	i32Eq: 0x46,
	i32Ne: 0x47,
	i32LtS: 0x48,
	i32GtS: 0x4a,
	i32LeU: 0x4d,
	i32GeU: 0x4f,
	i64Ne: 0x52,
	i64LtS: 0x53,
	i64GtS: 0x55,
	i32Add: 0x6a,
	i32Sub: 0x6b,
	i64Add: 0x7c,
	i64Sub: 0x7d,
	i64Mul: 0x7e,
	i64DivU: 0x80,
	i64And: 0x83,
	i64ShrU: 0x88,
	f64Add: 0xa0,
	i64ExtendS: 0xac,
	i64ExtendU: 0xad,
	f64ConvertI32U: 0xb8,
	f64ConvertI64S: 0xb9,
	memoryInit: PREFIX_MISC + 8,
	memoryCopy: PREFIX_MISC + 10,
	memoryFill: PREFIX_MISC + 11,
} as const;

export const BLOCK_EMPTY = 0x40;
export const ValueType = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;

/** Name of a value type of the accepted set; undefined for any other byte. */
export function valueTypeName(byte: number): 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | undefined {
	switch (byte) {
		case ValueType.i32:
			return 'i32';
		case ValueType.i64:
			return 'i64';
		case ValueType.f32:
			return 'f32';
		case ValueType.f64:
			return 'f64';
		case ValueType.v128:
			return 'v128';
		default:
			return undefined;
	}
}
