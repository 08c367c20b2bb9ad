// Owns how many streams a node serves at once, over gRPC and HTTP together, and how many of them to one caller: who opens without end is refused by name
// before anybody else is.
import { MeshError } from '@infermesh/proto';
import { meshErrors } from './errors.js';

export interface StreamLimits {
	/** Streams of all callers. */
	readonly all: number;
	readonly perCaller: number;
}

/** One caller's bound is under what HTTP/2 lets it open on a connection (SecureServer's streamsMax): it is refused rather than left waiting. */
export const streamLimits: StreamLimits = Object.freeze({ all: 1024, perCaller: 64 });

export class StreamBounds {
	readonly #limits: StreamLimits;
	readonly #changed: (open: number) => void;
	readonly #byCaller = new Map<string, number>();
	#open = 0;

	/** `changed` is told how many are open whenever that has changed. */
	constructor(changed: (open: number) => void, limits: Partial<StreamLimits> = {}) {
		this.#changed = changed;
		this.#limits = { ...streamLimits, ...limits };
	}

	/** Takes in one of `caller`'s streams; what it answers is called when that has ended, once. Throws IM_NODE_STREAMS_MAX. */
	admit(caller: string): () => void {
		const { all, perCaller } = this.#limits;
		const own = this.#byCaller.get(caller) ?? 0;
		if (own >= perCaller) throw new MeshError(meshErrors, 'IM_NODE_STREAMS_MAX', `at most ${perCaller} of one caller`);
		if (this.#open >= all) throw new MeshError(meshErrors, 'IM_NODE_STREAMS_MAX', `at most ${all} of all callers`);
		this.#byCaller.set(caller, own + 1);
		this.#changed(++this.#open);
		return () => {
			const left = (this.#byCaller.get(caller) ?? 1) - 1;
			if (left > 0) this.#byCaller.set(caller, left);
			else this.#byCaller.delete(caller);
			this.#changed(--this.#open);
		};
	}
}
