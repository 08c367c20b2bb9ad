// Owns this worker's part in serving the waiting requests of all routers in one order. It tells what waits and is served here, soon after it has changed, and
// gives way: a tenant that is ahead of others who wait elsewhere is given what keeps targets busy, and no more, so that those who are owed find the rest.
// Nothing is held back that nobody takes: a target without a queue of its own gets whatever waits, in turn or not. Where what targets take is set by hand, hand-room.ts says what that
// is. What others tell is the queues' to know.
import type { Clock, Timer } from '@infermesh/proto';
import type { Turn, Waiting } from './flow-band.js';
import { HandRoom } from './hand-room.js';
import type { RoomChange, WaitingRoom } from './waiting-room.js';

export interface MeshPort {
	/** Requests that all routers together may still send to the target in this row of the fleet table; undefined = not known. */
	readonly room: (tableRow: number) => number | undefined;
	/** Rows of the table where that is set by hand, and is not gone beyond; 0 = it is learned. */
	readonly handRows: number;
	/** Goes to the other queues of the mesh: of this router's workers, and of other routers. */
	readonly tell: (changes: readonly RoomChange[]) => void;
}

export interface MeshTurnsOptions {
	/** Changes are told this often. */
	readonly tellMs: number;
	/** Requests that must find room at a target before one that is ahead of its turn does. */
	readonly aheadGap: number;
	/** And before one that is less urgent than others that wait elsewhere. */
	readonly outrankedGap: number;
}

export class MeshTurns<T> {
	readonly #options: MeshTurnsOptions;
	readonly #port: MeshPort | undefined;
	readonly #room: WaitingRoom<T>;
	readonly #clock: Clock;
	readonly #hand: HandRoom | undefined;
	#turn: Turn = 'even';
	/** Others wait elsewhere for what the request that is looked at waits for. */
	#contended = false;
	#telling: Timer | undefined;

	constructor(options: MeshTurnsOptions, port: MeshPort | undefined, room: WaitingRoom<T>, clock: Clock) {
		this.#options = options;
		this.#port = port;
		this.#room = room;
		this.#clock = clock;
		this.#hand = port === undefined || port.handRows === 0 ? undefined : new HandRoom(port.handRows);
	}

	/** Of the request that is looked at. */
	get turn(): Turn {
		return this.#turn;
	}

	/** From here on room is for this request, until `end`. */
	begin(pool: number, entry: Waiting<T>): void {
		if (this.#port === undefined) return;
		this.#turn = this.#room.turn(pool, entry, this.#clock.nowMs());
		this.#contended = this.#room.waitsElsewhere(pool);
	}

	end(): void {
		this.#turn = 'even';
		this.#contended = false;
	}

	/** A request that this queue let go to the target has ended. */
	freed(tableRow: number): void {
		this.#hand?.freed(tableRow, this.#clock.nowMs());
	}

	/** Whether the target takes the request that is looked at. `own`: what this router gives it leaves room for one more. */
	takes(tableRow: number, own: boolean): boolean {
		if (this.#hand !== undefined) return this.#takesByHand(this.#hand, tableRow, own);
		if (this.#turn === 'even') return own;
		const left = this.#port?.room(tableRow);
		if (left === undefined) return own;
		if (this.#turn === 'owed') return own || left > 0;
		const { aheadGap, outrankedGap } = this.#options;
		return own && left > (this.#turn === 'ahead' ? aheadGap : outrankedGap);
	}

	#takesByHand(hand: HandRoom, tableRow: number, own: boolean): boolean {
		const left = this.#port?.room(tableRow);
		if (left === undefined) return own;
		if (!this.#contended) return own && left > 0;
		const nowMs = this.#clock.nowMs();
		hand.seen(tableRow, left, nowMs);
		if (left <= 0 || !own) return false;
		if (this.#turn === 'owed') return true;
		return this.#turn === 'even' ? left > hand.leftToOthers(tableRow, nowMs) : hand.takeLeft(tableRow);
	}

	/** Something has come, gone or been served. */
	changed(): void {
		if (this.#port === undefined) return;
		this.#telling ??= this.#clock.after(this.#options.tellMs, () => this.#tell(), { unref: true });
	}

	close(): void {
		this.#telling?.cancel();
	}

	#tell(): void {
		this.#telling = undefined;
		const changes = this.#room.takeChanges();
		if (changes.length > 0) this.#port?.tell(changes);
	}
}
