// Tests of recording and reading: what a worker decides is what the reader gives, bounds hold, nothing that identifies a prompt is kept unasked, and
// damage of any kind is named and never fatal.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { rankRows, written } from '../strategy/runtime/testing.js';
import { BLOCK_HEADER_BYTES, FILE_HEADER_BYTES } from './blocks.js';
import { RecordingReader } from './reader.js';
import { loadRecording } from './recording.js';
import { entryOf, idOf, RecordedBench } from './testing.js';

function bench(options: ConstructorParameters<typeof RecordedBench>[0] = {}): RecordedBench {
	const made = new RecordedBench(options);
	const strategy = written(1, rankRows([2, 5, 1]), { factors: ['a'] });
	made.harness.add(strategy);
	made.harness.plan({ activeVersionId: 1 });
	made.writer.strategy(entryOf(strategy), new Uint8Array([0, 97, 115, 109]));
	return made;
}

test('decisions, outcomes, strategies and targets come back as they were', (t) => {
	const made = bench();
	made.decide(200);
	made.outcome(idOf(7), { status: 'timeout', lost: true, hedge: 'copy', leg: 'decode' });
	made.outcome(idOf(7));
	const recording = loadRecording(made.finish());
	t.deepEqual(recording.issues, []);
	t.is(recording.decisions.length, 200);
	t.deepEqual(
		recording.strategies.map(({ label }) => label),
		['written@1'],
	);
	for (const [index, { id, out }] of made.decisions.entries()) {
		const { decision, targets, strategy, model } = recording.decisions[index]!;
		t.is(decision.id, id);
		t.is(decision.cause, out.cause);
		t.is(decision.fuel, out.fuel);
		t.deepEqual([...decision.rows], [...out.rows.subarray(0, out.count)]);
		t.deepEqual([...decision.scores], [...out.scores.subarray(0, out.count)]);
		t.deepEqual(
			targets,
			[...decision.rows].map((row) => `t${row}`),
		);
		t.is(strategy?.label, out.cause === 'none' ? 'written@1' : strategy?.label);
		t.is(model, 'm');
		t.is(decision.cachedTokens, 64);
		t.deepEqual([...decision.blocks], [7, 8, 9, 10]);
	}
	const { outcomes } = recording.decisions[7]!;
	t.is(outcomes.length, 2);
	t.like(outcomes[0], { status: 'timeout', lost: true, hedge: 'copy', leg: 'decode', ttftMs: 120.5 });
});

test('the state of every stream at each decision is the table’s at that moment', (t) => {
	const made = bench({ rows: 40 });
	const seen: number[][] = [];
	for (let i = 0; i < 150; i++) {
		made.decide(1);
		seen.push([...made.harness.decider.runtimes.of(made.harness.pool)!.view.load]);
	}
	const reader = new RecordingReader(made.finish());
	const f32 = new Float32Array(1);
	const u32 = new Uint32Array(f32.buffer);
	let at = 0;
	for (const event of reader.events()) {
		if (event.kind !== 'decision') continue;
		const { stream } = event;
		const loads = Array.from({ length: 40 }, (_, row) => {
			u32[0] = stream!.cells[row * stream!.columns + 14]!;
			return f32[0]!;
		});
		t.deepEqual(loads, seen[at++]);
	}
	t.is(at, 150);
});

test('every candidate has the probability it was drawn with', (t) => {
	const made = bench();
	const softmax = written(2, rankRows([0, 1, 3], '(f32.store offset=36 (local.get $out) (f32.const 1))'));
	made.harness.add(softmax);
	made.harness.plan({ activeVersionId: 2 });
	made.writer.strategy(entryOf(softmax), undefined);
	made.decide(60);
	const { decisions } = loadRecording(made.finish());
	const drawn = decisions.filter(({ decision }) => decision.drawn === 'softmax');
	t.true(drawn.length > 20);
	for (const one of drawn) {
		const candidates = one.candidates();
		const total = candidates.reduce((sum, { propensity }) => sum + propensity, 0);
		t.true(Math.abs(total - 1) < 1e-9);
		t.true(Math.abs(candidates[one.decision.chosen]!.propensity - one.decision.propensity) < 1e-6);
	}
});

test('hashes of sessions and prompts are salted unless kept: equal ones stay equal, none is the original', (t) => {
	const plain = bench();
	const salted = bench({ hashes: 'salted' });
	const dropped = bench({ hashes: 'dropped' });
	for (const one of [plain, salted, dropped]) one.decide(20);
	const [kept, hidden, gone] = [plain, salted, dropped].map((one) => loadRecording(one.finish()).decisions);
	kept!.forEach((one, index) => {
		const original = one.request();
		t.not(hidden![index]!.request().session, original.session);
		t.not(hidden![index]!.request().promptHash, original.promptHash);
		t.true(hidden![index]!.decision.redacted);
		t.is(gone![index]!.request().session, 0n);
		t.deepEqual([...gone![index]!.decision.blocks], [0, 0, 0, 0]);
		t.is(hidden![index]!.request().tokensIn, original.tokensIn);
	});
	t.deepEqual(hidden![0]!.decision.blocks, hidden![1]!.decision.blocks);
});

