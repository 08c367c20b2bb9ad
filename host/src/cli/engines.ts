// Owns the emulated engines of a development mesh as `infermesh up` sees them: one thread that runs them all, started before the mesh and
// stopped after it.
import { Worker } from 'node:worker_threads';
import { MeshError } from '@infermesh/proto';
import type { DevelopmentEngines } from '../main/development.js';
import type { DevelopmentEngineOptions } from '../main/development-options.js';
import { cliErrors } from './errors.js';

export type EngineThreadMessage =
	| { readonly kind: 'ready'; readonly engines: DevelopmentEngines['engines'] }
	| { readonly kind: 'failed'; readonly reason: string };

/** The one order the thread takes. */
export interface EngineThreadOrder {
	readonly kind: 'close';
}

/** Starts all engines; rejects with IM_CLI_ENGINE_FAILED when one does not start. */
export function startEngines(options: DevelopmentEngineOptions): Promise<DevelopmentEngines> {
	const thread = new Worker(new URL('./engine-thread.js', import.meta.url), { workerData: options, name: 'engines' });
	const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
	return new Promise((resolve, reject) => {
		const fail = (reason: string): void => reject(new MeshError(cliErrors, 'IM_CLI_ENGINE_FAILED', reason));
		thread.once('error', (error) => fail(error instanceof Error ? error.message : String(error)));
		thread.once('message', (message: EngineThreadMessage) => {
			if (message.kind === 'failed') return fail(message.reason);
			resolve({
				engines: message.engines,
				close: () => {
					thread.postMessage({ kind: 'close' } satisfies EngineThreadOrder);
					return ended;
				},
			});
		});
	});
}
