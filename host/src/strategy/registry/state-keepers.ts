// Owns the state keepers of one mesh process: one for each loaded version with a state and each pool. Which versions are to observe is the manager's to say;
// what a keeper does with outcomes is its own.
import type { ModelPool } from '../../router/ports.js';
import type { StrategyModule } from '../runtime/instance.js';
import type { StateBlockShared } from '../runtime/state-block.js';
import type { ObservedOutcome, StateKeeper } from './state-keeper.js';

interface Kept {
	readonly pool: ModelPool;
	readonly keeper: StateKeeper;
}

/** Tells workers of a state block. */
export type AddState = (versionId: number, poolIndex: number, shared: StateBlockShared) => void;

export function keepsState({ manifest: { stateBytes, hooks } }: StrategyModule): boolean {
	return stateBytes > 0 && (hooks.includes('observe') || hooks.includes('tick'));
}

function sameState({ manifest: a }: StrategyModule, { manifest: b }: StrategyModule): boolean {
	return a.name === b.name && a.stateBytes === b.stateBytes;
}

export class StateKeepers {
	readonly #make: (strategy: StrategyModule, pool: ModelPool) => StateKeeper;
	readonly #addState: AddState;
	/** By version and pool index. */
	readonly #keepers = new Map<number, Map<number, Kept>>();

	constructor(make: (strategy: StrategyModule, pool: ModelPool) => StateKeeper, addState: AddState) {
		this.#make = make;
		this.#addState = addState;
	}

	/** Whether any version keeps a state. */
	get any(): boolean {
		return this.#keepers.size > 0;
	}

	/** Makes sure that a version with a state has it on a pool; on a pool that has been re-shaped it goes on with what was learned. */
	keep(strategy: StrategyModule, pool: ModelPool): void {
		if (!keepsState(strategy)) return;
		const { versionId } = strategy;
		const keepers = this.#keepers.get(versionId) ?? new Map<number, Kept>();
		const previous = keepers.get(pool.index);
		if (previous?.pool === pool) return;
		const keeper = this.#make(strategy, pool);
		if (previous !== undefined) {
			keeper.adopt(previous.keeper.snapshot());
			previous.keeper.close();
		}
		keepers.set(pool.index, { pool, keeper });
		this.#keepers.set(versionId, keepers);
		this.#addState(versionId, pool.index, keeper.shared);
	}

	/** Pools that are gone take their state with them. */
	retainPools(indices: ReadonlySet<number>): void {
		for (const keepers of this.#keepers.values())
			for (const [index, { keeper }] of keepers) {
				if (indices.has(index)) continue;
				keepers.delete(index);
				keeper.close();
			}
	}

	drop(versionId: number): void {
		for (const { keeper } of this.#keepers.get(versionId)?.values() ?? []) keeper.close();
		this.#keepers.delete(versionId);
	}

	/** To the keepers of these versions. */
	observe(outcomes: readonly ObservedOutcome[], versions: ReadonlySet<number>): void {
		const byPool = Map.groupBy(outcomes, (outcome) => outcome.poolIndex);
		for (const [versionId, keepers] of this.#keepers) {
			if (!versions.has(versionId)) continue;
			for (const [poolIndex, batch] of byPool) keepers.get(poolIndex)?.keeper.observe(batch);
		}
	}

	tick(versions: ReadonlySet<number>): void {
		for (const [versionId, keepers] of this.#keepers)
			if (versions.has(versionId)) for (const { keeper } of keepers.values()) keeper.tick();
	}

	/** State passes from one version to the next on the pools that `wanted` names, when both are the same strategy with blocks of one size. */
	handOver(from: StrategyModule, to: StrategyModule, wanted: (pool: ModelPool) => boolean): void {
		if (!sameState(from, to)) return;
		const source = this.#keepers.get(from.versionId);
		for (const [poolIndex, { pool, keeper }] of this.#keepers.get(to.versionId) ?? []) {
			if (!wanted(pool)) continue;
			const state = source?.get(poolIndex)?.keeper.snapshot();
			if (state !== undefined) keeper.adopt(state);
		}
	}

	/** Tells a worker that starts late of all of them. */
	introduce(addState: AddState): void {
		for (const [versionId, keepers] of this.#keepers)
			for (const [poolIndex, { keeper }] of keepers) addState(versionId, poolIndex, keeper.shared);
	}

	close(): void {
		for (const versionId of this.#keepers.keys()) this.drop(versionId);
	}
}
