// The log in its thread, on a real disk: group commit, order, recovery, snapshots, one owner, and an end that everyone hears of.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { segmentLogDefaults } from '../options.js';
import type { DurableLog, LogWrite } from '../ports.js';
import { decodeWrites, encodeWrites } from './messages.js';
import { LogThread, logThreadDefaults } from './thread-log.js';

const clock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after(delayMs, fn) {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every(periodMs, fn) {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};

const options = {
	...logThreadDefaults,
	log: { ...segmentLogDefaults, segmentBytes: 256 * 1024, frameMaxBytes: 64 * 1024, entryMaxBytes: 32 * 1024 },
};
const membership = { voters: ['a'], outgoing: [], learners: [], learnersNext: [] };

function folder(t: { teardown: (fn: () => void) => void }): string {
	const path = mkdtempSync(join(tmpdir(), 'infermesh-log-thread-'));
	t.teardown(() => rmSync(path, { recursive: true }));
	return path;
}

function write(index: number): LogWrite {
	return {
		group: 1,
		snapshot: undefined,
		entries: [{ term: 2, index, kind: 'command', data: new Uint8Array(200).fill(index) }],
		hardState: { term: 2, votedFor: 'a', commit: index - 1 },
	};
}

function append(log: DurableLog, index: number): Promise<void> {
	return new Promise((resolve, reject) => log.append([write(index)], resolve, reject));
}

test('appends are joined, acknowledged in order and there after reopening', async (t) => {
	const root = folder(t);
	const log = await LogThread.open(root, clock, options);
	const acknowledged: number[] = [];
	const all: Promise<unknown>[] = [];
	for (let index = 1; index <= 2000; index++) all.push(append(log, index).then(() => acknowledged.push(index)));
	t.true(log.queuedBytes > 0);
	await Promise.all(all);
	t.deepEqual(
		acknowledged,
		Array.from({ length: 2000 }, (_, at) => at + 1),
	);
	t.is(log.queuedBytes, 0);
	t.true(log.syncs.count < 200, `${log.syncs.count} syncs`);
	t.true(log.syncs.p50Micros > 0 && log.syncs.p99Micros >= log.syncs.p50Micros);
	await log.close();
	const again = await LogThread.open(root, clock, options);
	const group = again.recovered.get(1);
	t.is(group?.entries.length, 2000);
	t.deepEqual(group?.entries[1999], write(2000).entries[0]);
	t.is(group?.hardState.commit, 1999);
	await again.close();
});

test('a folder has one owner, a damaged log is refused by name, and a refused thread leaves no lock', async (t) => {
	const root = folder(t);
	const log = await LogThread.open(root, clock, options);
	await t.throwsAsync(LogThread.open(root, clock, options), { code: 'IM_LOG_LOCKED' });
	for (let index = 1; index <= 5; index++) await append(log, index);
	await log.close();
	await t.throwsAsync(append(log, 6), { code: 'IM_LOG_CLOSED' });
	const path = join(root, 'log', readdirSync(join(root, 'log')).find((name) => name.endsWith('.segment')) ?? '');
	const sound = readFileSync(path);
	const damaged = Buffer.from(sound);
	damaged[900] = (damaged[900] ?? 0) ^ 1;
	writeFileSync(path, damaged);
	await t.throwsAsync(LogThread.open(root, clock, options), { code: 'IM_LOG_CORRUPT' });
	writeFileSync(path, sound);
	const again = await LogThread.open(root, clock, options);
	t.is(again.recovered.get(1)?.entries.length, 5);
	await again.close();
});

test('a write that breaks the log’s order is the end, and everyone waiting hears of it', async (t) => {
	const log = await LogThread.open(folder(t), clock, options);
	await append(log, 1);
	const results = await Promise.allSettled([append(log, 3), append(log, 4), append(log, 5)]);
	for (const result of results) t.is(result.status === 'rejected' ? result.reason.code : 'done', 'IM_LOG_GAP');
	await t.throwsAsync(append(log, 2), { code: 'IM_LOG_GAP' });
	await log.close();
});

test('snapshots are written, read and released beside the log', async (t) => {
	const root = folder(t);
	const log = await LogThread.open(root, clock, options);
	const meta = { index: 1, term: 2, membership };
	await append(log, 1);
	const bytes = Buffer.alloc(300_000, 'snapshot');
	const writer = log.snapshots.create(1, meta);
	for (let at = 0; at < bytes.length; at += 100_000)
		await new Promise<void>((resolve, reject) => writer.write(bytes.subarray(at, at + 100_000), resolve, reject));
	t.is(log.snapshots.open(1, meta), undefined);
	await new Promise<void>((resolve, reject) => writer.finish(resolve, reject));
	await new Promise<void>((resolve, reject) =>
		log.append([{ group: 1, snapshot: meta, entries: [], hardState: undefined }], resolve, reject),
	);
	log.release(1, 1);
	log.snapshots.release(1, 1);
	await log.close();
	const again = await LogThread.open(root, clock, options);
	t.is(again.recovered.get(1)?.snapshot?.index, 1);
	const reader = again.snapshots.open(1, meta);
	t.is(reader?.totalBytes, bytes.length);
	const read = await new Promise<Uint8Array>((resolve, reject) => reader?.read(50_000, 200_000, resolve, reject));
	t.deepEqual(Buffer.from(read), bytes.subarray(50_000, 250_000));
	reader?.close();
	await again.close();
});

test('writes read back on the other side as they were sent', (t) => {
	const count = fc.maxSafeNat();
	const arbitrary = fc.record({
		group: fc.nat(),
		snapshot: fc.option(fc.record({ index: count, term: count, membership: fc.constant(membership) }), {
			nil: undefined,
		}),
		entries: fc
			.array(fc.uint8Array({ maxLength: 50 }))
			.map((list) => list.map((data, at) => ({ term: 3, index: 7 + at, kind: 'config' as const, data }))),
		hardState: fc.option(
			fc.record({ term: count, votedFor: fc.option(fc.string(), { nil: undefined }), commit: count }),
			{
				nil: undefined,
			},
		),
	});
	fc.assert(
		fc.property(fc.array(arbitrary), (writes) => {
			const plain = (list: readonly LogWrite[]): unknown =>
				list.map((one) => ({ ...one, entries: one.entries.map((entry) => ({ ...entry, data: [...entry.data] })) }));
			t.deepEqual(plain(decodeWrites(encodeWrites(writes))), plain(writes));
		}),
	);
});
