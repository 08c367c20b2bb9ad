// Owns the wiring of GPU state in meshd: looks and reports go to the signals room, what comes of them to the targets that run on the devices, to the log
// and the metrics.
import { type Clock, type GpuStateDelta, MeshError, type Timer } from '@infermesh/proto';
import type { TargetRecord } from '../fleet/registry.js';
import type { GpuStandingsRecord } from '../records/kinds.js';
import { signalErrors } from '../signals/errors.js';
import { type DeviceSummary, GpuSignals, type GpuSignalsOptions, type StandingChange } from '../signals/gpu-signals.js';
import { type Condemned, heldBack } from '../signals/quarantine-cap.js';
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
	/** What holds devices has changed: all that are held. */
	readonly changed: (held: GpuStandingsRecord['held']) => void;
}

/** What follows from time alone is looked at this often. */
const REFRESH_MS = 500;
/** Devices of one node's record; more are in its log and metrics. */
const HELD_MAX = 256;
/** Of a target that is in use although rules would take it out: it is the last to be chosen. */
const HELD_BACK_HEALTH = 0.1;

export class GpuPart {
	readonly signals: GpuSignals;
	readonly #ports: GpuPartPorts;
	readonly #lastErrors = new Map<number, string>();
	#refreshing: Timer | undefined;
	#dirty = false;
	#heldBack: ReadonlySet<string> = new Set();

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

	/** A target has come: what is known of its devices is known of it from the first. */
	apply(): void {
		const { targets } = this.#ports;
		const records = targets.registry.records();
		const onDevices = records.flatMap((record) => {
			const { id, node, gpus, gpuShare } = record.spec;
			if (gpus === undefined || gpus.length === 0) return [];
			return [{ record, summary: this.signals.summary({ id, node, gpus, gpuShare: gpuShare ?? 1 }) }];
		});
		const back = heldBack(onDevices.flatMap(condemned), poolSizes(records), this.#ports.quarantineRatioMax);
		for (const { record, summary } of onDevices)
			targets.devices(record, summary !== undefined && back.has(record.spec.id) ? inUse(summary) : summary);
		this.#tellHeldBack(back);
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
		this.#ports.changed(this.#held());
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
		this.#ports.changed(this.#held());
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

/** A target that its devices would take out. */
function condemned({
	record: { spec },
	summary,
}: {
	readonly record: TargetRecord;
	readonly summary: DeviceSummary | undefined;
}): Condemned[] {
	if (summary?.quarantine === undefined) return [];
	return [{ id: spec.id, models: spec.models, ...summary.quarantine }];
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
