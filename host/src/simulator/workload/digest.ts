// Owns the digest by which a report names its workload: of the trace's bytes, or of the generator's settings.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { MeshError } from '@infermesh/proto';
import { traceErrors } from '../../load/trace/errors.js';
import type { WorkloadSpec } from '../scenario/document.js';

/** SHA-256 in hexadecimal. Throws IM_TRACE_READ. */
export async function workloadDigest(spec: WorkloadSpec): Promise<string> {
	const hash = createHash('sha256');
	if (spec.trace === undefined) return hash.update(JSON.stringify(spec)).digest('hex');
	try {
		for await (const piece of createReadStream(spec.trace)) hash.update(piece as Buffer);
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(traceErrors, 'IM_TRACE_READ', `the trace could not be read: ${reason}`, {
			where: spec.trace,
			cause,
		});
	}
	return hash.digest('hex');
}
