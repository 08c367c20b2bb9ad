// Owns the life of targets in the agent: adding (asking a runtime for its models when none are named), draining, removing, and telling
// pollers, fusion and workers each time. Rows of removed targets are released when nothing is in flight on them.
import type { LinkEstimate } from '@infermesh/fabric';
import { type Clock, MeshError, type ModelStateDelta, type Timer } from '@infermesh/proto';
import type { CellReport } from '../cells/rows.js';
import { DirectoryCompiler, type DirectorySnapshot, type NamePolicy } from '../fleet/directory.js';
import { fleetErrors } from '../fleet/errors.js';
import { type AttemptReport, FleetFusion, type FusionOptions, type LoadReport } from '../fleet/fusion.js';
import type { TargetHold } from '../fleet/health.js';
import { type InflightReader, REQUESTS } from '../fleet/inflight.js';
import type { LimitLearner } from '../fleet/limit-learner.js';
import type { PoolPolicies } from '../fleet/placement.js';
import type { Fetcher } from '../fleet/poller.js';
import { type Names, type TargetRecord, TargetRegistry, type TargetSpec, targetUrl } from '../fleet/registry.js';
import type { FleetTableWriter } from '../fleet/table.js';
import type { ModelPool } from '../router/ports.js';
import type { DeviceSummary } from '../signals/gpu-signals.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import type { LookEvents } from './looks/looks.js';

export interface TargetServiceOptions {
	readonly fusion: FusionOptions;
	/** A target is given this long to name its models. */
	readonly askTimeoutMs: number;
	readonly policy: NamePolicy;
	/** Models that rows of other cells may name. */
	readonly remoteModelsMax: number;
	readonly publishMs: number;
	/** States that follow from time alone are looked at this often while they may move, or traffic moves them. */
	readonly refreshMs: number;
	/** And this often at the least: reports have put off what was expected, and counters of workers may have moved. */
	readonly refreshIdleMs: number;
}

export interface TargetServicePorts {
	readonly clock: Clock;
	readonly table: FleetTableWriter;
	readonly counters: InflightReader;
	readonly names: Names;
	readonly fetch: Fetcher;
	/** Looks at the targets it is told to follow. */
	readonly looks: Looks;
	readonly metrics: MeshMetrics;
	/** What the fabric knows of the ways to targets, as a look-up made once for many. */
	readonly links: () => (spec: TargetSpec) => LinkEstimate;
	/** Whether this node asks a target how it stands: a router asks all, the node that runs engines its own, any other none. */
	readonly watches: (id: string) => boolean;
	/** A target was added, or its runtime has reported and the table has it. */
	readonly limits: Pick<LimitLearner, 'added' | 'reported'>;
	/** A report says which LoRA adapters are loaded at a target. */
	readonly onLoras: (record: TargetRecord, names: readonly string[]) => void;
	/** The pools changed: state blocks first, then the workers' directory. */
	readonly onDirectory: (pools: readonly ModelPool[], snapshot: DirectorySnapshot) => void;
}

export interface Looks {
	events: LookEvents<TargetRecord>;
	follow(record: TargetRecord): void;
	forget(record: TargetRecord): void;
}

/** A `/v1/models` answer larger than this is refused. */
const MODELS_BODY_MAX_BYTES = 1024 * 1024;
const MODELS_MAX = 64;

export class TargetService {
	readonly registry: TargetRegistry;
	readonly fusion: FleetFusion;
	readonly #options: TargetServiceOptions;
	readonly #ports: TargetServicePorts;
	readonly #compiler = new DirectoryCompiler();
	readonly #createdS: number;
	readonly #watched = new Set<TargetRecord>();
	#refreshing: Timer | undefined;
	/** When `#refreshing` comes. */
	#refreshAtMs = Number.POSITIVE_INFINITY;
	#started = false;
	#policy: NamePolicy;
	#leaving: TargetRecord[] = [];
	#ejections = new Map<TargetRecord, number>();

