// Owns the emulated engines of a run: a process of `infermesh engine` for each node, and one quick engine in this process that knows what answers say.
import { type EngineHandle, startEngine, systemClock } from '@infermesh/host';
import { EngineProcess } from '../../support/engine-process.js';
import { MODEL } from '../../support/mesh.js';
import { Oracle } from '../../support/traffic.js';

/** So slow that a stream lasts through a fault. */
const speed = 0.25;
const oracleSpeed = 1_000;

export class Engines {
	readonly urls: readonly string[];
	readonly oracle: Oracle;
	readonly #engines: readonly EngineProcess[];
	readonly #quick: EngineHandle;

	static async open(count: number, host: string): Promise<Engines> {
		const engines = Array.from({ length: count }, (_, at) => new EngineProcess({ seed: at + 1, speed, host }));
		for (const engine of engines) await engine.start();
		const quick = await startEngine({ clock: systemClock, models: [MODEL], speed: oracleSpeed, drainTimeoutMs: 0 });
		return new Engines(engines, quick);
	}

	private constructor(engines: readonly EngineProcess[], quick: EngineHandle) {
		this.#engines = engines;
		this.urls = engines.map(({ url }) => url);
		this.#quick = quick;
		this.oracle = new Oracle(quick.url);
	}

	async close(): Promise<void> {
		await Promise.all(this.#engines.map((engine) => engine.kill()));
		await this.#quick.close();
	}
}
