// Owns the joining of replicated state with this process: mirrors of the records, and what follows from each change for targets, policies, access and
// strategies. Without quorum nothing changes here: the last configuration serves on.
import { type Blobs, type ConsensusEngine, hasCode, type LeaseId } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';
import type { NamePolicy } from '../fleet/directory.js';
import type { NameTable } from '../fleet/interner.js';
import type { PoolPolicies } from '../fleet/placement.js';
import { type AccessSnapshot, accessOf, type ConfiguredKey } from '../mesh/access.js';
import { claimName } from '../mesh/claim-name.js';
import { Drain } from '../mesh/drain.js';
import { KeptRecord } from '../mesh/kept-record.js';
import { LevelKeeper, type LevelKeeperPorts } from '../mesh/level-keeper.js';
import { cutOff } from '../mesh/listing.js';
import type { MeshMirrors } from '../mesh/mirrors.js';
import { type TargetActions, TargetSync } from '../mesh/target-sync.js';
import {
	type DegradationRecord,
	type GpuStandingsRecord,
	type LifecycleRecord,
	type LifecycleState,
	type NodeRecord,
	type Quota,
	type ResponseKey,
	type RouterRecord,
	recordKinds,
} from '../records/kinds.js';
import { Mirror } from '../records/mirror.js';
import { Records } from '../records/records.js';
import type { Said } from '../signals/quarantine-cap.js';
import type { StrategyJudge } from '../strategy/registry/judge.js';
import type { StrategyManager } from '../strategy/registry/manager.js';
import { StrategyRegistry } from '../strategy/registry/registry.js';
import { StrategySync } from '../strategy/registry/sync.js';
import type { Grade, InlineRule } from '../strategy/signing/grade.js';
import { StrategyTrust } from '../strategy/signing/trust.js';

export interface MeshStateParts {
	readonly clock: Clock;
	readonly engine: ConsensusEngine;
	readonly blobs: Blobs;
	/** UUID of this node. */
	readonly nodeId: string;
	/** Name of this node, for records of who did what. */
	readonly nodeName: string;
	/** The lease this node's own records lie under; undefined where nothing outlives the process anyway. */
	readonly lease: () => LeaseId | undefined;
	readonly judge: StrategyJudge;
	/** Least grade of strategies that are loaded. */
	readonly requiredGrade: Grade;
	/** Which libraries may run inside the process. */
	readonly inlineRule: InlineRule;
	/** Whether a router that follows the records has no room for one more strategy. */
	readonly full: () => boolean;
	/** Of the router that runs here; undefined where none does, and strategies are only kept. */
	readonly manager: StrategyManager | undefined;
	readonly targets: TargetActions;
	readonly setPolicies: (policies: PoolPolicies, names: NamePolicy) => void;
	/** Quotas changed, or were read for the first time. */
	readonly setQuotas: (quotas: readonly Quota[]) => void;
	/** What other nodes say of targets on GPUs that they hear of, by the names of the nodes. */
	readonly setGpus: (others: ReadonlyMap<string, readonly Said[]>) => void;
	/** The names of this node's configuration, under those of the mesh's route policies. */
	readonly configuredNames: NamePolicy;
	readonly tenants: NameTable;
	readonly configuredKeys: readonly ConfiguredKey[];
	/** Of this node's configuration, in place of the mesh's. */
	readonly responseKey: string | undefined;
	readonly setAccess: (access: AccessSnapshot) => void;
	/** Requests this router has in flight because of a node; undefined where no router runs here. */
	readonly inFlight: ((nodeId: string) => number) | undefined;
	/** What this node speaks, and whether it raises the mesh's level. */
	readonly level: Pick<LevelKeeperPorts, 'own' | 'raises' | 'members' | 'settleMs' | 'changed'>;
	/** Gives up leadership, if this node has it. */
	readonly handOver: () => Promise<void>;
	readonly failed: (what: string, error: unknown) => void;
}

/** The one record of its kind. */
const RESPONSE_KEY_ID = 'owner';

/** A write under the lease that failed for what will be otherwise in a while. */
const passing = (error: unknown): boolean =>
	cutOff(error) || hasCode(error, 'IM_CONSENSUS_LEASE_LOST') || hasCode(error, 'IM_STORE_NO_SPACE');

