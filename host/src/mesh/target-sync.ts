// Owns the carrying out, on one router, of what the mesh's records say of targets: those recorded are followed, those gone are removed, those held
// (drained by hand, or on a node that is drained or quarantined) take no new requests. Synchronous: it only compares and applies.
import { MeshError } from '@infermesh/proto';
import type { TargetHold } from '../fleet/health.js';
import type { TargetSpec } from '../fleet/registry.js';
import type { LifecycleState, StoredTarget } from '../records/kinds.js';

/** What it acts on: the target service of this process. */
export interface TargetActions {
	readonly current: () => ReadonlyMap<string, { readonly spec: TargetSpec; readonly hold: TargetHold }>;
	readonly add: (spec: TargetSpec) => void;
	readonly remove: (id: string) => void;
	readonly hold: (id: string, hold: TargetHold) => void;
}

export interface WantedTargets {
	readonly targets: ReadonlyMap<string, StoredTarget>;
	/** By node UUID and by node name: what has been decided about the node. */
	readonly lifecycle: ReadonlyMap<string, LifecycleState>;
}

export class TargetSync {
	readonly #actions: TargetActions;
	readonly #failed: (id: string, error: unknown) => void;
	readonly #refused = new Map<string, { readonly spec: string; readonly error: unknown }>();

	constructor(actions: TargetActions, failed: (id: string, error: unknown) => void) {
		this.#actions = actions;
		this.#failed = failed;
	}

	/** Why a recorded target is not followed here; undefined when it is. */
	refusal(id: string): unknown {
		return this.#refused.get(id)?.error;
	}

	apply({ targets, lifecycle }: WantedTargets): void {
		const current = this.#actions.current();
		for (const id of this.#refused.keys()) if (!targets.has(id)) this.#refused.delete(id);
		for (const [id, { spec }] of current) {
			const wanted = targets.get(id);
			// A target that is described anew is another target: its counters and its row start over.
			if (wanted === undefined || !sameSpec(spec, specOf(wanted))) this.#actions.remove(id);
		}
		for (const [id, wanted] of targets) {
			const present = current.get(id);
			const spec = specOf(wanted);
			const known = present !== undefined && sameSpec(present.spec, spec);
			if (!known && !this.#add(id, spec)) continue;
			const hold = holdOf(wanted, lifecycle);
			if (hold !== (known ? present.hold : 'none')) this.#actions.hold(id, hold);
		}
	}

	#add(id: string, spec: TargetSpec): boolean {
		const text = JSON.stringify(spec);
		try {
			this.#actions.add(spec);
			this.#refused.delete(id);
			return true;
		} catch (error) {
			if (!(error instanceof MeshError)) throw error;
			if (this.#refused.get(id)?.spec !== text) this.#failed(id, error);
			this.#refused.set(id, { spec: text, error });
			return false;
		}
	}
}

function holdOf(target: StoredTarget, lifecycle: ReadonlyMap<string, LifecycleState>): TargetHold {
	const states = new Set(
		[target.announcedBy, target.spec.node].map((node) => (node === undefined ? undefined : lifecycle.get(node))),
	);
	if (states.has('quarantined')) return 'quarantined';
	return target.draining || target.missing === true || states.has('draining') || states.has('drained')
		? 'draining'
		: 'none';
}

/** A target as stored → as the fleet takes it. */
export function specOf({ spec }: StoredTarget): TargetSpec {
	return {
		...spec,
		apiKey: spec.apiKey,
		upstreamModel: spec.upstreamModel,
		revision: spec.revision,
		quant: spec.quant,
	};
}

export function storedOf(spec: TargetSpec, announcedBy: string | undefined): StoredTarget {
	const { apiKey, grpc, upstreamModel, revision, quant, models, gpus, kvEvents, ...rest } = spec;
	return {
		spec: {
			...rest,
			models: [...models],
			...(apiKey === undefined ? {} : { apiKey }),
			...(grpc === undefined ? {} : { grpc }),
			...(upstreamModel === undefined ? {} : { upstreamModel }),
			...(revision === undefined ? {} : { revision }),
			...(quant === undefined ? {} : { quant }),
			...(gpus === undefined ? {} : { gpus: [...gpus] }),
			...(kvEvents === undefined ? {} : { kvEvents: [...kvEvents] }),
		},
		...(announcedBy === undefined ? {} : { announcedBy }),
		draining: false,
	};
}

/** Whether both describe one target alike, whatever order their fields came in. */
export function sameSpec(a: TargetSpec, b: TargetSpec): boolean {
	const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof TargetSpec>;
	return [...keys].every((key) => JSON.stringify(a[key]) === JSON.stringify(b[key]));
}
