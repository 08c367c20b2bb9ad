// Owns the digest by which a report names its workload: of the trace's bytes (of a folder of recordings, its files in order of their names), or of
// the generator's settings.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { traceErrors } from '../../load/trace/errors.js';
import type { WorkloadSpec } from '../scenario/document.js';

/** SHA-256 in hexadecimal. Throws IM_TRACE_READ. */
export async function workloadDigest(spec: WorkloadSpec): Promise<string> {
	const hash = createHash('sha256');
	if (spec.trace === undefined) return hash.update(JSON.stringify(spec)).digest('hex');
	try {
		for (const file of await filesOf(spec.trace)) await addFile(hash, file);
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(traceErrors, 'IM_TRACE_READ', `the trace could not be read: ${reason}`, {
			where: spec.trace,
			cause,
		});
	}
	return hash.digest('hex');
}

async function filesOf(trace: string): Promise<string[]> {
	if (!(await stat(trace)).isDirectory()) return [trace];
	const entries = await readdir(trace, { withFileTypes: true });
	const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
	return files.sort().map((name) => path.join(trace, name));
}

async function addFile(hash: Hash, file: string): Promise<void> {
	for await (const piece of createReadStream(file)) hash.update(piece as Buffer);
}
