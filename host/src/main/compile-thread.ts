// Owns compilation off every loop: one short-lived thread per module, which hands back the compiled code. A compiled module can be posted
// between threads of one process, so workers share it.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Clock } from '@infermesh/proto';
import { type WasmModule, wasmEngine } from '../strategy/admission/engine.js';

type Answer = { readonly module: WasmModule } | { readonly error: string };

/**
 * Rejects with the engine's own message when the bytes are not valid, and when it takes longer than `timeoutMs`; admission has compiled
 * the same bytes before, within its own limit.
 */
export function compileInThread(wasm: Uint8Array, timeoutMs: number, clock: Clock): Promise<WasmModule> {
	return new Promise((resolve, reject) => {
		const deadline = clock.after(timeoutMs, () => {
			reject(new Error(`compiling took longer than ${timeoutMs} ms`));
			void thread.terminate();
		});
		const thread = new Worker(new URL(import.meta.url), { workerData: wasm });
		thread.once('message', (answer: Answer) => {
			if ('module' in answer) resolve(answer.module);
			else reject(new Error(answer.error));
		});
		thread.once('error', reject);
		thread.once('exit', () => {
			deadline.cancel();
			reject(new Error('the compiling thread ended without an answer'));
		});
	});
}

if (!isMainThread && parentPort !== null && workerData instanceof Uint8Array) {
	let answer: Answer;
	try {
		answer = { module: new wasmEngine.Module(workerData) };
	} catch (error) {
		answer = { error: error instanceof Error ? error.message : String(error) };
	}
	parentPort.postMessage(answer);
}
