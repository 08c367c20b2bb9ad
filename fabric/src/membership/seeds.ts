// Owns the addresses this node was told to join by: each is tried until a member answers there, again whenever that member is gone, with
// growing pauses and without end.
import type { Random } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import type { NodeId } from './messages.js';
import { type SwimSettings, swimBounds } from './settings.js';

interface Seed {
	readonly address: Address;
	nextMs: number;
	backoffMs: number;
	/** Who answered there last. */
	id: NodeId | undefined;
	asking: boolean;
}

export class Seeds {
	readonly #settings: SwimSettings;
	readonly #random: Random;
	readonly #seeds = new Map<Address, Seed>();

	constructor(settings: SwimSettings, random: Random) {
		this.#settings = settings;
		this.#random = random;
	}

	get size(): number {
		return this.#seeds.size;
	}

	/** Addresses beyond `seedsMax` are ignored; known ones are tried at once. */
	add(addresses: readonly Address[], nowMs: number): void {
		for (const address of addresses) {
			const known = this.#seeds.get(address);
			if (known !== undefined) {
				known.nextMs = nowMs;
				known.backoffMs = this.#settings.seedBackoffMinMs;
			} else if (this.#seeds.size < swimBounds.seedsMax) {
				const backoffMs = this.#settings.seedBackoffMinMs;
				this.#seeds.set(address, { address, nextMs: nowMs, backoffMs, id: undefined, asking: false });
			}
		}
	}

	nextDeadlineMs(): number {
		let next = Number.POSITIVE_INFINITY;
		for (const seed of this.#seeds.values()) if (!seed.asking) next = Math.min(next, seed.nextMs);
		return next;
	}

	/** Seeds to be tried now: those due at which no live member is known. `isLive` is asked for who answered there and for the address. */
	due(nowMs: number, isLive: (id: NodeId | undefined, address: Address) => boolean): Address[] {
		const due: Address[] = [];
		for (const seed of this.#seeds.values()) {
			if (seed.asking || seed.nextMs > nowMs) continue;
			if (isLive(seed.id, seed.address)) {
				seed.backoffMs = this.#settings.seedBackoffMinMs;
				seed.nextMs = nowMs + this.#jittered(this.#settings.seedBackoffMaxMs / 4);
			} else {
				seed.asking = true;
				due.push(seed.address);
			}
		}
		return due;
	}

	answered(address: Address, id: NodeId | undefined, nowMs: number): void {
		const seed = this.#seeds.get(address);
		if (seed === undefined) return;
		seed.asking = false;
		seed.id = id;
		seed.backoffMs = this.#settings.seedBackoffMinMs;
		seed.nextMs = nowMs + this.#jittered(this.#settings.seedBackoffMinMs);
	}

	failed(address: Address, nowMs: number): void {
		const seed = this.#seeds.get(address);
		if (seed === undefined) return;
		seed.asking = false;
		seed.nextMs = nowMs + this.#jittered(seed.backoffMs);
		seed.backoffMs = Math.min(this.#settings.seedBackoffMaxMs, seed.backoffMs * 2);
	}

	/** Between half and all of it. */
	#jittered(spanMs: number): number {
		return spanMs * (0.5 + this.#random.nextFloat() / 2);
	}
}
