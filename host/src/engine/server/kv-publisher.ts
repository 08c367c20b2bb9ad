// Owns the KV events of one engine on the wire: batches numbered from 0, published to whoever subscribed, the last of them kept for replay.
// One batch a turn of the driver. In either encoding, with names as integers or bytes, so that readers of both can be tried. Bounded: a
// subscriber that does not keep up misses batches, as with any PUB socket.
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { encodeMessage, encodeMsgpack, type MsgpackValue, ZmtpFault, ZmtpPeer } from '@infermesh/adapters';
import type { Clock } from '@infermesh/proto';
import type { BlockRuns } from '../model/block-runs.js';
import type { KvObserver, KvTierName } from '../model/kv-observer.js';

export interface KvPublisherOptions {
	/** Ports to publish and to replay at; 0 takes a free one. */
	readonly port: number;
	readonly replayPort: number;
	readonly topic?: string;
	/** Events as maps with a `type`, as of mid 2026, or as the arrays of before. Default `map`. */
	readonly encoding?: 'map' | 'array';
	/** Names of blocks. Default `int`. */
	readonly names?: 'int' | 'bytes';
	/** Batches kept for replay. Default 10,000, as vLLM. */
	readonly batchesKept?: number;
	/** Bytes that wait for one subscriber before it misses batches. Default 16 MiB. */
	readonly waitingBytesMax?: number;
}

const END = Buffer.alloc(8, 0xff);
const EMPTY = Buffer.alloc(0);
/** Subscriptions of one connection. */
const TOPICS_MAX = 64;
const LIMITS = { messageBytesMax: 4096, framesMax: 8 };
const MEDIUM: Readonly<Record<KvTierName, string>> = { device: 'GPU', host: 'CPU' };

export class KvPublisher implements KvObserver {
	readonly #options: Required<KvPublisherOptions>;
	readonly #blockTokens: number;
	readonly #clock: Clock;
	readonly #subscribers = new Map<Socket, string[]>();
	readonly #sockets = new Set<Socket>();
	readonly #publishing: Server;
	readonly #replaying: Server;
	#host = '';
	#events: MsgpackValue[] = [];
	#next = 0;
	readonly #kept: Buffer[] = [];

