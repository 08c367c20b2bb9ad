// Owns a delta while it is being filled: keeps its lists within their bounds and its numbers finite and in range.
import { deltaBounds, type ModelStateDelta, type RankState } from '@infermesh/proto';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The fields of a delta that are plain numbers. */
export type NumericSignal = {
	[K in keyof ModelStateDelta]-?: Exclude<ModelStateDelta[K], undefined> extends number ? K : never;
}[keyof ModelStateDelta];

export class Draft {
	readonly #delta: Mutable<ModelStateDelta>;
	readonly #unread: string[] = [];

	constructor(observedAtMs: number, runtime?: string) {
		this.#delta = { observedAtMs, unread: this.#unread };
		if (runtime !== undefined) this.#delta.runtime = runtime;
	}

	get(signal: NumericSignal): number | undefined {
		return this.#delta[signal];
	}

	/** Sets a signal that must be at least 0; anything else is noted as unread. */
	count(signal: NumericSignal, value: number): void {
		if (value >= 0 && Number.isFinite(value)) this.#delta[signal] = value;
		else this.unread(`${signal}: ${value} is not a count`);
	}

	/** Sets a signal between 0 and 1. A hair above 1 is rounding; more is another unit and noted as unread. */
	ratio(signal: NumericSignal, value: number): void {
		if (value >= 0 && value <= 1.01) this.#delta[signal] = Math.min(value, 1);
		else this.unread(`${signal}: ${value} is not between 0 and 1`);
	}

	/** Notes what should have been there, within the bounds of a delta. */
	unread(text: string): void {
		if (this.#unread.length < deltaBounds.unreadMax) this.#unread.push(text.slice(0, deltaBounds.unreadCharsMax));
	}

	models(names: readonly string[]): void {
		if (names.length > 0) this.#delta.models = distinct(names, deltaBounds.modelsMax);
	}

	loras(names: readonly string[]): void {
		this.#delta.loras = distinct(names, deltaBounds.lorasMax);
	}

	ranks(states: readonly RankState[]): void {
		if (states.length > 0) this.#delta.ranks = states.slice(0, deltaBounds.ranksMax);
	}

	version(text: string): void {
		this.#delta.runtimeVersion = text.slice(0, deltaBounds.unreadCharsMax);
	}

	/** Of several answers the worst holds: a server is not ready when one of the models asked for is not. */
	ready(value: boolean): void {
		this.#delta.ready = value && this.#delta.ready !== false;
	}

	sleeping(value: boolean): void {
		this.#delta.sleeping = value;
	}

	/** Marks the delta as a comparison of two looks. */
	interval(intervalMs: number, restarted: boolean): void {
		this.#delta.intervalMs = intervalMs;
		this.#delta.restarted = restarted;
	}

	finish(): ModelStateDelta {
		return this.#delta;
	}
}

function distinct(names: readonly string[], max: number): string[] {
	const seen = new Set<string>();
	for (const name of names) if (name !== '' && seen.size < max) seen.add(name);
	return [...seen];
}
