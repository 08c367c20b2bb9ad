// Owns the mesh's level of formats as a node follows it: it may be in the mesh at that level or not, and a coordinator raises it once every node there
// speaks a newer one. It is never lowered: what was written at a level stays to be read. A coordinator that is away holds the rise up, since it
// comes back to the group with whatever it runs.
import { COMPAT_LEVEL, COMPAT_LEVEL_FIRST, levelRefusal } from '@infermesh/fabric';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import { recordKinds } from '../records/kinds.js';
import type { Records } from '../records/records.js';
import { meshErrors } from './errors.js';
import type { MeshMirrors } from './mirrors.js';

/** The one record of its kind. */
export const LEVEL_ID = 'level';

export interface LevelKeeperPorts {
	readonly clock: Clock;
	readonly records: Records;
	readonly mirrors: Pick<MeshMirrors, 'nodes' | 'levels'>;
	/** UUID of this node. */
	readonly self: string;
	/** Newest level this node speaks. */
	readonly own: number;
	/** Whether this node raises the mesh's level: coordinators do. */
	readonly raises: boolean;
	/** UUIDs of the members of the group of coordinators; empty where state is kept elsewhere. */
	readonly members: () => readonly string[];
	/** All have spoken a newer level for this long before it is raised: a node that restarts is not passed over. */
	readonly settleMs: number;
	/** The level this node may write is another. */
	readonly changed: (level: number) => void;
	readonly failed: (what: string, error: unknown) => void;
}

/** The newest level this node is to speak: as configured, where an operator holds it back; 0 = what the build can. IM_NODE_LEVEL. */
export function ownLevel(configured: number): number {
	if (configured === 0) return COMPAT_LEVEL;
	if (configured > COMPAT_LEVEL || configured < COMPAT_LEVEL - 1)
		throw new MeshError(
			meshErrors,
			'IM_NODE_LEVEL',
			`fabric.compat_level is ${configured}; this version speaks ${COMPAT_LEVEL - 1} and ${COMPAT_LEVEL}`,
		);
	return configured;
}

export class LevelKeeper {
	readonly #ports: LevelKeeperPorts;
	#told = 0;
	#raising: { readonly to: number; readonly timer: Timer } | undefined;
	#looking: Timer | undefined;
	#closed = false;

	constructor(ports: LevelKeeperPorts) {
		this.#ports = ports;
	}

	/** Of the mesh, as last heard. */
	get level(): number {
		return this.#ports.mirrors.levels.get(LEVEL_ID)?.value.level ?? COMPAT_LEVEL_FIRST;
	}

	get own(): number {
		return this.#ports.own;
	}

	/** Why this node should not be in the mesh any more; undefined while it may. */
	refusal(): string | undefined {
		return levelRefusal(this.#ports.own, this.level);
	}

	/**
	 * Asks whether this node may be in the mesh, reading what is so now. A mesh that begins here begins at this node's level. IM_NODE_LEVEL.
	 */
	async admit(): Promise<void> {
		const { records, own } = this.#ports;
		if (await this.#begins()) await this.#write(own);
		const level = (await records.get(recordKinds.levels, LEVEL_ID))?.value.level ?? COMPAT_LEVEL_FIRST;
		const refusal = levelRefusal(own, level);
		if (refusal !== undefined) throw new MeshError(meshErrors, 'IM_NODE_LEVEL', refusal);
	}

	/** To be called when nodes or the level have changed. */
	changed(): void {
		const { level } = this;
		if (level !== this.#told) {
			this.#told = level;
			this.#ports.changed(Math.min(level, this.#ports.own));
		}
		const next = this.#next();
		if (next !== undefined && next === this.#raising?.to) return;
		this.#raising?.timer.cancel();
		this.#raising = undefined;
		if (this.#closed) return;
		if (next === undefined) this.#lookAgain();
		else {
			const timer = this.#ports.clock.after(this.#ports.settleMs, () => void this.#raise(), { unref: true });
			this.#raising = { to: next, timer };
		}
	}

	close(): void {
		this.#closed = true;
		this.#raising?.timer.cancel();
		this.#looking?.cancel();
	}

	/** When a member that is away leaves the group, no record changes: while that is all that holds the rise up, it is looked for. */
	#lookAgain(): void {
		if (this.#looking !== undefined || this.#spoken() === undefined) return;
		this.#looking = this.#ports.clock.after(
			this.#ports.settleMs,
			() => {
				this.#looking = undefined;
				this.changed();
			},
			{ unref: true },
		);
	}

	/** The level that everybody speaks, when it is above the mesh's and nobody is missing. */
	#next(): number | undefined {
		const { mirrors, members } = this.#ports;
		return members().every((id) => mirrors.nodes.get(id) !== undefined) ? this.#spoken() : undefined;
	}

	/** The level that all who are there speak, when it is above the mesh's and this node raises it. */
	#spoken(): number | undefined {
		const { mirrors, raises } = this.#ports;
		const nodes = mirrors.nodes.all();
		if (!raises || nodes.length === 0) return undefined;
		const spoken = Math.min(...nodes.map(({ value }) => value.level ?? COMPAT_LEVEL_FIRST));
		return spoken > this.level ? spoken : undefined;
	}

	async #raise(): Promise<void> {
		this.#raising = undefined;
		const next = this.#next();
		if (next === undefined || this.#closed) return;
		try {
			await this.#write(next);
		} catch (error) {
			this.#ports.failed('raising the mesh’s level', error);
			this.changed();
		}
	}

	/** Nothing was decided yet, and nobody else is there or may come back. */
	async #begins(): Promise<boolean> {
		const { records, raises, self, members } = this.#ports;
		if (!raises || members().some((id) => id !== self)) return false;
		if ((await records.get(recordKinds.levels, LEVEL_ID)) !== undefined) return false;
		return (await records.list(recordKinds.nodes)).items.every(({ id }) => id === self);
	}

	async #write(level: number): Promise<void> {
		const { records, clock, self } = this.#ports;
		await records.update(recordKinds.levels, LEVEL_ID, (present) =>
			present !== undefined && present.level >= level
				? undefined
				: { level, raisedBy: self, raisedAtMs: Math.floor(clock.wallMs()) },
		);
	}
}
