// Owns the list of targets in the agent: which row each has, its identity columns, and the pools they form. Rows are reused under a new
// generation only after `release`, when no worker can still have work on them. Signals are fusion's, states are health's.
import { MeshError } from '@infermesh/proto';
import {
	COLUMN_COST,
	COLUMN_FETCHES_PREFIXES,
	COLUMN_MODEL,
	COLUMN_NODE,
	COLUMN_REGION,
	COLUMN_REVISION,
	COLUMN_ROLE,
	COLUMN_STATE,
	COLUMN_TARGET,
	COLUMN_TARGET_HASH,
	COLUMN_WEIGHT,
	COLUMN_ZONE,
	TargetRole,
	TargetState,
} from '@infermesh/sdk';
import type { ModelPool, UpstreamTarget } from '../router/ports.js';
import type { OtherHttpVersion } from '../router/upstream/http-version.js';
import { fleetErrors } from './errors.js';
import type { TargetHold } from './health.js';
import type { NameTable } from './interner.js';
import { type PoolPolicies, poolPolicy, samePolicy } from './placement.js';
import { type FleetTableWriter, GENERATION_COLUMN } from './table.js';
import { targetHash } from './target-hash.js';

/** One publisher of KV events: `tcp://host:port` twice, and the prefix of the topics wanted. */
export interface KvPublisher {
	readonly endpoint: string;
	readonly replay?: string;
	readonly topic: string;
}

/** What an operator says of a target. Every field present: defaults are filled in by the configuration. */
export interface TargetSpec {
	readonly id: string;
	/** `http://host:port` with an optional path prefix, without a trailing slash. */
	readonly url: string;
	readonly models: readonly string[];
	readonly runtime: string;
	readonly apiKey: string | undefined;
	/** HTTP's version there; absent = HTTP/1.1. */
	readonly http?: OtherHttpVersion;
	/** Where it speaks gRPC: a URL, or `same` as `url`. Undefined: it does not. */
	readonly grpc?: string | undefined;
	readonly upstreamModel: string | undefined;
	/** The engine's data-parallel rank it stands for; absent for the whole engine. */
	readonly dataParallelRank?: number;
	/** SGLang: port of its bootstrap server. */
	readonly bootstrapPort?: number;
	/** It fetches prefixes from other engines when told where they are. */
	readonly fetchesPrefixes?: boolean;
	readonly revision: string | undefined;
	readonly quant: string | undefined;
	readonly weight: number;
	readonly role: 'both' | 'prefill' | 'decode';
	readonly node: string;
	readonly zone: string;
	readonly region: string;
	readonly costPerHour: number;
	/** Path of its metrics; `''` = none. */
	readonly metricsPath: string;
	/** Path of its health check; `''` = no active checks. */
	readonly healthPath: string;
	/** Publishers of its KV events; absent = none. */
	readonly kvEvents?: readonly KvPublisher[];
	/** Devices it runs on: UUIDs, or numbers of devices in its node. Absent = not told. */
	readonly gpus?: readonly string[];
	/** Share of them that is its own, as under MPS; absent = all. */
	readonly gpuShare?: number;
	/** The cell it stands for, reached at one of that cell's routers; absent for an engine. */
	readonly cell?: string;
}

export interface TargetRecord {
	readonly spec: TargetSpec;
	readonly row: number;
	readonly generation: number;
	readonly upstream: UpstreamTarget;
	hold: TargetHold;
}

export interface Names {
	readonly targets: NameTable;
	readonly nodes: NameTable;
	readonly zones: NameTable;
	readonly regions: NameTable;
	readonly models: NameTable;
	readonly revisions: NameTable;
}

interface PoolSlots {
	/** Never given to another pool: what is learnt of a pool is kept under it. */
	readonly index: number;
	readonly model: string;
	readonly elsewhere: boolean;
	/** Targets whose row is not released yet. */
	members: number;
	rows: (TargetRecord | undefined)[];
	/** As of `rows`, unless it is stale: targets come by the thousand, and a pool is made once they have come. */
	pool: ModelPool;
	stale: boolean;
	/** No row below it is a hole. */
	firstHole: number;
}

export class TargetRegistry {
	readonly #table: FleetTableWriter;
	readonly #names: Names;
	readonly #records = new Map<string, TargetRecord>();
	readonly #freeRows: number[] = [];
	readonly #generations: Uint32Array;
	readonly #pools = new Map<string, PoolSlots>();
	readonly #remoteModelsMax: number;
	#policies: PoolPolicies = { placements: [], slos: [] };
	#nextRow = 0;
	#nextPool = 0;

	/** `remoteModelsMax`: models that rows of other cells may name, so that what those call theirs takes no room from this cell's. */
	constructor(table: FleetTableWriter, names: Names, remoteModelsMax: number) {
		this.#table = table;
		this.#names = names;
		this.#remoteModelsMax = remoteModelsMax;
		this.#generations = new Uint32Array(table.rowsMax);
	}

