// Owns asking NCCL RAS how the job's communicators stand: a conversation in lines at the address in NCCL_RAS_ADDR (localhost:28028), which any rank of the
// job answers for all. JSON where the version knows it, else text. RAS may say OK while a collective hangs: counts equal say that all have launched it.
import type { CommStatsDelta } from '@infermesh/proto';
import type { ConnectLines, LineConnection } from '../effects/ports.js';
import { parseJson, recordOf } from '../json-values.js';
import type { CommPlace } from './draft.js';
import { readRasJson } from './ras-json.js';
import { readRasText } from './ras-text.js';

export interface RasOptions {
	readonly host: string;
	readonly port: number;
	/** All of one look. */
	readonly timeoutMs: number;
	/** 512 ranks in 77 communicators take 1.6 MB. */
	readonly bytesMax: number;
	/** Also ranks that are well: needed for operation counts in text. */
	readonly verbose: boolean;
}

export const rasDefaults: RasOptions = Object.freeze({
	host: 'localhost',
	port: 28028,
	timeoutMs: 15_000,
	bytesMax: 32 * 1024 * 1024,
	verbose: true,
});

/** Reads a status in either form. Never throws. */
export function readRas(body: string, atMs: number, place: CommPlace = {}): CommStatsDelta {
	const root = body.trimStart().startsWith('{') ? recordOf(parseJson(body)) : undefined;
	return root === undefined ? readRasText(body, atMs, place) : readRasJson(root, atMs, place);
}

/** The status as RAS tells it. Rejects when nobody answers, or not within the bounds. */
export async function askRas(connect: ConnectLines, options: Partial<RasOptions> = {}): Promise<string> {
	const { host, port, timeoutMs, bytesMax, verbose } = { ...rasDefaults, ...options };
	const connection = await connect(host, port, { timeoutMs, bytesMax });
	try {
		// What RAS may take for collecting is less than what we wait.
		await expectOk(connection, `TIMEOUT ${Math.max(1, Math.floor(timeoutMs / 2000))}`);
		await expectOk(connection, 'SET FORMAT json');
		return await connection.askAll(verbose ? 'VERBOSE STATUS' : 'STATUS');
	} finally {
		connection.close();
	}
}

/** A version that does not know the command answers with an error and goes on: then the status comes as text. */
async function expectOk(connection: LineConnection, command: string): Promise<void> {
	const answer = await connection.ask(command);
	if (answer === undefined) throw new Error(`RAS closed the connection at ${command}`);
}
