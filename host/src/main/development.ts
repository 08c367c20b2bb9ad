// Owns the development mesh's emulated engines: started in the mesh's own process on ports of their own, and the targets that name them.
import { type EngineHandle, startEngine } from '../engine/server/start-engine.js';
import { systemClock } from './clock.js';
import type { DevelopmentEngineOptions } from './development-options.js';

export interface DevelopmentEngines {
	readonly engines: readonly { readonly id: string; readonly url: string; readonly model: string }[];
	close(): Promise<void>;
}

/** Starts the engines; takes those already started down again when one cannot start. */
export async function startDevelopmentEngines(options: DevelopmentEngineOptions): Promise<DevelopmentEngines> {
	const handles: EngineHandle[] = [];
	const close = async (): Promise<void> => {
		await Promise.all(handles.map((handle) => handle.close()));
	};
	try {
		for (let i = 0; i < options.count; i++) {
			handles.push(
				await startEngine({
					clock: systemClock,
					models: [options.model],
					profile: options.profile,
					speed: options.speed,
					seed: i + 1,
					port: options.port === 0 ? 0 : options.port + i,
				}),
			);
		}
	} catch (error) {
		await close();
		throw error;
	}
	return {
		engines: handles.map((handle, i) => ({ id: `engine-${i + 1}`, url: handle.url, model: options.model })),
		close,
	};
}
