// Owns ZMTP 3.0 and 3.1 on the wire: greeting, NULL handshake, commands and message frames (rfc.zeromq.org 23 and 37). Pure: bytes in,
// messages and bytes out. Bounded: a frame or message larger than its limits is a fault, and nothing is kept beyond the message being read.

const GREETING_BYTES = 64;
const FLAG_MORE = 1;
const FLAG_LONG = 2;
const FLAG_COMMAND = 4;
const FLAGS_KNOWN = FLAG_MORE | FLAG_LONG | FLAG_COMMAND;
const COMMAND_BYTES_MAX = 4096;
/** A peer that asks to be told it is alive may give this much to be told back. */
const PING_CONTEXT_BYTES_MAX = 16;
const EMPTY = new Uint8Array(0);

export type SocketType = 'SUB' | 'PUB' | 'XPUB' | 'XSUB' | 'DEALER' | 'ROUTER' | 'REQ' | 'REP';

/** Who may talk to whom, of the sockets spoken here. */
const partners: Readonly<Partial<Record<SocketType, readonly string[]>>> = {
	SUB: ['PUB', 'XPUB'],
	PUB: ['SUB', 'XSUB'],
	DEALER: ['ROUTER', 'REP', 'DEALER'],
	ROUTER: ['DEALER', 'REQ', 'ROUTER'],
};

export interface ZmtpLimits {
	/** Bytes of one message, all its frames. */
	readonly messageBytesMax: number;
	readonly framesMax: number;
}

export const zmtpLimitDefaults: ZmtpLimits = { messageBytesMax: 64 * 1024 * 1024, framesMax: 16 };

export type ZmtpFaultKind = 'greeting' | 'handshake' | 'mechanism' | 'peer' | 'frame' | 'size' | 'refused';

/** What the other side did that ends the connection. */
export class ZmtpFault extends Error {
	readonly kind: ZmtpFaultKind;

	constructor(kind: ZmtpFaultKind, message: string) {
		super(message);
		this.kind = kind;
	}
}

export interface ZmtpHandler {
	/** The handshake is done; messages may be sent from here on. */
	onReady(peerType: string): void;
	/** A whole message. The frames are views of bytes that are the handler's own. */
	onMessage(frames: readonly Uint8Array[]): void;
	/** A subscription made (true) or taken back, from a peer of version 3.1; older ones send it as a message. */
	onSubscription?(topic: Uint8Array, wanted: boolean): void;
}

/** The bytes each side sends first. `minor` 0 makes libzmq send subscriptions as messages. */
export function greeting(minor: 0 | 1 = 0): Buffer {
	const bytes = Buffer.alloc(GREETING_BYTES);
	bytes[0] = 0xff;
	bytes[8] = 1;
	bytes[9] = 0x7f;
	bytes[10] = 3;
	bytes[11] = minor;
	bytes.write('NULL', 12, 'latin1');
	return bytes;
}

export function encodeFrame(body: Uint8Array, flags: number): Buffer {
	const long = body.length > 255;
	const head = long ? 9 : 2;
	const frame = Buffer.allocUnsafe(head + body.length);
	frame[0] = flags | (long ? FLAG_LONG : 0);
	if (long) frame.writeBigUInt64BE(BigInt(body.length), 1);
	else frame[1] = body.length;
	frame.set(body, head);
	return frame;
}

export function encodeMessage(frames: readonly Uint8Array[]): Buffer {
	return Buffer.concat(frames.map((body, at) => encodeFrame(body, at + 1 < frames.length ? FLAG_MORE : 0)));
}

export function encodeCommand(name: string, data: Uint8Array): Buffer {
	const body = Buffer.alloc(1 + name.length + data.length);
	body[0] = name.length;
	body.write(name, 1, 'latin1');
	body.set(data, 1 + name.length);
	return encodeFrame(body, FLAG_COMMAND);
}

