// Owns one watch stream to one etcd member. Three things etcd leaves to its clients are done here: the stream requires a leader; progress is asked
// for every `progressEveryMs`, since the server's own comes every ten minutes and never from a member that hangs; and big answers come in fragments,
// which may cut a revision in two.
//
// The stream begins at the revision that was already told, not after it: etcd then knows when that one is compacted (before 3.4.25 a deletion right
// at the compacted revision is dropped without a word), and the repetition is dropped by ResumingWatch.
import type { ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import type { Clock, Timer } from '@infermesh/proto';
import type { WatchRequest, WatchResponse } from '@infermesh/proto/etcd/etcdserverpb/rpc';
import type { StreamSink, WatchStream } from '../client/resuming-watch.js';
import type { StoreEvent } from '../engine.js';
import type { EtcdKeys, Range } from './keys.js';
import { fromEvent } from './messages.js';

const progressEveryMs = 2_000;

export interface EtcdWatchOptions {
	readonly keys: EtcdKeys;
	readonly range: Range;
	readonly fromRevision: number;
	readonly clock: Clock;
	readonly sink: StreamSink;
	readonly open: (metadata: Metadata) => ClientDuplexStream<WatchRequest, WatchResponse>;
	/** Resolves with the call's metadata; a login may be needed first. */
	readonly metadata: Promise<Metadata>;
}

export class EtcdWatchStream implements WatchStream {
	readonly #options: EtcdWatchOptions;
	#call: ClientDuplexStream<WatchRequest, WatchResponse> | undefined;
	#timer: Timer | undefined;
	#closed = false;
	/** Events of a revision whose rest may come with the next fragment. */
	#cut: StoreEvent[] = [];
	/**
	 * Progress that was asked for may overtake events on its way (etcd#15220, before 3.4.25 and 3.5.8). So one is told only when the next arrives, and
	 * never used to resume from.
	 */
	#heldProgress: number | undefined;

	constructor(options: EtcdWatchOptions) {
		this.#options = options;
		options.metadata.then(
			(metadata) => this.#begin(metadata),
			(error: unknown) => options.sink.ended(error),
		);
	}

	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
		this.#call?.cancel();
	}

	#begin(metadata: Metadata): void {
		if (this.#closed) return;
		const { open, range, fromRevision, clock, sink } = this.#options;
		const call = open(metadata);
		this.#call = call;
		call.on('data', (response: WatchResponse) => this.#take(response));
		call.on('error', (error) => sink.ended(error));
		call.on('end', () => sink.ended(new Error('etcd ended the watch')));
		const startRevision = BigInt(Math.max(1, fromRevision));
		const options = { startRevision, progressNotify: true, watchId: 0n, fragment: true };
		call.write({ createRequest: { ...range, ...options } });
		this.#timer = clock.every(progressEveryMs, () => void call.write({ progressRequest: {} }), { unref: true });
	}

	#take(response: WatchResponse): void {
		const { sink, keys } = this.#options;
		sink.alive();
		if (response.canceled) {
			const compacted = Number(response.compactRevision);
			if (compacted > 0) sink.compacted(compacted);
			else sink.ended(new Error(`etcd ended the watch: ${response.cancelReason}`));
			return;
		}
		try {
			if (response.events.length > 0 || this.#cut.length > 0)
				this.#tell([...this.#cut, ...response.events.map((event) => fromEvent(keys, event))], response.fragment);
			else if (!response.created) this.#progress(response);
		} catch (error) {
			sink.ended(error);
		}
	}

	#tell(events: StoreEvent[], more: boolean): void {
		const last = events.at(-1);
		if (last === undefined) return;
		const lastRevision = revisionOf(last);
		const whole = more ? events.filter((event) => revisionOf(event) < lastRevision) : events;
		this.#cut = events.slice(whole.length);
		const told = whole.at(-1);
		if (told !== undefined) this.#options.sink.events(whole, revisionOf(told));
	}

	/** The server's own progress names this watch and comes in order; the one that was asked for names none. */
	#progress(response: WatchResponse): void {
		const revision = Number(response.header?.revision ?? 0n);
		if (response.watchId >= 0n) {
			this.#options.sink.progress(revision, true);
			return;
		}
		if (this.#heldProgress !== undefined) this.#options.sink.progress(this.#heldProgress, false);
		this.#heldProgress = revision;
	}
}

function revisionOf(event: StoreEvent): number {
	return event.kind === 'put' ? event.current.modRevision : event.modRevision;
}
