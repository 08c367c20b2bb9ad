// Owns one direction of a relayed connection: takes bytes from one socket and hands them to the other when the link says so, in order, with the end of the
// connection behind them. Bounded: a source is paused while more waits than the bound.
import type { Socket } from 'node:net';
import type { Clock, Timer } from '@infermesh/proto';
import type { Link } from './link.js';

const queuedMaxBytes = 1024 * 1024;

type Piece = { readonly dueMs: number } & ({ readonly bytes: Buffer } | { readonly end: 'finished' | 'broken' });

export class Pipe {
	readonly #from: Socket;
	readonly #to: Socket;
	readonly #link: Link | undefined;
	readonly #clock: Clock;
	readonly #queue: Piece[] = [];
	readonly #forget: (() => void) | undefined;
	#queuedBytes = 0;
	#lastDueMs = 0;
	#timer: Timer | undefined;
	#swallowing = false;
	#ended = false;

	constructor(from: Socket, to: Socket, link: Link | undefined, clock: Clock) {
		this.#from = from;
		this.#to = to;
		this.#link = link;
		this.#clock = clock;
		this.#forget = link?.onChange(() => this.#pump());
		from.on('data', (bytes: Buffer) => this.#take(bytes));
		from.on('end', () => this.#push({ end: 'finished' }));
		from.on('error', () => undefined);
		from.on('close', () => this.#push({ end: 'broken' }));
		to.on('drain', () => this.#pump());
	}

	/** From now on nothing arrives any more, and the sender does not learn of it. */
	swallow(): void {
		this.#swallowing = true;
		this.#queue.length = 0;
		this.#queuedBytes = 0;
		this.#from.resume();
	}

	close(): void {
		this.#forget?.();
		this.#timer?.cancel();
		this.#queue.length = 0;
	}

	#take(bytes: Buffer): void {
		if (this.#swallowing) return;
		if (this.#link?.rules.cut === true) this.#link.counts.cut++;
		else if (this.#link !== undefined) this.#link.counts.passed++;
		this.#push({ bytes });
		this.#queuedBytes += bytes.length;
		if (this.#queuedBytes > queuedMaxBytes) this.#from.pause();
	}

	#push(piece: { readonly bytes: Buffer } | { readonly end: 'finished' | 'broken' }): void {
		if (this.#ended || this.#swallowing) return;
		if ('end' in piece && piece.end === 'broken') this.#ended = true;
		const nowMs = this.#clock.nowMs();
		const delayMs = this.#link?.streamDelayMs('bytes' in piece ? piece.bytes.length : 0, nowMs) ?? 0;
		this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + delayMs);
		this.#queue.push({ ...piece, dueMs: this.#lastDueMs });
		this.#pump();
	}

	#pump(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
		while (this.#link?.rules.cut !== true) {
			const [piece] = this.#queue;
			if (piece === undefined) return;
			const waitMs = piece.dueMs - this.#clock.nowMs();
			if (waitMs > 0.5) {
				this.#timer = this.#clock.after(waitMs, () => this.#pump());
				return;
			}
			if (this.#to.writableNeedDrain) return;
			this.#queue.shift();
			this.#deliver(piece);
		}
	}

	#deliver(piece: Piece): void {
		if ('bytes' in piece) {
			this.#queuedBytes -= piece.bytes.length;
			if (this.#queuedBytes <= queuedMaxBytes && !this.#from.destroyed) this.#from.resume();
			if (this.#to.writable) this.#to.write(piece.bytes);
		} else if (piece.end === 'finished') this.#to.end();
		else this.#to.destroySoon();
	}
}
