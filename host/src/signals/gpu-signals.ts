// Owns the GPUs this node hears of: their state from all sources, their standing under the rules, and what both make of the targets that run on them.
// It fetches nothing and writes no table itself: sources come in as deltas, targets go out as summaries.
import { type GpuStateDelta, MeshError } from '@infermesh/proto';
import { Device } from './device.js';
import { signalErrors } from './errors.js';
import { type Facts, factsOf } from './facts.js';
import { DeviceStanding, HAND, type Held, type Standing } from './quarantine.js';
import type { Rule } from './rules.js';

export interface GpuSignalsOptions {
	readonly rules: readonly Rule[];
	readonly staleAfterMs: number;
	/** A device nobody has spoken of for this long is forgotten. */
	readonly forgetAfterMs: number;
	readonly smoothingMs: number;
	readonly devicesMax: number;
}

/** What a target says of the devices it runs on. */
export interface TargetDevices {
	readonly id: string;
	readonly node: string;
	/** UUIDs, or numbers of devices in the target's node. */
	readonly gpus: readonly string[];
	/** Share of its devices that is its own, as under MPS. */
	readonly gpuShare: number;
}

/** What the devices of a target come to. */
export interface DeviceSummary {
	readonly standing: Standing;
	/** Why it is out, where it is: since when, and whether an operator says so. */
	readonly quarantine: { readonly sinceMs: number; readonly byHand: boolean } | undefined;
	/** 1 = sound, 0 = out. */
	readonly health: number;
	/** When the device heard of longest ago was, mesh clock. */
	readonly heardMs: number;
	readonly vramUsedMib: number | undefined;
	readonly vramTotalMib: number | undefined;
	readonly computeRatio: number | undefined;
	readonly memoryRatio: number | undefined;
	readonly temperatureC: number | undefined;
	readonly powerW: number | undefined;
	readonly powerLimitW: number | undefined;
	readonly throttle: number;
	readonly eccUncorrected: number | undefined;
	/** Share of whole devices that is the target's. */
	readonly shareRatio: number;
	readonly uuids: readonly string[];
	/** Rules that hold them, or the devices they are part of. */
	readonly rules: readonly string[];
}

/** One device as operators see it. */
export interface DeviceReport {
	readonly device: Device;
	readonly standing: Standing;
	readonly held: readonly Held[];
	readonly health: number;
	readonly stale: boolean;
}

/** A device whose standing, or what holds it, has changed. */
export interface StandingChange {
	readonly uuid: string;
	readonly node: string;
	readonly standing: Standing;
	readonly before: Standing;
	readonly rules: readonly string[];
}

interface Known {
	readonly device: Device;
	readonly rules: DeviceStanding;
}

/** Degrees below slowing down at which a device begins to count for less. */
const WARM_MARGIN_C = 10;

export class GpuSignals {
	readonly #options: GpuSignalsOptions;
	readonly #known = new Map<string, Known>();
	readonly #linksDegraded = new Map<string, number>();
	/** Devices by node and number. */
	readonly #places = new Map<string, string>();
	#refused = 0;
	/** Called when what holds a device has changed. */
	onChange: ((change: StandingChange) => void) | undefined;

	constructor(options: GpuSignalsOptions) {
		this.#options = options;
	}

	/** Devices of which there was no room to hear. */
	get refused(): number {
		return this.#refused;
	}

