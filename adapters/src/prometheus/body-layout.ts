// Owns how one body goes along with the one before of the same target: which wanted line should come next, whether what is behind a comment may be passed over, and what is to be
// remembered when it is otherwise. Leaves reading to parser.ts, and what lasts to series-memory.ts.
import type { KnownGroup, KnownLine, SeriesMemory } from './series-memory.js';

const hash = '#';
const newline = 10;
const typeMark = '# TYPE ';

/** The group of lines behind a comment, while it is read. */
interface OpenGroup {
	readonly comment: string;
	readonly fromLine: number;
	idle: boolean;
}

export class BodyLayout {
	/** Lines that `pass` has passed over, the comment among them. */
	passedLines = 0;
	readonly #memory: SeriesMemory;
	/** Wanted lines as they stood in the body before, the next of them, and as they stand in this one where that is different. */
	readonly #expected: readonly KnownLine[];
	#next = 0;
	#lines: KnownLine[] | undefined;
	/** The comments of the body before and the next of them, where idle groups are passed over; else the groups of this one. */
	readonly #known: readonly KnownGroup[] | undefined;
	#nextGroup = 0;
	readonly #groups: KnownGroup[] = [];
	#group: OpenGroup | undefined;

	constructor(memory: SeriesMemory) {
		this.#memory = memory;
		this.#expected = memory.lines;
		this.#known = memory.begin() ? memory.groups : undefined;
	}

	/** The wanted line that should come next. */
	get expected(): KnownLine | undefined {
		return this.#expected[this.#next];
	}

	/** The expected line has come; `kept`: and gave a sample. */
	came(kept: boolean): void {
		const line = this.#expected[this.#next++] as KnownLine;
		if (kept) this.#lines?.push(line);
		this.busy();
	}

	/** A line that was not expected has given a sample: from here on the order is noted anew. Undefined = one that cannot be expected. */
	unexpected(line: KnownLine | undefined): void {
		this.#lines ??= this.#expected.slice(0, this.#next);
		if (line !== undefined) this.#lines.push(line);
	}

	/** Places of the series of a name that came as expected, by their label blocks. */
	placesOf(id: number): Map<string, number> {
		const places = new Map<string, number>();
		for (let at = 0; at < this.#next; at++) {
			const line = this.#expected[at] as KnownLine;
			if (line.id === id) places.set(line.known.block, places.size);
		}
		return places;
	}

	/** At a comment that stood here in the body before: returns where what follows is to be read, and `at` when the comment is. */
	pass(text: string, at: number): number {
		const group = this.#known?.[this.#nextGroup];
		if (group === undefined) return at;
		const { comment, idle, lines } = group;
		const end = at + comment.length;
		if (text.charCodeAt(end) !== newline || text.substring(at, end) !== comment) return at;
		let next = end + 1;
		this.passedLines = 1;
		if (idle) {
			next = text.indexOf(hash, end);
			while (next >= 0 && text.charCodeAt(next - 1) !== newline) next = text.indexOf(hash, next + 1);
			// The last group, or one that goes on in the next piece, is read.
			if (next < 0) return at;
			this.passedLines += lines;
		}
		this.#nextGroup++;
		return next;
	}

	/** A comment is read, `[start, end)` of `text`, as the body's line `line`: a group begins. */
	comment(text: string, start: number, end: number, line: number): void {
		const memory = this.#memory;
		if (this.#known === undefined) {
			this.#endGroup(line - 1);
			this.#group = { comment: memory.cache.comment(text.slice(start, end)), fromLine: line, idle: true };
			return;
		}
		const comment = this.#known[this.#nextGroup]?.comment;
		if (comment?.length === end - start && text.substring(start, end) === comment) this.#nextGroup++;
		else memory.changed();
	}

	/** The group that is read has something of interest. */
	busy(): void {
		if (this.#group !== undefined) this.#group.idle = false;
	}

	/** The body has ended with its line `lastLine`: what the next one is compared with is remembered. */
	end(lastLine: number): void {
		const memory = this.#memory;
		if (this.#lines !== undefined) memory.lines = this.#lines;
		else if (this.#next < this.#expected.length) memory.lines = this.#expected.slice(0, this.#next);
		if (this.#known === undefined) {
			this.#endGroup(lastLine);
			memory.groups = this.#groups;
		} else if (this.#nextGroup < this.#known.length) memory.changed();
	}

	#endGroup(lastLine: number): void {
		const group = this.#group;
		if (group === undefined) return;
		const { comment, fromLine, idle } = group;
		const lines = lastLine - fromLine;
		this.#groups.push({ comment, lines, idle: idle && lines > 0 && comment.startsWith(typeMark) });
		this.#group = undefined;
	}
}