	/**
	 * Gives the target a row and a place in the pool of each of its models. Throws IM_TARGET_EXISTS, IM_TARGET_INVALID, IM_FLEET_FULL, IM_FLEET_MODELS and,
	 * for a row of another cell, IM_FLEET_REMOTE_MODELS; nothing is taken then.
	 */
	add(spec: TargetSpec): TargetRecord {
		if (this.#records.has(spec.id))
			throw new MeshError(fleetErrors, 'IM_TARGET_EXISTS', `target ${spec.id} exists already`);
		if (spec.models.length === 0)
			throw new MeshError(fleetErrors, 'IM_TARGET_INVALID', `target ${spec.id} names no model`);
		const url = targetUrl(spec);
		if (this.#freeRows.length === 0 && this.#nextRow >= this.#table.rowsMax)
			throw new MeshError(fleetErrors, 'IM_FLEET_FULL', `all ${this.#table.rowsMax} rows of the fleet table are taken`);
		const grpc = grpcOrigin(spec, url.origin);
		this.#enterPools(spec);
		const row = this.#freeRows.pop() ?? this.#nextRow++;
		const generation = ((this.#generations[row] as number) + 1) >>> 0;
		this.#generations[row] = generation;
		const upstream: UpstreamTarget = {
			id: spec.id,
			tableRow: row,
			generation,
			origin: url.origin,
			pathPrefix: url.pathname.replace(/\/+$/, ''),
			apiKey: spec.apiKey,
			runtime: spec.runtime,
			...(spec.http === undefined ? {} : { http: spec.http }),
			grpcOrigin: grpc,
			upstreamModel: spec.upstreamModel,
			dataParallelRank: spec.dataParallelRank,
			role: spec.role,
			bootstrapPort: spec.bootstrapPort,
			fetchesPrefixes: spec.fetchesPrefixes,
			cell: spec.cell,
		};
		const record: TargetRecord = { spec, row, generation, upstream, hold: 'none' };
		this.#records.set(spec.id, record);
		this.#describe(record);
		for (const model of new Set(spec.models)) this.#join(model, record);
		return record;
	}

	/** Takes the target out of its pools at once. Its row stays taken until `release`. Throws IM_TARGET_UNKNOWN. */
	remove(id: string): TargetRecord {
		const record = this.get(id);
		this.#records.delete(id);
		for (const model of new Set(record.spec.models)) this.#leave(model, record);
		this.#table.setU32(COLUMN_STATE, record.row, TargetState.quarantined);
		return record;
	}

	/** Gives a removed target's row and names back, once nothing is in flight on it. */
	release({ spec, row }: TargetRecord): void {
		this.#table.resetRow(row);
		const names = this.#names;
		names.targets.release(spec.id);
		names.nodes.release(spec.node);
		names.zones.release(spec.zone);
		names.regions.release(spec.region);
		names.revisions.release(spec.revision ?? '');
		for (const model of new Set(spec.models)) {
			const slots = this.#pools.get(poolKey(model, spec));
			if (slots === undefined) continue;
			slots.members--;
			// A model of this cell stays known, so that its clients are told to come again; its name gives way when room is wanted.
			if (slots.members === 0 && slots.elsewhere) this.#drop(slots);
		}
		this.#freeRows.push(row);
	}

	has(id: string): boolean {
		return this.#records.has(id);
	}

	/** Throws IM_TARGET_UNKNOWN. */
	get(id: string): TargetRecord {
		const record = this.#records.get(id);
		if (record === undefined) throw new MeshError(fleetErrors, 'IM_TARGET_UNKNOWN', `no target has the id ${id}`);
		return record;
	}

	records(): readonly TargetRecord[] {
		return [...this.#records.values()];
	}

	/** Policies changed: the pools they concern are made anew. */
	setPolicies(policies: PoolPolicies): void {
		this.#policies = policies;
		for (const slots of this.#pools.values()) {
			const before = this.#poolOf(slots);
			this.#rebuild(slots);
			if (samePolicy(before.policy, slots.pool.policy)) slots.pool = before;
		}
	}

	/** All pools in index order. An unchanged pool is the same object as before. */
	pools(): readonly ModelPool[] {
		return [...this.#pools.values()].map((slots) => this.#poolOf(slots)).sort((a, b) => a.index - b.index);
	}

	#describe(record: TargetRecord): void {
		const { row, spec } = record;
		const names = this.#names;
		const table = this.#table;
		table.resetRow(row);
		table.setU32(GENERATION_COLUMN, row, record.generation);
		table.setU32(COLUMN_TARGET, row, names.targets.hold(spec.id));
		table.setU32(COLUMN_TARGET_HASH, row, targetHash(spec.id));
		table.setU32(COLUMN_NODE, row, names.nodes.hold(spec.node));
		table.setU32(COLUMN_ZONE, row, names.zones.hold(spec.zone));
		table.setU32(COLUMN_REGION, row, names.regions.hold(spec.region));
		table.setU32(COLUMN_MODEL, row, names.models.find(spec.models[0] ?? ''));
		table.setU32(COLUMN_REVISION, row, names.revisions.hold(spec.revision ?? ''));
		table.setU32(COLUMN_ROLE, row, TargetRole[spec.role]);
		table.setU32(COLUMN_FETCHES_PREFIXES, row, spec.fetchesPrefixes === true ? 1 : 0);
		table.setF32(COLUMN_WEIGHT, row, spec.weight);
		table.setF32(COLUMN_COST, row, spec.costPerHour);
	}

	/** Enters the target in a pool for each of its models, before anything else is taken. */
	#enterPools(spec: TargetSpec): void {
		const entered: PoolSlots[] = [];
		const opened: PoolSlots[] = [];
		try {
			for (const model of new Set(spec.models)) {
				let slots = this.#pools.get(poolKey(model, spec));
				if (slots === undefined) {
					slots = this.#open(model, spec);
					opened.push(slots);
				}
				slots.members++;
				entered.push(slots);
			}
		} catch (error) {
			for (const slots of entered) slots.members--;
			for (const slots of opened) this.#drop(slots);
			throw error;
		}
	}

	#open(model: string, spec: TargetSpec): PoolSlots {
		const elsewhere = spec.cell !== undefined;
		const remote = [...this.#pools.values()].filter((slots) => slots.elsewhere).length;
		if (elsewhere && remote >= this.#remoteModelsMax)
			throw new MeshError(fleetErrors, 'IM_FLEET_REMOTE_MODELS', `no room for model ${model} of cell ${spec.cell}`);
		this.#holdModel(model);
		const slots: PoolSlots = {
			index: this.#nextPool++,
			model,
			elsewhere,
			members: 0,
			rows: [],
			pool: undefined as unknown as ModelPool,
			stale: true,
			firstHole: 0,
		};
		this.#pools.set(poolKey(model, spec), slots);
		return slots;
	}

	/** Id 0 means unknown: two models that shared it would share prefix hits. */
	#holdModel(model: string): void {
		const { models } = this.#names;
		if (models.hold(model) !== 0) return;
		for (const slots of this.#pools.values()) if (slots.members === 0) this.#drop(slots);
		if (models.hold(model) === 0) throw new MeshError(fleetErrors, 'IM_FLEET_MODELS', `no room for model ${model}`);
	}

	/** Forgets a pool of which no row is left. */
	#drop(slots: PoolSlots): void {
		for (const [key, known] of this.#pools) if (known === slots) this.#pools.delete(key);
		this.#names.models.release(slots.model);
	}

	#join(model: string, record: TargetRecord): void {
		const slots = this.#pools.get(poolKey(model, record.spec));
		if (slots === undefined) return;
		const { rows } = slots;
		while (slots.firstHole < rows.length && rows[slots.firstHole] !== undefined) slots.firstHole++;
		rows[slots.firstHole] = record;
		slots.stale = true;
	}

	#leave(model: string, record: TargetRecord): void {
		const slots = this.#pools.get(poolKey(model, record.spec));
		if (slots === undefined) return;
		slots.rows = slots.rows.map((present) => (present === record ? undefined : present));
		while (slots.rows.length > 0 && slots.rows.at(-1) === undefined) slots.rows.pop();
		slots.firstHole = 0;
		slots.stale = true;
	}

	#poolOf(slots: PoolSlots): ModelPool {
		if (slots.stale) this.#rebuild(slots);
		return slots.pool;
	}

	#rebuild(slots: PoolSlots): void {
		const { model } = slots;
		slots.stale = false;
		slots.pool = {
			index: slots.index,
			model,
			elsewhere: slots.elsewhere,
			modelId: this.#names.models.find(model),
			revision: slots.rows.find((record) => record !== undefined)?.spec.revision,
			targets: slots.rows.map((record) => record?.upstream),
			policy: poolPolicy(
				model,
				slots.rows.map((record) => record?.spec),
				this.#policies,
			),
		};
	}
}

/** Targets of this cell and rows that stand for other cells form pools of their own: the others are asked only when these have nothing. */
function poolKey(model: string, { cell }: TargetSpec): string {
	return cell === undefined ? `own ${model}` : `elsewhere ${model}`;
}

/** The URL of a target. Throws IM_TARGET_INVALID. */
export function targetUrl(spec: TargetSpec): URL {
	let url: URL;
	try {
		url = new URL(spec.url);
	} catch (cause) {
		throw new MeshError(fleetErrors, 'IM_TARGET_INVALID', `target ${spec.id}: ${spec.url} is not a URL`, { cause });
	}
	if (url.protocol !== 'http:' && url.protocol !== 'https:') {
		throw new MeshError(fleetErrors, 'IM_TARGET_INVALID', `target ${spec.id}: ${url.protocol} is not http: or https:`);
	}
	return url;
}

/** Origin at which a target speaks gRPC. Throws IM_TARGET_INVALID. */
function grpcOrigin({ id, grpc }: TargetSpec, own: string): string | undefined {
	if (grpc === undefined || grpc === 'same') return grpc === undefined ? undefined : own;
	const url = URL.canParse(grpc) ? new URL(grpc) : undefined;
	if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.pathname !== '/')
		throw new MeshError(
			fleetErrors,
			'IM_TARGET_INVALID',
			`target ${id}: grpc is neither \`same\` nor http(s)://host:port`,
		);
	return url.origin;
}
