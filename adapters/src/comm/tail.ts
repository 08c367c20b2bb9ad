// Owns following files that others append to: new lines of every file of a folder whose name matches, over rotation (another file under the name, or a
// shorter one, is read from its start) and within bounds. What a bound leaves behind is read at the next look; what is skipped is counted.
import path from 'node:path';
import type { AdapterFiles } from '../effects/ports.js';

export interface TailLimits {
	/** Files followed; names beyond it, in order, are left out. */
	readonly filesMax: number;
	/** Read of one file at one look. */
	readonly bytesPerFileMax: number;
	/** Of a file that is further behind than this, the oldest part is skipped. */
	readonly behindMaxBytes: number;
	/** A longer line is dropped. */
	readonly lineBytesMax: number;
}

export const tailLimitDefaults: TailLimits = Object.freeze({
	filesMax: 64,
	bytesPerFileMax: 1024 * 1024,
	behindMaxBytes: 16 * 1024 * 1024,
	lineBytesMax: 64 * 1024,
});

interface Followed {
	identity: string;
	offset: number;
	/** The beginning of a line whose end has not been written yet. */
	carry: Uint8Array;
	/** Within a line that is dropped, up to its end. */
	dropping: boolean;
}

export interface TailReport {
	readonly files: number;
	readonly rotated: number;
	readonly skippedBytes: number;
	readonly droppedLines: number;
	readonly unread: readonly string[];
}

const LINE_END = 0x0a;

export class FolderTail {
	readonly #files: AdapterFiles;
	readonly #folder: string;
	readonly #matches: (name: string) => boolean;
	readonly #limits: TailLimits;
	readonly #followed = new Map<string, Followed>();

	/** `folder` may also be the path of one file. */
	constructor(
		files: AdapterFiles,
		folder: string,
		matches: (name: string) => boolean,
		limits: Partial<TailLimits> = {},
	) {
		this.#files = files;
		this.#folder = folder;
		this.#matches = matches;
		this.#limits = { ...tailLimitDefaults, ...limits };
	}

	/** Hands over the lines that have come since the look before. */
	async look(onLine: (line: string, file: string) => void): Promise<TailReport> {
		const counts = { files: 0, rotated: 0, skippedBytes: 0, droppedLines: 0 };
		const unread: string[] = [];
		const paths = await this.#paths(unread);
		for (const known of this.#followed.keys()) if (!paths.includes(known)) this.#followed.delete(known);
		for (const file of paths) {
			counts.files++;
			try {
				await this.#read(file, counts, onLine);
			} catch (error) {
				unread.push(`${path.basename(file)}: ${error instanceof Error ? error.message : String(error)}`);
			}
		}
		return { ...counts, unread };
	}

	async #paths(unread: string[]): Promise<readonly string[]> {
		const { filesMax } = this.#limits;
		const names = await this.#files.list(this.#folder, filesMax * 16);
		if (names === undefined) {
			if ((await this.#files.modifiedMs(this.#folder)) !== undefined) return [this.#folder];
			unread.push(`${this.#folder}: no such folder or file`);
			return [];
		}
		const wanted = names.filter(this.#matches).sort();
		if (wanted.length > filesMax) unread.push(`${wanted.length - filesMax} files beyond the first ${filesMax}`);
		return wanted.slice(0, filesMax).map((name) => path.join(this.#folder, name));
	}

	async #read(
		file: string,
		counts: { rotated: number; skippedBytes: number; droppedLines: number },
		onLine: (line: string, file: string) => void,
	): Promise<void> {
		const { bytesPerFileMax, behindMaxBytes } = this.#limits;
		let state = this.#followed.get(file);
		let piece = await this.#files.read(file, state?.offset ?? 0, bytesPerFileMax);
		if (piece === undefined) return;
		if (state !== undefined && (state.identity !== piece.identity || piece.sizeBytes < state.offset)) {
			counts.rotated++;
			state = undefined;
			piece = await this.#files.read(file, 0, bytesPerFileMax);
			if (piece === undefined) return;
		}
		state ??= { identity: piece.identity, offset: 0, carry: new Uint8Array(0), dropping: false };
		this.#followed.set(file, state);
		const behind = piece.sizeBytes - state.offset;
		if (behind > behindMaxBytes) {
			const skipped = behind - bytesPerFileMax;
			counts.skippedBytes += skipped;
			state.offset += skipped;
			state.carry = new Uint8Array(0);
			// The place it goes on at is in the middle of a line.
			state.dropping = true;
			piece = await this.#files.read(file, state.offset, bytesPerFileMax);
			if (piece === undefined) return;
		}
		state.offset += piece.bytes.length;
		counts.droppedLines += this.#split(state, piece.bytes, (line) => onLine(line, file));
	}

	/** Cuts what was read into lines, and keeps the rest; returns how many lines were dropped. */
	#split(state: Followed, bytes: Uint8Array, onLine: (line: string) => void): number {
		const { lineBytesMax } = this.#limits;
		let dropped = 0;
		let start = 0;
		for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, start)) {
			const part = bytes.subarray(start, end);
			start = end + 1;
			if (state.dropping) state.dropping = false;
			else if (state.carry.length + part.length > lineBytesMax) dropped++;
			else onLine(Buffer.concat([state.carry, part]).toString('utf8'));
			state.carry = new Uint8Array(0);
		}
		const rest = bytes.subarray(start);
		if (state.dropping || rest.length === 0) return dropped;
		if (state.carry.length + rest.length > lineBytesMax) {
			state.dropping = true;
			state.carry = new Uint8Array(0);
			return dropped + 1;
		}
		state.carry = Buffer.concat([state.carry, rest]);
		return dropped;
	}
}