	constructor(options: KvPublisherOptions, blockTokens: number, clock: Clock) {
		this.#options = {
			topic: '',
			encoding: 'map',
			names: 'int',
			batchesKept: 10_000,
			waitingBytesMax: 16 * 1024 * 1024,
			...options,
		};
		this.#blockTokens = blockTokens;
		this.#clock = clock;
		this.#publishing = createServer((socket) => this.#subscriber(socket));
		this.#replaying = createServer((socket) => this.#replayer(socket));
	}

	async listen(host: string): Promise<void> {
		this.#host = host;
		await listening(this.#publishing, this.#options.port, host);
		try {
			await listening(this.#replaying, this.#options.replayPort, host);
		} catch (error) {
			await this.close();
			throw error;
		}
	}

	get endpoints(): { readonly endpoint: string; readonly replay: string } {
		const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host;
		const at = (server: Server): string => `tcp://${host}:${(server.address() as AddressInfo).port}`;
		return { endpoint: at(this.#publishing), replay: at(this.#replaying) };
	}

	async close(): Promise<void> {
		for (const socket of this.#sockets) socket.destroy();
		await Promise.all(
			[this.#publishing, this.#replaying].map(
				(server) => new Promise<void>((resolve) => (server.listening ? server.close(() => resolve()) : resolve())),
			),
		);
	}

	stored(blocks: BlockRuns, tokens: Uint32Array, from: number, to: number): void {
		const names: MsgpackValue[] = [];
		let run = blocks.runOf(from);
		for (let at = from; at < to; at++) {
			if (at === blocks.endOf(run)) run++;
			names.push(this.#name(blocks.number(run, at)));
		}
		const parent = from === 0 ? null : this.#name(blocks.number(blocks.runOf(from - 1), from - 1));
		const ids = [...tokens.subarray(from * this.#blockTokens, to * this.#blockTokens)];
		this.#add('BlockStored', {
			block_hashes: names,
			parent_block_hash: parent,
			token_ids: ids,
			block_size: this.#blockTokens,
			lora_id: null,
			medium: MEDIUM.device,
		});
	}

	spilled(first: number, count: number): void {
		for (let number = first + count - 1; number >= first; number--) {
			const names = [this.#name(number)];
			this.#add('BlockStored', {
				block_hashes: names,
				parent_block_hash: null,
				token_ids: [],
				block_size: this.#blockTokens,
				lora_id: null,
				medium: MEDIUM.host,
			});
			this.#add('BlockRemoved', { block_hashes: names, medium: MEDIUM.device });
		}
	}

	removed(first: number, count: number, tier: KvTierName): void {
		for (let number = first + count - 1; number >= first; number--)
			this.#add('BlockRemoved', { block_hashes: [this.#name(number)], medium: MEDIUM[tier] });
	}

	/** Publishes what has happened since the last call. */
	flush(): void {
		if (this.#events.length === 0) return;
		const atS = this.#clock.wallMs() / 1000;
		const payload = encodeMsgpack([atS, this.#events]);
		this.#events = [];
		const number = this.#next++;
		this.#kept.push(payload);
		if (this.#kept.length > this.#options.batchesKept) this.#kept.shift();
		const { topic, waitingBytesMax } = this.#options;
		const message = encodeMessage([Buffer.from(topic), numbered(number), payload]);
		for (const [socket, topics] of this.#subscribers)
			if (socket.writableLength < waitingBytesMax && topics.some((prefix) => topic.startsWith(prefix)))
				socket.write(message);
	}

	#add(type: string, fields: Readonly<Record<string, MsgpackValue>>): void {
		if (this.#options.encoding === 'map') this.#events.push(new Map(Object.entries({ type, ...fields })));
		else this.#events.push([type, ...Object.values(fields)]);
	}

	#name(number: number): MsgpackValue {
		if (this.#options.names === 'int') return BigInt(number);
		const bytes = Buffer.alloc(32);
		for (let at = 0; at < 32; at += 8) bytes.writeBigUInt64LE(BigInt(number), at);
		return bytes;
	}

	#subscriber(socket: Socket): void {
		const topics: string[] = [];
		const subscribe = (topic: string, wanted: boolean): void => {
			if (wanted && topics.length < TOPICS_MAX) topics.push(topic);
			else if (!wanted && topics.includes(topic)) topics.splice(topics.indexOf(topic), 1);
		};
		this.#serve(
			socket,
			new ZmtpPeer(
				'PUB',
				{
					onReady: () => void this.#subscribers.set(socket, topics),
					onMessage: ([frame]) => {
						if (frame !== undefined && frame.length > 0)
							subscribe(Buffer.from(frame.subarray(1)).toString(), frame[0] === 1);
					},
					onSubscription: (topic, wanted) => subscribe(Buffer.from(topic).toString(), wanted),
				},
				(bytes) => socket.write(bytes),
				LIMITS,
			),
		);
	}

	#replayer(socket: Socket): void {
		this.#serve(
			socket,
			new ZmtpPeer(
				'ROUTER',
				{
					onReady: () => undefined,
					onMessage: (frames) => {
						const asked = frames.at(-1);
						if (asked?.length !== 8) throw new ZmtpFault('frame', 'a replay is asked for by a number of eight bytes');
						const from = Number(Buffer.from(asked).readBigUInt64BE());
						const envelope = frames.slice(0, -1);
						const first = this.#next - this.#kept.length;
						for (let number = Math.max(first, from); number < this.#next; number++)
							socket.write(encodeMessage([...envelope, numbered(number), this.#kept[number - first] as Buffer]));
						socket.write(encodeMessage([...envelope, END, EMPTY]));
					},
				},
				(bytes) => socket.write(bytes),
				LIMITS,
			),
		);
	}

	#serve(socket: Socket, peer: ZmtpPeer): void {
		this.#sockets.add(socket);
		socket.setNoDelay(true);
		socket.on('data', (chunk: Buffer) => {
			try {
				peer.receive(chunk);
			} catch (error) {
				if (!(error instanceof ZmtpFault)) throw error;
				socket.destroy();
			}
		});
		socket.on('error', () => socket.destroy());
		socket.on('close', () => {
			this.#sockets.delete(socket);
			this.#subscribers.delete(socket);
		});
		peer.start();
	}
}

function numbered(number: number): Buffer {
	const bytes = Buffer.alloc(8);
	bytes.writeBigUInt64BE(BigInt(number));
	return bytes;
}

function listening(server: Server, port: number, host: string): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(port, host, () => {
			server.off('error', reject);
			resolve();
		});
	});
}
