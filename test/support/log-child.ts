// Owns a process that appends to a log, one entry after the other, and says what became of each: `ack N`, `full`, `room`, `stalled MS`, at last
// `failed CODE` (exit 3, without trying again) or `end` (exit 0). Run: node log-child.js FOLDER COUNT
import process from 'node:process';
import { LogThread, logThreadDefaults, segmentLogDefaults } from '@infermesh/fabric';
import { realClock } from './real-clock.js';

/** Small segments, so that a short run sees many of them. */
export const childLogOptions = {
	...logThreadDefaults,
	fullRetryMs: 50,
	log: {
		...segmentLogDefaults,
		segmentBytes: 256 * 1024,
		entryMaxBytes: 32 * 1024,
		frameMaxBytes: 64 * 1024,
		fillStepBytes: 128 * 1024,
	},
};

export const CHILD_ENTRY_BYTES = 4000;

function say(line: string): void {
	process.stdout.write(`${line}\n`);
}

async function main(folder: string, count: number): Promise<number> {
	const log = await LogThread.open(folder, realClock, childLogOptions);
	let stalledMs = 0;
	let full = false;
	const watch = realClock.every(5, () => {
		stalledMs = Math.max(stalledMs, log.stalledMs);
		if (log.full !== full) say(log.full ? 'full' : 'room');
		full = log.full;
	});
	try {
		for (let index = 1; index <= count; index++) {
			const data = new Uint8Array(CHILD_ENTRY_BYTES).fill(1 + (index % 255));
			const entry = { term: 1, index, kind: 'command' as const, data };
			await new Promise<void>((resolve, reject) =>
				log.append([{ group: 0, snapshot: undefined, entries: [entry], hardState: undefined }], resolve, reject),
			);
			say(`ack ${index}`);
		}
	} catch (error) {
		watch.cancel();
		say(`failed ${error instanceof Error && 'code' in error ? String(error.code) : String(error)}`);
		await log.close();
		return 3;
	}
	watch.cancel();
	say(`stalled ${Math.round(stalledMs)}`);
	await log.close();
	say('end');
	return 0;
}

const [, file, folder, count] = process.argv;
if (file === import.meta.filename && folder !== undefined) process.exitCode = await main(folder, Number(count));