	constructor(options: TargetServiceOptions, ports: TargetServicePorts) {
		this.#options = options;
		this.#ports = ports;
		this.#policy = options.policy;
		this.#createdS = Math.floor(ports.clock.wallMs() / 1000);
		this.registry = new TargetRegistry(ports.table, ports.names, options.remoteModelsMax);
		this.fusion = new FleetFusion(options.fusion, ports.table, ports.counters, this.registry);
		ports.looks.events = {
			report: (record, delta) => {
				this.#report(record, delta, Math.floor(delta.observedAtMs));
				ports.limits.reported(record);
			},
			checked: (record, ok, rttMs) => {
				ports.metrics.healthChecked(record.spec.id, ok);
				this.fusion.checked(record, ok, rttMs, this.#nowMs());
				this.#lookSoon(record);
			},
			scraped: (record, result, durationMs) => ports.metrics.scraped(record.spec.id, result, durationMs),
		};
	}

	/** Begins publishing signals. */
	start(): void {
		const { clock, table } = this.#ports;
		// What is eligible is not to be waited for; other signals are.
		this.fusion.onStateChange = () => void table.publish();
		// Changes gather for a moment and go out together; an idle fleet costs no timer.
		table.onFirstChange = () => clock.after(this.#options.publishMs, () => void table.publish(), { unref: true });
		this.#started = true;
		this.#keepRefreshing();
	}

	/** Whether its signals are read here. */
	watched(record: TargetRecord): boolean {
		return this.#watched.has(record);
	}

	/** The spec with its models: asked of the target when none are named. IM_TARGET_INVALID, IM_TARGET_MODELS_UNKNOWN. */
	async complete(spec: TargetSpec): Promise<TargetSpec> {
		targetUrl(spec);
		return spec.models.length > 0 ? spec : { ...spec, models: await this.#askModels(spec) };
	}

	/** Adds a target that names its models. IM_TARGET_EXISTS, IM_TARGET_INVALID, IM_FLEET_FULL. */
	add(spec: TargetSpec): TargetRecord {
		const record = this.registry.add(spec);
		this.fusion.follow(record, this.#nowMs());
		this.#ports.limits.added(record);
		if (spec.cell === undefined) this.fusion.linked(record, this.#ports.links()(spec), this.#nowMs());
		this.#ports.table.publish();
		this.#announce();
		if (this.#ports.watches(spec.id)) {
			this.#watched.add(record);
			this.#ports.looks.follow(record);
			this.#keepRefreshing();
		}
		return record;
	}

	remove(id: string): TargetRecord {
		const record = this.registry.remove(id);
		if (this.#watched.delete(record)) this.#ports.looks.forget(record);
		this.fusion.forget(record);
		this.#ports.table.publish();
		this.#announce();
		this.#leaving.push(record);
		this.#keepRefreshing();
		return record;
	}

	hold(id: string, hold: TargetHold): TargetRecord {
		const record = this.registry.get(id);
		record.hold = hold;
		this.fusion.refresh(this.#nowMs());
		this.#ports.table.publish();
		return record;
	}

	/** Placements, objectives and names changed. */
	setPolicies(policies: PoolPolicies, names: NamePolicy): void {
		this.#policy = names;
		this.registry.setPolicies(policies);
		this.#announce();
	}

	/** The fabric has looked at its links again. */
	relink(): void {
		const linkOf = this.#ports.links();
		for (const record of this.registry.records())
			if (record.spec.cell === undefined) this.fusion.linked(record, linkOf(record.spec), this.#nowMs());
	}

	/** What an adapter tells of a target, from wherever it runs; observed `ageMs` ago. IM_TARGET_UNKNOWN. */
	report(id: string, delta: ModelStateDelta, ageMs: number): void {
		this.#report(this.registry.get(id), delta, this.#nowMs() - ageMs);
	}

	#report(record: TargetRecord, delta: ModelStateDelta, atMs: number): void {
		this.fusion.report(record, delta, atMs);
		this.#lookSoon(record);
		if (delta.loras !== undefined) this.#ports.onLoras(record, delta.loras);
	}

	/** What another cell has told of what stands behind its row. */
	reportCell(id: string, { delta, ageMs, weight, link }: CellReport): void {
		const record = this.registry.get(id);
		const nowMs = this.#nowMs();
		this.fusion.report(record, delta, nowMs - ageMs);
		this.fusion.weigh(record, weight);
		this.fusion.linked(record, link, nowMs);
		this.#lookSoon(record);
	}

	attempts(reports: readonly AttemptReport[], loads: readonly LoadReport[]): void {
		this.#keepRefreshing();
		this.fusion.loads(loads);
		if (this.fusion.attempts(reports, this.#nowMs())) this.#ports.table.publish();
	}

	/** The directory as it stands, for a worker that starts late. */
	snapshot(): DirectorySnapshot {
		return this.#compiler.compile(this.registry.pools(), this.#policy, this.#createdS);
	}

	close(): void {
		this.#ports.table.onFirstChange = undefined;
		this.#started = false;
		this.#refreshing?.cancel();
		for (const record of this.#watched) this.#ports.looks.forget(record);
	}

	#announce(): void {
		const snapshot = this.snapshot();
		this.#ports.onDirectory(this.registry.pools(), snapshot);
	}

	/** What the devices of a target come to, from now on; `undefined` = nothing is known of them. */
	devices(record: TargetRecord, summary: DeviceSummary | undefined): void {
		this.fusion.devices(record, summary, this.#nowMs());
	}

	/** What was heard of a target may show only at a look, or have set something going. */
	#lookSoon(record: TargetRecord): void {
		if (!this.fusion.isSteady(record, this.#nowMs())) this.#keepRefreshing();
	}

	/** The timer runs only while there is something whose state may change by time alone, and comes when it may. */
	#keepRefreshing(waitMs = this.#options.refreshMs): void {
		if (!this.#started || (this.#watched.size === 0 && this.#leaving.length === 0)) return;
		const { clock } = this.#ports;
		const atMs = clock.nowMs() + waitMs;
		if (atMs >= this.#refreshAtMs) return;
		this.#refreshing?.cancel();
		this.#refreshAtMs = atMs;
		const refresh = (): void => {
			this.#refreshAtMs = Number.POSITIVE_INFINITY;
			this.#refresh();
		};
		this.#refreshing = clock.after(waitMs, refresh, { unref: true });
	}

	#refresh(): void {
		const nowMs = this.#nowMs();
		const untilMs = this.fusion.refresh(nowMs);
		this.#countEjections();
		this.#leaving = this.#leaving.filter((record) => {
			if (this.#ports.counters.own(REQUESTS, record.row) > 0) return true;
			this.registry.release(record);
			return false;
		});
		const { refreshMs, refreshIdleMs } = this.#options;
		const waitMs = this.#leaving.length > 0 ? refreshMs : untilMs - nowMs;
		this.#keepRefreshing(Math.min(refreshIdleMs, Math.max(refreshMs, waitMs)));
	}

	#countEjections(): void {
		const now = new Map<TargetRecord, number>();
		for (const record of this.registry.records()) {
			const { ejections } = this.fusion.status(record);
			for (let n = this.#ejections.get(record) ?? 0; n < ejections; n++) this.#ports.metrics.ejected(record.spec.id);
			now.set(record, ejections);
		}
		this.#ejections = now;
	}

	async #askModels(spec: TargetSpec): Promise<string[]> {
		try {
			const { status, body } = await this.#ports.fetch(`${spec.url.replace(/\/+$/, '')}/v1/models`, {
				timeoutMs: this.#options.askTimeoutMs,
				bodyMaxBytes: MODELS_BODY_MAX_BYTES,
				apiKey: spec.apiKey,
				http: spec.http,
			});
			if (status !== 200) throw new Error(`it answered ${status}`);
			const { data } = JSON.parse(Buffer.from(body).toString('utf8')) as { data?: unknown };
			const ids = Array.isArray(data) ? data.map((entry: unknown) => (entry as { id?: unknown } | null)?.id) : [];
			const models = ids.filter((id): id is string => typeof id === 'string' && id !== '').slice(0, MODELS_MAX);
			if (models.length === 0) throw new Error('it lists no model');
			return models;
		} catch (cause) {
			const why = cause instanceof Error ? cause.message : String(cause);
			throw new MeshError(
				fleetErrors,
				'IM_TARGET_MODELS_UNKNOWN',
				`target ${spec.id} could not be asked for its models: ${why}`,
				{ cause },
			);
		}
	}

	/** The mesh clock: common to all threads, unlike a thread's monotonic one. */
	#nowMs(): number {
		return Math.floor(this.#ports.clock.wallMs());
	}
}
