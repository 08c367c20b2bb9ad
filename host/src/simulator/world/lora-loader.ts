// Owns the loading of LoRA adapters by engines: a request whose adapter is not there waits until it is, with all others that want it. Routers hear of it as they
// hear of other signals.
import { EventClass, type EventQueue } from './event-queue.js';
import { toUs } from './sim-clock.js';
import type { SimEngine } from './sim-engine.js';

/** Where the group says nothing: copying an adapter's weights to the device, with what the engine does around it; an assumption. */
const LOAD_MS = 250;

export class LoraLoader {
	/** Called when an engine has one adapter more, or others than before. */
	onChange: (engine: SimEngine) => void = () => undefined;
	readonly #queue: EventQueue;
	readonly #loading = new Map<SimEngine, Map<string, number>>();

	constructor(queue: EventQueue) {
		this.#queue = queue;
	}

	/** Microseconds until the engine has the adapter; begins to load it when nobody has. */
	load(engine: SimEngine, name: string): number {
		if (engine.loras.has(name)) return 0;
		const { nowUs } = this.#queue;
		const loading = this.#loading.get(engine) ?? new Map<string, number>();
		this.#loading.set(engine, loading);
		const dueUs = loading.get(name);
		if (dueUs !== undefined) return dueUs - nowUs;
		const loadUs = toUs(engine.target.group.loraLoadMs ?? LOAD_MS);
		loading.set(name, nowUs + loadUs);
		const { model } = engine;
		this.#queue.at(nowUs + loadUs, EventClass.engine, () => {
			loading.delete(name);
			// Another process since: what was loaded died with it.
			if (engine.model !== model) return;
			engine.loras.add(name);
			this.onChange(engine);
		});
		return loadUs;
	}
}
