// Owns what a node has written to its output: kept in a file of bounded size, with the one before it, and searched as it comes.
import { renameSync, writeFileSync } from 'node:fs';

/** Two files of this size are kept. */
const fileMaxBytes = 16 * 1024 * 1024;
/** Kept in memory for searches. */
const recentMaxChars = 512 * 1024;

export class NodeLog {
	readonly file: string;
	#bytes = 0;
	#recent = '';
	/** Characters that have left the memory. */
	#gone = 0;

	constructor(file: string) {
		this.file = file;
		writeFileSync(file, '');
	}

	append(chunk: Buffer): void {
		if (this.#bytes > fileMaxBytes) {
			renameSync(this.file, `${this.file}.before`);
			this.#bytes = 0;
		}
		writeFileSync(this.file, chunk, { flag: 'a' });
		this.#bytes += chunk.length;
		this.#recent += chunk.toString('utf8');
		const over = this.#recent.length - recentMaxChars;
		if (over <= 0) return;
		this.#recent = this.#recent.slice(over);
		this.#gone += over;
	}

	/** A place in the log: searches may begin there. */
	get position(): number {
		return this.#gone + this.#recent.length;
	}

	/** Whether a line since `position` matches. */
	has(pattern: RegExp, position: number): boolean {
		return pattern.test(this.#recent.slice(Math.max(0, position - this.#gone)));
	}
}
