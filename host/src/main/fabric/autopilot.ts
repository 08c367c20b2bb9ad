// Owns how the group of coordinators follows the nodes that are there, on whoever leads: a coordinator that is new becomes a learner, and gets a vote when
// it has caught up and there are votes to give. Nobody is taken out for being away (a quorum is counted over those who were meant to be there; fabric.md 6,
// row 4), but for having been removed from the mesh by an operator: then it stays out until it has joined anew, under another UUID.
import type { Clock, Timer } from '@infermesh/proto';
import type { GroupCall, GroupState } from './consensus-protocol.js';

export interface AutopilotPorts {
	readonly clock: Clock;
	readonly self: string;
	readonly votersMax: number;
	readonly state: () => GroupState | undefined;
	/** UUIDs of the coordinators that are there. */
	readonly coordinators: () => readonly string[];
	/** UUIDs of nodes that were removed from the mesh. */
	readonly removed: () => ReadonlySet<string>;
	/** Whether a node is quarantined (or removed): its connections are refused. */
	readonly shutOut: (nodeId: string) => boolean;
	readonly call: (call: GroupCall) => Promise<unknown>;
	readonly log: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

const PERIOD_MS = 1000;

export class Autopilot {
	readonly #ports: AutopilotPorts;
	readonly #timer: Timer;
	#busy = false;

	constructor(ports: AutopilotPorts) {
		this.#ports = ports;
		this.#timer = ports.clock.every(PERIOD_MS, () => void this.#round(), { unref: true });
	}

	close(): void {
		this.#timer.cancel();
	}

	async #round(): Promise<void> {
		const { self, state, log } = this.#ports;
		const now = state();
		if (this.#busy || now?.leader !== self) return;
		const step = this.#next(now);
		if (step === undefined) return;
		this.#busy = true;
		try {
			await this.#ports.call(step);
			log('the group of coordinators has changed', { step: step.call, node: 'id' in step ? step.id : undefined });
		} catch (error) {
			// Not caught up yet, another change under way, leadership lost: the next round looks again.
			log('a change of the group of coordinators was put off', { step: step.call, reason: String(error) });
		} finally {
			this.#busy = false;
		}
	}

	/** One step at a time: each must be committed before the next is judged. */
	#next({ voters, learners }: GroupState): GroupCall | undefined {
		const removed = this.#ports.removed();
		const members = new Set([...voters, ...learners]);
		const gone = [...members].find((id) => removed.has(id));
		// Who leads cannot take itself out: whoever leads next does.
		if (gone !== undefined)
			return gone === this.#ports.self ? { call: 'transfer', id: undefined } : { call: 'remove', id: gone };
		const { self, shutOut } = this.#ports;
		// What must be done against whoever is shut out is not for itself to do.
		if (shutOut(self)) return { call: 'transfer', id: undefined };
		const there = this.#ports.coordinators().filter((id) => !removed.has(id) && !shutOut(id));
		const newcomer = there.find((id) => !members.has(id));
		if (newcomer !== undefined) return { call: 'addLearner', id: newcomer };
		const ready = voters.length < this.#ports.votersMax ? learners.find((id) => there.includes(id)) : undefined;
		return ready === undefined ? undefined : { call: 'promote', id: ready };
	}
}
