// Owns the live progress line of a load run: one line redrawn on a terminal, a line every few seconds elsewhere.
import type { ProgressSnapshot } from './collector.js';
import { formatMs, formatNumber } from './report/format.js';

/** The part of stderr that is used. */
export interface ProgressStream {
	readonly isTTY?: boolean;
	readonly columns?: number;
	write(text: string): unknown;
}

export interface ProgressRenderer {
	update(snapshot: ProgressSnapshot): void;
	/** Ends the line; call once before other output. */
	done(): void;
}

/** Away from a terminal one line per `linePeriodMs` (default 5,000) of the run's time is written, and the last. */
export function createProgress(stream: ProgressStream, linePeriodMs = 5000): ProgressRenderer {
	let lastLineMs = 0;
	let unwritten: ProgressSnapshot | undefined;
	if (stream.isTTY === true) {
		return {
			update: (snapshot) => {
				const width = Math.max(20, (stream.columns ?? 120) - 1);
				stream.write(`\r\x1b[2K${progressLine(snapshot).slice(0, width)}`);
			},
			done: () => void stream.write('\r\x1b[2K'),
		};
	}
	return {
		update: (snapshot) => {
			unwritten = snapshot;
			if (snapshot.elapsedMs - lastLineMs < linePeriodMs) return;
			lastLineMs = snapshot.elapsedMs;
			unwritten = undefined;
			stream.write(`${progressLine(snapshot)}\n`);
		},
		done: () => {
			if (unwritten !== undefined) stream.write(`${progressLine(unwritten)}\n`);
			unwritten = undefined;
		},
	};
}

export function progressLine(snapshot: ProgressSnapshot): string {
	const parts = [
		formatClock(snapshot.elapsedMs),
		`${formatNumber(snapshot.completed)} done`,
		`${formatNumber(snapshot.inFlight)} in flight`,
		`${formatNumber(snapshot.failed)} failed`,
		...(snapshot.dropped === 0 ? [] : [`${formatNumber(snapshot.dropped)} dropped`]),
		`${formatNumber(snapshot.requestsPerSecond)} req/s`,
		`${formatNumber(Math.round(snapshot.outputTokensPerSecond))} tok/s`,
		...(snapshot.ttftP50Ms === null
			? []
			: [`TTFT p50 ${formatMs(snapshot.ttftP50Ms)} p99 ${formatMs(snapshot.ttftP99Ms)}`]),
		...(snapshot.strategy === null ? [] : [snapshot.strategy]),
	];
	return parts.join('  ');
}

/** Minutes and seconds, as 02:07. */
function formatClock(elapsedMs: number): string {
	const seconds = Math.floor(elapsedMs / 1000);
	return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}
