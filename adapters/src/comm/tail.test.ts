// Following files that grow, rotate and are cut.
import { appendFileSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { adapterFiles } from '../effects/files.js';
import { testClock, testFolder } from '../effects/testing.js';
import { FolderTail, type TailLimits } from './tail.js';

function tailOf(folder: string, limits: Partial<TailLimits> = {}) {
	const tail = new FolderTail(adapterFiles(testClock), folder, (name) => name.endsWith('.log'), limits);
	return async () => {
		const lines: string[] = [];
		const report = await tail.look((line) => lines.push(line));
		return { lines, ...report };
	};
}

test('new lines of every matching file, each once; a line that is not ended waits', async (t) => {
	const folder = testFolder(t);
	const look = tailOf(folder);
	writeFileSync(path.join(folder, 'a.log'), 'one\ntwo\nthr');
	writeFileSync(path.join(folder, 'b.txt'), 'no\n');
	t.deepEqual((await look()).lines, ['one', 'two']);
	appendFileSync(path.join(folder, 'a.log'), 'ee\n');
	writeFileSync(path.join(folder, 'b.log'), 'four\n');
	const second = await look();
	t.deepEqual(second.lines, ['three', 'four']);
	t.is(second.files, 2);
	t.deepEqual((await look()).lines, []);
});

test('characters of several bytes cut between two looks', async (t) => {
	const folder = testFolder(t);
	const look = tailOf(folder);
	const bytes = Buffer.from('größe\n');
	writeFileSync(path.join(folder, 'a.log'), bytes.subarray(0, 3));
	await look();
	appendFileSync(path.join(folder, 'a.log'), bytes.subarray(3));
	t.deepEqual((await look()).lines, ['größe']);
});

test('a file that was replaced or cut is read from its start', async (t) => {
	const folder = testFolder(t);
	const look = tailOf(folder);
	const file = path.join(folder, 'a.log');
	writeFileSync(file, 'first file\n');
	await look();
	renameSync(file, path.join(folder, 'a.old'));
	writeFileSync(file, 'second file, longer than the first\n');
	const rotated = await look();
	t.deepEqual([rotated.lines, rotated.rotated], [['second file, longer than the first'], 1]);
	truncateSync(file, 0);
	appendFileSync(file, 'cut\n');
	const cut = await look();
	t.deepEqual([cut.lines, cut.rotated], [['cut'], 1]);
	rmSync(file);
	t.deepEqual((await look()).files, 0);
});

test('what a bound leaves is read at the next look; what is too far behind is skipped, and said', async (t) => {
	const folder = testFolder(t);
	const look = tailOf(folder, { bytesPerFileMax: 20, behindMaxBytes: 100 });
	const file = path.join(folder, 'a.log');
	writeFileSync(file, 'aaaaaaaaa\n'.repeat(3));
	t.deepEqual((await look()).lines, ['aaaaaaaaa', 'aaaaaaaaa']);
	t.deepEqual((await look()).lines, ['aaaaaaaaa']);
	appendFileSync(file, `${'bbbbbbbbb\n'.repeat(50)}ccccccccc\n`);
	const behind = await look();
	t.is(behind.skippedBytes, 490);
	// The line it came in the middle of is left out.
	t.deepEqual(behind.lines, ['ccccccccc']);
});

test('a line without an end is dropped, and the next one read', async (t) => {
	const folder = testFolder(t);
	const look = tailOf(folder, { lineBytesMax: 10 });
	const file = path.join(folder, 'a.log');
	writeFileSync(file, 'x'.repeat(50));
	t.is((await look()).droppedLines, 1);
	appendFileSync(file, `${'x'.repeat(50)}\nok\n${'y'.repeat(11)}\nfine\n`);
	const second = await look();
	t.deepEqual([second.lines, second.droppedLines], [['ok', 'fine'], 1]);
});

test('files beyond the bound are left out, and a path may be one file', async (t) => {
	const folder = testFolder(t);
	for (const name of ['a.log', 'b.log', 'c.log']) writeFileSync(path.join(folder, name), `${name}\n`);
	const bounded = await tailOf(folder, { filesMax: 2 })();
	t.deepEqual([bounded.lines, bounded.unread], [['a.log', 'b.log'], ['1 files beyond the first 2']]);
	t.deepEqual((await tailOf(path.join(folder, 'a.log'))()).lines, ['a.log']);
	t.deepEqual((await tailOf(path.join(folder, 'none'))()).unread, [
		`${path.join(folder, 'none')}: no such folder or file`,
	]);
	mkdirSync(path.join(folder, 'd.log'));
	t.true((await tailOf(folder, { filesMax: 9 })()).unread[0]?.startsWith('d.log: EISDIR'));
});
