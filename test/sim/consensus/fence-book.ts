// Owns what elected leaders were told in one run, and the rules of fencing (fabric.md 5.2): no two certainly lead at the same moment, and what a leader writes under
// its guard takes effect only as long as nobody has been elected after it.
import { Violation } from '../world/sim-world.js';

/** Somebody who may lead. */
export interface Candidate {
	readonly name: string;
	/** The token under which it certainly leads now, by its own word; undefined when it does not. */
	readonly leads: number | undefined;
}

interface GuardedWrite {
	readonly name: string;
	readonly token: number;
	readonly revision: number;
}

export class FenceBook {
	readonly #candidates: Candidate[] = [];
	readonly #tokens: number[] = [];
	readonly #writes: GuardedWrite[] = [];

	joins(candidate: Candidate): void {
		this.#candidates.push(candidate);
	}

	elected(name: string, token: number): void {
		if (this.#tokens.includes(token)) throw new Violation(`${name} was elected under ${token}, as somebody before it`);
		this.#tokens.push(token);
	}

	/** A write under the guard of `token` has taken effect. */
	wrote(write: GuardedWrite): void {
		this.#writes.push(write);
	}

	/** At any moment. */
	check(): void {
		let leader: Candidate | undefined;
		for (const candidate of this.#candidates) {
			if (candidate.leads === undefined) continue;
			if (leader !== undefined)
				throw new Violation(
					`two lead at once: ${leader.name} under ${leader.leads} and ${candidate.name} under ${candidate.leads}`,
				);
			leader = candidate;
		}
	}

	/** In the end, when all elections are known. */
	judge(): void {
		for (const { name, token, revision } of this.#writes) {
			const later = this.#tokens.find((other) => other > token && other <= revision);
			if (later !== undefined)
				throw new Violation(`${name} wrote at ${revision} under ${token} although ${later} had been elected`);
		}
	}
}
