// Owns the sockets of one publisher of KV events: a subscription that comes back when it breaks, and the replay of what was missed. What the
// numbers of batches mean is BatchSequence's; what batches say is decoded here and handed on.
import type { Socket } from 'node:net';
import type { Clock, Random, Timer } from '@infermesh/proto';
import { encodeMessage, ZmtpFault, ZmtpPeer } from '../zmtp/frames.js';
import { decodeKvEvents, type KvEventBatch } from './events.js';
import { MsgpackError } from './msgpack.js';
import { BatchSequence, type ForgetCause } from './sequence.js';

/** `tcp://host:port`. */
export interface KvEndpoint {
	readonly host: string;
	readonly port: number;
}

export interface KvSourceOptions {
	readonly endpoint: KvEndpoint;
	readonly replay: KvEndpoint | undefined;
	/** Prefix of the topics wanted; empty = all. */
	readonly topic: string;
	readonly connectTimeoutMs: number;
	readonly replayTimeoutMs: number;
	/** First pause before a new connection; doubles up to `reconnectMsMax`. */
	readonly reconnectMs: number;
	readonly reconnectMsMax: number;
	readonly messageBytesMax: number;
	/** Batches that wait while older ones are replayed. */
	readonly waitingMax: number;
}

export const kvSourceDefaults: Omit<KvSourceOptions, 'endpoint' | 'replay'> = {
	topic: '',
	connectTimeoutMs: 2000,
	replayTimeoutMs: 5000,
	reconnectMs: 100,
	reconnectMsMax: 5000,
	messageBytesMax: 16 * 1024 * 1024,
	waitingMax: 1024,
};

export type ReplayResult = 'done' | 'failed';

export interface KvSourceEvents {
	batch(batch: KvEventBatch): void;
	/** Nothing that was known of this publisher holds any more. */
	forget(cause: ForgetCause | 'unreadable'): void;
	live(live: boolean): void;
	gap(missing: number): void;
	replayed(result: ReplayResult): void;
	/** A connection failed or ended, with why. It is tried again. */
	broken(reason: string): void;
}

export interface KvSourcePorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly connect: (endpoint: KvEndpoint) => Socket;
}

/** Number of a batch that ends a replay: all bits set. */
const END = 0xffff_ffff_ffff_ffffn;

/** Undefined when it is no `tcp://host:port`. */
export function parseKvEndpoint(text: string): KvEndpoint | undefined {
	const match = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]*]+)):(\d{1,5})$/.exec(text);
	const port = Number(match?.[3] ?? 0);
	const host = match?.[1] ?? match?.[2];
	return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

export class KvEventSource {
	readonly #options: KvSourceOptions;
	readonly #ports: KvSourcePorts;
	readonly #events: KvSourceEvents;
	readonly #sequence: BatchSequence;
	#socket: Socket | undefined;
	#replaySocket: Socket | undefined;
	#retry: Timer | undefined;
	#failures = 0;
	#closed = false;

