// Owns a CommStatsDelta while it is being filled: keeps its lists within their bounds, and says what did not fit.
import {
	type CollectiveStat,
	type CommPath,
	type CommSource,
	type CommStatsDelta,
	type CommunicatorStat,
	commBounds,
	type LinkStat,
	type RankFinding,
} from '@infermesh/proto';
import { printable } from '../json-values.js';

/** What an adapter of the comm room is told of where it runs. */
export interface CommPlace {
	readonly node?: string;
	readonly jobId?: string;
}

class BoundedList<T> {
	readonly items: T[] = [];
	over = 0;
	readonly #max: number;

	constructor(max: number) {
		this.#max = max;
	}

	push(item: T): void {
		if (this.items.length < this.#max) this.items.push(item);
		else this.over++;
	}
}

export class CommDraft {
	readonly #source: CommSource;
	readonly #observedAtMs: number;
	readonly #place: CommPlace;
	readonly #collectives = new BoundedList<CollectiveStat>(commBounds.collectivesMax);
	readonly #communicators = new BoundedList<CommunicatorStat>(commBounds.communicatorsMax);
	readonly #ranks = new BoundedList<RankFinding>(commBounds.ranksMax);
	readonly #links = new BoundedList<LinkStat>(commBounds.linksMax);
	readonly #paths = new BoundedList<CommPath>(commBounds.pathsMax);
	readonly #warnings: string[] = [];
	readonly #unread: string[] = [];
	#warningsCount = 0;
	#interval: { readonly intervalMs: number; readonly restarted: boolean } | undefined;

	constructor(source: CommSource, observedAtMs: number, place: CommPlace) {
		this.#source = source;
		this.#observedAtMs = observedAtMs;
		this.#place = place;
	}

	collective(stat: CollectiveStat): void {
		this.#collectives.push(stat);
	}

	communicator(stat: CommunicatorStat): void {
		this.#communicators.push(stat);
	}

	rank(finding: RankFinding): void {
		this.#ranks.push(finding);
	}

	link(stat: LinkStat): void {
		this.#links.push(stat);
	}

	path(path: CommPath): void {
		this.#paths.push(path);
	}

	/** Counts a warning of the library; of the texts the newest are kept. */
	warn(text: string): void {
		this.#warningsCount++;
		if (this.#warnings.length >= commBounds.warningsMax) this.#warnings.shift();
		this.#warnings.push(printable(text, commBounds.textCharsMax));
	}

	/** Warnings gathered elsewhere: the newest texts, and how many there were. */
	warned(texts: readonly string[], count: number): void {
		for (const text of texts) this.warn(text);
		this.#warningsCount += Math.max(0, count - texts.length);
	}

	/** Notes what should have been there and could not be read. */
	unread(text: string): void {
		if (this.#unread.length < commBounds.unreadMax) this.#unread.push(printable(text, commBounds.textCharsMax));
	}

	/** Marks the delta as a comparison of two looks. */
	interval(intervalMs: number, restarted: boolean): void {
		this.#interval = { intervalMs, restarted };
	}

	finish(): CommStatsDelta {
		const lists = {
			collectives: this.#collectives,
			communicators: this.#communicators,
			ranks: this.#ranks,
			links: this.#links,
			paths: this.#paths,
		};
		for (const [name, { over }] of Object.entries(lists)) if (over > 0) this.unread(`${name}: ${over} more than fit`);
		return {
			observedAtMs: this.#observedAtMs,
			source: this.#source,
			...this.#place,
			...this.#interval,
			collectives: this.#collectives.items,
			communicators: this.#communicators.items,
			ranks: this.#ranks.items,
			links: this.#links.items,
			paths: this.#paths.items,
			warnings: this.#warnings,
			...(this.#warningsCount > 0 ? { warningsCount: this.#warningsCount } : {}),
			unread: this.#unread,
		};
	}
}