test('a sample is a share of the decisions, with the outcomes of those only', (t) => {
	const made = bench({ sample: 0.25 });
	made.decide(400);
	for (let i = 0; i < 400; i++) made.outcome(idOf(i));
	const { decisions, orphans } = loadRecording(made.finish());
	t.true(decisions.length > 60 && decisions.length < 140, `${decisions.length}`);
	t.is(orphans, 0);
	t.true(decisions.every(({ outcomes }) => outcomes.length === 1));
});

test('a full ring drops whole decisions, counts them, and the rest is right', (t) => {
	const made = bench({ ringBytes: 65_536 });
	made.decide(500);
	made.drain();
	made.decide(5);
	const recording = loadRecording(made.finish());
	t.true(recording.dropped > 0);
	t.is(recording.decisions.length + recording.dropped, 505);
	t.is(recording.decisions.at(-1)?.decision.id, idOf(504));
	t.deepEqual(recording.issues, []);
});

test('outcomes that find no room are counted, in the file too, and cost no decision', (t) => {
	const made = bench({ ringBytes: 65_536 });
	made.decide(20);
	made.drain();
	for (let i = 0; i < 3000; i++) made.outcome(idOf(i % 20));
	made.drain();
	const recording = loadRecording(made.finish());
	const kept = made.writer.status.outcomes;
	t.true(recording.outcomesLost > 0);
	t.is(kept + recording.outcomesLost, 3000);
	t.is(made.writer.status.outcomesLost, recording.outcomesLost);
	t.is(recording.dropped, 0);
	t.is(recording.decisions.length, 20);
	t.deepEqual(recording.issues, []);
});

test('files rotate within their bounds, and each can be read alone', (t) => {
	const made = bench({ writer: { fileBytesMax: 40_000, totalBytesMax: 200_000, blockBytes: 4096, filesMax: 4 } });
	for (let i = 0; i < 60; i++) {
		made.decide(20);
		made.drain();
	}
	const files = made.finish();
	t.true(files.length <= 4, `${files.length} files`);
	t.deepEqual(loadRecording(files).issues, []);
	for (const file of files) {
		const { decisions, issues, strategies } = loadRecording([file]);
		t.deepEqual(issues, []);
		t.is(strategies.length, 1);
		t.true(decisions.length > 0 || file === files.at(-1));
	}
});

test('a recording reads the same wherever it lies in memory', (t) => {
	const made = bench();
	made.decide(30);
	const [file] = made.finish();
	const odd = Buffer.concat([Buffer.from([0]), file!.bytes]).subarray(1);
	t.not(odd.byteOffset % 4, 0);
	const ids = (bytes: Uint8Array): string[] =>
		loadRecording([{ name: 'f', bytes }]).decisions.map(({ decision }) => decision.id);
	t.deepEqual(ids(odd), ids(file!.bytes));
	t.is(ids(odd).length, 30);
});

test('a recording cut short is used as far as it is whole, with the byte where it ends', (t) => {
	const made = bench({ writer: { blockBytes: 4096 } });
	made.decide(100);
	const [file] = made.finish();
	const whole = loadRecording([file!]).decisions.length;
	const cut = { name: file!.name, bytes: file!.bytes.subarray(0, file!.bytes.length - 500) };
	const recording = loadRecording([cut]);
	t.true(recording.partial);
	t.is(recording.issues[0]?.code, 'IM_RECORDING_TRUNCATED');
	t.regex(recording.issues[0]!.where, /test-000000\.imrec:byte \d+$/);
	t.true(recording.decisions.length > 0 && recording.decisions.length < whole);
	const atEdge = { name: 'x.imrec', bytes: file!.bytes.subarray(0, file!.bytes.length - BLOCK_HEADER_BYTES - 4) };
	t.is(loadRecording([atEdge]).issues.at(-1)?.code, 'IM_RECORDING_TRUNCATED');
});

test('a damaged block is passed over and reading goes on where the file begins anew', (t) => {
	const made = bench({ writer: { blockBytes: 4096, afreshBytes: 20_000 } });
	for (let i = 0; i < 30; i++) {
		made.decide(10);
		made.drain();
	}
	const [file] = made.finish();
	const bytes = Uint8Array.from(file!.bytes);
	const view = new DataView(bytes.buffer);
	// A block in the middle that is not one with which the file begins anew.
	let at = FILE_HEADER_BYTES;
	while (at < bytes.length / 2 || view.getUint32(at + 12, true) !== 0)
		at += BLOCK_HEADER_BYTES + view.getUint32(at + 4, true);
	bytes[at + BLOCK_HEADER_BYTES + 100]! ^= 1;
	const reader = new RecordingReader([{ name: 'd.imrec', bytes }]);
	let decisions = 0;
	let usable = 0;
	for (const event of reader.events())
		if (event.kind === 'decision') {
			decisions++;
			if (event.stream !== undefined) usable++;
		}
	t.is(reader.issues[0]?.code, 'IM_RECORDING_DAMAGED');
	t.is(reader.issues[0]?.offset, at);
	t.true(decisions < 300 && decisions > 250, `${decisions}`);
	t.true(usable > 150 && usable < decisions, `${usable} of ${decisions}`);
});

