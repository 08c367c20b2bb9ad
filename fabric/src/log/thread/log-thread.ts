// Owns the start of the log's thread: the root that gives it a real disk, clock and randomness. Compiled to log-thread.js, which `LogThread` runs.
import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { type Clock, SeededRandom } from '@infermesh/proto';
import { releaseMemoryOnceSettled } from '../../effects/release-memory.js';
import { FileDisk } from '../file-disk.js';
import { type FolderLock, lockFolder } from '../lock.js';
import { SegmentLog } from '../segment-log.js';
import { SnapshotFiles } from '../snapshot-files.js';
import { SnapshotService } from '../snapshot-service.js';
import { LogServer } from './log-server.js';
import { type FromLogThread, type LogThreadStart, type ToLogThread, toWireError } from './messages.js';

const clock: Pick<Clock, 'nowMs' | 'after'> = {
	nowMs: () => performance.now(),
	after(delayMs, fn, options) {
		const timer = setTimeout(fn, delayMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearTimeout(timer) };
	},
};

function run(): void {
	releaseMemoryOnceSettled(clock);
	const port = parentPort;
	if (port === null) throw new Error('log-thread.js runs in a thread of its own');
	const start = workerData as LogThreadStart;
	const post = (message: FromLogThread): void => port.postMessage(message);
	let lock: FolderLock | undefined;
	try {
		lock = lockFolder(start.root);
		const disk = new FileDisk(start.root);
		const seed = randomBytes(8);
		const random = new SeededRandom(seed.readUInt32LE(0), seed.readUInt32LE(4));
		const log = SegmentLog.open(disk, random, start.log);
		const files = new SnapshotFiles(disk, start.snapshots);
		const server = new LogServer(log, new SnapshotService(files), {
			clock,
			fullRetryMs: start.fullRetryMs,
			post(message) {
				if (message.kind === 'closed') lock?.release();
				post(message);
				if (message.kind === 'closed') port.close();
			},
		});
		port.on('message', (message: ToLogThread) => server.receive(message));
		const { recovered, repairedBytes } = log;
		post({ kind: 'opened', recovered, repairedBytes, finished: files.finished, parts: files.parts });
	} catch (error) {
		lock?.release();
		post({ kind: 'refused', error: toWireError(error) });
	}
}

run();
