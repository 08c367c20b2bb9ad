// Owns what the tests of membership share: a member over real sockets with a real identity, and waiting for what is meant.
import { randomBytes } from 'node:crypto';
import { type Clock, SeededRandom } from '@infermesh/proto';
import { realClock } from '../identity/identity-test-support.js';
import type { Identity } from '../identity/source.js';
import { type ExchangeTransport, openExchange } from '../transport/open-exchange.js';
import { type TestNode, testNode } from '../transport/transport-test-support.js';
import { Membership } from './driver.js';
import type { MembershipEvent } from './events.js';
import { KeyRing } from './mesh-codec/key-ring.js';
import { MeshCodec } from './mesh-codec/mesh-codec.js';
import { encodeMeta } from './meta.js';
import { RecordAuthority } from './records/record-authority.js';
import { type SwimSettings, swimProfiles } from './settings.js';
import { UdpNetwork } from './udp-network.js';

/** The local profile, some seven times as quick, with the retransmissions of a LAN: a broadcast must reach all of a few. */
export const quickSettings: SwimSettings = {
	...swimProfiles.local,
	probeIntervalMs: 150,
	probeTimeoutMs: 60,
	gossipIntervalMs: 20,
	retransmitMultiplier: 4,
	pushPullIntervalMs: 2_000,
	gossipToTheDeadMs: 2_000,
	seedBackoffMinMs: 100,
	seedBackoffMaxMs: 1_000,
	leaveTimeoutMs: 1_000,
};

export interface TestMember {
	readonly id: string;
	readonly membership: Membership;
	readonly authority: RecordAuthority;
	readonly ring: KeyRing;
	readonly network: UdpNetwork;
	/** What its connections show and whom they refuse. */
	readonly node: TestNode;
	readonly events: MembershipEvent[];
	address: string;
	/** The last incarnation made durable. */
	incarnation: number | undefined;
}

export const groupSecret = (): Uint8Array => new Uint8Array(randomBytes(32));

export async function startMember(
	identity: Identity,
	options: {
		readonly secret: Uint8Array;
		readonly seeds?: readonly string[];
		readonly label?: string;
		readonly incarnation?: number;
		readonly clock?: Clock;
		readonly settings?: SwimSettings;
		readonly bind?: string;
		readonly transport?: ExchangeTransport;
	},
): Promise<TestMember> {
	const clock = options.clock ?? realClock;
	const label = options.label ?? 'test';
	const id = identity.svid.nodeUuid as string;
	const authority = new RecordAuthority(label, identity);
	const ring = new KeyRing(label, options.secret);
	const codec = new MeshCodec({ label, self: id, ring, session: Math.floor(clock.wallMs()) });
	const node = testNode(identity, { clock });
	const random = new SeededRandom(randomBytes(4).readUInt32BE(0));
	const transport = options.transport ?? 'tls';
	const exchanges = openExchange(transport, node.context, random, { requestBytesMax: codec.streamMaxBytes });
	const network = new UdpNetwork({ bind: options.bind ?? '127.0.0.1:0', exchanges });
	const events: MembershipEvent[] = [];
	const member: TestMember = {
		id,
		authority,
		ring,
		network,
		node,
		events,
		address: '',
		incarnation: options.incarnation,
		membership: new Membership({
			core: {
				id,
				meta: encodeMeta({ name: id.slice(0, 8), roles: 1, version: '0.1.0', digest: new Uint8Array(0) }),
				credential: authority.credential,
				incarnation: options.incarnation,
				settings: options.settings ?? quickSettings,
				random,
				signer: authority,
				verifier: authority,
				signedRecords: true,
				digestFirst: true,
				seeds: options.seeds ?? [],
			},
			codec,
			network,
			clock,
			persist: (incarnation) => (member.incarnation = incarnation),
			onEvent: (event) => events.push(event),
			credentials: authority,
		}),
	};
	member.address = await member.membership.start();
	return member;
}

/** Looks every few milliseconds; rejects after `withinMs`. */
export async function until(what: string, holds: () => boolean, withinMs = 15_000): Promise<void> {
	const endMs = performance.now() + withinMs;
	while (!holds()) {
		if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
}