export class MeshState implements MeshMirrors {
	readonly records: Records;
	readonly registry: StrategyRegistry;
	readonly targetSync: TargetSync;
	readonly nodes;
	readonly levels;
	readonly level: LevelKeeper;
	readonly lifecycle;
	readonly removals;
	readonly targets;
	readonly placements;
	readonly slos;
	readonly routes;
	readonly quotas;
	readonly tenants;
	readonly apiKeys;
	readonly responseKeys;
	readonly signingKeys;
	readonly strategies;
	readonly staging;
	readonly routers;
	readonly drains;
	readonly degradations;
	readonly gpuStandings;
	readonly experiments;
	readonly experimentRunner;
	readonly #parts: MeshStateParts;
	readonly #strategySync: StrategySync | undefined;
	readonly #drain: Drain;
	readonly #node: KeptRecord<NodeRecord>;
	readonly #router: KeptRecord<RouterRecord>;
	readonly #degradations: KeptRecord<DegradationRecord>;
	readonly #gpus: KeptRecord<GpuStandingsRecord>;
	readonly #responseKey: KeptRecord<ResponseKey>;
	readonly #mirrors: Mirror<never>[] = [];
	readonly #listeners = new Set<() => void>();

	constructor(parts: MeshStateParts) {
		this.#parts = parts;
		const { clock, engine, blobs, manager } = parts;
		this.records = new Records(engine);
		const mirror = <K extends keyof typeof recordKinds>(kind: K, changed: () => void) => {
			const made = new Mirror<(typeof recordKinds)[K]['schema']>(recordKinds[kind], engine, clock, {
				changed: () => {
					changed();
					// A listener that leaves while it is called is passed over; one that comes is called too.
					for (const listener of this.#listeners) listener();
				},
				skipped: (key) => parts.failed(`record ${key} is not understood and left out`, undefined),
				failed: (error) => parts.failed(`reading ${kind}`, error),
			});
			this.#mirrors.push(made as unknown as Mirror<never>);
			return made;
		};
		this.targetSync = new TargetSync(parts.targets, (id, error) => parts.failed(`following target ${id}`, error));
		const retarget = (): void => this.#applyTargets();
		const repolicy = (): void => this.#applyPolicies();
		const reaccess = (): void => this.#applyAccess();
		const restrategise = (): void => this.#strategySync?.changed();
		this.nodes = mirror('nodes', () => {
			retarget();
			this.#node.changed();
			this.level.changed();
		});
		this.levels = mirror('levels', () => this.level.changed());
		this.lifecycle = mirror('lifecycle', () => {
			retarget();
			this.#drain.changed();
		});
		this.removals = mirror('removals', () => this.level.changed());
		this.targets = mirror('targets', retarget);
		this.placements = mirror('placements', repolicy);
		this.slos = mirror('slos', repolicy);
		this.routes = mirror('routes', repolicy);
		this.quotas = mirror('quotas', () => this.#applyQuotas());
		this.tenants = mirror('tenants', reaccess);
		this.apiKeys = mirror('apiKeys', reaccess);
		this.responseKeys = mirror('responseKeys', () => {
			this.#responseKey.changed();
			reaccess();
		});
		this.signingKeys = mirror('signingKeys', () => {
			parts.manager?.gradesChanged();
			// A library that was refused for want of trust may be taken now.
			this.#strategySync?.changed();
		});
		this.strategies = mirror('strategies', restrategise);
		this.staging = mirror('staging', restrategise);
		this.routers = mirror('routers', () => {
			this.#router.changed();
			this.#drain.changed();
		});
		this.drains = mirror('drains', () => this.#drain.changed());
		this.degradations = mirror('degradations', () => this.#degradations.changed());
		this.gpuStandings = mirror('gpuStandings', () => this.#applyGpus());
		this.experiments = mirror('experiments', () => undefined);
		this.experimentRunner = mirror('experimentRunner', () => undefined);
		const underLease = () => {
			const lease = parts.lease();
			return lease === undefined ? {} : { lease };
		};
		this.level = new LevelKeeper({
			clock,
			records: this.records,
			mirrors: this,
			self: parts.nodeId,
			...parts.level,
			failed: parts.failed,
		});
		this.#node = new KeptRecord({
			clock,
			passing,
			write: (record) => claimName(this.records, record, parts.lease()),
			present: () => this.nodes.get(parts.nodeId) !== undefined,
			failed: (error) => parts.failed('registering this node again', error),
		});
		this.#router = new KeptRecord({
			clock,
			passing,
			write: async (record) => void (await this.records.put(recordKinds.routers, parts.nodeId, record, underLease())),
			present: () => this.routers.get(parts.nodeId) !== undefined,
			failed: (error) => parts.failed('reporting to the mesh', error),
		});
		this.#degradations = new KeptRecord({
			clock,
			passing,
			write: async (record) =>
				void (await this.records.put(recordKinds.degradations, parts.nodeId, record, underLease())),
			present: () => this.degradations.get(parts.nodeId) !== undefined,
			failed: (error) => parts.failed('telling the mesh of degradations', error),
		});
		this.#gpus = new KeptRecord({
			clock,
			passing,
			write: async (record) =>
				void (await this.records.put(recordKinds.gpuStandings, parts.nodeId, record, underLease())),
			// Nobody else writes it, and it goes with the lease only, which renews it.
			present: () => true,
			failed: (error) => parts.failed('telling the mesh of GPUs', error),
		});
		this.#responseKey = new KeptRecord({
			clock,
			passing,
			write: async (key) =>
				void (await this.records.update(recordKinds.responseKeys, RESPONSE_KEY_ID, (present) =>
					present === undefined ? key : undefined,
				)),
			present: () => this.responseKeys.get(RESPONSE_KEY_ID) !== undefined,
			failed: (error) => parts.failed('making the key of stored responses', error),
		});
		this.#drain = new Drain({
			clock,
			records: this.records,
			nodeId: parts.nodeId,
			lease: parts.lease,
			mirrors: this,
			inFlight: parts.inFlight,
			handOver: parts.handOver,
			failed: parts.failed,
		});
		const trust = new StrategyTrust({
			require: parts.requiredGrade,
			inline: parts.inlineRule,
			key: (id) => this.signingKeys.get(id)?.value,
		});
		this.#strategySync =
			manager === undefined
				? undefined
				: new StrategySync({
						clock,
						blobs,
						manager,
						trust,
						strategies: this.strategies,
						staging: this.staging,
						report: (record) => this.#router.set(record),
						failed: parts.failed,
					});
		this.registry = new StrategyRegistry({
			clock,
			records: this.records,
			blobs,
			judge: parts.judge,
			trust,
			local: manager ?? { full: parts.full, quarantined: () => false },
			strategies: this.strategies,
			staging: this.staging,
			routers: this.routers,
			onChange: (listener) => this.onChange(listener),
			node: parts.nodeName,
		});
	}

	/** What the signature of a loaded strategy is worth now. */
	gradeOf(label: string): Grade {
		const key = this.strategies.get(label)?.value.signature?.key;
		return (key === undefined ? undefined : this.signingKeys.get(key)?.value.grade) ?? 'unsigned';
	}

	/** Resolves once every mirror has been read for the first time. */
	async ready(): Promise<void> {
		await Promise.all(this.#mirrors.map((mirror) => mirror.ready));
	}

	/**
	 * Resolves once the strategies that the records name are loaded and staged here, as far as they can be, or `timeoutMs` is over: a node that comes
	 * back should not serve by the fallback what it could serve as before.
	 */
	async strategiesInForce(timeoutMs: number): Promise<void> {
		const sync = this.#strategySync;
		if (sync === undefined) return;
		sync.changed();
		const { promise, resolve } = Promise.withResolvers<void>();
		const timer = this.#parts.clock.after(timeoutMs, resolve);
		await Promise.race([sync.idle(), promise]);
		timer.cancel();
	}

	/** Makes this node known to the mesh, and keeps it known. IM_NODE_NAME_TAKEN. */
	register(record: NodeRecord): Promise<void> {
		return this.#node.set(record);
	}

	/** Tells the mesh which degradations this node sees, and keeps it told. */
	reportDegradations(record: DegradationRecord): Promise<void> {
		return this.#degradations.set(record);
	}

	/** Tells the mesh of the GPUs that this node does not call sound. */
	reportGpus(record: GpuStandingsRecord): Promise<void> {
		return this.#gpus.set(record);
	}

	/** The node's lease was lost and another granted: what lay under it is written again. */
	leaseRenewed(): void {
		this.#node.again();
		this.#router.again();
		this.#degradations.again();
		this.#drain.again();
		this.#gpus.again();
	}

	/** Sees to it that the mesh has a key for the owners of stored responses: this one, where it has none yet. */
	async keepResponseKey(secret: string): Promise<void> {
		const { clock, nodeId } = this.#parts;
		await this.#responseKey.set({ secret, madeBy: nodeId, madeAtMs: Math.floor(clock.wallMs()) });
	}

	/** What has been decided about this node; undefined when nothing was. */
	ownLifecycle(): LifecycleRecord | undefined {
		return this.lifecycle.get(this.#parts.nodeId)?.value;
	}

	/** Calls back after any record changed, until the returned function is called. */
	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Resolves once `holds` is true, looking after every change; rejects with what `late` makes when it takes longer. */
	until(holds: () => boolean, timeoutMs: number, late: () => Error): Promise<void> {
		if (holds()) return Promise.resolve();
		return new Promise((resolve, reject) => {
			const stop = this.onChange(() => {
				if (!holds()) return;
				timer.cancel();
				stop();
				resolve();
			});
			const timer = this.#parts.clock.after(timeoutMs, () => {
				stop();
				reject(late());
			});
		});
	}

	close(): void {
		this.#strategySync?.close();
		this.#drain.close();
		this.level.close();
		this.#node.close();
		this.#router.close();
		this.#degradations.close();
		this.#responseKey.close();
		for (const mirror of this.#mirrors) mirror.close();
	}

	#applyTargets(): void {
		const lifecycle = new Map<string, LifecycleState>();
		for (const { id, value } of this.lifecycle.all()) {
			lifecycle.set(id, value.state);
			const node = this.nodes.get(id);
			if (node !== undefined) lifecycle.set(node.value.name, value.state);
		}
		// Before the first reading there is nothing to compare with.
		if (this.targets.revision === 0) return;
		this.targetSync.apply({
			targets: new Map(this.targets.all().map(({ id, value }) => [id, value])),
			lifecycle,
		});
	}

	#applyPolicies(): void {
		const routes = this.routes.all();
		const under = this.#parts.configuredNames;
		const pick = <T>(of: (route: (typeof routes)[number]['value']) => T | undefined): Record<string, T> =>
			Object.fromEntries(
				routes.flatMap(({ id, value }) => {
					const picked = of(value);
					return picked === undefined ? [] : [[id, picked] as const];
				}),
			);
		this.#parts.setPolicies(
			{ placements: this.placements.all(), slos: this.slos.all() },
			{
				aliases: { ...under.aliases, ...pick((route) => route.alias) },
				revisions: { ...under.revisions, ...pick((route) => route.revisions) },
				fallbacks: { ...under.fallbacks, ...pick((route) => route.fallbacks) },
			},
		);
	}

	/** Tenants that have a quota have a number, which workers learn with their names. */
	#applyQuotas(): void {
		this.#parts.setQuotas(this.quotas.all().map(({ value }) => value));
		this.#applyAccess();
	}

	#applyGpus(): void {
		const others = this.gpuStandings.all().filter(({ id }) => id !== this.#parts.nodeId);
		this.#parts.setGpus(new Map(others.map(({ value }) => [value.name, value.condemned ?? []])));
	}

	#applyAccess(): void {
		const { tenants, configuredKeys, clock } = this.#parts;
		const responseKey = this.#parts.responseKey ?? this.responseKeys.get(RESPONSE_KEY_ID)?.value.secret;
		this.#parts.setAccess(
			accessOf(tenants, configuredKeys, this.apiKeys.all(), this.tenants.all(), clock.wallMs(), responseKey),
		);
	}
}