	/** A look at a device, observed at `atMs` of the mesh clock. False where there is no room for another device. */
	report(delta: GpuStateDelta, atMs: number): boolean {
		let known = this.#known.get(delta.gpuUuid);
		if (known === undefined) {
			if (this.#known.size >= this.#options.devicesMax) {
				this.#refused++;
				return false;
			}
			known = {
				device: new Device(delta, this.#options.smoothingMs, atMs),
				rules: new DeviceStanding(this.#options.rules),
			};
			this.#known.set(delta.gpuUuid, known);
		} else known.device.accept(delta, atMs);
		const { index, node, migInstance } = known.device.told;
		if (index !== undefined && migInstance === undefined) this.#places.set(`${node ?? ''}/${index}`, delta.gpuUuid);
		this.#look(known, atMs);
		return true;
	}

	/** How many links of a node are degraded, as reports of its network say. */
	network(degraded: ReadonlyMap<string, number>): void {
		this.#linksDegraded.clear();
		for (const [node, links] of degraded) this.#linksDegraded.set(node, links);
	}

	/** Moves what follows from time alone. */
	refresh(nowMs: number): void {
		for (const [uuid, known] of this.#known) {
			if (nowMs - known.device.heardMs <= this.#options.forgetAfterMs) this.#look(known, nowMs);
			else this.#forget(uuid, known);
		}
	}

	/** Takes a device out by hand. IM_GPU_UNKNOWN. */
	hold(uuid: string, by: string, nowMs: number): void {
		const known = this.#get(uuid);
		const before = known.rules.standing;
		if (known.rules.hold(by, nowMs)) this.#changed(known, before);
	}

	/** Lets a device go, whatever holds it. IM_GPU_UNKNOWN. */
	release(uuid: string, nowMs: number): void {
		const known = this.#get(uuid);
		const before = known.rules.standing;
		const changed = known.rules.release(this.#facts(known, nowMs), nowMs);
		known.device.eccBase = known.device.told.eccUncorrectedTotal ?? known.device.eccBase;
		if (changed) this.#changed(known, before);
	}

	devices(nowMs: number): readonly DeviceReport[] {
		return [...this.#known.values()].map((known) => ({
			device: known.device,
			standing: known.rules.standing,
			held: known.rules.held,
			health: healthOf(known),
			stale: this.#stale(known, nowMs),
		}));
	}

	/** What the devices of a target come to; `undefined` when it names none, or none of them is known. */
	summary(target: TargetDevices): DeviceSummary | undefined {
		const uuids = target.gpus.map((gpu) => this.#uuidOf(gpu, target.node));
		const own = uuids.flatMap((uuid) => (uuid === undefined ? [] : (this.#known.get(uuid) ?? [])));
		return own.length === 0 ? undefined : summarise(own, this.#withParents(own), target.gpuShare);
	}

	/** Also the devices that slices are part of: what is wrong with the whole is wrong with its parts. */
	#withParents(own: readonly Known[]): readonly Known[] {
		const parents = own.flatMap(({ device }) => this.#known.get(device.told.parentUuid ?? '') ?? []);
		return [...own, ...parents];
	}

	#uuidOf(gpu: string, node: string): string | undefined {
		if (this.#known.has(gpu)) return gpu;
		return /^\d{1,4}$/.test(gpu) ? this.#places.get(`${node}/${Number(gpu)}`) : undefined;
	}

	#get(uuid: string): Known {
		const known = this.#known.get(uuid);
		if (known === undefined) throw new MeshError(signalErrors, 'IM_GPU_UNKNOWN', `no GPU ${uuid} is heard of here`);
		return known;
	}

	#stale({ device }: Known, nowMs: number): boolean {
		return nowMs - device.heardMs > this.#options.staleAfterMs;
	}

	#facts(known: Known, nowMs: number): Facts | undefined {
		if (this.#stale(known, nowMs)) return undefined;
		return factsOf(known.device, this.#linksDegraded.get(known.device.told.node ?? '') ?? 0, nowMs);
	}

	#look(known: Known, nowMs: number): void {
		const before = known.rules.standing;
		if (known.rules.look(this.#facts(known, nowMs), nowMs)) this.#changed(known, before);
	}

	#changed({ device, rules }: Known, before: Standing): void {
		this.onChange?.({
			uuid: device.uuid,
			node: device.told.node ?? '',
			standing: rules.standing,
			before,
			rules: rules.held.map(({ rule }) => rule),
		});
	}

	#forget(uuid: string, { device }: Known): void {
		this.#known.delete(uuid);
		const { index, node } = device.told;
		const place = `${node ?? ''}/${index}`;
		if (this.#places.get(place) === uuid) this.#places.delete(place);
	}
}

/** 0 in quarantine, half when degraded, and less than whole while hot or slowed by its hardware. */
function healthOf({ device, rules }: Known): number {
	if (rules.standing === 'quarantined') return 0;
	const { slowdownTemperatureC: limit, temperatureC, throttle } = device.told;
	const marginC = limit === undefined || temperatureC === undefined ? WARM_MARGIN_C : limit - temperatureC;
	const warm = Math.min(1, Math.max(0, (WARM_MARGIN_C - marginC) / WARM_MARGIN_C));
	const slowed = ((throttle ?? 0) & HARDWARE_BITS) === 0 ? 1 : 0.8;
	return (1 - 0.3 * warm) * slowed * (rules.standing === 'degraded' ? 0.5 : 1);
}

const HARDWARE_BITS = 0x8 | 0x40 | 0x80;

function summarise(own: readonly Known[], all: readonly Known[], gpuShare: number): DeviceSummary {
	const values = (of: (device: Device) => number | undefined): readonly number[] =>
		own.map(({ device }) => of(device)).filter((value) => value !== undefined);
	const sum = (of: (device: Device) => number | undefined): number | undefined => {
		const found = values(of);
		return found.length === 0 ? undefined : found.reduce((total, value) => total + value, 0);
	};
	const mean = (of: (device: Device) => number | undefined): number | undefined => {
		const total = sum(of);
		return total === undefined ? undefined : total / values(of).length;
	};
	const most = (of: (device: Device) => number | undefined): number | undefined => {
		const found = all.map(({ device }) => of(device)).filter((value) => value !== undefined);
		return found.length === 0 ? undefined : Math.max(...found);
	};
	const shared = (value: number | undefined): number | undefined =>
		value === undefined ? undefined : value * gpuShare;
	const standings = new Set(all.map(({ rules }) => rules.standing));
	const held = all.flatMap(({ rules }) => rules.held);
	const outBy = held.filter(({ then }) => then === 'quarantined');
	return {
		standing: standings.has('quarantined') ? 'quarantined' : standings.has('degraded') ? 'degraded' : 'sound',
		quarantine:
			outBy.length === 0
				? undefined
				: {
						sinceMs: Math.min(...outBy.map(({ sinceMs }) => sinceMs)),
						byHand: outBy.some(({ rule }) => rule === HAND),
					},
		health: Math.min(...all.map(healthOf)),
		heardMs: Math.min(...own.map(({ device }) => device.heardMs)),
		// What a share of a device may use is its part of what there is.
		vramUsedMib: shared(sum(({ told }) => told.vramUsedMib)),
		vramTotalMib: shared(sum(({ told }) => told.vramTotalMib)),
		computeRatio: mean((device) => device.smoothed('computeRatio')),
		memoryRatio: mean((device) => device.smoothed('memoryRatio')),
		temperatureC: most(({ told }) => told.temperatureC),
		powerW: sum((device) => device.smoothed('powerW')),
		powerLimitW: sum(({ told }) => told.powerLimitW),
		throttle: all.reduce((bits, { device }) => bits | (device.told.throttle ?? 0), 0),
		eccUncorrected: sum(({ told }) => told.eccUncorrectedTotal),
		shareRatio: (values(({ told }) => told.shareRatio ?? 1).reduce((a, b) => a + b, 0) / own.length) * gpuShare,
		uuids: own.map(({ device }) => device.uuid),
		rules: [...new Set(held.map(({ rule }) => rule))],
	};
}
