// Owns what this node says of itself: its incarnation, which only it raises and which never falls, its alive claim, its refutations and its leave.
import { MeshError } from '@infermesh/proto';
import { equalBytes } from '../bytes/equal-bytes.js';
import type { Address } from '../effects/packets.js';
import { membershipErrors } from './errors.js';
import type { Accusation, AliveClaim, LeftClaim, MemberRecord } from './messages.js';
import { emptyBytes } from './messages.js';
import { swimBounds } from './settings.js';
import type { SwimOptions, SwimState } from './state.js';

export class Self {
	readonly #state: SwimState;
	#claim: AliveClaim;
	#left: LeftClaim | undefined;
	#leaveByMs = Number.POSITIVE_INFINITY;
	#repeatedMs = Number.NEGATIVE_INFINITY;

	constructor(state: SwimState, options: SwimOptions) {
		this.#state = state;
		const resumed = state.has('forget-incarnation') ? 0 : (options.incarnation ?? 0);
		checkMeta(options.meta);
		this.#claim = this.#signed({
			incarnation: resumed + 1,
			address: options.address,
			meta: options.meta,
			credential: options.credential ?? emptyBytes,
			protocol: options.protocol ?? emptyBytes,
		});
	}

	get claim(): AliveClaim {
		return this.#claim;
	}

	get record(): MemberRecord {
		return { alive: this.#claim, marks: this.#left === undefined ? [] : [this.#left] };
	}

	/** When the leave ends even if it has not been spread; infinity while not leaving. */
	get deadlineMs(): number {
		return this.#state.departed ? Number.POSITIVE_INFINITY : this.#leaveByMs;
	}

	start(): void {
		this.#announce();
	}

	/** New metadata, address or certificate, under a higher incarnation. Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
	update(change: { readonly meta?: Uint8Array; readonly address?: Address; readonly credential?: Uint8Array }): void {
		if (change.meta !== undefined) checkMeta(change.meta);
		this.#claim = this.#signed({ ...this.#claim, ...change, incarnation: this.#claim.incarnation + 1 });
		this.#announce();
	}

	/** An alive claim under this node's id: its own echo, or that of an earlier life, which a higher incarnation replaces. */
	onAlive(claim: AliveClaim, from: Address): void {
		const state = this.#state;
		const own = this.#claim;
		if (state.leaving || claim.incarnation < own.incarnation) return;
		const same = claim.address === own.address && equalBytes(claim.meta, own.meta);
		if (claim.incarnation === own.incarnation && same) return;
		if (this.#leaps(claim.incarnation) || !state.believes(claim, from)) return;
		if (claim.address !== own.address)
			state.tell({ kind: 'identityConflict', address: claim.address, incarnation: claim.incarnation });
		this.#raise(claim.incarnation);
	}

	/** A leave of an earlier life that still goes round. */
	onLeft(claim: LeftClaim, from: Address): void {
		if (this.#state.leaving || claim.incarnation < this.#claim.incarnation) return;
		if (!this.#leaps(claim.incarnation) && this.#state.believes(claim, from)) this.#raise(claim.incarnation);
	}

	onAccused(accusation: Accusation, from: Address): void {
		const state = this.#state;
		if (state.leaving || this.#leaps(accusation.incarnation)) return;
		if (accusation.incarnation < this.#claim.incarnation) {
			this.#repeat(from);
			return;
		}
		if (!state.believes(accusation, from) || state.has('no-refute')) return;
		state.counters.refutations++;
		// To be accused is a sign that this node was late to answer.
		state.awareness.apply(1);
		this.#raise(accusation.incarnation);
		state.tell({ kind: 'refuted', by: accusation.by, incarnation: this.#claim.incarnation });
	}

	leave(): void {
		const state = this.#state;
		if (state.leaving) return;
		state.leaving = true;
		const unsigned = { kind: 'left', id: state.id, incarnation: this.#claim.incarnation } as const;
		this.#left = { ...unsigned, proof: state.signer.sign(unsigned) };
		this.#leaveByMs = state.nowMs + state.settings.leaveTimeoutMs;
		state.spread(state.id, this.#left);
		this.tick();
	}

	/** Ends the leave once it has been spread, or nobody is left to hear it, or its time is up. */
	tick(): void {
		const state = this.#state;
		if (!state.leaving || state.departed) return;
		const spread = !state.broadcasts.has(state.id) || state.table.live === 0;
		if (!spread && state.nowMs < this.#leaveByMs) return;
		state.departed = true;
		state.tell({ kind: 'departed' });
	}

	/** Further ahead than any life of this node can have been: to follow would use the incarnations up. */
	#leaps(incarnation: number): boolean {
		const leaps = incarnation > this.#claim.incarnation + swimBounds.incarnationLeapMax;
		if (leaps) this.#state.counters.claimsLeaping++;
		return leaps;
	}

	#raise(above: number): void {
		this.#claim = this.#signed({ ...this.#claim, incarnation: Math.max(this.#claim.incarnation, above) + 1 });
		this.#announce();
	}

	/** Whoever still accuses an earlier incarnation has missed the refutation, which gossip may no longer be telling. */
	#repeat(to: Address): void {
		const state = this.#state;
		if (to === '' || state.has('no-refute') || state.nowMs - this.#repeatedMs < swimBounds.staleAnswerIntervalMs)
			return;
		this.#repeatedMs = state.nowMs;
		state.send(to, undefined, [this.#claim]);
		state.spread(state.id, this.#claim);
	}

	#announce(): void {
		this.#state.emit({ kind: 'persist', incarnation: this.#claim.incarnation });
		this.#state.spread(this.#state.id, this.#claim);
	}

	#signed(claim: Omit<AliveClaim, 'kind' | 'id' | 'proof'>): AliveClaim {
		const { incarnation, address, meta, credential, protocol } = claim;
		const unsigned = { kind: 'alive', id: this.#state.id, incarnation, address, meta, credential, protocol } as const;
		return { ...unsigned, proof: this.#state.signer.sign(unsigned) };
	}
}

/** Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
export function checkMeta(meta: Uint8Array): void {
	if (meta.length <= swimBounds.metaMaxBytes) return;
	throw new MeshError(
		membershipErrors,
		'IM_MEMBERSHIP_OVERSIZED',
		`metadata of ${meta.length} bytes; at most ${swimBounds.metaMaxBytes}`,
	);
}