function property(name: string, value: Uint8Array): Buffer {
	const bytes = Buffer.alloc(1 + name.length + 4 + value.length);
	bytes[0] = name.length;
	bytes.write(name, 1, 'latin1');
	bytes.writeUInt32BE(value.length, 1 + name.length);
	bytes.set(value, 5 + name.length);
	return bytes;
}

/** One side of one connection. Throws ZmtpFault from `receive`; it is of no use after that. */
export class ZmtpPeer {
	readonly #type: SocketType;
	readonly #limits: ZmtpLimits;
	readonly #handler: ZmtpHandler;
	readonly #send: (bytes: Buffer) => void;
	#state: 'greeting' | 'handshake' | 'ready' = 'greeting';
	/** What has come and is not yet read, from `#at` on. */
	#pending: Buffer = Buffer.alloc(0);
	#chunks: Buffer[] = [];
	#chunkBytes = 0;
	#frames: Uint8Array[] = [];
	#messageBytes = 0;

	constructor(type: SocketType, handler: ZmtpHandler, send: (bytes: Buffer) => void, limits = zmtpLimitDefaults) {
		this.#type = type;
		this.#limits = limits;
		this.#handler = handler;
		this.#send = send;
	}

	/** Sends this side's greeting. */
	start(): void {
		this.#send(greeting());
	}

	get ready(): boolean {
		return this.#state === 'ready';
	}

