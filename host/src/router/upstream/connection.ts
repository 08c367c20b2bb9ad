// Owns one connection to an upstream, for one exchange at a time: it writes the request, feeds the parser, and says when the connection is free for
// another. Invariants: a call is told of its end at most once, and of nothing after it was aborted; a connection on which anything was left over,
// unsent or unasked for is never used again.
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Clock, Timer } from '@infermesh/proto';
import type { UpstreamTls } from '../tls.js';
import { UpstreamFault } from './faults.js';
import { type ResponseHeaders, ResponseParser } from './response-parser.js';
import type { TurnEnd } from './turn-end.js';

/** Told of one exchange, in this order: head, bodies, then end or fault. */
export interface UpstreamHandler {
	onHead(status: number, headers: ResponseHeaders): void;
	/** `bytes` are the handler's to keep. */
	onBody(bytes: Buffer): void;
	onEnd(): void;
	onFault(fault: UpstreamFault): void;
}

/** Where an origin is reached. */
export interface Endpoint {
	readonly host: string;
	readonly port: number;
	readonly tls: boolean;
	/** Value of the `host` header. */
	readonly authority: string;
	/** The last TLS session of the endpoint, for abbreviated handshakes. */
	session: Buffer | undefined;
}

export interface ConnectionOptions {
	readonly connectTimeoutMs: number;
	readonly tls: UpstreamTls;
	/** Largest head of a response, and most bytes of chunk extensions and trailers. */
	readonly headerBytesMax: number;
}

/** What the connections of a thread share. */
export interface SharedByConnections {
	readonly turn: TurnEnd;
	/** What cleartext connections read into, one after the other: each read is over before the next begins. */
	readonly readBuffer: Buffer;
}

/** The connection's pool. */
export interface ConnectionOwner {
	/** The exchange is over; the connection may be used again. */
	freed(connection: UpstreamConnection): void;
	/** The exchange, if any, is over, and so is the connection. Told once. */
	gone(connection: UpstreamConnection): void;
}

/** A body up to this goes out in one write with its head; copying it costs less than a second write. */
const JOINED_BYTES_MAX = 64 * 1024;

/** What an exchange goes over: a connection, or one stream of a connection. */
export interface Carrier {
	/** Ends the exchange from our side. */
	abort(): void;
	pause(paused: boolean): void;
}

/** The right to one exchange on a carrier: it ends with the exchange, so that a late call cannot hurt the next one. */
export class UpstreamCall {
	#carrier: Carrier | undefined;

	constructor(carrier: Carrier) {
		this.#carrier = carrier;
	}

	/** Cuts the connection or resets the stream; the handler hears nothing more. */
	abort(): void {
		this.#carrier?.abort();
	}

	/** Reads no more bytes until `resume`; what was read already may still be told. */
	pause(): void {
		this.#carrier?.pause(true);
	}

	resume(): void {
		this.#carrier?.pause(false);
	}

	/** The exchange is over. For the carrier. */
	end(): void {
		this.#carrier = undefined;
	}
}

export class UpstreamConnection implements Carrier {
	/** When it became free. */
	idleSinceMs = 0;
	/** It may idle this long before the upstream may close it. */
	idleMaxMs = Number.POSITIVE_INFINITY;

	readonly #owner: ConnectionOwner;
	readonly #parser: ResponseParser;
	readonly #socket: Socket;
	/** Until it is connected. */
	#connecting: Timer | undefined;
	#connected = false;
	#gone = false;
	#paused = false;
	#call: UpstreamCall | undefined;
	#handler: UpstreamHandler | undefined;
	/** The request that goes out at the end of this turn. */
	#unsentHead: string | undefined;
	#unsentBody: Buffer | null = null;
	readonly #turn: TurnEnd;

	/** Begins to connect; the first request may be sent at once. */
	constructor(
		endpoint: Endpoint,
		options: ConnectionOptions,
		clock: Clock,
		shared: SharedByConnections,
		owner: ConnectionOwner,
	) {
		this.#owner = owner;
		this.#turn = shared.turn;
		this.#parser = new ResponseParser(options.headerBytesMax, !endpoint.tls);
		this.#socket = endpoint.tls ? this.#openTls(endpoint, options.tls) : this.#openTcp(endpoint, shared.readBuffer);
		const socket = this.#socket;
		socket.once(endpoint.tls ? 'secureConnect' : 'connect', () => {
			this.#connected = true;
			this.#endWait();
		});
		socket.on('end', () => this.#ended());
		socket.on('error', (cause) => this.#broken(cause));
		socket.on('close', () => this.#broken(undefined));
		const late = (): void =>
			this.#lose(new UpstreamFault('connect', `no connection in ${options.connectTimeoutMs} ms`));
		this.#connecting = clock.after(options.connectTimeoutMs, late, { unref: true });
	}

	/** Without a listener for data there is no buffer of 64 KiB to be made for each read, and none of the work of a Readable. */
	#openTcp(endpoint: Endpoint, buffer: Buffer): Socket {
		const callback = (length: number, into: Uint8Array): boolean => {
			this.#read((into as Buffer).subarray(0, length));
			return true;
		};
		return connectTcp({ ...address(endpoint), noDelay: true, onread: { buffer, callback } });
	}

	#endWait(): void {
		this.#connecting?.cancel();
		this.#connecting = undefined;
	}

	/** Sends a request on a free connection: its head, to be written as Latin-1, and its body. */
	send(method: string, head: string, body: Buffer | null, handler: UpstreamHandler): UpstreamCall {
		const call = new UpstreamCall(this);
		this.#call = call;
		this.#handler = handler;
		this.#parser.begin(handler, method);
		if (this.#connected) {
			this.#unsentHead = head;
			this.#unsentBody = body;
			this.#turn.add(this);
		} else this.#write(head, body);
		return call;
	}

	/** The turn has ended, and nothing came unasked. */
	flush(): void {
		const head = this.#unsentHead;
		const body = this.#unsentBody;
		this.#forgetUnsent();
		if (head !== undefined) this.#write(head, body);
	}

	#forgetUnsent(): void {
		this.#unsentHead = undefined;
		this.#unsentBody = null;
	}

