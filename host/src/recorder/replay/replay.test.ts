// Tests of replay: the same strategy gives every decision bit for bit, faults and draws included; what was changed, lost or hidden is found or named; other
// strategies show where they differ and why.

import { SeededRandom } from '@infermesh/proto';
import {
	COLUMN_INFLIGHT,
	COLUMN_QUEUE_DEPTH,
	columns,
	HEADER_REQUEST_OFFSET_WORD,
	HEADER_STATE_OFFSET_WORD,
	REQUEST_SESSION_WORD,
} from '@infermesh/sdk';
import test from 'ava';
import { prepareStrategy } from '../../project/prepare.js';
import { compileNative, leastQueueC, nativeModule } from '../../strategy/native/testing.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { createStateBlock, StateBlockWriter } from '../../strategy/runtime/state-block.js';
import { rankRows, written } from '../../strategy/runtime/testing.js';
import { BLOCK_HEADER_BYTES, chainOfFile, decodeBlockHeader, encodeBlockHeader, FILE_HEADER_BYTES } from '../blocks.js';
import { D, Kind, REQUEST_WORDS } from '../layout.js';
import type { RecordingFileBytes } from '../reader.js';
import { entryOf, idOf, RecordedBench } from '../testing.js';
import { Replay, replayDefaults } from './replay.js';
import type { ReplayReport } from './report.js';
import { renderReplay } from './text.js';

function replay(
	files: readonly RecordingFileBytes[],
	given: readonly StrategyModule[],
	against: readonly StrategyModule[] = [],
): ReplayReport {
	const ports = { given, against, prepare: () => Promise.reject(new Error('no module')) as never };
	return new Replay(files, { ...replayDefaults, version: 'test' }, ports).run();
}

function bench(strategy: StrategyModule, options: ConstructorParameters<typeof RecordedBench>[0] = {}): RecordedBench {
	const made = new RecordedBench(options);
	made.harness.add(strategy);
	made.harness.plan({ activeVersionId: strategy.versionId });
	made.writer.strategy(entryOf(strategy), undefined);
	return made;
}

const shipped = async (name: string, versionId: number): Promise<StrategyModule> => ({
	...(await prepareStrategy(name)).module,
	versionId,
});

/** Text that leaves the low word of the session's hash in local `session`. */
const SESSION = `(i32.load offset=${REQUEST_SESSION_WORD * 4} (i32.add (local.get $frame) (i32.load offset=${HEADER_REQUEST_OFFSET_WORD * 4} (local.get $frame))))`;

test('every decision of a shipped strategy comes out bit for bit, over rotation and with tried rows', async (t) => {
	const strategy = await shipped('hybrid_mesh', 1);
	const made = bench(strategy, { rows: 24, writer: { fileBytesMax: 60_000, blockBytes: 8192 } });
	for (let i = 0; i < 40; i++) {
		made.decide(15);
		made.decide(5, [3, 7]);
		made.drain();
	}
	const files = made.finish();
	t.true(files.length > 2);
	const report = replay(files, [strategy]);
	t.like(report.identity, { checked: 800, identical: 800, different: 0, redacted: 0, passedOver: {} });
	t.true(report.ok);
	t.false(report.partial);
	t.is(report.blocks.read, report.blocks.verified);
});

test('decisions after the whole table has changed come out bit for bit: their rows are copied by columns', async (t) => {
	const strategy = await shipped('hybrid_mesh', 1);
	const made = bench(strategy, { rows: 130 });
	const { rig } = made.harness;
	for (let i = 0; i < 40; i++) {
		for (let row = 0; row < rig.rows; row++) rig.table.setF32(COLUMN_QUEUE_DEPTH, row, rig.random.nextFloat());
		rig.table.publish();
		made.decide(5, [3, 7]);
		made.drain();
	}
	const report = replay(made.finish(), [strategy]);
	t.like(report.identity, { checked: 200, identical: 200, different: 0, redacted: 0, passedOver: {} });
	t.true(report.ok);
});

test('faults, draws and the fallback come out as they were', (t) => {
	const strategy = written(
		1,
		rankRows(
			[0, 1, 3],
			`(if (i32.eqz (i32.rem_u ${SESSION} (i32.const 5))) (then unreachable))
			(f32.store offset=36 (local.get $out) (f32.const 1))`,
		),
	);
	const made = bench(strategy);
	for (let i = 0; i < 200; i++) {
		made.decide(1);
		made.harness.settle();
	}
	const files = made.finish();
	const causes = new Set(made.decisions.map(({ out }) => out.cause));
	t.true(causes.has('trap') && causes.has('none'), [...causes].join());
	const report = replay(files, [strategy]);
	t.is(report.identity.different, 0, JSON.stringify(report.identity.differences[0]));
	t.is(report.identity.identical, 200);
});

test('a strategy that is not the one that decided is found out, decision by decision', (t) => {
	const strategy = written(1, rankRows([2, 5, 1]));
	const made = bench(strategy);
	made.decide(50);
	const files = made.finish();
	const other = { ...written(1, rankRows([2, 1, 5])), digest: strategy.digest };
	const report = replay(files, [other]);
	t.false(report.ok);
	t.is(report.identity.different, report.identity.checked);
	t.true(report.identity.differences[0]!.fields.some((field) => field.startsWith('row 1: 5 → 1')));
});

