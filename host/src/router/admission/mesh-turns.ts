// Owns this worker's part in serving the waiting requests of all routers in one order. It tells what waits and is served here, soon after it has changed, and
// gives way: a tenant that is ahead of others who wait elsewhere is given what keeps targets busy, and no more, so that those who are owed find the rest.
// Nothing is held back that nobody takes: a target without a queue of its own gets whatever waits, in turn or not. What others tell is the queues' to know.
import type { Clock, Timer } from '@infermesh/proto';
import type { Turn, Waiting } from './flow-band.js';
import type { RoomChange, WaitingRoom } from './waiting-room.js';

export interface MeshPort {
	/** Requests that all routers together may still send to the target in this row of the fleet table; undefined = not known. */
	readonly room: (tableRow: number) => number | undefined;
	/** Goes to the other queues of the mesh: of this router's workers, and of other routers. */
	readonly tell: (changes: readonly RoomChange[]) => void;
}

export interface MeshTurnsOptions {
	/** Changes are told this often. */
	readonly tellMs: number;
	/** Requests that must find room at a target before one that is ahead of its turn does. */
	readonly aheadGap: number;
}

export class MeshTurns<T> {
	readonly #options: MeshTurnsOptions;
	readonly #port: MeshPort | undefined;
	readonly #room: WaitingRoom<T>;
	readonly #clock: Clock;
	#turn: Turn = 'even';
	#telling: Timer | undefined;

	constructor(options: MeshTurnsOptions, port: MeshPort | undefined, room: WaitingRoom<T>, clock: Clock) {
		this.#options = options;
		this.#port = port;
		this.#room = room;
		this.#clock = clock;
	}

	/** Of the request that is looked at. */
	get turn(): Turn {
		return this.#turn;
	}

	/** From here on room is for this request, until `end`. */
	begin(pool: number, entry: Waiting<T>): void {
		this.#turn = this.#port === undefined ? 'even' : this.#room.turn(pool, entry);
	}

	end(): void {
		this.#turn = 'even';
	}

	/** Whether the target takes the request that is looked at. `own`: what this router gives it leaves room for one more. */
	takes(tableRow: number, own: boolean): boolean {
		if (this.#turn === 'even') return own;
		const left = this.#port?.room(tableRow);
		if (left === undefined) return own;
		return this.#turn === 'owed' ? own || left > 0 : own && left > this.#options.aheadGap;
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
