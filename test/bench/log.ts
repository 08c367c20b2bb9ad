// Owns the bench of the durable log: durable appends through the log's thread, alone and grouped, beside a bare write and fdatasync of the same
// bytes on the same disk in the same rounds.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogThread, type LogWrite, logThreadDefaults } from '@infermesh/fabric';
import { realClock } from '../support/real-clock.js';
import type { Bench, BenchContext, Table } from './bench.js';
import { median, quantile } from './stats.js';

const ENTRY_BYTES = 256;
/** What the bare loop writes, and about what a frame of one entry takes. */
const BARE_BYTES = 320;
const BARE_FILE_BYTES = 16 * 1024 * 1024;

interface Round {
	readonly perS: number;
	readonly micros: Float64Array;
	readonly syncs: number;
}

class Writer {
	readonly #log: LogThread;
	#index = 0;

	constructor(log: LogThread) {
		this.#log = log;
		this.#index = log.recovered.get(0)?.entries.length ?? 0;
	}

	/** Keeps `writers` appends on their way until `count` are durable. */
	run(writers: number, count: number): Promise<Round> {
		const micros = new Float64Array(count);
		const before = this.#log.syncs.count;
		const fromMs = performance.now();
		let begun = 0;
		let done = 0;
		return new Promise((resolve, reject) => {
			const next = (): void => {
				if (begun === count) return;
				const at = begun++;
				const sinceMs = performance.now();
				this.#log.append(
					[this.#write()],
					() => {
						micros[at] = (performance.now() - sinceMs) * 1000;
						done++;
						if (done === count)
							resolve({
								perS: (count * 1000) / (performance.now() - fromMs),
								micros,
								syncs: this.#log.syncs.count - before,
							});
						else next();
					},
					reject,
				);
			};
			for (let writer = 0; writer < writers; writer++) next();
		});
	}

	#write(): LogWrite {
		const index = ++this.#index;
		const data = new Uint8Array(ENTRY_BYTES).fill(index);
		return {
			group: 0,
			snapshot: undefined,
			entries: [{ term: 1, index, kind: 'command', data }],
			hardState: undefined,
		};
	}
}

/** A zero-filled file, written over from its beginning: the least that a durable append can cost here. */
class Bare {
	readonly #handle: number;
	#offset = 0;

	constructor(file: string) {
		this.#handle = openSync(file, 'w');
		writeSync(this.#handle, Buffer.alloc(BARE_FILE_BYTES));
		fdatasyncSync(this.#handle);
	}

	run(count: number): Round {
		const bytes = Buffer.alloc(BARE_BYTES, 1);
		const micros = new Float64Array(count);
		const fromMs = performance.now();
		for (let at = 0; at < count; at++) {
			const sinceMs = performance.now();
			writeSync(this.#handle, bytes, 0, bytes.length, this.#offset);
			fdatasyncSync(this.#handle);
			micros[at] = (performance.now() - sinceMs) * 1000;
			this.#offset = (this.#offset + BARE_BYTES) % (BARE_FILE_BYTES - BARE_BYTES);
		}
		return { perS: (count * 1000) / (performance.now() - fromMs), micros, syncs: count };
	}

	close(): void {
		closeSync(this.#handle);
	}
}

function row(name: string, rounds: readonly Round[], bare: readonly Round[]): (string | number)[] {
	const perS = rounds.map((round) => round.perS);
	const all = rounds.flatMap((round) => [...round.micros]);
	const entries = rounds.reduce((total, round) => total + round.micros.length, 0);
	const syncs = rounds.reduce((total, round) => total + round.syncs, 0);
	const ratio = median(rounds.map((round, at) => round.perS / (bare[at]?.perS ?? Number.NaN)));
	return [name, median(perS), entries / syncs, quantile(all, 0.5), quantile(all, 0.99), ratio];
}

async function run(context: BenchContext): Promise<readonly Table[]> {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-bench-log-'));
	const log = await LogThread.open(path.join(folder, 'data'), realClock, logThreadDefaults);
	const bare = new Bare(path.join(folder, 'bare'));
	try {
		const writer = new Writer(log);
		const rounds = context.quick ? 2 : 9;
		const scale = context.quick ? 1 : 5;
		const shapes = [
			{ writers: 1, count: 300 * scale },
			{ writers: 64, count: 4000 * scale },
			{ writers: 1024, count: 20_000 * scale },
		];
		const results = shapes.map((): Round[] => []);
		const base: Round[] = [];
		// The first round warms the code and is not counted.
		for (let round = 0; round <= rounds; round++) {
			context.progress(`log: round ${round} of ${rounds}`);
			const least = bare.run(300 * scale);
			if (round > 0) base.push(least);
			for (const [at, { writers, count }] of shapes.entries()) {
				const result = await writer.run(writers, count);
				if (round > 0) results[at]?.push(result);
			}
		}
		const entries = shapes.reduce((total, { count }) => total + count, 0) * (rounds + 1);
		return [
			{
				title: `Durable log: entries of ${ENTRY_BYTES} bytes through the log's thread`,
				columns: ['writers', 'entries/s', 'entries/sync', 'p50 µs', 'p99 µs', '× bare'],
				rows: [
					row('bare write + fdatasync', base, base),
					...shapes.map(({ writers }, at) => row(String(writers), results[at] ?? [], base)),
				],
				notes: [
					'each entry is acknowledged after its fdatasync; latencies include the way to the thread and back',
					`encoding for the thread: ${(log.encodeMicros / entries).toFixed(2)} µs an entry; fdatasync p50 ${log.syncs.p50Micros.toFixed(0)} µs, p99 ${log.syncs.p99Micros.toFixed(0)} µs of the last syncs`,
				],
				aims: [],
			},
		];
	} finally {
		bare.close();
		await log.close();
		rmSync(folder, { recursive: true });
	}
}

export const logBench: Bench = {
	name: 'log',
	summary: 'durable appends per second, beside a bare fdatasync loop',
	run,
};
