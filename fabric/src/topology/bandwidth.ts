// Owns the measuring of bandwidth between two nodes, on demand: bytes that mean nothing, over one connection of the mesh, bounded in number and in time,
// one measurement at a time on either side. What it finds is what one stream of the mesh carries, encryption and windows included.
import type { ServerReadableStream, ServiceError, sendUnaryData } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { type Clock, MeshError } from '@infermesh/proto';
import type { Measurement, Piece, Received, TopologyClient } from '@infermesh/proto/grpc/topology/v1/topology';
import { grpcErrorOf, meshErrorOf } from '../transport/grpc-errors.js';
import { topologyErrors } from './errors.js';

export const bandwidthBounds = Object.freeze({
	bytesMax: 64 * 1024 * 1024,
	bytesDefault: 8 * 1024 * 1024,
	durationMsMax: 10_000,
	durationMsDefault: 2000,
});

export interface BandwidthAsk {
	/** Sending stops after so many bytes, or after so long. */
	readonly bytesMax: number;
	readonly durationMsMax: number;
}

const PIECE_BYTES = 64 * 1024;
/** Connecting, and the answer to the last byte, may take this much longer. */
const GRACE_MS = 5000;

/** The sending side. One instance a node: it refuses a second measurement while one runs. */
export class BandwidthProber {
	readonly #clock: Clock;
	#busy = false;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Rejects with IM_TOPOLOGY_PROBE_BUSY, IM_TOPOLOGY_PROBE_TOO_LARGE, IM_TOPOLOGY_PROBE_TIMEOUT and IM_TOPOLOGY_UNREACHABLE. */
	async measure(client: TopologyClient, ask: BandwidthAsk): Promise<Measurement> {
		if (ask.bytesMax > bandwidthBounds.bytesMax)
			throw new MeshError(topologyErrors, 'IM_TOPOLOGY_PROBE_TOO_LARGE', `at most ${bandwidthBounds.bytesMax} bytes`);
		if (this.#busy) throw new MeshError(topologyErrors, 'IM_TOPOLOGY_PROBE_BUSY');
		this.#busy = true;
		try {
			return await this.#send(client, {
				...ask,
				durationMsMax: Math.min(ask.durationMsMax, bandwidthBounds.durationMsMax),
			});
		} finally {
			this.#busy = false;
		}
	}

	#send(client: TopologyClient, { bytesMax, durationMsMax }: BandwidthAsk): Promise<Measurement> {
		const clock = this.#clock;
		return new Promise((resolve, reject) => {
			let startMs = clock.nowMs();
			let left = bytesMax;
			const deadline = clock.wallMs() + durationMsMax + GRACE_MS;
			const call = client.receive({ deadline }, (error: ServiceError | null, reply: Received) => {
				over.cancel();
				left = 0;
				if (error !== null) reject(refusal(error));
				else resolve({ bytes: reply.bytes, durationMs: clock.nowMs() - startMs });
			});
			const over = clock.after(durationMsMax, () => {
				left = 0;
				call.end();
			});
			const piece = Buffer.alloc(PIECE_BYTES);
			const push = (): void => {
				while (left > 0) {
					const data = piece.subarray(0, Math.min(left, PIECE_BYTES));
					left -= data.length;
					if (!call.write({ data })) break;
				}
				if (left <= 0) call.end();
			};
			// The time to connect says nothing of the bandwidth: the clock starts when the first piece has gone out.
			const first = piece.subarray(0, Math.min(left, PIECE_BYTES));
			left -= first.length;
			call.write({ data: first }, () => {
				startMs = clock.nowMs();
				push();
			});
			call.on('drain', push);
		});
	}
}

function refusal(error: ServiceError): MeshError {
	const told = meshErrorOf(error, topologyErrors);
	if (Object.hasOwn(topologyErrors, told.code)) return told;
	const code = error.code === status.DEADLINE_EXCEEDED ? 'IM_TOPOLOGY_PROBE_TIMEOUT' : 'IM_TOPOLOGY_UNREACHABLE';
	return new MeshError(topologyErrors, code, told.message, { cause: told });
}

/** The receiving side: counts what comes, keeps none of it. */
export class BandwidthSink {
	readonly #clock: Clock;
	#busy = false;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	readonly receive = (call: ServerReadableStream<Piece, Received>, reply: sendUnaryData<Received>): void => {
		if (this.#busy) {
			reply(grpcErrorOf(new MeshError(topologyErrors, 'IM_TOPOLOGY_PROBE_BUSY')));
			return;
		}
		this.#busy = true;
		let bytes = 0;
		let ended = false;
		const end = (): boolean => {
			if (ended) return false;
			ended = true;
			this.#busy = false;
			over.cancel();
			return true;
		};
		const refuse = (code: keyof typeof topologyErrors, message: string): void => {
			if (end()) reply(grpcErrorOf(new MeshError(topologyErrors, code, message)));
		};
		// A sender that keeps to the bounds has ended by then; one that does not holds up the next no longer.
		const overMs = bandwidthBounds.durationMsMax + GRACE_MS;
		const over = this.#clock.after(overMs, () => refuse('IM_TOPOLOGY_PROBE_TIMEOUT', `not over after ${overMs} ms`));
		call.on('data', ({ data }: Piece) => {
			bytes += data.length;
			if (bytes > bandwidthBounds.bytesMax)
				refuse('IM_TOPOLOGY_PROBE_TOO_LARGE', `at most ${bandwidthBounds.bytesMax} bytes`);
		});
		call.on('end', () => {
			if (end()) reply(null, { bytes });
		});
		// A sender that goes away in the middle leaves nothing behind.
		call.on('error', end);
		call.on('cancelled', end);
	};
}
