// Owns what routers that share a fleet tell each other of their requests in flight: production's tellers, books and remote shares, with frames that take their time.
// A router tells what has changed a moment after it changed, and as soon as the last frame allows.
import { LoadBook } from '../../peer-load/book.js';
import { OwnChanges } from '../../peer-load/changes.js';
import { RemoteShare } from '../../peer-load/remote-share.js';
import { LoadTeller } from '../../peer-load/teller.js';
import { EventClass, type EventQueue } from './event-queue.js';
import { toUs } from './sim-clock.js';
import type { SimRouter } from './sim-router.js';

/** Changes gather for this long before they are told. */
const GATHER_US = 1000;
const LEASE_MS = 2000;
const HEARTBEAT_MS = LEASE_MS / 10;

interface Side {
	readonly router: SimRouter;
	readonly book: LoadBook;
	readonly share: RemoteShare;
	readonly changes: OwnChanges;
	readonly tellers: { readonly to: Side; readonly teller: LoadTeller }[];
	due: boolean;
}

export class Peers {
	readonly #queue: EventQueue;
	readonly #delayUs: number;
	readonly #sides: readonly Side[];

	constructor(queue: EventQueue, routers: readonly SimRouter[], delayMs: number) {
		this.#queue = queue;
		this.#delayUs = toUs(delayMs);
		this.#sides = routers.map(sideOf);
		for (const side of this.#sides) {
			for (const to of this.#sides) if (to !== side) side.tellers.push({ to, teller: tellerOf(side.router) });
			for (const { to } of side.tellers) to.book.begin(String(this.#sides.indexOf(side)), side.router.clock.nowMs());
			side.router.onInflightChange = () => this.#soon(side);
		}
	}

	/** Tells something now and then even when nothing changes: silence is a sign of death. */
	start(goesOn: () => boolean): void {
		for (const side of this.#sides) {
			const turn = (): void => {
				if (!goesOn()) return;
				this.#tell(side);
				this.#queue.at(this.#queue.nowUs + toUs(HEARTBEAT_MS), EventClass.signal, turn);
			};
			this.#queue.at(0, EventClass.signal, turn);
		}
	}

	#soon(side: Side): void {
		if (side.due) return;
		side.due = true;
		this.#queue.at(this.#queue.nowUs + GATHER_US, EventClass.signal, () => {
			side.due = false;
			this.#tell(side);
		});
	}

	#tell(side: Side): void {
		const nowMs = side.router.clock.nowMs();
		const name = String(this.#sides.indexOf(side));
		side.changes.drain({
			changed: (row) => {
				for (const { teller } of side.tellers) teller.changed(row);
			},
			allChanged: () => {
				for (const { teller } of side.tellers) teller.allChanged();
			},
		});
		for (const { to, teller } of side.tellers) {
			const frame = teller.next(nowMs, nowMs);
			if (frame === undefined) continue;
			this.#queue.at(this.#queue.nowUs + this.#delayUs, EventClass.signal, () => {
				// Reports that have come count what was in flight when they came.
				to.router.feed.bring(this.#queue.nowUs);
				to.book.apply(name, frame, to.router.clock.nowMs());
				to.share.flush();
				to.share.setPeers(to.book.heard(to.router.clock.nowMs()));
			});
		}
	}
}

function sideOf(router: SimRouter): Side {
	const rows = new Map(router.records.map(({ spec, row }) => [spec.id, row]));
	const book = new LoadBook({
		leaseMs: LEASE_MS,
		targetsMax: router.records.length,
		countMax: 0x7fff_ffff,
		flowsMax: 0,
	});
	return {
		router,
		book,
		share: new RemoteShare(router.inflight, book, (id) => rows.get(id)),
		changes: new OwnChanges(router.counters),
		tellers: [],
		due: false,
	};
}

function tellerOf({ records, counters }: SimRouter): LoadTeller {
	return new LoadTeller(
		{
			rowsMax: counters.rowsMax,
			idOf: (row) => records[row]?.spec.id,
			own: (counter, row) => counters.own(counter, row),
		},
		{ heartbeatMs: HEARTBEAT_MS, fullMs: LEASE_MS },
	);
}
