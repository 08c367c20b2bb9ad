// Owns the wiring of GPU state in meshd: looks and reports go to the signals room, what comes of them to the targets that run on the devices, to the log
// and the metrics.
import { type Clock, type GpuStateDelta, MeshError, type Timer } from '@infermesh/proto';
import type { GpuStandingsRecord } from '../records/kinds.js';
import { signalErrors } from '../signals/errors.js';
import { GpuSignals, type GpuSignalsOptions, type StandingChange } from '../signals/gpu-signals.js';
import type { SourceLook } from '../signals/source-poller.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import { gpuRows } from './gpu-views.js';
import type { GpuSource } from './looks/protocol.js';
import type { TargetService } from './target-service.js';

export interface GpuPartPorts {
	readonly clock: Clock;
	readonly log: Log;
	readonly metrics: Pick<MeshMetrics, 'gpuLooked' | 'gpuStanding'>;
	readonly targets: TargetService;
	readonly sources: readonly GpuSource[];
	/** What holds devices has changed: all that are held. */
	readonly changed: (held: GpuStandingsRecord['held']) => void;
}

/** What follows from time alone is looked at this often. */
const REFRESH_MS = 500;
/** Devices of one node's record; more are in its log and metrics. */
const HELD_MAX = 256;

export class GpuPart {
	readonly signals: GpuSignals;
	readonly #ports: GpuPartPorts;
	readonly #lastErrors = new Map<number, string>();
	#refreshing: Timer | undefined;
	#dirty = false;

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
		for (const record of this.#ports.targets.registry.records()) {
			const { id, node, gpus, gpuShare } = record.spec;
			if (gpus === undefined || gpus.length === 0) continue;
			this.#ports.targets.devices(record, this.signals.summary({ id, node, gpus, gpuShare: gpuShare ?? 1 }));
		}
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

	/** Devices that are not sound, for the mesh to see. */
	#held(): GpuStandingsRecord['held'] {
		return gpuRows(this.signals, this.#ports.targets.registry.records(), this.#nowMs())
			.filter(({ standing }) => standing !== 'sound')
			.slice(0, HELD_MAX)
			.map(({ id, node, standing, rules, targets }) => ({
				gpu: id,
				node,
				standing,
				rules: rules.map(({ rule }) => rule),
				sinceMs: Math.min(...rules.map(({ sinceMs }) => sinceMs)),
				targets,
			}));
	}

	#nowMs(): number {
		return Math.floor(this.#ports.clock.wallMs());
	}
}
