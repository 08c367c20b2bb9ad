// Real disk faults on a real process: a sync that fails, one that takes long, a process that is killed, a file system without room. Each test
// asserts that its fault fired.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LogThread } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { childLogOptions } from '../support/log-child.js';
import { eventually } from '../support/mesh.js';
import { program, run, temporaryFolder } from '../support/programs.js';
import { realClock } from '../support/real-clock.js';

const script = fileURLToPath(new URL('../support/log-child.js', import.meta.url));

interface Child {
	readonly process: ChildProcess;
	readonly lines: string[];
	readonly ended: Promise<number | null>;
}

function startChild(command: readonly string[], folder: string, count: number): Child {
	const line = [...command, process.execPath, script, folder, String(count)];
	const child = spawn(line[0] ?? '', line.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
	const lines: string[] = [];
	let rest = '';
	child.stdout.on('data', (bytes: Buffer) => {
		const parts = (rest + bytes.toString()).split('\n');
		rest = parts.pop() ?? '';
		lines.push(...parts);
	});
	const ended = once(child, 'close').then(([code]) => code as number | null);
	return { process: child, lines, ended };
}

function strace(trace: string, inject: string): readonly string[] {
	return [
		program('strace', 'strace'),
		'-f',
		'-qq',
		'-o',
		trace,
		'-e',
		'trace=fdatasync',
		'-e',
		`inject=fdatasync:${inject}`,
	];
}

function acknowledged(lines: readonly string[]): number {
	return lines.filter((line) => line.startsWith('ack ')).length;
}

async function entriesIn(folder: string): Promise<number> {
	const log = await LogThread.open(folder, realClock, childLogOptions);
	const count = log.recovered.get(0)?.entries.length ?? 0;
	await log.close();
	return count;
}

test('a sync that fails stops the process by name, at once, and loses nothing acknowledged', async (t) => {
	for (const when of [12, 40]) {
		const folder = temporaryFolder(t);
		const trace = path.join(folder, 'trace');
		const data = path.join(folder, 'data');
		const child = startChild(strace(trace, `error=EIO:when=${when}`), data, 1000);
		t.is(await child.ended, 3);
		const syncs = readFileSync(trace, 'utf8')
			.split('\n')
			.filter((line) => line.includes('fdatasync('));
		t.is(syncs.filter((line) => line.includes('(INJECTED)')).length, 1, 'the fault fired once');
		t.true(syncs.at(-1)?.includes('(INJECTED)'), 'nothing was synced after the failure');
		t.is(child.lines.at(-1), 'failed IM_LOG_DISK_FAILED');
		const count = acknowledged(child.lines);
		t.true(count > 0);
		const recovered = await entriesIn(data);
		t.true(recovered >= count && recovered <= count + 1, `${count} acknowledged, ${recovered} recovered`);
	}
});

test('a sync that takes long is seen while it lasts', async (t) => {
	const folder = temporaryFolder(t);
	const trace = path.join(folder, 'trace');
	const child = startChild(strace(trace, 'delay_enter=400000:when=30'), path.join(folder, 'data'), 60);
	t.is(await child.ended, 0);
	t.regex(readFileSync(trace, 'utf8'), /\(DELAYED\)/);
	const stalledMs = Number(child.lines.find((line) => line.startsWith('stalled '))?.split(' ')[1]);
	t.true(stalledMs >= 350, `${stalledMs} ms`);
	t.is(acknowledged(child.lines), 60);
});

test('a killed process loses nothing acknowledged, and leaves no lock', async (t) => {
	for (let round = 0; round < 5; round++) {
		const folder = path.join(temporaryFolder(t), 'data');
		const child = startChild([], folder, 100_000);
		await eventually('some entries', () => Promise.resolve(acknowledged(child.lines) > 50 * (round + 1)));
		child.process.kill('SIGKILL');
		t.is(await child.ended, null);
		const count = acknowledged(child.lines);
		const recovered = await entriesIn(folder);
		t.true(recovered >= count, `${count} acknowledged, ${recovered} recovered`);
	}
});

/** A file system of its own in memory; needs root. */
async function smallFileSystem(t: ExecutionContext, megabytes: number): Promise<string> {
	const folder = path.join(temporaryFolder(t), 'mount');
	mkdirSync(folder);
	const mounted = await run(program('mount', 'mount'), ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
	if (mounted.code !== 0) throw new Error(`mounting needs root: ${mounted.output}`);
	t.teardown(() => run(program('umount', 'mount'), ['-l', folder]));
	return folder;
}

test('without room writes wait, and with room again they are acknowledged', async (t) => {
	const folder = await smallFileSystem(t, 4);
	const ballast = path.join(folder, 'ballast');
	writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024));
	const child = startChild([], path.join(folder, 'data'), 700);
	await eventually('the disk is full', () => Promise.resolve(child.lines.includes('full')));
	const before = acknowledged(child.lines);
	t.true(before > 100 && before < 700);
	rmSync(ballast);
	t.is(await child.ended, 0);
	t.true(child.lines.includes('room'));
	t.is(acknowledged(child.lines), 700);
	t.is(await entriesIn(path.join(folder, 'data')), 700);
});
