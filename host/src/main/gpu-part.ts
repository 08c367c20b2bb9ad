// Owns the wiring of GPU state in meshd: looks and reports go to the signals room, what comes of them, and of what other nodes tell of theirs, to the targets that run
// on the devices, to the log and the metrics.
import { type Clock, type GpuStateDelta, MeshError, type Timer } from '@infermesh/proto';
import type { TargetRecord } from '../fleet/registry.js';
import type { GpuStandingsRecord } from '../records/kinds.js';
import { signalErrors } from '../signals/errors.js';
import { type DeviceSummary, GpuSignals, type GpuSignalsOptions, type StandingChange } from '../signals/gpu-signals.js';
import { heldBack, type Said, together } from '../signals/quarantine-cap.js';
import type { SourceLook } from '../signals/source-poller.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import { gpuRows } from './gpu-views.js';
import type { GpuSource } from './looks/protocol.js';
import type { TargetService } from './target-service.js';

export interface GpuPartPorts {
	readonly clock: Clock;
	readonly log: Log;
	readonly metrics: Pick<MeshMetrics, 'gpuLooked' | 'gpuStanding' | 'gpuHeldBack'>;
	readonly targets: TargetService;
	readonly sources: readonly GpuSource[];
	/** Share of a model's targets that rules may take out. */
	readonly quarantineRatioMax: number;
	/** What this node says of devices has changed. */
	readonly changed: (said: Pick<GpuStandingsRecord, 'held' | 'condemned'>) => void;
}

/** What follows from time alone is looked at this often. */
const REFRESH_MS = 500;
/** Devices of one node's record; more are in its log and metrics. */
const HELD_MAX = 256;
/** Targets of one node's record. */
const CONDEMNED_MAX = 1024;
/** Of a target that is in use although rules would take it out: it is the last to be chosen. */
const HELD_BACK_HEALTH = 0.1;

export class GpuPart {
	readonly signals: GpuSignals;
	readonly #ports: GpuPartPorts;
	readonly #lastErrors = new Map<number, string>();
	#refreshing: Timer | undefined;
	#dirty = false;
	#heldBack: ReadonlySet<string> = new Set();
	/** What this node says of targets, as last told. */
	#said: readonly Said[] = [];
	#told = '';
	/** What others say, by the name of the node. */
	#others: ReadonlyMap<string, readonly Said[]> = new Map();

	constructor(options: GpuSignalsOptions, ports: GpuPartPorts) {
		this.#ports = ports;
		this.signals = new GpuSignals(options);
		this.signals.onChange = (change) => this.#changed(change);
	}