test('a score or an input that was changed is found even when every checksum and the rolling hash were made right again', async (t) => {
	const strategy = await shipped('least_request', 1);
	const made = bench(strategy, { rows: 6 });
	made.decide(80);
	const [file] = made.finish();
	t.is(replay([file!], [strategy]).identity.different, 0);
	const score = forge(file!, Kind.decision, D.words + REQUEST_WORDS + 4);
	t.false(score.tampered);
	t.is(score.identity.different, 1);
	// What is in flight at every row in the keyframe: what was decided from it comes out otherwise.
	const input = forge(
		file!,
		Kind.keyframe,
		...Array.from({ length: 6 }, (_, row) => 3 + row * columns.length + COLUMN_INFLIGHT),
	);
	t.false(input.tampered);
	t.true(input.identity.different > 0);

	function forge(
		{ name, bytes: original }: RecordingFileBytes,
		kind: number,
		...words: readonly number[]
	): ReplayReport {
		const bytes = Uint8Array.from(original);
		const u32 = new Uint32Array(bytes.buffer, 0, bytes.length / 4);
		const at = findRecord(u32, kind);
		for (const word of words) u32[at + 1 + word]! ^= 0x0080_0000;
		mend(bytes);
		return replay([{ name, bytes }], [strategy]);
	}
});

/** Word of the first record of a kind in a file. */
function findRecord(u32: Uint32Array, kind: number): number {
	for (let block = FILE_HEADER_BYTES / 4; block < u32.length; ) {
		const end = block + (BLOCK_HEADER_BYTES + u32[block + 1]!) / 4;
		for (let at = block + BLOCK_HEADER_BYTES / 4; at < end; at += 1 + (u32[at]! & 0xffffff))
			if (u32[at]! >>> 24 === kind) return at;
		block = end;
	}
	throw new Error(`no record of kind ${kind}`);
}

/** Where the payload of each block lies. */
function payloads(bytes: Uint8Array): { readonly from: number; readonly size: number }[] {
	const found: { readonly from: number; readonly size: number }[] = [];
	for (let block = FILE_HEADER_BYTES; block < bytes.length; ) {
		const size = decodeBlockHeader(bytes.subarray(block))!.payloadBytes;
		found.push({ from: block + BLOCK_HEADER_BYTES, size });
		block += BLOCK_HEADER_BYTES + size;
	}
	return found;
}

/** Makes every checksum and the rolling hash right again, as a forger would. */
function mend(bytes: Uint8Array): void {
	let chain = chainOfFile(bytes);
	for (let at = FILE_HEADER_BYTES; at < bytes.length; ) {
		const { payloadBytes, records, flags } = decodeBlockHeader(bytes.subarray(at))!;
		const payload = bytes.subarray(at + BLOCK_HEADER_BYTES, at + BLOCK_HEADER_BYTES + payloadBytes);
		const header = encodeBlockHeader(payload, records, flags, chain);
		bytes.set(header, at);
		chain = decodeBlockHeader(header)!.chain;
		at += BLOCK_HEADER_BYTES + payloadBytes;
	}
}

test('state blocks are recorded by epoch, and decisions replay under the state they were made with', (t) => {
	const strategy = written(
		1,
		`(func (export "rank") (param $frame i32) (result i32) (local $out i32)
		(local.set $out (i32.add (local.get $frame) (i32.load offset=36 (local.get $frame))))
		(i32.store offset=4 (local.get $out) (i32.const 1))
		(f32.store offset=116 (local.get $out) (f32.convert_i32_u (i32.load offset=700
			(i32.add (local.get $frame) (i32.load offset=${HEADER_STATE_OFFSET_WORD * 4} (local.get $frame))))))
		(i32.store offset=52 (local.get $out) (i32.const 1))
		(i32.const 0))`,
		{ stateBytes: 1024 },
	);
	const made = new RecordedBench();
	const shared = createStateBlock(1024);
	const state = new Uint8Array(1024);
	const writer = new StateBlockWriter(shared);
	made.harness.add(strategy);
	made.harness.decider.runtimes.addState(1, 0, shared);
	made.harness.plan({ activeVersionId: 1 });
	made.writer.strategy(entryOf(strategy), undefined);
	for (let i = 0; i < 30; i++) {
		state[700] = i;
		if (i % 3 === 0) writer.publish(state);
		made.decide(1);
	}
	const files = made.finish();
	const epochs = new Set(made.decisions.map(({ out }) => out.scores[0]));
	t.true(epochs.size >= 9);
	t.like(replay(files, [strategy]).identity, { checked: 30, identical: 30 });
});

