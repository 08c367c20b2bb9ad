// Owns which LoRA adapters targets say they have loaded, as the agent tells workers: what changed goes out together, a moment later. Bounded by the rows of the
// fleet and `deltaBounds.lorasMax` names each. What a worker makes of it is prefix/lora-rows.ts.
import type { Clock, Timer } from '@infermesh/proto';
import type { TargetRecord } from './registry.js';

/** All adapters of one row of the fleet table; none, once its target is gone. */
export interface LoraSet {
	readonly row: number;
	readonly generation: number;
	readonly names: readonly string[];
}

/** A request cannot name a longer one. */
const NAME_CHARS_MAX = 256;

export class LoraSets {
	readonly #clock: Clock;
	readonly #publishMs: number;
	readonly #publish: (changed: readonly LoraSet[]) => void;
	readonly #sets = new Map<number, LoraSet>();
	readonly #changed = new Map<number, LoraSet>();
	#timer: Timer | undefined;

	constructor(clock: Clock, publishMs: number, publish: (changed: readonly LoraSet[]) => void) {
		this.#clock = clock;
		this.#publishMs = publishMs;
		this.#publish = publish;
	}

	/** What a target's report says is loaded there. Their order means nothing. */
	reported({ row, generation }: Pick<TargetRecord, 'row' | 'generation'>, loras: readonly string[]): void {
		const names = loras.filter((name) => name !== '' && name.length <= NAME_CHARS_MAX).sort();
		const known = this.#sets.get(row);
		if (known === undefined ? names.length === 0 : known.generation === generation && isSame(known.names, names))
			return;
		this.#set({ row, generation, names });
	}

	/** Forgets rows whose targets are not among `records`. */
	retain(records: Iterable<Pick<TargetRecord, 'row' | 'generation'>>): void {
		if (this.#sets.size === 0) return;
		const present = new Map([...records].map(({ row, generation }) => [row, generation]));
		for (const { row, generation } of this.#sets.values())
			if (present.get(row) !== generation) this.#set({ row, generation, names: [] });
	}

	/** For a worker that starts late. */
	all(): readonly LoraSet[] {
		return [...this.#sets.values()];
	}

	close(): void {
		this.#timer?.cancel();
	}

	#set(set: LoraSet): void {
		if (set.names.length === 0) this.#sets.delete(set.row);
		else this.#sets.set(set.row, set);
		this.#changed.set(set.row, set);
		this.#timer ??= this.#clock.after(this.#publishMs, () => this.#flush(), { unref: true });
	}

	#flush(): void {
		this.#timer = undefined;
		const changed = [...this.#changed.values()];
		this.#changed.clear();
		this.#publish(changed);
	}
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
	return a.length === b.length && a.every((name, at) => name === b[at]);
}
