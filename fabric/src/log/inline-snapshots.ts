// Owns the snapshot store without a thread, for the simulation: requests are carried out at once and answered after the time that the simulated
// disk says they took.
import type { SnapshotStore } from './ports.js';
import { SnapshotClient } from './snapshot-client.js';
import type { SnapshotFiles } from './snapshot-files.js';
import { type SnapshotAnswer, SnapshotService } from './snapshot-service.js';

export interface InlineSnapshotsOptions {
	/** Runs `fn` after `delayMicros` of simulated time; calls of one delay in order. */
	readonly schedule: (delayMicros: number, fn: () => void) => void;
	/** What disk calls took since this was last asked. */
	readonly takeElapsedMicros: () => number;
	readonly nowMicros: () => number;
}

export interface InlineSnapshots {
	readonly store: SnapshotStore;
	/** The process is gone: nothing more is called back. */
	kill(): void;
}

export function inlineSnapshots(files: SnapshotFiles, options: InlineSnapshotsOptions): InlineSnapshots {
	const service = new SnapshotService(files);
	let dead = false;
	/** When the last answer comes: answers keep the order of requests. */
	let lastMicros = 0;
	const store = new SnapshotClient(files.finished, files.parts, (request, answered) => {
		if (dead) return;
		let answer: SnapshotAnswer | undefined;
		let failure: Error | undefined;
		try {
			answer = service.handle(request);
		} catch (error) {
			failure = error instanceof Error ? error : new Error(String(error));
		}
		const nowMicros = options.nowMicros();
		lastMicros = Math.max(nowMicros, lastMicros) + options.takeElapsedMicros();
		options.schedule(lastMicros - nowMicros, () => {
			if (!dead) answered(answer, failure);
		});
	});
	return {
		store,
		kill: () => {
			dead = true;
		},
	};
}
