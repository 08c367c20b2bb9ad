// Owns the standing of one device under all rules and an operator's word: which rules hold it, and what that makes of it.
import type { Facts } from './facts.js';
import { clearState, inForce, type Rule, type RuleState, step, waive } from './rules.js';

export type Standing = 'sound' | 'degraded' | 'quarantined';

/** What is held by an operator's word, in place of a rule's name. */
export const HAND = 'hand';

/** A rule that holds a device. */
export interface Held {
	readonly rule: string;
	readonly sinceMs: number;
	readonly then: 'quarantined' | 'degraded';
}

export class DeviceStanding {
	readonly #rules: readonly Rule[];
	#states: readonly RuleState[];
	#hand: { readonly sinceMs: number; readonly by: string } | undefined;
	#held: readonly Held[] = [];

	constructor(rules: readonly Rule[]) {
		this.#rules = rules;
		this.#states = rules.map(() => clearState);
	}

	get held(): readonly Held[] {
		return this.#held;
	}

	get standing(): Standing {
		if (this.#held.some(({ then }) => then === 'quarantined')) return 'quarantined';
		return this.#held.length > 0 ? 'degraded' : 'sound';
	}

	/** Moves all rules; `facts` is undefined when nothing fresh is known. True when what holds the device has changed. */
	look(facts: Facts | undefined, nowMs: number): boolean {
		this.#states = this.#states.map((state, i) => {
			const rule = this.#rules[i] as Rule;
			return step(rule, state, facts?.[rule.fact], nowMs);
		});
		return this.#settle();
	}

	/** Takes the device out by hand, until it is released. */
	hold(by: string, nowMs: number): boolean {
		this.#hand ??= { sinceMs: nowMs, by };
		return this.#settle();
	}

	/** Lets the device go: what holds it now counts again once it has been away. */
	release(facts: Facts | undefined, nowMs: number): boolean {
		this.#hand = undefined;
		this.#states = this.#states.map((state, i) => {
			const rule = this.#rules[i] as Rule;
			return waive(rule, state, facts?.[rule.fact], nowMs);
		});
		return this.#settle();
	}

	#settle(): boolean {
		const held: Held[] =
			this.#hand === undefined ? [] : [{ rule: HAND, sinceMs: this.#hand.sinceMs, then: 'quarantined' }];
		this.#states.forEach((state, i) => {
			const rule = this.#rules[i] as Rule;
			if (inForce(state)) held.push({ rule: rule.name, sinceMs: state.sinceMs, then: rule.then });
		});
		const changed = held.map(({ rule }) => rule).join() !== this.#held.map(({ rule }) => rule).join();
		// A rule that is about to clear, and does not, holds since it first did.
		this.#held = held.map((now) => this.#held.find(({ rule }) => rule === now.rule) ?? now);
		return changed;
	}
}
