// Owns a member gone bad: it holds the group's key and an identity of its own, and says false things about others. Under its own name it accuses them again and
// again; in their names it speaks without their signature, and it answers in their place the pings it overhears. It can be a nuisance and must not be more.
import { emptyBytes, type GossipMessage, KeyRing, MeshCodec, type NodeId } from '@infermesh/fabric';
import type { SeededRandom } from '@infermesh/proto';
import { simulatedSignatures } from '../membership/signatures.js';
import type { SimHost } from '../world/sim-host.js';
import type { SimNetwork } from '../world/sim-network.js';
import { hashBytes } from '../world/trace.js';

export interface RogueTarget {
	readonly host: SimHost;
	readonly id: NodeId;
	readonly receive: (packet: Uint8Array) => void;
}

const forged = new Uint8Array(4);
/** Part of all packets that it overhears. */
const overheard = 0.3;

export class Rogue {
	readonly #network: SimNetwork;
	readonly #host: SimHost;
	readonly #id: NodeId;
	readonly #codec: MeshCodec;
	readonly #random: SeededRandom;
	readonly #targets: () => readonly RogueTarget[];
	readonly #incarnationOf: (id: NodeId) => number;

	constructor(options: {
		readonly network: SimNetwork;
		readonly host: SimHost;
		readonly id: NodeId;
		readonly ring: KeyRing;
		readonly label: string;
		readonly targets: () => readonly RogueTarget[];
		readonly incarnationOf: (id: NodeId) => number;
	}) {
		this.#network = options.network;
		this.#host = options.host;
		this.#id = options.id;
		this.#codec = new MeshCodec({ label: options.label, self: options.id, ring: options.ring, session: 1 });
		this.#random = options.network.world.random('workload', 77);
		this.#targets = options.targets;
		this.#incarnationOf = options.incarnationOf;
	}

	start(): void {
		this.#host.clock.every(60, () => this.#lie());
	}

	/** A packet of `from` to another, which may be down: what it asks, the rogue answers. */
	overhears(from: RogueTarget, packet: Uint8Array): void {
		if (this.#random.nextFloat() >= overheard) return;
		for (const message of this.#codec.decodePacket(packet, '', this.#host.clock.nowMs()).messages)
			if (message.kind === 'ping')
				this.#tell(
					from,
					{ kind: 'ack', sequence: message.sequence, payload: emptyBytes, proof: forged },
					'in its place',
				);
	}

	#pick<T>(from: readonly T[]): T | undefined {
		return from[Math.floor(this.#random.nextFloat() * from.length)];
	}

	/** Tells one member something false about another. */
	#lie(): void {
		const targets = this.#targets();
		const [to, about] = [this.#pick(targets), this.#pick(targets)];
		if (to === undefined || about === undefined || to === about) return;
		this.#tell(to, this.#about(about.id, this.#incarnationOf(about.id)), `about ${about.id}`);
	}

	#tell(to: RogueTarget, lie: GossipMessage, what: string): void {
		const packet = this.#codec.encodePacket([lie], { address: '', id: to.id, protocol: emptyBytes });
		this.#network.world.counters.add(`lies: ${lie.kind}`);
		this.#network.packet({
			from: this.#host,
			to: to.host,
			bytes: packet.length,
			digest: hashBytes(packet),
			describe: () => `a lie: ${lie.kind} ${what}`,
			deliver: () => to.receive(packet),
		});
	}

	#about(id: NodeId, incarnation: number): GossipMessage {
		const dice = this.#random.nextFloat();
		if (dice < 0.5) {
			const accusation = { kind: dice < 0.35 ? 'suspect' : 'dead', id, incarnation, by: this.#id } as const;
			return { ...accusation, proof: simulatedSignatures.sign(accusation) };
		}
		if (dice < 0.7) return { kind: 'left', id, incarnation, proof: forged };
		if (dice < 0.85) return { kind: 'dead', id, incarnation, by: this.#pick(this.#targets())?.id ?? id, proof: forged };
		const address = '10.9.9.9:1';
		const content = { address, meta: emptyBytes, credential: emptyBytes, protocol: emptyBytes };
		return {
			kind: 'alive',
			id,
			incarnation: incarnation + 1 + (this.#random.nextU32() % 3),
			...content,
			proof: forged,
		};
	}
}
