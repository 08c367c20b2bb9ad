// Owns a strategy's published state block in shared memory: one writer (the observer in the agent), any number of workers, double-buffered
// by epoch like the fleet table. The block's meaning is the strategy's own; here it is bytes.

const EPOCH = 0;
const CONTROL_BYTES = 64;
const READ_ATTEMPTS_MAX = 16;

export interface StateBlockShared {
	readonly bytes: number;
	readonly buffer: SharedArrayBuffer;
}

/** Epoch 0 means "never written": a zeroed block. */
export function createStateBlock(bytes: number): StateBlockShared {
	return { bytes, buffer: new SharedArrayBuffer(CONTROL_BYTES + 2 * bytes) };
}

function openBuffers(shared: StateBlockShared): readonly [Uint8Array, Uint8Array] {
	return [
		new Uint8Array(shared.buffer, CONTROL_BYTES, shared.bytes),
		new Uint8Array(shared.buffer, CONTROL_BYTES + shared.bytes, shared.bytes),
	];
}

export class StateBlockWriter {
	readonly #control: Int32Array;
	readonly #buffers: readonly [Uint8Array, Uint8Array];

	constructor(shared: StateBlockShared) {
		this.#control = new Int32Array(shared.buffer, 0, CONTROL_BYTES / 4);
		this.#buffers = openBuffers(shared);
	}

	/** Publishes a copy of `state` as the next epoch and returns it. */
	publish(state: Uint8Array): number {
		const epoch = Atomics.load(this.#control, EPOCH) + 1;
		this.#buffers[(epoch & 1) as 0 | 1].set(state);
		Atomics.store(this.#control, EPOCH, epoch);
		return epoch;
	}
}

export class StateBlockReader {
	readonly bytes: number;
	readonly #control: Int32Array;
	readonly #buffers: readonly [Uint8Array, Uint8Array];

	constructor(shared: StateBlockShared) {
		this.bytes = shared.bytes;
		this.#control = new Int32Array(shared.buffer, 0, CONTROL_BYTES / 4);
		this.#buffers = openBuffers(shared);
	}

	epoch(): number {
		return Atomics.load(this.#control, EPOCH);
	}

	/** Copies the newest whole block into `into` unless it is the `known` one; returns its epoch. */
	read(into: Uint8Array, known: number): number {
		for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
			const epoch = this.epoch();
			if (epoch === known) return known;
			into.set(this.#buffers[(epoch & 1) as 0 | 1]);
			// As in the fleet table: a read-modify-write, so that no read of the copy is ordered after it.
			if (Atomics.add(this.#control, EPOCH, 0) === epoch) return epoch;
		}
		throw new Error('state block torn on every attempt: its writer publishes faster than a copy takes');
	}
}
