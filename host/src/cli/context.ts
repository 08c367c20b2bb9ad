// Owns what a command may touch: streams, environment, time, signals, and the start of a mesh. main.ts gives the real ones, tests
// give their own, so that every command can be run in process.
import type { Clock } from '@infermesh/proto';
import type { LoadedConfig } from '../config/load.js';
import type { Log } from '../telemetry/logger.js';

export interface TextSink {
	readonly isTTY?: boolean;
	readonly columns?: number;
	write(text: string): unknown;
}

/** A mesh that runs in this process. */
export interface RunningMesh {
	/** `http://host:port` of the data plane; undefined where none runs. */
	readonly dataUrl: string | undefined;
	/** `http://host:port` of the admin API. */
	readonly adminUrl: string;
	/** Lets streams end within `data.shutdown_grace_ms`, then stops everything. May be called twice. */
	close(): Promise<void>;
}

export interface MeshDeps {
	readonly log: Log;
	/** Loopback only, no credentials asked: shown on the status page. */
	readonly development: boolean;
	/** What `fabric.mode: auto` means. */
	readonly fabric?: 'alone' | 'mesh';
	/** Folder in which a lone node keeps what outlives it. */
	readonly keepIn?: string;
	/** Aborts a start that waits for the mesh. */
	readonly signal?: AbortSignal;
}

export type StartMesh = (loaded: LoadedConfig, deps: MeshDeps) => Promise<RunningMesh>;

export interface CliContext {
	/** Data only. */
	readonly stdout: TextSink;
	/** Progress, questions and errors. */
	readonly stderr: TextSink & NodeJS.WritableStream;
	readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly clock: Clock;
	readonly version: string;
	/** Aborts at the first SIGINT or SIGTERM. */
	readonly signal: AbortSignal;
	readonly startMesh: StartMesh;
	/** Reads a text file; throws when it cannot. */
	readonly readText: (path: string) => string;
	/** Reads a file piece by piece. */
	readonly readPieces: (path: string) => AsyncIterable<Uint8Array>;
	readonly writeFile: (path: string, content: string | Uint8Array) => void;
	/** Writes a file piece by piece; it has its name only once it is complete and on the disk. */
	readonly saveStream: (path: string, pieces: AsyncIterable<Uint8Array>) => Promise<void>;
	/** Bytes from the operating system's generator. */
	readonly randomBytes: (count: number) => Uint8Array;
}
