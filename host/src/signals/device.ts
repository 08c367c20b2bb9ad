// Owns what is known of one GPU or slice: the newest of each field from whichever sources speak of it, smoothed where it jumps about, rates of its
// counters, and the XIDs it has shown. Values that cannot be are not believed; a leap of temperature is, when the next look shows it again.
import type { GpuStateDelta } from '@infermesh/proto';

/** A device is not believed beyond these. */
const TEMPERATURE_MIN_C = -20;
const TEMPERATURE_MAX_C = 150;
const POWER_MAX_W = 5000;
/** A change between two looks that must be seen twice. */
const LEAP_C = 40;
/** Counters are compared over at least this long: sources look more often than they count. */
const RATE_MS_MIN = 1000;
const XIDS_MAX = 64;
/** `xid_recent` looks back this far. */
export const XID_RECENT_MS = 600_000;
const MINUTE_MS = 60_000;

type Told = { -readonly [K in keyof GpuStateDelta]: GpuStateDelta[K] };
type Counter = 'linkErrorsTotal' | 'pcieReplaysTotal' | 'energyJTotal';
const counters: readonly Counter[] = ['linkErrorsTotal', 'pcieReplaysTotal', 'energyJTotal'];

interface Rate {
	atMs: number;
	total: number;
	perMinute: number | undefined;
}

const smoothedSignals = ['computeRatio', 'memoryRatio', 'tensorRatio', 'powerW'] as const;
export type SmoothedSignal = (typeof smoothedSignals)[number];

export class Device {
	readonly uuid: string;
	/** The newest of each field. */
	readonly told: Told;
	/** When it was last heard of, mesh clock. */
	heardMs: number;
	/** Uncorrected errors that count no more: an operator has released the device with them. */
	eccBase = 0;
	/** XIDs since the driver was loaded, by when each was last seen to come. */
	readonly xids = new Map<number, number>();
	/** Whether any source tells XIDs. */
	xidsKnown = false;
	readonly #smoothingMs: number;
	readonly #smoothed = new Map<SmoothedSignal, number>();
	readonly #rates = new Map<Counter, Rate>();
	#leapC: number | undefined;
	#counts: ReadonlyMap<number, number> = new Map();

	constructor(delta: GpuStateDelta, smoothingMs: number, nowMs: number) {
		this.uuid = delta.gpuUuid;
		this.told = { observedAtMs: nowMs, gpuUuid: delta.gpuUuid, unread: [] };
		this.heardMs = nowMs;
		this.#smoothingMs = smoothingMs;
		this.accept(delta, nowMs);
	}

	/** Takes a look observed at `atMs` of the mesh clock. */
	accept(delta: GpuStateDelta, atMs: number): void {
		const sinceMs = Math.max(0, atMs - this.heardMs);
		const unread = [...delta.unread];
		const believed = this.#believed(delta, unread);
		for (const [key, value] of Object.entries(believed))
			if (value !== undefined) Object.assign(this.told, { [key]: value });
		this.told.unread = unread;
		this.#smooth(believed, sinceMs);
		for (const counter of counters) this.#count(counter, believed[counter], atMs);
		this.#noteXids(believed, atMs);
		if ((believed.eccUncorrectedTotal ?? this.eccBase) < this.eccBase) this.eccBase = 0;
		this.heardMs = Math.max(this.heardMs, atMs);
	}

	/** A value smoothed over time, or the last one. */
	smoothed(signal: SmoothedSignal): number | undefined {
		return this.#smoothed.get(signal);
	}

	perMinute(counter: Counter): number | undefined {
		return this.#rates.get(counter)?.perMinute;
	}

	recentXids(nowMs: number): readonly number[] {
		return [...this.xids].filter(([, atMs]) => nowMs - atMs <= XID_RECENT_MS).map(([xid]) => xid);
	}

	/** `delta` without what cannot be, which is named in `unread`. */
	#believed(delta: GpuStateDelta, unread: string[]): Partial<Told> {
		const kept: Partial<Told> = { ...delta };
		const refuse = (signal: 'temperatureC' | 'memoryTemperatureC' | 'powerW' | 'vramUsedMib'): void => {
			unread.push(`${signal}: ${delta[signal]} cannot be`);
			delete kept[signal];
		};
		for (const signal of ['temperatureC', 'memoryTemperatureC'] as const) {
			const value = delta[signal];
			if (value !== undefined && (value < TEMPERATURE_MIN_C || value > TEMPERATURE_MAX_C)) refuse(signal);
		}
		if ((delta.powerW ?? 0) > POWER_MAX_W) refuse('powerW');
		const total = delta.vramTotalMib ?? this.told.vramTotalMib;
		if (total !== undefined && total > 0 && (delta.vramUsedMib ?? 0) > total * 1.02) refuse('vramUsedMib');
		if (kept.temperatureC !== undefined && this.#leaps(kept.temperatureC)) {
			unread.push(`temperatureC: a leap to ${kept.temperatureC}, to be seen again`);
			delete kept.temperatureC;
		}
		return kept;
	}

	#leaps(temperatureC: number): boolean {
		const before = this.told.temperatureC;
		const again = this.#leapC !== undefined && Math.abs(temperatureC - this.#leapC) <= LEAP_C;
		const leaps = before !== undefined && Math.abs(temperatureC - before) > LEAP_C && !again;
		this.#leapC = leaps ? temperatureC : undefined;
		return leaps;
	}

	#smooth(delta: Partial<Told>, sinceMs: number): void {
		const keep = Math.exp(-sinceMs / this.#smoothingMs);
		for (const signal of smoothedSignals) {
			const value = delta[signal];
			if (value === undefined) continue;
			const before = this.#smoothed.get(signal) ?? value;
			this.#smoothed.set(signal, before * keep + value * (1 - keep));
		}
	}

	#count(counter: Counter, total: number | undefined, atMs: number): void {
		if (total === undefined) return;
		const before = this.#rates.get(counter);
		if (before === undefined || total < before.total) {
			this.#rates.set(counter, { atMs, total, perMinute: undefined });
			return;
		}
		const overMs = atMs - before.atMs;
		if (overMs < RATE_MS_MIN) return;
		this.#rates.set(counter, { atMs, total, perMinute: ((total - before.total) * MINUTE_MS) / overMs });
	}

	/** The gauge of the last XID falls to 0 when the driver is loaded anew, and with it all that came before. */
	#noteXids({ xidLast, xids }: Partial<Told>, atMs: number): void {
		if (xidLast === undefined && xids === undefined) return;
		const first = !this.xidsKnown;
		this.xidsKnown = true;
		if (xidLast === 0 && xids === undefined) this.xids.clear();
		else if (xidLast !== undefined && xidLast > 0 && (first || !this.xids.has(xidLast))) this.#note(xidLast, atMs);
		const counts = new Map((xids ?? []).map(({ xid, count }) => [xid, count]));
		for (const [xid, count] of counts) if (count > (this.#counts.get(xid) ?? 0)) this.#note(xid, atMs);
		if (xids !== undefined) this.#counts = counts;
	}

	#note(xid: number, atMs: number): void {
		if (this.xids.size >= XIDS_MAX && !this.xids.has(xid)) {
			const [oldest] = this.xids.keys();
			if (oldest !== undefined) this.xids.delete(oldest);
		}
		this.xids.delete(xid);
		this.xids.set(xid, atMs);
	}
}
