// The composition root of the recorder's thread: takes what the workers have put into their rings, a few dozen times a second, and writes it to disk. It
// ends by itself when the disk fails; the data plane does not notice.
import { parentPort, workerData } from 'node:worker_threads';
import type { MetaEntry, StrategyEntry } from '../recorder/entries.js';
import { Redaction } from '../recorder/redaction.js';
import { RingReader } from '../recorder/ring.js';
import { RecordingWriter, type WriterOptions, type WriterStatus } from '../recorder/writer.js';
import { systemClock } from './clock.js';
import { openRecordingFolder } from './recording-folder.js';

export interface RecorderThreadStart {
	readonly dir: string;
	readonly options: WriterOptions;
	readonly meta: Omit<MetaEntry, 'file' | 'createdAtMs'>;
	/** Drawn for this recording and kept nowhere. */
	readonly salt: Uint8Array;
	/** One for each worker. */
	readonly rings: readonly SharedArrayBuffer[];
	readonly drainMs: number;
}

export type ToRecorder =
	| { readonly kind: 'strategy'; readonly entry: StrategyEntry; readonly module: Uint8Array | undefined }
	| { readonly kind: 'stop' };

export type FromRecorder =
	| { readonly kind: 'status'; readonly status: WriterStatus }
	| { readonly kind: 'failed'; readonly message: string };

/** What has gathered is on the disk after so long, however little it is. */
const FLUSH_MS = 500;

const start = workerData as RecorderThreadStart;
const agent = parentPort;
if (agent === null) throw new Error('recorder-thread.ts runs in a worker thread only');
const send = (message: FromRecorder): void => agent.postMessage(message);

const clock = systemClock;
const readers = start.rings.map((ring) => new RingReader(ring));
const dropped = readers.map(() => 0);
const outcomesLost = readers.map(() => 0);
let sinceFlushMs = 0;

const writer = new RecordingWriter(
	start.options,
	openRecordingFolder(start.dir),
	new Redaction(start.meta.hashes, start.salt),
	start.meta,
	() => clock.wallMs(),
);

function drain(): void {
	readers.forEach((reader, worker) => {
		reader.drain((kind, words, at, length) => writer.take(kind, words, at, length));
		const now = reader.dropped;
		writer.gap(worker, (now - (dropped[worker] as number)) >>> 0);
		dropped[worker] = now;
		const lost = reader.outcomesLost;
		writer.outcomeGap(worker, (lost - (outcomesLost[worker] as number)) >>> 0);
		outcomesLost[worker] = lost;
	});
}

/** Runs a piece of work on the disk; whether it could. */
function attempt(work: () => void): boolean {
	try {
		work();
		return true;
	} catch (error) {
		draining.cancel();
		send({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
		agent?.close();
		return false;
	}
}

const draining = clock.every(start.drainMs, () => {
	attempt(() => {
		drain();
		sinceFlushMs += start.drainMs;
		if (sinceFlushMs < FLUSH_MS) return;
		sinceFlushMs = 0;
		writer.flush();
		send({ kind: 'status', status: writer.status });
	});
});

agent.on('message', (message: ToRecorder) => {
	if (message.kind === 'strategy') {
		attempt(() => writer.strategy(message.entry, message.module));
		return;
	}
	const done = attempt(() => {
		drain();
		writer.close();
	});
	if (!done) return;
	draining.cancel();
	send({ kind: 'status', status: writer.status });
	agent.close();
});

attempt(() => {
	writer.open();
	send({ kind: 'status', status: writer.status });
});
