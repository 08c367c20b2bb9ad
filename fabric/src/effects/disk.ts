// Owns the interface through which the fabric touches files. Calls are synchronous: the log runs in a thread of its own, where nothing else
// waits for it, and a simulated disk answers at once and models time and torn writes by itself. Paths are relative to the disk's root.

/** A file held open. Offsets and lengths are bytes. Every call may throw a DiskError. */
export interface DiskFile {
	/** Reads up to `into.length` bytes at `offset`; answers how many there were. */
	read(into: Uint8Array, offset: number): number;
	/** Writes all of `bytes` at `offset`. Durable only after `sync`. */
	write(bytes: Uint8Array, offset: number): void;
	/**
	 * Makes what was written durable (fdatasync). Any failure, also of room, is an `io` fault: the file's content is unknown, and the owner must
	 * stop, never retry.
	 */
	sync(): void;
	truncate(length: number): void;
	size(): number;
	close(): void;
}

/** A directory tree of the fabric's own. */
export interface Disk {
	/** Names of files and folders directly in `folder`, sorted; empty when it does not exist. */
	list(folder: string): readonly string[];
	exists(path: string): boolean;
	/** Opens for reading and writing; `create` makes it when missing, with mode 0600, and its folders with 0700. */
	open(path: string, options: { readonly create: boolean }): DiskFile;
	/** Atomically replaces `to`. Durable after `syncFolder`. */
	rename(from: string, to: string): void;
	remove(path: string): void;
	makeFolder(path: string): void;
	/** Makes creations, renames and removals in `folder` ('' is the root) durable. Any failure is an `io` fault, as for a file. */
	syncFolder(folder: string): void;
}

export type DiskFault = 'io' | 'full' | 'missing' | 'denied';

/** What a disk refuses with; anything else thrown from a Disk is a bug. */
export class DiskError extends Error {
	readonly fault: DiskFault;
	constructor(fault: DiskFault, message: string, options?: ErrorOptions) {
		super(message, options);
		this.name = 'DiskError';
		this.fault = fault;
	}
}