	constructor(options: KvSourceOptions, ports: KvSourcePorts, events: KvSourceEvents) {
		this.#options = options;
		this.#ports = ports;
		this.#events = events;
		this.#sequence = new BatchSequence(
			{ replays: options.replay !== undefined, waitingMax: options.waitingMax },
			{
				apply: (payload) => this.#apply(payload),
				forget: (cause) => events.forget(cause),
				askReplay: (from) => this.#replay(from),
				gap: (missing) => events.gap(missing),
				live: (live) => events.live(live),
			},
		);
	}

	start(): void {
		this.#subscribe();
	}

	close(): void {
		this.#closed = true;
		this.#retry?.cancel();
		this.#socket?.destroy();
		this.#replaySocket?.destroy();
	}

	#apply(payload: Uint8Array): void {
		let batch: KvEventBatch;
		try {
			batch = decodeKvEvents(payload);
		} catch (error) {
			if (!(error instanceof MsgpackError)) throw error;
			// It may have said that blocks are gone.
			this.#events.forget('unreadable');
			return;
		}
		this.#events.batch(batch);
	}

	#subscribe(): void {
		const { endpoint, topic, connectTimeoutMs, messageBytesMax } = this.#options;
		let ready = false;
		const socket = this.#ports.connect(endpoint);
		this.#socket = socket;
		const peer = new ZmtpPeer(
			'SUB',
			{
				onReady: () => {
					ready = true;
					this.#failures = 0;
					overdue.cancel();
					socket.write(encodeMessage([Buffer.concat([Buffer.of(1), Buffer.from(topic)])]));
					this.#sequence.connected();
				},
				onMessage: (frames) => {
					const number = batchNumber(frames.at(-2));
					const payload = frames.at(-1);
					if (number === undefined || payload === undefined || frames.length > 3)
						throw new ZmtpFault('frame', 'a message is no topic, number and batch');
					this.#sequence.batch(Number(number), payload);
				},
			},
			(bytes) => socket.write(bytes),
			{ messageBytesMax, framesMax: 4 },
		);
		const ended = (reason: string): void => {
			if (this.#socket !== socket) return;
			overdue.cancel();
			this.#socket = undefined;
			socket.destroy();
			this.#replaySocket?.destroy();
			if (this.#closed) return;
			if (ready) this.#sequence.disconnected();
			this.#events.broken(reason);
			this.#again();
		};
		const overdue = this.#ports.clock.after(connectTimeoutMs, () => ended('it does not answer'), { unref: true });
		wire(socket, peer, ended);
	}

	/** Pauses double up to a bound, and are drawn so that many do not come back together. */
	#again(): void {
		const { reconnectMs, reconnectMsMax } = this.#options;
		const pauseMs = Math.min(reconnectMsMax, reconnectMs * 2 ** Math.min(this.#failures++, 16));
		const drawnMs = pauseMs * (0.5 + this.#ports.random.nextFloat() / 2);
		this.#retry = this.#ports.clock.after(drawnMs, () => this.#subscribe(), { unref: true });
	}

	#replay(from: number): void {
		const { replay, replayTimeoutMs, messageBytesMax } = this.#options;
		if (replay === undefined) return;
		this.#replaySocket?.destroy();
		const socket = this.#ports.connect(replay);
		this.#replaySocket = socket;
		const done = (result: ReplayResult): void => {
			if (this.#replaySocket !== socket) return;
			overdue.cancel();
			this.#replaySocket = undefined;
			socket.destroy();
			if (this.#closed || this.#socket === undefined) return;
			this.#events.replayed(result);
			if (result === 'done') this.#sequence.replayEnded();
			else this.#sequence.replayFailed();
		};
		const overdue = this.#ports.clock.after(replayTimeoutMs, () => done('failed'), { unref: true });
		const peer = new ZmtpPeer(
			'DEALER',
			{
				onReady: () => {
					const number = Buffer.alloc(8);
					number.writeBigUInt64BE(BigInt(from));
					socket.write(encodeMessage([Buffer.alloc(0), number]));
				},
				onMessage: (frames) => {
					if (this.#replaySocket !== socket) return;
					const number = batchNumber(frames.at(-2));
					const payload = frames.at(-1);
					if (number === undefined || payload === undefined)
						throw new ZmtpFault('frame', 'a reply is no number and batch');
					if (number === END) done('done');
					else this.#sequence.replayed(Number(number), payload);
				},
			},
			(bytes) => socket.write(bytes),
			{ messageBytesMax, framesMax: 4 },
		);
		wire(socket, peer, () => done('failed'));
	}
}

function batchNumber(frame: Uint8Array | undefined): bigint | undefined {
	if (frame?.length !== 8) return undefined;
	const number = new DataView(frame.buffer, frame.byteOffset, 8).getBigUint64(0);
	return number === END || number <= BigInt(Number.MAX_SAFE_INTEGER) ? number : undefined;
}

/** Lets a peer speak over a socket until either ends. */
function wire(socket: Socket, peer: ZmtpPeer, ended: (reason: string) => void): void {
	socket.on('connect', () => {
		socket.setNoDelay(true);
		socket.setKeepAlive(true, 10_000);
		peer.start();
	});
	socket.on('data', (chunk: Buffer) => {
		try {
			peer.receive(chunk);
		} catch (error) {
			if (!(error instanceof ZmtpFault)) throw error;
			ended(error.message);
		}
	});
	socket.on('error', (error: Error) => ended(error.message));
	socket.on('close', () => ended('the connection ended'));
}
