// Owns the thread in which `infermesh up` runs its emulated engines, away from the loops of the mesh. Told its engines in workerData; says
// `ready` with their URLs or `failed` with a reason; ends at `close`.
import { parentPort, workerData } from 'node:worker_threads';
import { startDevelopmentEngines } from '../main/development.js';
import type { DevelopmentEngineOptions } from '../main/development-options.js';
import type { EngineThreadMessage } from './engines.js';

const port = parentPort;
if (port === null) throw new Error('the engine thread runs as a worker only');
const say = (message: EngineThreadMessage): void => port.postMessage(message);

try {
	const running = await startDevelopmentEngines(workerData as DevelopmentEngineOptions);
	port.once('message', () => void running.close().finally(() => port.close()));
	say({ kind: 'ready', engines: running.engines });
} catch (error) {
	say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
	port.close();
}
