// Owns the stream of changes: to be resumed by revision at any node, without a gap. All subscribers of a node share one watch, and nothing is queued for
// any of them: one that is slow is left behind in the store's own history, and goes on from there until it has caught up, or is told that it is gone.
import type { ConsensusEngine } from '@infermesh/fabric';
import { ChangeHistory, compacted, LiveChanges } from './changes.js';
import type { EventBatch } from './events.js';

/** What of a batch comes after a revision. */
function later(batch: EventBatch, after: number): EventBatch {
	return { events: batch.events.filter(({ revision }) => revision > after), revision: Math.max(batch.revision, after) };
}

export class EventFeed {
	readonly #engine: ConsensusEngine;
	readonly #live: LiveChanges;
	readonly #history: ChangeHistory;

	constructor(engine: ConsensusEngine) {
		this.#engine = engine;
		this.#live = new LiveChanges(engine);
		this.#history = new ChangeHistory(engine);
	}

	/**
	 * Changes after `after` (0 = from now on), until `signal` aborts; first a batch without events that says where that is. Throws IM_CONSENSUS_COMPACTED
	 * when the history is gone of what the caller has not got yet.
	 */
	async *follow(after: number, signal: AbortSignal): AsyncGenerator<EventBatch, void, undefined> {
		const live = this.#live;
		const now = await this.#now();
		let from = after === 0 ? now : after;
		let changed = Promise.withResolvers<void>();
		const wake = (): void => changed.resolve();
		live.join(now, wake);
		signal.addEventListener('abort', wake);
		try {
			yield { events: [], revision: from };
			for (let heard = live.signs; !signal.aborted; ) {
				// Made before the look, so that no change after it is slept through.
				changed = Promise.withResolvers();
				const { signs } = live;
				const batches =
					from < live.since
						? await this.#history.page(from, (revision) => revision >= live.since, signal)
						: live.after(from);
				for (const batch of batches) {
					yield later(batch, from);
					from = Math.max(from, batch.revision);
				}
				if (batches.length === 0 && signs === heard) await changed.promise;
				else if (batches.length === 0) yield { events: [], revision: from };
				heard = signs;
			}
		} finally {
			live.leave(wake);
			signal.removeEventListener('abort', wake);
		}
	}

	/** IM_CONSENSUS_COMPACTED when changes after `after` are known to be gone. */
	async check(after: number): Promise<void> {
		const { compactedRevision } = await this.#engine.status();
		if (after !== 0 && after < compactedRevision) throw compacted(after, compactedRevision);
	}

	async #now(): Promise<number> {
		const { revision } = await this.#engine.read(
			{ prefix: '' },
			{ limit: 1, keysOnly: true, consistency: 'serializable' },
		);
		return revision;
	}
}
