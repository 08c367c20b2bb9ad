// Owns what every WebSocket here is held to, whichever side it is on: it must answer pings, send no flood of them, and be closed with a code that says why.
// Sizes and fragments are bounded by the library. Invariant: `onClosed` is called once, with the one reason that counts.
import type { WebSocket } from 'ws';
import type { WebSocketCloseReason } from '../ports.js';

const POLICY = 1008;

/** Codes of the library's errors, and what they are to us. */
const errorReasons: Readonly<Record<string, WebSocketCloseReason>> = {
	WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 'too_large',
	WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 'too_large',
	WS_ERR_TOO_MANY_BUFFERED_PARTS: 'fragment_flood',
};

export class GuardedSocket {
	readonly ws: WebSocket;
	readonly #pingsMax: number;
	#alive = true;
	#controls = 0;
	#reason: WebSocketCloseReason | undefined;

	constructor(ws: WebSocket, pingsMax: number, onClosed: (reason: WebSocketCloseReason, code: number) => void) {
		this.ws = ws;
		this.#pingsMax = pingsMax;
		ws.on('message', () => {
			this.#alive = true;
		});
		ws.on('ping', () => this.#control());
		ws.on('pong', () => this.#control());
		ws.on('error', (error: Error & { readonly code?: string }) => {
			// The library closes it, with the code that belongs to the error.
			const known = errorReasons[error.code ?? ''];
			this.#reason ??= known ?? (error.code?.startsWith('WS_ERR') === true ? 'protocol_error' : 'lost');
		});
		ws.on('close', (code) => onClosed(this.#reason ?? (code === ABNORMAL ? 'lost' : 'closed'), code));
	}

	/** Begins to close, with a reason of our own. */
	close(code: number, text: string, reason: WebSocketCloseReason): void {
		this.#reason ??= reason;
		if (this.ws.readyState === this.ws.OPEN) this.ws.close(code, text);
		else this.ws.terminate();
	}

	/** Cuts the connection. */
	terminate(reason: WebSocketCloseReason): void {
		this.#reason ??= reason;
		this.ws.terminate();
	}

	/** A period is over: a peer that was pinged and has been silent since is gone. */
	beat(): void {
		if (!this.#alive) return this.terminate('half_open');
		this.#alive = false;
		this.#controls = 0;
		if (this.ws.readyState === this.ws.OPEN) this.ws.ping();
	}

	#control(): void {
		this.#alive = true;
		this.#controls++;
		if (this.#controls > this.#pingsMax) this.close(POLICY, 'too many pings', 'ping_flood');
	}
}

/** Code of a connection that ended without a close frame (RFC 6455 §7.4.1); never sent. */
export const ABNORMAL = 1006;