	/** A look at one of the configured sources. */
	looked({ source, reading, result, durationMs, error }: SourceLook): void {
		const { metrics, sources, log } = this.#ports;
		const { kind = 'dcgm', url = '', command = '' } = sources[source] ?? {};
		const name = url || command || kind;
		metrics.gpuLooked(name, result, durationMs);
		// Told when it begins, changes and ends, not with every look.
		if (error !== (this.#lastErrors.get(source) ?? '')) {
			if (error === '') log.info({ source: name }, 'the source of GPU state is read again');
			else log.warn({ source: name, error, code: 'IM_GPU_SOURCE' }, 'a source of GPU state cannot be read');
			this.#lastErrors.set(source, error);
		}
		for (const delta of reading?.devices ?? []) this.report(delta, Math.floor(delta.observedAtMs));
	}

	/** A look at a device, from wherever it comes; observed at `atMs` of the mesh clock. False where there is no room for it. */
	report(delta: GpuStateDelta, atMs: number): boolean {
		const taken = this.signals.report(delta, atMs);
		this.#dirty ||= taken;
		this.#refreshing ??= this.#ports.clock.every(REFRESH_MS, () => this.#refresh(), { unref: true });
		return taken;
	}

	/** What an adapter elsewhere tells of a device, observed `ageMs` ago. IM_GPU_FULL. */
	reported(delta: GpuStateDelta, ageMs: number): void {
		if (!this.report(delta, this.#nowMs() - Math.floor(ageMs)))
			throw new MeshError(signalErrors, 'IM_GPU_FULL', `no room to hear of GPU ${delta.gpuUuid}`);
	}

	/** Degradations in force, as reports of networks have them: those of links count for the devices of their node. */
	network(inForce: readonly { readonly kind: string; readonly node: string }[]): void {
		const links = new Map<string, number>();
		for (const { kind, node } of inForce) if (kind === 'link') links.set(node, (links.get(node) ?? 0) + 1);
		this.signals.network(links);
		this.#dirty = true;
	}

	/** Holds a device by hand. IM_GPU_UNKNOWN. */
	hold(uuid: string, by: string): void {
		this.signals.hold(uuid, by, this.#nowMs());
	}

	/** Releases a device, whatever holds it. IM_GPU_UNKNOWN. */
	release(uuid: string): void {
		this.signals.release(uuid, this.#nowMs());
	}

	/** What the other nodes say of targets whose devices they hear of, by their names. */
	elsewhere(others: ReadonlyMap<string, readonly Said[]>): void {
		this.#others = others;
		this.apply();
	}

	/** Targets have come or gone: what others say of them counts from the first. */
	targetsChanged(): void {
		if (this.#others.size > 0) this.apply();
	}

	/** Brings targets to what is known of their devices. */
	apply(): void {
		const { targets } = this.#ports;
		const records = targets.registry.records();
		const onDevices = records.flatMap((record) => {
			const { id, node, gpus, gpuShare } = record.spec;
			if (gpus === undefined || gpus.length === 0) return [];
			return [{ record, summary: this.signals.summary({ id, node, gpus, gpuShare: gpuShare ?? 1 }) }];
		});
		this.#said = earliest(onDevices.flatMap(saidOf));
		const models = new Map(records.map(({ spec }) => [spec.id, spec.models]));
		const condemned = together([this.#said, ...this.#others.values()], (target) => models.get(target));
		const back = heldBack(condemned, poolSizes(records), this.#ports.quarantineRatioMax);
		const nowMs = this.#nowMs();
		for (const { record, summary } of onDevices) {
			const { id } = record.spec;
			const whole = withOthers(summary, id, this.#others, nowMs);
			targets.devices(record, whole !== undefined && back.has(id) ? inUse(whole) : whole);
		}
		this.#tellHeldBack(back);
		this.#tell();
	}

	/** Targets that are in use although rules would take them out. */
	get heldBack(): ReadonlySet<string> {
		return this.#heldBack;
	}

	close(): void {
		this.#refreshing?.cancel();
	}

	#refresh(): void {
		this.signals.refresh(this.#nowMs());
		if (!this.#dirty) return;
		this.#dirty = false;
		this.apply();
	}

	#changed(change: StandingChange): void {
		const { log, metrics } = this.#ports;
		metrics.gpuStanding(change.uuid, change.standing);
		const line = { gpu: change.uuid, node: change.node, rules: change.rules, before: change.before };
		if (change.standing === 'sound') log.info(line, 'a GPU is sound again');
		else log.warn(line, `a GPU is ${change.standing}`);
		this.apply();
	}

	/** Tells the mesh, when there is something new. */
	#tell(): void {
		const said = { held: this.#held(), condemned: [...this.#said] };
		const text = JSON.stringify(said);
		if (text === this.#told || (this.#told === '' && said.held.length === 0 && said.condemned.length === 0)) return;
		this.#told = text;
		this.#ports.changed(said);
	}

	#tellHeldBack(back: ReadonlySet<string>): void {
		const before = this.#heldBack;
		const begun = [...back].filter((id) => !before.has(id));
		const ended = [...before].filter((id) => !back.has(id));
		if (begun.length === 0 && ended.length === 0) return;
		this.#heldBack = back;
		const { log, metrics } = this.#ports;
		for (const target of begun) {
			metrics.gpuHeldBack(target);
			log.warn({ target }, 'a target stays in use: rules would take out too much of its model');
		}
		for (const target of ended) log.info({ target }, 'a target is no longer kept in use against rules about its GPU');
	}

	/** Devices that are not sound, for the mesh to see. */
	#held(): GpuStandingsRecord['held'] {
		return gpuRows(this.signals, this.#ports.targets.registry.records(), this.#heldBack, this.#nowMs())
			.filter(({ standing }) => standing !== 'sound')
			.slice(0, HELD_MAX)
			.map(({ id, node, standing, rules, targets, heldBack: back }) => {
				const names = rules.map(({ rule }) => rule);
				const sinceMs = Math.min(...rules.map((one) => one.sinceMs));
				const held = { gpu: id, node, standing, rules: names, sinceMs, targets };
				return back.length === 0 ? held : Object.assign(held, { heldBack: back });
			});
	}

	#nowMs(): number {
		return Math.floor(this.#ports.clock.wallMs());
	}
}

/** What this node says of a target, if its devices would take it out. */
function saidOf({
	record: { spec },
	summary,
}: {
	readonly record: TargetRecord;
	readonly summary: DeviceSummary | undefined;
}): Said[] {
	if (summary?.quarantine === undefined) return [];
	const { sinceMs, byHand } = summary.quarantine;
	return [{ target: spec.id, sinceMs, byHand }];
}

/** Those that count first, where there are more than a record holds: no node may count what others cannot see. */
function earliest(said: readonly Said[]): readonly Said[] {
	const order = (a: Said, b: Said): number =>
		Number(b.byHand) - Number(a.byHand) || a.sinceMs - b.sinceMs || (a.target < b.target ? -1 : 1);
	return said.toSorted(order).slice(0, CONDEMNED_MAX);
}

/** What is known here of a target's devices, and out where other nodes that hear of them say so. */
function withOthers(
	summary: DeviceSummary | undefined,
	target: string,
	others: ReadonlyMap<string, readonly Said[]>,
	nowMs: number,
): DeviceSummary | undefined {
	const saying = [...others].filter(([, said]) => said.some((one) => one.target === target));
	if (saying.length === 0) return summary;
	const rules = [...(summary?.rules ?? []), ...saying.map(([node]) => `node:${node}`)];
	return { ...(summary ?? unheard(nowMs)), standing: 'quarantined', health: 0, rules };
}

/** Of devices that only other nodes hear of. */
function unheard(nowMs: number): DeviceSummary {
	return {
		standing: 'sound',
		quarantine: undefined,
		health: 1,
		heardMs: nowMs,
		vramUsedMib: undefined,
		vramTotalMib: undefined,
		computeRatio: undefined,
		memoryRatio: undefined,
		temperatureC: undefined,
		powerW: undefined,
		powerLimitW: undefined,
		throttle: 0,
		eccUncorrected: undefined,
		shareRatio: 1,
		uuids: [],
		rules: [],
	};
}

/** Targets of this cell by model. */
function poolSizes(records: readonly TargetRecord[]): ReadonlyMap<string, number> {
	const sizes = new Map<string, number>();
	for (const { spec } of records)
		if (spec.cell === undefined) for (const model of spec.models) sizes.set(model, (sizes.get(model) ?? 0) + 1);
	return sizes;
}

function inUse(summary: DeviceSummary): DeviceSummary {
	return { ...summary, standing: 'degraded', health: HELD_BACK_HEALTH };
}
