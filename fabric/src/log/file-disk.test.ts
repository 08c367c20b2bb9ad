// The log on a real file system: what was appended is there after reopening, files are the owner's only, and one folder has one owner.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { DiskError } from '../effects/disk.js';
import type { Entry } from '../raft/messages.js';
import { FileDisk } from './file-disk.js';
import { lockFolder } from './lock.js';
import { segmentLogDefaults } from './options.js';
import type { LogWrite } from './ports.js';
import { SegmentLog } from './segment-log.js';

const options = { ...segmentLogDefaults, segmentBytes: 64 * 1024, frameMaxBytes: 16 * 1024, entryMaxBytes: 8 * 1024 };

function folder(t: { teardown: (fn: () => void) => void }): string {
	const path = mkdtempSync(join(tmpdir(), 'infermesh-log-'));
	t.teardown(() => rmSync(path, { recursive: true }));
	return path;
}

function entry(index: number, bytes = 100): Entry {
	return { term: 1, index, kind: 'command', data: new Uint8Array(bytes).fill(index) };
}

function write(index: number, bytes = 100): LogWrite {
	return {
		group: 0,
		snapshot: undefined,
		entries: [entry(index, bytes)],
		hardState: { term: 1, votedFor: 'a', commit: index },
	};
}

function open(root: string): SegmentLog {
	return SegmentLog.open(new FileDisk(root), new SeededRandom(1), options);
}

test('a log on a real disk is there after reopening, over many segments', (t) => {
	const root = folder(t);
	const log = open(root);
	for (let index = 1; index <= 300; index++) log.append([write(index, 900)]);
	t.true(log.segmentCount > 3);
	log.close();
	const again = open(root);
	const group = again.recovered.get(0);
	t.is(group?.entries.length, 300);
	t.deepEqual(group?.entries[299], entry(300, 900));
	t.deepEqual(group?.hardState, { term: 1, votedFor: 'a', commit: 300 });
	for (const name of readdirSync(join(root, 'log'))) t.is(statSync(join(root, 'log', name)).mode & 0o777, 0o600, name);
	t.is(statSync(join(root, 'log')).mode & 0o777, 0o700);
	again.close();
});

test('released segments are used again, and their number is bounded', (t) => {
	const root = folder(t);
	const log = open(root);
	for (let index = 1; index <= 1000; index++) {
		log.append([write(index, 900)]);
		if (index % 50 !== 0) continue;
		const membership = { voters: ['a'], outgoing: [], learners: [], learnersNext: [] };
		log.append([{ group: 0, snapshot: { index, term: 1, membership }, entries: [], hardState: undefined }]);
		log.release(0, index);
		t.true(log.segmentCount <= 3, `${log.segmentCount} segments`);
		t.true(log.spareCount <= options.sparesMax);
	}
	log.close();
	const again = open(root);
	t.is(again.recovered.get(0)?.snapshot?.index, 1000);
	t.deepEqual(again.recovered.get(0)?.entries, []);
	again.close();
});

test('a flipped bit is refused by file, offset and what to do', (t) => {
	const root = folder(t);
	const log = open(root);
	for (let index = 1; index <= 3; index++) log.append([write(index)]);
	log.close();
	const path = join(root, 'log', '0000000000000001.segment');
	const bytes = readFileSync(path);
	bytes[700] = (bytes[700] ?? 0) ^ 4;
	writeFileSync(path, bytes);
	const error = t.throws(() => open(root), { code: 'IM_LOG_CORRUPT' });
	t.regex(error?.message ?? '', /0000000000000001\.segment at byte \d+/);
	t.true(error !== undefined && 'hint' in error && /learner/.test(String(error.hint)));
});

test('an entry above the bound is refused, and the log goes on', (t) => {
	const log = open(folder(t));
	t.throws(() => log.append([write(1, 9000)]), { code: 'IM_LOG_ENTRY_TOO_LARGE' });
	log.append([write(1, 8000)]);
	t.throws(() => log.append([write(3)]), { code: 'IM_LOG_GAP' });
	log.append([write(2)]);
	t.is(log.failure, undefined);
	log.close();
});

test('the disk names what the file system refuses', (t) => {
	const disk = new FileDisk(folder(t));
	t.is(t.throws(() => disk.open('missing', { create: false }), { instanceOf: DiskError })?.fault, 'missing');
	t.deepEqual(disk.list('missing'), []);
	t.throws(() => disk.open('../outside', { create: true }), { instanceOf: RangeError });
});

test('a data folder has one owner, also after its process was killed', async (t) => {
	const root = folder(t);
	const script = `
		const { lockFolder } = await import(${JSON.stringify(new URL('./lock.js', import.meta.url).href)});
		lockFolder(${JSON.stringify(root)});
		process.stdout.write('locked');
		process.stdin.resume();`;
	const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
	await once(child.stdout, 'data');
	t.throws(() => lockFolder(root), { code: 'IM_LOG_LOCKED' });
	child.kill('SIGKILL');
	await once(child, 'exit');
	const lock = lockFolder(root);
	t.throws(() => lockFolder(root), { code: 'IM_LOG_LOCKED' });
	lock.release();
	lockFolder(root).release();
});
