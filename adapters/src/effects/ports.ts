// Owns what adapters need of the world: time, files, streams, datagrams, HTTP and programs. The composition root gives the real ones.
import type { Clock } from '@infermesh/proto';

/** A piece of a file. */
export interface FilePiece {
	readonly bytes: Uint8Array;
	/** Of the whole file. */
	readonly sizeBytes: number;
	/** Stays the same while the file does; another one under the same path has another. */
	readonly identity: string;
}

export interface AdapterFiles {
	/** At most `bytesMax` from `offset`; undefined when there is no such file. */
	read(path: string, offset: number, bytesMax: number): Promise<FilePiece | undefined>;
	/** Names in a folder, at most `entriesMax`; undefined when there is no such folder. */
	list(path: string, entriesMax: number): Promise<readonly string[] | undefined>;
	/** When a file was last written, ms since the Unix epoch; undefined when there is none. */
	modifiedMs(path: string): Promise<number | undefined>;
	/** Writes a file in pieces, makes it durable, and tells how long the data and the fsync took. */
	writeDurably(
		path: string,
		pieces: readonly Uint8Array[],
	): Promise<{ readonly writeMs: number; readonly syncMs: number }>;
	/** Reads a file from its start, piece by piece, and tells how long the first one and all of it took. */
	readThrough(
		path: string,
		bytesMax: number,
	): Promise<{ readonly bytes: number; readonly firstMs: number; readonly totalMs: number; readonly body: Uint8Array }>;
	remove(path: string): Promise<void>;
}

/** One answer over HTTP, bounded. */
export interface HttpAnswer {
	readonly status: number;
	readonly headers: Readonly<Record<string, string>>;
	readonly body: Uint8Array;
	/** From the start of the call: until the last byte of the body was handed over, until the head of the answer came, until its end. */
	readonly sentMs: number;
	readonly headMs: number;
	readonly totalMs: number;
}

export interface HttpAsk {
	readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD';
	readonly url: string;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: Uint8Array;
	readonly timeoutMs: number;
	readonly bodyMaxBytes: number;
}

/** Rejects when there is no whole answer within time and size. */
export type HttpCall = (ask: HttpAsk) => Promise<HttpAnswer>;

/** A TCP conversation in lines. */
export interface LineConnection {
	/** Sends a line and resolves with the next line of the other side; undefined when it has closed. */
	ask(line: string): Promise<string | undefined>;
	/** Sends a line and resolves with all that comes until the other side closes. */
	askAll(line: string): Promise<string>;
	close(): void;
}

export type ConnectLines = (
	host: string,
	port: number,
	limits: { readonly timeoutMs: number; readonly bytesMax: number },
) => Promise<LineConnection>;

/** Datagrams that come to a port of this machine, until closed. */
export type ListenDatagrams = (
	host: string,
	port: number,
	onDatagram: (bytes: Uint8Array) => void,
) => Promise<{ readonly port: number; close(): void }>;

/** Standard output of a program, bounded in time and size; rejects when it fails. */
export type RunProgram = (
	program: string,
	args: readonly string[],
	limits: { readonly timeoutMs: number; readonly bytesMax: number },
) => Promise<string>;

export interface AdapterEffects {
	readonly clock: Clock;
	readonly files: AdapterFiles;
	readonly http: HttpCall;
	readonly connect: ConnectLines;
	readonly datagrams: ListenDatagrams;
	readonly run: RunProgram;
	/** Bytes that no store can compress away. */
	readonly randomBytes: (count: number) => Uint8Array;
}
