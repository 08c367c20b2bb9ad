// What is known of a module before it runs: counted loops, folded leaves, stack bounds, worst fuel.
import test from 'ava';
import wabt from 'wabt';
import { admitModule } from './admit.js';
import type { AdmitOptions, AdmittedModule } from './result.js';
import { mustAdmit, runRank } from './testing.js';

const tools = await wabt();

function admit(code: string, options: Partial<AdmitOptions> = {}): AdmittedModule {
	const parsed = tools.parseWat(
		'test.wat',
		`(module (import "env" "memory" (memory 1)) (global (export "__heap_base") i32 (i32.const 1024)) ${code})`,
	);
	const { buffer } = parsed.toBinary({});
	parsed.destroy();
	return mustAdmit(admitModule(buffer, { memoryPages: 1, ...options }));
}

const rank = (code: string): string => `(func (export "rank") (param $f i32) (result i32)
	(local $i i32) (local $n i32) (local $k i32)
	(local.set $n (i32.load (local.get $f))) ${code} (i32.const 0))`;
const up = (
	compare: string,
	step: number,
	more = '',
): string => `(loop $l (if (${compare} (local.get $i) (local.get $n)) (then
	${more} (local.set $i (i32.add (local.get $i) (i32.const ${step}))) (br $l))))`;

const counted: ReadonlyArray<readonly [name: string, code: string]> = [
	['for i < n', up('i32.lt_s', 1)],
	['for i < n by four, unsigned', up('i32.lt_u', 4)],
	['for i <= n', up('i32.le_s', 1)],
	['for i != n', up('i32.ne', 1)],
	['with a block for continue', up('i32.lt_s', 1, '(block $c (br_if $c (local.get $k)) (local.set $k (i32.const 1)))')],
	[
		'with the bound on the left',
		'(loop $l (if (i32.gt_s (local.get $n) (local.get $i)) (then (local.set $i (i32.add (local.get $i) (i32.const 2))) (br $l))))',
	],
	[
		'with br_if out',
		'(block $out (loop $l (br_if $out (i32.ge_u (local.get $i) (local.get $n))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))',
	],
	[
		'with eqz and br_if out',
		'(block $out (loop $l (br_if $out (i32.eqz (i32.lt_u (local.get $i) (local.get $n)))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))',
	],
	[
		'do while i < n',
		'(loop $l (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))',
	],
	[
		'do while n != i',
		'(loop $l (br_if $l (i32.ne (local.get $n) (local.tee $i (i32.add (local.get $i) (i32.const 16))))))',
	],
	['do while --i', '(loop $l (br_if $l (local.tee $i (i32.add (local.get $i) (i32.const -1)))))'],
	[
		'for i >= 0 falling',
		'(loop $l (if (i32.ge_s (local.get $i) (i32.const 0)) (then (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $l))))',
	],
];
for (const [name, code] of counted)
	test(`counted: ${name}`, (t) => {
		const { stats, exports } = admit(rank(code));
		t.is(stats.loopsCounted, 1);
		t.is(exports.find((note) => note.name === 'rank')?.loops, 'counted');
	});

const uncounted: ReadonlyArray<readonly [name: string, code: string]> = [
	['no test', '(loop $l (br $l))'],
	['two back edges', up('i32.lt_s', 1, '(br_if $l (local.get $k))')],
	['the counter written twice', up('i32.lt_s', 1, '(local.set $i (i32.const 0))')],
	['the bound written', up('i32.lt_s', 1, '(local.set $n (i32.add (local.get $n) (i32.const 1)))')],
	['a return inside', up('i32.lt_s', 1, '(if (local.get $k) (then (return (i32.const 0))))')],
	[
		'a way around the back edge',
		'(loop $l (block $b (if (i32.lt_s (local.get $i) (local.get $n)) (then (br_if $b (local.get $k)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))))',
	],
	['a step of zero', up('i32.lt_s', 0)],
	['a step away from the bound', up('i32.lt_s', -1)],
	['a step too large', up('i32.lt_s', 65)],
	['a step that may miss', up('i32.ne', 3)],
	[
		'the counter as its own bound',
		'(loop $l (if (i32.lt_s (local.get $i) (local.get $i)) (then (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))',
	],
	['equality', '(loop $l (br_if $l (i32.eq (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))'],
	[
		'a bound from memory',
		'(loop $l (if (i32.lt_s (local.get $i) (i32.load (local.get $f))) (then (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))',
	],
];
for (const [name, code] of uncounted)
	test(`not counted: ${name}`, (t) => {
		const { stats, exports } = admit(rank(code));
		t.is(stats.loopsCounted, 0);
		t.is(exports.find((note) => note.name === 'rank')?.loops, 'unbounded');
	});