	receive(chunk: Buffer): void {
		this.#chunks.push(chunk);
		this.#chunkBytes += chunk.length;
		// A large frame comes in many reads: it is put together once, when it is whole.
		if (this.#pending.length + this.#chunkBytes < this.#needed()) return;
		const all =
			this.#chunks.length === 1 && this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, ...this.#chunks]);
		this.#chunks = [];
		this.#chunkBytes = 0;
		let at = 0;
		for (;;) {
			const used = this.#state === 'greeting' ? this.#greeting(all, at) : this.#frame(all, at);
			if (used === 0) break;
			at += used;
		}
		this.#pending = all.subarray(at);
	}

	/** Bytes without which the next step cannot be made. */
	#needed(): number {
		if (this.#state === 'greeting') return GREETING_BYTES;
		const { length } = this.#pending;
		if (length < 2) return 2;
		const long = ((this.#pending[0] as number) & FLAG_LONG) !== 0;
		if (long && length < 9) return 9;
		return frameBytes(this.#pending, 0);
	}

	/** Returns the bytes read, 0 when there are too few. */
	#greeting(bytes: Buffer, at: number): number {
		if (bytes.length - at < GREETING_BYTES) {
			if (bytes.length > at && bytes[at] !== 0xff) throw new ZmtpFault('greeting', 'the peer does not speak ZMTP');
			return 0;
		}
		if (bytes[at] !== 0xff || ((bytes[at + 9] as number) & 1) === 0 || (bytes[at + 10] as number) < 3)
			throw new ZmtpFault('greeting', 'the peer does not speak ZMTP 3');
		const mechanism = bytes.toString('latin1', at + 12, at + 32).replace(/\0+$/, '');
		if (mechanism !== 'NULL')
			throw new ZmtpFault(
				'mechanism',
				`the peer wants the mechanism ${JSON.stringify(mechanism)}; only NULL is spoken`,
			);
		this.#state = 'handshake';
		this.#send(
			encodeCommand(
				'READY',
				Buffer.concat([
					property('Socket-Type', Buffer.from(this.#type)),
					this.#type === 'DEALER' || this.#type === 'ROUTER' || this.#type === 'REQ'
						? property('Identity', EMPTY)
						: EMPTY,
				]),
			),
		);
		return GREETING_BYTES;
	}

	#frame(bytes: Buffer, at: number): number {
		const left = bytes.length - at;
		if (left < 2) return 0;
		const flags = bytes[at] as number;
		if ((flags & ~FLAGS_KNOWN) !== 0) throw new ZmtpFault('frame', `a frame has unknown flags ${flags}`);
		const long = (flags & FLAG_LONG) !== 0;
		if (long && left < 9) return 0;
		const total = frameBytes(bytes, at);
		const head = long ? 9 : 2;
		const command = (flags & FLAG_COMMAND) !== 0;
		const most = command ? COMMAND_BYTES_MAX : this.#limits.messageBytesMax - this.#messageBytes;
		if (total - head > most)
			throw new ZmtpFault('size', `a ${command ? 'command' : 'message'} is larger than its bound`);
		if (left < total) return 0;
		const body = bytes.subarray(at + head, at + total);
		if (command) this.#command(body, (flags & FLAG_MORE) !== 0);
		else this.#part(body, (flags & FLAG_MORE) !== 0);
		return total;
	}

	#part(body: Buffer, more: boolean): void {
		if (this.#state !== 'ready') throw new ZmtpFault('handshake', 'a message came before the handshake was done');
		if (this.#frames.length >= this.#limits.framesMax)
			throw new ZmtpFault('size', `a message has more than ${this.#limits.framesMax} frames`);
		this.#frames.push(body);
		this.#messageBytes += body.length;
		if (more) return;
		const frames = this.#frames;
		this.#frames = [];
		this.#messageBytes = 0;
		this.#handler.onMessage(frames);
	}

	#command(body: Buffer, more: boolean): void {
		const length = body[0] ?? 0;
		if (more || length === 0 || length + 1 > body.length) throw new ZmtpFault('frame', 'a command is malformed');
		const name = body.toString('latin1', 1, 1 + length);
		const data = body.subarray(1 + length);
		if (name === 'ERROR') {
			const reason = data.toString('latin1', 1, 1 + (data[0] ?? 0)).replace(/[^\x20-\x7e]/g, '?');
			throw new ZmtpFault('refused', `the peer refuses: ${reason}`);
		}
		if (this.#state === 'handshake') {
			if (name !== 'READY') throw new ZmtpFault('handshake', 'the peer does not say READY');
			return this.#ready(data);
		}
		if (name === 'PING') this.#send(encodeCommand('PONG', data.subarray(2, 2 + PING_CONTEXT_BYTES_MAX)));
		else if (name === 'SUBSCRIBE' || name === 'CANCEL') this.#handler.onSubscription?.(data, name === 'SUBSCRIBE');
		// Any other command is of a later version, and may be passed over.
	}

	#ready(data: Buffer): void {
		const type = properties(data).get('socket-type') ?? '';
		const wanted = partners[this.#type];
		if (wanted !== undefined && !wanted.includes(type))
			throw new ZmtpFault('peer', `a ${this.#type} cannot talk to a ${JSON.stringify(type.slice(0, 16))} socket`);
		this.#state = 'ready';
		this.#handler.onReady(type);
	}
}

/** All bytes of the frame whose head starts at `at`. */
function frameBytes(bytes: Buffer, at: number): number {
	if (((bytes[at] as number) & FLAG_LONG) === 0) return 2 + (bytes[at + 1] as number);
	const length = bytes.readBigUInt64BE(at + 1);
	if (length > 0x7fff_ffffn) throw new ZmtpFault('size', 'a frame is larger than any bound');
	return 9 + Number(length);
}

function properties(data: Buffer): Map<string, string> {
	const found = new Map<string, string>();
	for (let at = 0; at < data.length; ) {
		const length = data[at] as number;
		const valueAt = at + 1 + length + 4;
		if (length === 0 || valueAt > data.length) throw new ZmtpFault('handshake', 'READY is malformed');
		const end = valueAt + data.readUInt32BE(valueAt - 4);
		if (end > data.length) throw new ZmtpFault('handshake', 'READY is malformed');
		found.set(data.toString('latin1', at + 1, at + 1 + length).toLowerCase(), data.toString('latin1', valueAt, end));
		at = end;
	}
	return found;
}