test('answers that hang on hidden hashes are not called different, others still are', (t) => {
	const hashed = written(
		1,
		`(func (export "rank") (param $frame i32) (result i32) (local $out i32)
		(local.set $out (i32.add (local.get $frame) (i32.load offset=36 (local.get $frame))))
		(i32.store offset=4 (local.get $out) (i32.const 1))
		(i32.store offset=52 (local.get $out) (i32.rem_u ${SESSION} (i32.const 6)))
		(i32.const 0))`,
	);
	const made = bench(hashed, { hashes: 'salted' });
	made.decide(60);
	const hidden = replay(made.finish(), [hashed]);
	t.is(hidden.identity.different, 0);
	t.true(hidden.identity.redacted > 20);
	t.is(hidden.identity.redacted + hidden.identity.identical, 60);
	const kept = bench(hashed);
	kept.decide(60);
	t.is(replay(kept.finish(), [hashed]).identity.identical, 60);
	const plain = written(2, rankRows([2, 5]));
	const salted = bench(plain, { hashes: 'salted' });
	salted.decide(30);
	const wrong = { ...written(2, rankRows([5, 2])), digest: plain.digest };
	t.true(replay(salted.finish(), [wrong]).identity.different > 20);
});

test('decisions whose strategy or inputs are not at hand are passed over by name', (t) => {
	const strategy = written(1, rankRows([2, 5, 1]));
	const made = bench(strategy);
	made.decide(20);
	const report = replay(made.finish(), []);
	t.is(report.identity.passedOver['strategy missing'], 20);
	t.is(report.strategies[0]?.module, 'missing');
	t.regex(report.strategies[0]!.problem, /not in the recording/);
});

test('another strategy shows where it would have gone, why, and what the common predictor says of both', async (t) => {
	const strategy = await shipped('least_request', 1);
	const other = await shipped('hybrid_mesh', 2);
	const made = bench(strategy, { rows: 12 });
	made.decide(200);
	for (let i = 0; i < 200; i++) made.outcome(idOf(i));
	const report = replay(made.finish(), [strategy], [other, strategy]);
	t.is(report.identity.identical, 200);
	const [hybrid, itself] = report.against;
	t.is(itself!.agreed, itself!.compared);
	t.is(itself!.overlap, 1);
	t.is(itself!.regret.otherMs, itself!.regret.recordedMs);
	t.is(hybrid!.compared, 200);
	t.true(hybrid!.agreed < 200);
	t.is(hybrid!.differences.length + hybrid!.agreed, 200);
	t.true(hybrid!.regret.otherMs > 0 && hybrid!.regret.recordedMs > 0);
	t.true(hybrid!.predicted.otherMs > hybrid!.regret.otherMs);
	const difference = hybrid!.differences[0]!;
	t.not(difference.recorded?.target, difference.other?.target);
	t.true(Object.keys(difference.other!.factors).length > 0);
	t.true(Object.keys(difference.other!.columns).length > 0);
	const shares = hybrid!.targets.reduce((sum, { other: share }) => sum + share, 0);
	t.true(Math.abs(shares - 1) < 1e-9);
});

test('a native library beside the recorded strategy answers as it does, and is not metered', async (t) => {
	const strategy = await shipped('least_queue', 1);
	const library = await nativeModule(await compileNative(leastQueueC));
	const made = bench(strategy, { rows: 12 });
	made.decide(50);
	const report = replay(made.finish(), [strategy], [{ ...library, versionId: 2 }]);
	t.like(report.against[0], { compared: 50, fuelMean: null, fuelMax: null, faults: {} });
	t.regex(renderReplay(report), /^ {2}fuel {7}not metered; faults none$/m);
});

test('the same recording gives the same report', async (t) => {
	const strategy = await shipped('hybrid_mesh', 1);
	const made = bench(strategy);
	made.decide(100);
	const files = made.finish();
	const other = await shipped('least_queue', 2);
	t.deepEqual(replay(files, [strategy], [other]), replay(files, [strategy], [other]));
});

test('no recording makes a replay throw, however it was forged', async (t) => {
	const seed = 20261127;
	t.log(`seed ${seed}`);
	const random = new SeededRandom(seed, 1);
	const strategy = await shipped('least_request', 1);
	const other = await shipped('hybrid_mesh', 2);
	const made = bench(strategy, { rows: 5, writer: { blockBytes: 2048, afreshBytes: 8000 } });
	made.decide(40);
	for (let i = 0; i < 40; i++) made.outcome(idOf(i));
	const [file] = made.finish();
	let checked = 0;
	for (let round = 0; round < 120; round++) {
		const bytes = Uint8Array.from(file!.bytes);
		for (const { from, size } of payloads(bytes)) {
			// Most of the blocks stay as they are, or hardly anything would be left to decide on.
			if (size === 0 || random.nextU32() % 4 > 0) continue;
			const changes = 1 + (random.nextU32() % 3);
			for (let i = 0; i < changes; i++) bytes[from + (random.nextU32() % size)] = random.nextU32() & 0xff;
		}
		mend(bytes);
		const report = replay([{ name: 'f', bytes }], [strategy], [other]);
		checked += report.identity.checked;
		t.true(report.identity.checked <= report.decisions);
	}
	t.true(checked > 500, `${checked}`);
});
