// Owns what one member's disk has said is durable, kept beside the disk. Nothing that a member tells others may go beyond it, and a restarted member
// must find all of it again.
import type { DurableLog, Entry, HardState, LogWrite, RecoveredGroup, SnapshotMeta } from '@infermesh/fabric';
import { Violation } from '../world/sim-world.js';

export class DurableShadow {
	readonly #id: string;
	hardState: HardState = { term: 0, votedFor: undefined, commit: 0 };
	#base = { index: 0, term: 0 };
	/** Terms of the entries after the base. */
	#terms: number[] = [];
	/** Writes on their way, which may be on disk after a crash or not. */
	#underWay: LogWrite[] = [];

	constructor(id: string) {
		this.#id = id;
	}

	get lastIndex(): number {
		return this.#base.index + this.#terms.length;
	}

	get firstIndex(): number {
		return this.#base.index + 1;
	}

	/** Undefined after the end; 0 when a snapshot covers it. */
	termAt(index: number): number | undefined {
		if (index === this.#base.index) return this.#base.term;
		return index < this.#base.index ? 0 : this.#terms[index - this.#base.index - 1];
	}

	begins(write: LogWrite): void {
		this.#underWay.push(write);
	}

	/** All writes up to and with `write` are durable. */
	isDurable(write: LogWrite): void {
		const at = this.#underWay.indexOf(write);
		for (const done of this.#underWay.splice(0, at + 1)) this.#apply(done);
	}

	#apply({ snapshot, entries, hardState }: LogWrite): void {
		if (snapshot !== undefined) this.#mark(snapshot);
		for (const entry of entries) this.#put(entry);
		if (hardState !== undefined) this.hardState = hardState;
	}

	#mark({ index, term }: SnapshotMeta): void {
		if (index <= this.#base.index) return;
		const held = this.termAt(index) === term;
		this.#terms = held ? this.#terms.slice(index - this.#base.index) : [];
		this.#base = { index, term };
	}

	#put({ index, term }: Entry): void {
		if (index <= this.#base.index) return;
		if (index > this.lastIndex + 1) throw new Violation(`${this.#id}: a gap before ${index} in what was written`);
		this.#terms.length = index - this.#base.index - 1;
		this.#terms.push(term);
	}

	/** What was found after a restart must hold everything that was durable; what was under way may be there too. */
	recovers(found: RecoveredGroup): void {
		const { hardState } = found;
		const before = this.hardState;
		const kept =
			hardState.term > before.term || (hardState.term === before.term && voteKept(before.votedFor, hardState.votedFor));
		if (!kept) {
			const vote = `term ${before.term} and vote ${before.votedFor}`;
			throw new Violation(`${this.#id}: durable ${vote} became ${hardState.term} and ${hardState.votedFor}`);
		}
		this.#entriesKept(found);
		this.hardState = hardState;
		this.#base = { index: found.snapshot?.index ?? 0, term: found.snapshot?.term ?? 0 };
		this.#terms = found.entries.map(({ term }) => term);
		this.#underWay = [];
	}

	#entriesKept({ snapshot, entries }: RecoveredGroup): void {
		const base = snapshot?.index ?? 0;
		// A tail may have been overwritten by what was under way: everything before the first such entry must be there.
		const rewritten = Math.min(...this.#underWay.map((write) => write.entries[0]?.index ?? Number.POSITIVE_INFINITY));
		const until = Math.min(this.lastIndex, rewritten - 1);
		for (let index = Math.max(this.firstIndex, base + 1); index <= until; index++) {
			const found = entries[index - base - 1]?.term;
			if (found !== this.termAt(index))
				throw new Violation(
					`${this.#id}: durable entry ${index}/${this.termAt(index)} is ${found ?? 'gone'} after a restart`,
				);
		}
		const marked = this.#underWay.some((write) => write.snapshot !== undefined);
		if (base < this.#base.index && !marked)
			throw new Violation(`${this.#id}: the durable snapshot mark ${this.#base.index} is ${base} after a restart`);
	}

	/** The disk was emptied. */
	wiped(): void {
		this.hardState = { term: 0, votedFor: undefined, commit: 0 };
		this.#base = { index: 0, term: 0 };
		this.#terms = [];
		this.#underWay = [];
	}
}

function voteKept(before: string | undefined, after: string | undefined): boolean {
	return before === undefined || before === after;
}

/** A log that tells the shadow. */
export class WatchedLog implements DurableLog {
	readonly #log: DurableLog;
	readonly #shadow: DurableShadow;
	readonly #writes: (write: LogWrite) => void;

	constructor(log: DurableLog, shadow: DurableShadow, writes: (write: LogWrite) => void) {
		this.#log = log;
		this.#shadow = shadow;
		this.#writes = writes;
	}

	append(writes: readonly LogWrite[], done: () => void, failed: (error: Error) => void): void {
		for (const write of writes) {
			this.#writes(write);
			this.#shadow.begins(write);
		}
		const durable = (): void => {
			for (const write of writes) this.#shadow.isDurable(write);
			done();
		};
		this.#log.append(writes, durable, failed);
	}

	release(group: number, index: number): void {
		this.#log.release(group, index);
	}

	close(): Promise<void> {
		return this.#log.close();
	}
}
