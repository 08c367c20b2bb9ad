// Owns how far each stream of reports has come, over its reconnects: bounded, the ones not heard of for longest go first. One call at a time feeds a
// stream: the newest, so that reports of a call that was given up cannot come between those of the next.
import type { ReportKind } from '@infermesh/adapters';

export interface Position {
	/** Of the last report taken or refused. */
	lastSequence: number;
	/** What the adapter says it has dropped. */
	dropped: number;
	/** What reports it. */
	readonly adapter: string;
	readonly caller: string;
	readonly kind: ReportKind;
	/** Ends the call that feeds it; undefined while none does. */
	supersede: (() => void) | undefined;
}

export class ReportLedger {
	readonly #positions = new Map<string, Position>();
	readonly #positionsMax: number;

	constructor(positionsMax: number) {
		this.#positionsMax = positionsMax;
	}

	/** The position of a stream, for the call that feeds it from now on. */
	open(caller: string, kind: ReportKind, streamId: string, adapter: string, supersede: () => void): Position {
		const key = `${kind}\u0000${caller}\u0000${streamId}`;
		const known = this.#positions.get(key);
		known?.supersede?.();
		this.#positions.delete(key);
		const position: Position = known ?? { lastSequence: 0, dropped: 0, adapter, caller, kind, supersede: undefined };
		position.supersede = supersede;
		this.#positions.set(key, position);
		if (this.#positions.size > this.#positionsMax) this.#forgetOldest();
		return position;
	}

	/** Streams that a call feeds now. */
	fed(): readonly Position[] {
		return [...this.#positions.values()].filter(({ supersede }) => supersede !== undefined);
	}

	/** One that a call feeds is kept as long as there is another. */
	#forgetOldest(): void {
		const [oldest] = this.#positions.keys();
		const idle = [...this.#positions].find(([, { supersede }]) => supersede === undefined)?.[0];
		const key = idle ?? oldest;
		if (key !== undefined) this.#positions.delete(key);
	}
}
