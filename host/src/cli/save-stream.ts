// Owns the writing of a file that must not be taken for whole before it is: under another name first, synced, then renamed.
import { open, rename, rm } from 'node:fs/promises';

/** Rejects with what failed, the stream or the disk; nothing is left behind then. */
export async function saveStream(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
	const partial = `${path}.partial`;
	const file = await open(partial, 'w', 0o600);
	try {
		for await (const piece of pieces) await file.writeFile(piece);
		await file.sync();
		await file.close();
		await rename(partial, path);
	} catch (error) {
		await file.close().catch(() => undefined);
		await rm(partial, { force: true });
		throw error;
	}
}
