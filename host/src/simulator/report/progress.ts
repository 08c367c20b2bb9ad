// Owns the progress line of a run of simulations: a bar with the time left, redrawn on a terminal, a line every few seconds elsewhere.
import type { ProgressStream } from '../../load/progress.js';
import { formatMs } from '../../load/report/format.js';
import type { RunProgress } from '../grid/session.js';

const LINE_PERIOD_MS = 5000;
const BAR_CELLS = 24;
/** Before so much is done the time left is a guess. */
const PART_MIN = 0.01;

export interface ProgressLine {
	update(progress: RunProgress): void;
	/** Ends the line; call once before other output. */
	done(): void;
}

export function createProgress(stream: ProgressStream): ProgressLine {
	if (stream.isTTY === true) {
		return {
			update: (progress) => {
				const width = Math.max(20, (stream.columns ?? 120) - 1);
				stream.write(`\r\x1b[2K${progressLine(progress).slice(0, width)}`);
			},
			done: () => void stream.write('\r\x1b[2K'),
		};
	}
	let lastMs = 0;
	let phase = '';
	return {
		update: (progress) => {
			if (progress.phase !== phase) lastMs = 0;
			phase = progress.phase;
			if (progress.elapsedMs - lastMs < LINE_PERIOD_MS) return;
			lastMs = progress.elapsedMs;
			stream.write(`${progressLine(progress)}\n`);
		},
		done: () => {},
	};
}

export function progressLine({ phase, done, failed, total, progressed, elapsedMs }: RunProgress): string {
	const failures = failed === 0 ? [] : [`${failed} failed`];
	if (total === 0) return [phase, `${done} simulations`, ...failures, formatMs(elapsedMs)].join('  ');
	const part = Math.min(1, progressed / total);
	const filled = Math.floor(part * BAR_CELLS);
	const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}]`;
	const leftMs = part < PART_MIN ? undefined : (elapsedMs * (1 - part)) / part;
	const left = leftMs === undefined ? 'time left unknown' : `${formatMs(leftMs)} left`;
	return [`${phase} ${bar}`, `${Math.floor(part * 100)} %`, `${done} of ${total} simulations`, ...failures, left].join(
		'  ',
	);
}
