// Owns the delta of one device while it is being filled, and the set of them that a source's text speaks of.
import { deltaBounds, type GpuStateDelta, type XidCount } from '@infermesh/proto';
import { type GpuReading, gpuBounds } from './adapter.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Of<T> = {
	[K in keyof GpuStateDelta]-?: Exclude<GpuStateDelta[K], undefined> extends T ? K : never;
}[keyof GpuStateDelta];

/** The fields of a delta that are plain numbers, flags and texts. */
export type GpuNumber = Of<number>;
export type GpuFlag = Of<boolean>;
export type GpuText = Exclude<Of<string>, 'gpuUuid'>;

/** What a number must be: at least 0; a share; or anything finite. */
export type GpuRange = 'count' | 'ratio' | 'any';

export class GpuDraft {
	readonly #delta: Mutable<GpuStateDelta>;
	readonly #unread: string[] = [];

	constructor(gpuUuid: string, observedAtMs: number) {
		this.#delta = { observedAtMs, gpuUuid, unread: this.#unread };
	}

	get(signal: GpuNumber): number | undefined {
		return this.#delta[signal];
	}

	/** Sets a number; one out of range is another unit or rubbish, and noted as unread. */
	number(signal: GpuNumber, value: number, range: GpuRange): void {
		if (!Number.isFinite(value) || (range !== 'any' && value < 0)) this.unread(`${signal}: ${value} is not a value`);
		else if (range === 'ratio' && value > 1.01) this.unread(`${signal}: ${value} is not between 0 and 1`);
		else this.#delta[signal] = range === 'ratio' ? Math.min(value, 1) : value;
	}

	flag(signal: GpuFlag, value: boolean): void {
		this.#delta[signal] = value;
	}

	text(signal: Exclude<GpuText, 'vendor'>, value: string): void {
		if (value !== '') this.#delta[signal] = value.slice(0, deltaBounds.unreadCharsMax);
	}

	vendor(vendor: 'nvidia' | 'amd'): void {
		this.#delta.vendor = vendor;
	}

	xids(counts: readonly XidCount[]): void {
		if (counts.length > 0) this.#delta.xids = counts.slice(0, deltaBounds.xidsMax);
	}

	unread(text: string): void {
		if (this.#unread.length < deltaBounds.unreadMax) this.#unread.push(text.slice(0, deltaBounds.unreadCharsMax));
	}

	finish(): GpuStateDelta {
		return this.#delta;
	}
}

/** The devices of one reading. */
export class GpuDrafts {
	readonly #atMs: number;
	readonly #devices = new Map<string, GpuDraft>();
	readonly #unread: string[] = [];

	constructor(atMs: number) {
		this.#atMs = atMs;
	}

	/** The draft of a device, made on first sight; `undefined` where there is room for no more. */
	of(gpuUuid: string): GpuDraft | undefined {
		const known = this.#devices.get(gpuUuid);
		if (known !== undefined) return known;
		if (gpuUuid === '' || gpuUuid.length > deltaBounds.unreadCharsMax) return undefined;
		if (this.#devices.size >= gpuBounds.devicesMax) {
			this.unread(`devices: more than ${gpuBounds.devicesMax}`);
			return undefined;
		}
		const draft = new GpuDraft(gpuUuid, this.#atMs);
		this.#devices.set(gpuUuid, draft);
		return draft;
	}

	unread(text: string): void {
		const entry = text.slice(0, deltaBounds.unreadCharsMax);
		if (this.#unread.length < deltaBounds.unreadMax && !this.#unread.includes(entry)) this.#unread.push(entry);
	}

	finish(): GpuReading {
		return { devices: [...this.#devices.values()].map((draft) => draft.finish()), unread: this.#unread };
	}
}
