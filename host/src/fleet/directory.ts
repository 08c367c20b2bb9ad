// Owns the resolution of model names: aliases, weighted revisions, fallbacks. The agent compiles a snapshot; each worker keeps one, and
// keeps the identity of pools that did not change, because instances hang on it.
import type { ModelDirectory, ModelPool, ModelRoute, TargetOwner } from '../router/ports.js';
import { targetTag } from '../router/response-ids.js';

export interface WeightedModel {
	readonly model: string;
	readonly weight: number;
}

export interface NamePolicy {
	readonly aliases: Readonly<Record<string, string>>;
	readonly revisions: Readonly<Record<string, readonly WeightedModel[]>>;
	readonly fallbacks: Readonly<Record<string, readonly string[]>>;
}

/** What workers are told: all pools with the version of each, and the name policy. Crosses threads by structured clone. */
export interface DirectorySnapshot {
	readonly pools: ReadonlyArray<{ readonly version: number; readonly pool: ModelPool }>;
	readonly policy: NamePolicy;
	readonly createdS: number;
}

/** Numbers pools so that a worker can tell which changed. Lives in the agent. */
export class DirectoryCompiler {
	readonly #versions = new Map<ModelPool, number>();
	#next = 1;

	compile(pools: readonly ModelPool[], policy: NamePolicy, createdS: number): DirectorySnapshot {
		const current = new Set(pools);
		for (const pool of this.#versions.keys()) if (!current.has(pool)) this.#versions.delete(pool);
		const numbered = pools.map((pool) => {
			let version = this.#versions.get(pool);
			if (version === undefined) {
				version = this.#next++;
				this.#versions.set(pool, version);
			}
			return { version, pool };
		});
		return { pools: numbered, policy, createdS };
	}
}

/** Longest chain of aliases followed, so that a loop in the configuration ends. */
const ALIAS_HOPS_MAX = 4;

/** A worker's directory. `update` replaces it in one turn of the event loop. */
export class WorkerDirectory implements ModelDirectory {
	#byVersion = new Map<number, ModelPool>();
	#byModel = new Map<string, ModelPool>();
	/** Pools of rows that stand for other cells. */
	#elsewhere = new Map<string, ModelPool>();
	#policy: NamePolicy = { aliases: {}, revisions: {}, fallbacks: {} };
	#models: readonly { readonly id: string; readonly ownedBy: string; readonly createdS: number }[] = [];
	#passThrough: ModelPool | undefined;
	/** Where each target stands, by its tag: once for each of its models. */
	#owners = new Map<string, TargetOwner[]>();

	/** Returns the pools now in force, unchanged ones as the same objects. */
	update(snapshot: DirectorySnapshot): readonly ModelPool[] {
		const byVersion = new Map<number, ModelPool>();
		const byModel = new Map<string, ModelPool>();
		const elsewhere = new Map<string, ModelPool>();
		for (const { version, pool } of snapshot.pools) {
			const kept = this.#byVersion.get(version) ?? pool;
			byVersion.set(version, kept);
			(kept.elsewhere === true ? elsewhere : byModel).set(kept.model, kept);
		}
		this.#elsewhere = elsewhere;
		this.#owners = ownersOf(byVersion.values());
		this.#byVersion = byVersion;
		this.#byModel = byModel;
		this.#policy = snapshot.policy;
		this.#models = this.#publicNames(snapshot.createdS);
		const served = [...byModel.values()].filter((pool) => pool.targets.some((target) => target !== undefined));
		this.#passThrough = served.length === 1 ? served[0] : undefined;
		return [...byVersion.values()];
	}

	resolve(requested: string, draw: number): ModelRoute | undefined {
		let name = requested;
		for (let hop = 0; hop < ALIAS_HOPS_MAX; hop++) {
			const alias = own(this.#policy.aliases, name);
			const revisions = own(this.#policy.revisions, name);
			if (alias !== undefined) name = alias;
			else if (revisions !== undefined) name = drawRevision(revisions, draw);
			else break;
		}
		const fallbackNames = own(this.#policy.fallbacks, name) ?? own(this.#policy.fallbacks, requested) ?? [];
		const fallbacks = fallbackNames.map((model) => this.#byModel.get(model)).filter((pool) => pool !== undefined);
		const elsewhere = this.#elsewhere.get(name);
		const pool = this.#byModel.get(name) ?? fallbacks[0] ?? elsewhere;
		if (pool === undefined) return undefined;
		return {
			requested,
			pool,
			fallbacks: fallbacks.filter((other) => other !== pool),
			elsewhere: elsewhere === pool ? undefined : elsewhere,
		};
	}

	models(): readonly { readonly id: string; readonly ownedBy: string; readonly createdS: number }[] {
		return this.#models;
	}

	passThroughPool(): ModelPool | undefined {
		return this.#passThrough;
	}

	owner(tag: string, pool: ModelPool | undefined): TargetOwner | undefined {
		const owners = this.#owners.get(tag);
		return pool === undefined ? owners?.[0] : owners?.find((owner) => owner.pool === pool);
	}

	#publicNames(createdS: number): { id: string; ownedBy: string; createdS: number }[] {
		const names = new Set<string>();
		for (const pool of [...this.#byModel.values(), ...this.#elsewhere.values()])
			if (pool.targets.some((target) => target !== undefined)) names.add(pool.model);
		for (const name of [...Object.keys(this.#policy.aliases), ...Object.keys(this.#policy.revisions)]) {
			if (this.resolve(name, 0) !== undefined) names.add(name);
		}
		return [...names].sort().map((id) => ({ id, ownedBy: 'infermesh', createdS }));
	}
}

function ownersOf(pools: Iterable<ModelPool>): Map<string, TargetOwner[]> {
	const owners = new Map<string, TargetOwner[]>();
	for (const pool of pools) {
		for (const [row, target] of pool.targets.entries()) {
			if (target === undefined) continue;
			const tag = targetTag(target.id);
			const known = owners.get(tag);
			if (known === undefined) owners.set(tag, [{ pool, row }]);
			else known.push({ pool, row });
		}
	}
	return owners;
}

/** Own properties only: a model may be called `constructor`. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
	return Object.hasOwn(record, key) ? record[key] : undefined;
}

function drawRevision(revisions: readonly WeightedModel[], draw: number): string {
	const total = revisions.reduce((sum, revision) => sum + revision.weight, 0);
	let left = draw * total;
	for (const revision of revisions) {
		left -= revision.weight;
		if (left < 0) return revision.model;
	}
	return revisions.at(-1)?.model ?? '';
}
