// Owns the process that builds the project meshd starts with: its path is the one argument; it sends one answer, and ends.
import { MeshError } from '@infermesh/proto';
import { openStrategy } from '../project/prepare.js';
import type { SourceAnswer } from './strategy-source.js';

async function answer(where: string): Promise<SourceAnswer> {
	try {
		return { source: await openStrategy(where) };
	} catch (error) {
		if (error instanceof MeshError) {
			const { code, message, hint, where: place } = error;
			return { code, message, hint, where: place };
		}
		return { code: '', message: error instanceof Error ? error.message : String(error) };
	}
}

const given = await answer(process.argv[2] ?? '');
process.send?.(given, () => process.disconnect());