test('a straight line has an exact worst fuel, leaves included', (t) => {
	const admitted = admit(`(func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
		(func (export "rank") (param i32) (result i32) (i32.add (call $leaf (local.get 0)) (call $leaf (local.get 0))))`);
	const note = admitted.exports.find((each) => each.name === 'rank');
	t.is(note?.loops, 'none');
	t.is(admitted.stats.functionsFolded, 1);
	const run = runRank(admitted.wasm, 1000n);
	t.is(run.cause, 'returned');
	t.is(run.used, BigInt(note?.fuelMax ?? -1));
});

test('exported functions and functions of the table are not folded', (t) => {
	const admitted = admit(`(table 1 funcref) (elem (i32.const 0) $b)
		(func $a (export "extra") (param i32) (result i32) (local.get 0))
		(func $b (param i32) (result i32) (local.get 0))
		(func (export "rank") (param i32) (result i32)
			(i32.add (call $a (local.get 0)) (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))))`);
	t.is(admitted.stats.functionsFolded, 0);
});

test('depth is counted only where the call graph does not bound it', (t) => {
	const chain = admit(`(func $a (param i32) (result i32) (loop (nop)) (local.get 0))
		(func (export "rank") (param i32) (result i32) (call $a (local.get 0)))`);
	t.is(chain.stats.functionsCountingDepth, 0);
	t.true((chain.exports.find((note) => note.name === 'rank')?.stackSlots ?? 0) > 0);
	const recursive = `(func $down (param i32) (result i32)
			(if (result i32) (local.get 0) (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1))) (else (i32.const 0))))
		(func (export "rank") (param i32) (result i32) (call $down (i32.const 500)))`;
	const counting = admit(recursive);
	t.is(counting.stats.functionsCountingDepth, 2);
	t.is(counting.exports.find((note) => note.name === 'rank')?.stackSlots, undefined);
	t.is(counting.exports.find((note) => note.name === 'rank')?.loops, 'unbounded');
	const run = runRank(counting.wasm, 1_000_000n);
	t.is(run.cause, 'returned');
	t.is(run.status, 500);
	t.is((run.exports['__im_stack'] as { readonly value: number }).value, 0);
	t.is(runRank(admit(recursive, { stackSlotsMax: 2000 }).wasm, 1_000_000n, 2000).cause, 'stack');
});

test('several results survive the block around a body', (t) => {
	const admitted = admit(`(func $two (param i32) (result i32 i64 f32) (local $i i32)
			(loop $l (if (i32.lt_s (local.get $i) (i32.const 3)) (then (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))
			(if (local.get $i) (then (return (i32.const 7) (i64.const 5) (f32.const 3))))
			(i32.const 1) (i64.const 1) (f32.const 1))
		(func (export "rank") (param i32) (result i32) (local $x f32)
			(call $two (local.get 0)) (local.set $x) (i32.wrap_i64) (i32.add) (i32.trunc_f32_s (local.get $x)) (i32.add))`);
	const run = runRank(admitted.wasm, 10_000n);
	t.is(run.cause, 'returned');
	t.is(run.status, 15);
});

test('the digest names the source, and only the source', (t) => {
	const code = rank('');
	t.is(admit(code).digest, admit(code, { memoryPagesMax: 4 }).digest);
	t.not(admit(code).digest, admit(rank('(nop)')).digest);
	t.regex(admit(code).digest, /^[0-9a-f]{64}$/);
});

test('bulk operations cost their bytes, begun sixteens counted whole', (t) => {
	const used = (length: number): number =>
		Number(runRank(admit(rank(`(memory.fill (i32.const 0) (i32.const 0) (i32.const ${length}))`)).wasm, 100_000n).used);
	t.is(used(16) - used(0), 1);
	t.is(used(17) - used(0), 2);
	t.is(used(1024) - used(0), 64);
});