	#write(head: string, body: Buffer | null): void {
		if (body === null) this.#socket.write(head, 'latin1');
		else if (body.length > JOINED_BYTES_MAX) {
			this.#socket.cork();
			this.#socket.write(head, 'latin1');
			this.#socket.write(body);
			this.#socket.uncork();
		} else {
			const joined = Buffer.allocUnsafe(head.length + body.length);
			joined.write(head, 'latin1');
			body.copy(joined, head.length);
			this.#socket.write(joined);
		}
	}

	/** Ends the exchange from our side, and with it the connection. */
	abort(): void {
		this.#take();
		this.destroy();
	}

	pause(paused: boolean): void {
		if (this.#paused === paused) return;
		this.#paused = paused;
		if (paused) this.#socket.pause();
		else this.#socket.resume();
	}

	/** Closes the connection; an exchange on it fails. */
	destroy(): void {
		this.#lose(new UpstreamFault('reset', 'the connection was closed here'));
	}

	#openTls(endpoint: Endpoint, tls: UpstreamTls): TLSSocket {
		const { host, session } = endpoint;
		const socket = connectTls({
			...tls,
			...address(endpoint),
			ALPNProtocols: ['http/1.1'],
			...(isIP(host) === 0 ? { servername: host } : {}),
			...(session === undefined ? {} : { session }),
		});
		socket.setNoDelay(true);
		socket.on('data', (bytes: Buffer) => this.#read(bytes));
		socket.on('session', (fresh) => {
			endpoint.session = fresh;
		});
		return socket;
	}

	#read(bytes: Buffer): void {
		// Nobody asked: the upstream sends more than the answer. What else it may have sent is not waited for.
		if (this.#handler === undefined) return this.destroy();
		// Nor was this asked for: the request has not gone out. It may go out on another connection.
		if (this.#unsentHead !== undefined) return this.#lose(new UpstreamFault('reset', 'the upstream spoke unasked'));
		let used: number;
		try {
			used = this.#parser.push(bytes);
		} catch (error) {
			return this.#lose(error instanceof UpstreamFault ? error : internal(error));
		}
		if (this.#parser.done && this.#handler !== undefined) this.#complete(used === bytes.length);
	}

	#complete(clean: boolean): void {
		const { keepAlive, keepAliveHintMs } = this.#parser;
		const handler = this.#take();
		// A request that was answered before it was sent whole leaves its rest on the connection.
		if (clean && keepAlive && this.#socket.writableLength === 0 && !this.#gone) {
			this.idleMaxMs = keepAliveHintMs ?? Number.POSITIVE_INFINITY;
			this.pause(false);
			this.#owner.freed(this);
		} else this.destroy();
		try {
			handler?.onEnd();
		} catch (error) {
			handler?.onFault(internal(error));
		}
	}

	/** The upstream has said that it sends no more. */
	#ended(): void {
		if (this.#handler === undefined) return this.destroy();
		const outcome = this.#parser.finish();
		if (outcome === 'whole') return this.#complete(false);
		if (outcome === 'unanswered')
			this.#lose(new UpstreamFault('reset', 'the upstream closed the connection unanswered'));
		else this.#lose(new UpstreamFault('cut', 'the upstream closed the connection inside its answer'));
	}

	#broken(cause: Error | undefined): void {
		const because = cause === undefined ? {} : { cause };
		if (!this.#connected) return this.#lose(new UpstreamFault('connect', 'the connection was refused', because));
		const outcome = this.#handler === undefined ? 'unanswered' : this.#parser.finish();
		const kind = outcome === 'unanswered' ? 'reset' : 'cut';
		this.#lose(new UpstreamFault(kind, 'the connection broke', because));
	}

	#lose(fault: UpstreamFault): void {
		if (this.#gone) return;
		this.#gone = true;
		this.#endWait();
		this.#socket.destroy();
		const handler = this.#take();
		this.#owner.gone(this);
		handler?.onFault(fault);
	}

	/** Ends the exchange: from here on nobody is told of it. */
	#take(): UpstreamHandler | undefined {
		const handler = this.#handler;
		this.#handler = undefined;
		this.#forgetUnsent();
		this.#parser.stop();
		this.#call?.end();
		this.#call = undefined;
		return handler;
	}
}

/** A fault of whoever was told of the response: it costs that one exchange. */
function internal(cause: unknown): UpstreamFault {
	return new UpstreamFault('internal', 'the answer could not be passed on', { cause });
}

function address({ host, port }: Endpoint): { readonly host: string; readonly port: number } {
	return { host, port };
}
