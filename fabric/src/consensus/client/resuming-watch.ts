// Owns a watch over connections that come and go: it opens a stream at any member, remembers the last revision it told, and opens the next stream
// from there, so that nothing is missed or told twice. A stream that shows no sign of life for `silenceMaxMs` is given up by the client's own clock:
// a paused member keeps its connection open. Where pings watch over the connection, that takes longer, and is for a member that has forgotten a watch.
import type { Clock, Random, Timer } from '@infermesh/proto';
import type { StoreEvent, Watch, WatchHandlers } from '../engine.js';
import type { Channels, Endpoint } from './channels.js';
import { backoffMs } from './failover.js';

/** For streams with a sign of life every two seconds. */
export const silenceDefaultMs = 8_000;
const readyTimeoutMs = 5_000;

/** What a stream tells. Calls after `ended` or after the stream was closed are ignored. */
export interface StreamSink {
	/** Anything came in. */
	alive(): void;
	/** Whole revisions in order; events at or before the revision asked from may be among them. */
	events(events: readonly StoreEvent[], revision: number): void;
	/** `exact` when every event up to `revision` has been told, so that the next stream may begin there. */
	progress(revision: number, exact: boolean): void;
	compacted(revision: number): void;
	/** The stream is over and another should be opened. */
	ended(error: unknown): void;
}

export interface WatchStream {
	close(): void;
}

export interface ResumingWatchOptions {
	readonly channels: Channels;
	readonly clock: Clock;
	readonly random: Random;
	readonly fromRevision: number;
	readonly handlers: WatchHandlers;
	/** A stream that tells nothing for so long is given up. */
	readonly silenceMaxMs: number;
	/** Opens a stream of what comes after `fromRevision`. */
	readonly open: (endpoint: Endpoint, fromRevision: number, sink: StreamSink) => WatchStream;
	/** Told of streams that broke and of handlers that throw. */
	readonly fault: (error: unknown) => void;
	readonly onEnd: (watch: ResumingWatch) => void;
}

export class ResumingWatch implements Watch {
	readonly #options: ResumingWatchOptions;
	#told: number;
	#ended = false;
	#stream: WatchStream | undefined;
	#silence: Timer | undefined;
	/** Streams that broke in a row without having told anything. */
	#failures = 0;

	constructor(options: ResumingWatchOptions) {
		this.#options = options;
		this.#told = options.fromRevision;
		void this.#open();
	}

	cancel(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#drop();
		this.#options.onEnd(this);
	}

	async #open(): Promise<void> {
		const { channels, open } = this.#options;
		try {
			const endpoint = await channels.ready(readyTimeoutMs);
			if (this.#ended) return;
			let current = true;
			const sink = this.#sink(
				() => current && !this.#ended,
				(error) => {
					current = false;
					channels.suspect(endpoint);
					this.#again(error);
				},
			);
			this.#stream = open(endpoint, this.#told, sink);
			this.#watchSilence(sink);
		} catch (error) {
			this.#again(error);
		}
	}

	#sink(current: () => boolean, broken: (error: unknown) => void): StreamSink {
		const { handlers } = this.#options;
		const sink: StreamSink = {
			alive: () => {
				if (current()) this.#watchSilence(sink);
			},
			events: (events, revision) => {
				if (!current() || revision <= this.#told) return;
				const fresh = events.filter((event) => revisionOf(event) > this.#told);
				this.#told = revision;
				this.#failures = 0;
				if (fresh.length > 0) this.#call(() => handlers.onEvents(fresh, revision));
			},
			progress: (revision, exact) => {
				if (!current()) return;
				this.#failures = 0;
				if (exact) this.#told = Math.max(this.#told, revision);
				this.#call(() => handlers.onProgress?.(Math.max(revision, this.#told)));
			},
			compacted: (revision) => {
				if (!current()) return;
				this.cancel();
				this.#call(() => handlers.onCompacted(revision));
			},
			ended: (error) => {
				if (current()) broken(error);
			},
		};
		return sink;
	}

	#watchSilence(sink: StreamSink): void {
		const { clock, silenceMaxMs } = this.#options;
		this.#silence?.cancel();
		const silent = (): void => sink.ended(new Error(`nothing from the watch for ${silenceMaxMs} ms`));
		this.#silence = clock.after(silenceMaxMs, silent, { unref: true });
	}

	#again(error: unknown): void {
		this.#drop();
		if (this.#ended) return;
		this.#options.fault(error);
		this.#failures++;
		const waitMs = this.#failures === 1 ? 0 : backoffMs(this.#failures - 1, this.#options.random);
		this.#options.clock.after(waitMs, () => {
			if (!this.#ended) void this.#open();
		});
	}

	#drop(): void {
		this.#silence?.cancel();
		this.#stream?.close();
		this.#stream = undefined;
	}

	/** A handler that throws ends its watch. */
	#call(call: () => void): void {
		try {
			call();
		} catch (error) {
			this.cancel();
			this.#options.fault(error);
		}
	}
}

function revisionOf(event: StoreEvent): number {
	return event.kind === 'put' ? event.current.modRevision : event.modRevision;
}
