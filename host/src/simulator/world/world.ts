// Owns what all parts of one simulation share: time, engines, distances, and where what happens is noted. Made once by the simulation; plain references.
import type { SimulationSpec } from '../spec.js';
import type { EventQueue } from './event-queue.js';
import type { LoraLoader } from './lora-loader.js';
import type { SimEngine } from './sim-engine.js';
import type { Tally } from './tally.js';

export interface World {
	readonly spec: SimulationSpec;
	readonly queue: EventQueue;
	/** By row of the fleet table, which is the order of the fleet. */
	readonly engines: readonly SimEngine[];
	/** One way between the routers and each engine. */
	readonly wayUs: readonly number[];
	readonly decisionUs: number;
	readonly loras: LoraLoader;
	readonly tally: Tally;
	/** The engine behind a URL. */
	engineAt(origin: string): SimEngine | undefined;
	/** Time in which the KV of so many tokens gets from one engine to another. */
	transferUs(from: SimEngine, to: SimEngine, tokens: number): number;
}
