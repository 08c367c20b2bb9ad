// Owns following one source: it is asked once a period, never twice at a time, and what it lists is brought into the mesh's records. A source that fails
// changes nothing (the targets it named last go on), a target that fails is tried again in the next round; each is told of once until it changes.
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import { targetId } from '../config/rules.js';
import type { TargetConfig } from '../config/schema.js';
import { discoveryErrors } from './errors.js';
import { DiscoveryPlanner, type RecordedTarget } from './plan.js';
import type { TargetSource } from './sources.js';

export interface FollowerOptions {
	/** Targets that may be taken from one source. */
	readonly targetsMax: number;
	readonly removeAfterMs: number;
}

export interface FollowerPorts {
	readonly clock: Clock;
	readonly random: Random;
	/** What the mesh has recorded. */
	readonly recorded: () => Promise<readonly RecordedTarget[]>;
	/** Records a target as listed; nothing is written when it is recorded so already. Rejects when it cannot be taken in. */
	readonly write: (target: TargetConfig, source: string) => Promise<void>;
	/** Says that it is no longer listed. */
	readonly miss: (id: string, source: string) => Promise<void>;
	readonly remove: (id: string, source: string) => Promise<void>;
	readonly metrics: DiscoveryMetrics;
	readonly failed: (source: string, error: MeshError) => void;
}

export interface DiscoveryMetrics {
	/** `result`: ok, or the code of what failed. */
	round(source: string, result: string): void;
	listed(source: string, targets: number): void;
}

/** A period is drawn from so far below to so far above it: many routers that ask one DNS server spread out. */
const JITTER = 0.1;
/** Targets written at once: one that must be asked for its models may not answer, and the others are not to wait for it. */
const AT_ONCE = 16;

export class SourceFollower {
	readonly #source: TargetSource;
	readonly #options: FollowerOptions;
	readonly #ports: FollowerPorts;
	readonly #planner: DiscoveryPlanner;
	/** What was told of last, by what it is about. */
	readonly #told = new Map<string, string>();
	#timer: Timer | undefined;
	#closed = false;

	constructor(source: TargetSource, options: FollowerOptions, ports: FollowerPorts) {
		this.#source = source;
		this.#options = options;
		this.#ports = ports;
		this.#planner = new DiscoveryPlanner(source.name, options.removeAfterMs);
	}

	/** Asks at once, then each period. Resolves after the first round, whatever came of it. */
	async start(): Promise<void> {
		await this.round();
		this.#again();
	}

	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
	}

	/** Never rejects. */
	async round(): Promise<void> {
		const { metrics } = this.#ports;
		const { name } = this.#source;
		const about = new Map<string, MeshError>();
		try {
			await this.#bring(await this.#source.list(), about);
		} catch (error) {
			about.set('', asMeshError(error));
		}
		for (const [what, error] of about) if (this.#told.get(what) !== error.message) this.#ports.failed(name, error);
		this.#told.clear();
		for (const [what, error] of about) this.#told.set(what, error.message);
		metrics.round(name, [...about.values()][0]?.code ?? 'ok');
	}

	async #bring(all: readonly TargetConfig[], about: Map<string, MeshError>): Promise<void> {
		const { clock, metrics, recorded, write, miss, remove } = this.#ports;
		const { name } = this.#source;
		const listed = new Map(all.slice(0, this.#options.targetsMax).map((target) => [targetId(target), target]));
		if (all.length > this.#options.targetsMax)
			about.set('limit', new MeshError(discoveryErrors, 'IM_DISCOVERY_LIMIT', `${name} lists ${all.length} targets`));
		metrics.listed(name, listed.size);
		const plan = this.#planner.plan(new Set(listed.keys()), await recorded(), clock.nowMs());
		for (const id of plan.foreign)
			about.set(id, new MeshError(discoveryErrors, 'IM_DISCOVERY_FOREIGN', `${name} lists ${id}`));
		const each = async (ids: readonly string[], step: (id: string) => Promise<void>): Promise<void> => {
			const one = async (id: string): Promise<void> => {
				try {
					await step(id);
				} catch (cause) {
					const why = `${name}: ${id}: ${cause instanceof Error ? cause.message : String(cause)}`;
					about.set(id, new MeshError(discoveryErrors, 'IM_DISCOVERY_TARGET', why, { cause }));
				}
			};
			for (let at = 0; at < ids.length && !this.#closed; at += AT_ONCE)
				await Promise.all(ids.slice(at, at + AT_ONCE).map(one));
		};
		// What goes, goes first: a replica that has moved is not asked at its old place.
		await each(plan.miss, (id) => miss(id, name));
		await each(plan.remove, (id) => remove(id, name));
		await each(plan.write, (id) => write(listed.get(id) as TargetConfig, name));
	}

	#again(): void {
		if (this.#closed) return;
		const { clock, random } = this.#ports;
		const delayMs = this.#source.periodMs * (1 - JITTER + 2 * JITTER * random.nextFloat());
		const round = async (): Promise<void> => {
			await this.round();
			this.#again();
		};
		this.#timer = clock.after(delayMs, () => void round(), { unref: true });
	}
}

function asMeshError(error: unknown): MeshError {
	if (error instanceof MeshError) return error;
	return new MeshError(discoveryErrors, 'IM_DISCOVERY_READ', error instanceof Error ? error.message : String(error), {
		cause: error,
	});
}
