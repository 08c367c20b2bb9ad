// Owns the wait for a thread that starts. One that refuses, fails or ends before it has begun is taken down: what runs in it would keep the process up.
import type { Worker } from 'node:worker_threads';

/** Resolves with what `began` makes of a message of the thread, as soon as it makes something of one; rejects with what it throws. */
export async function threadBegun<Begun>(worker: Worker, began: (message: never) => Begun | undefined): Promise<Begun> {
	const { promise, resolve, reject } = Promise.withResolvers<Begun>();
	const heard = (message: unknown): void => {
		try {
			const begun = began(message as never);
			if (begun !== undefined) resolve(begun);
		} catch (error) {
			reject(error);
		}
	};
	const ended = (): void => reject(new Error('a thread has ended before it had begun'));
	worker.on('message', heard);
	worker.once('error', reject);
	worker.once('exit', ended);
	try {
		return await promise;
	} catch (error) {
		await worker.terminate();
		throw error;
	} finally {
		worker.off('message', heard);
		worker.off('error', reject);
		worker.off('exit', ended);
	}
}