test('a change with a right checksum breaks the rolling hash', async (t) => {
	const { crc32 } = await import('node:zlib');
	const made = bench({ writer: { blockBytes: 4096 } });
	made.decide(100);
	const [file] = made.finish();
	const bytes = Uint8Array.from(file!.bytes);
	const view = new DataView(bytes.buffer);
	// The second block: change a payload byte and mend its checksum.
	const second = FILE_HEADER_BYTES + BLOCK_HEADER_BYTES + view.getUint32(FILE_HEADER_BYTES + 4, true);
	const size = view.getUint32(second + 4, true);
	bytes[second + BLOCK_HEADER_BYTES + size - 8]! ^= 1;
	view.setUint32(
		second + 16,
		crc32(bytes.subarray(second + BLOCK_HEADER_BYTES, second + BLOCK_HEADER_BYTES + size)),
		true,
	);
	const { tampered, issues } = loadRecording([{ name: 't.imrec', bytes }]);
	t.true(tampered);
	t.is(issues[0]?.where, `t.imrec:byte ${second}`);
});

test('blocks taken out, files out of order and files that are none are named', (t) => {
	const made = bench({ writer: { blockBytes: 2048, fileBytesMax: 30_000 } });
	for (let i = 0; i < 30; i++) {
		made.decide(10);
		made.drain();
	}
	const files = made.finish();
	const { bytes, name } = files[0]!;
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const second = FILE_HEADER_BYTES + BLOCK_HEADER_BYTES + view.getUint32(FILE_HEADER_BYTES + 4, true);
	const third = second + BLOCK_HEADER_BYTES + view.getUint32(second + 4, true);
	const without = { name, bytes: Buffer.concat([bytes.subarray(0, second), bytes.subarray(third)]) };
	t.true(loadRecording([without]).tampered);
	const other = bench({ writer: { fileBytesMax: 30_000 } });
	other.decide(50);
	t.true(loadRecording([other.finish()[0]!, files[1]!]).tampered);
	t.throws(() => loadRecording([{ name: 'a.txt', bytes: Buffer.from('hello') }]), { code: 'IM_RECORDING_FORMAT' });
});

test('no bytes make the reader throw or run away', (t) => {
	const seed = 20261126;
	t.log(`seed ${seed}`);
	const random = new SeededRandom(seed, 1);
	const made = bench({ rows: 5, writer: { blockBytes: 2048, afreshBytes: 8000 } });
	made.decide(60);
	for (let i = 0; i < 60; i++) made.outcome(idOf(i));
	const [file] = made.finish();
	let issues = 0;
	for (let round = 0; round < 300; round++) {
		const bytes = Uint8Array.from(file!.bytes);
		const changes = 1 + (random.nextU32() % 8);
		for (let i = 0; i < changes; i++) {
			// The file's header is what says that it is a recording; everything behind it may be anything.
			const at = FILE_HEADER_BYTES + (random.nextU32() % (bytes.length - FILE_HEADER_BYTES));
			bytes[at] = random.nextU32() & 0xff;
		}
		issues += loadRecording([{ name: 'f', bytes: bytes.subarray(0, bytes.length - (random.nextU32() % 200)) }]).issues
			.length;
	}
	t.true(issues > 300);
});

test('records that are malformed inside whole blocks are named, and others still read', async (t) => {
	const { crc32 } = await import('node:zlib');
	const random = new SeededRandom(5, 6);
	const made = bench({ rows: 5, writer: { blockBytes: 2048, afreshBytes: 8000 } });
	made.decide(60);
	const [file] = made.finish();
	let named = 0;
	for (let round = 0; round < 300; round++) {
		const bytes = Uint8Array.from(file!.bytes);
		const view = new DataView(bytes.buffer);
		// Every block's checksum is made right again, so that the records themselves are what is wrong.
		for (let at = FILE_HEADER_BYTES; at < bytes.length; ) {
			const size = view.getUint32(at + 4, true);
			const payload = bytes.subarray(at + BLOCK_HEADER_BYTES, at + BLOCK_HEADER_BYTES + size);
			if (size > 0) payload[random.nextU32() % size] = random.nextU32() & 0xff;
			view.setUint32(at + 16, crc32(payload), true);
			at += BLOCK_HEADER_BYTES + size;
		}
		named += loadRecording([{ name: 'f', bytes }]).issues.filter(({ code }) => code === 'IM_RECORDING_DAMAGED').length;
	}
	t.true(named > 0);
});
