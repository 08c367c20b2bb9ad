// The composition root of the gossip thread: membership over UDP and mTLS, or QUIC, with the mesh's own codec, Vivaldi on its probes, and the table of links. It
// tells the agent who is there and how far away; nothing else runs here, so probes are answered in time.
import { parentPort, workerData } from 'node:worker_threads';
import {
	decodeCoordinate,
	decodeMeta,
	encodeCoordinate,
	encodeMeta,
	GossipMembership,
	IdentityHolder,
	KeyRing,
	LinkTable,
	type MembershipEvent,
	MeshCodec,
	openExchange,
	RecordAuthority,
	RevocationList,
	releaseMemoryOnceSettled,
	SessionRegistry,
	SwimCounters,
	swimProfiles,
	TransportCounters,
	UdpNetwork,
	Vivaldi,
} from '@infermesh/fabric/gossip';
import { MeshError, type Timer } from '@infermesh/proto';
import { systemClock, systemRandom } from '../clock.js';
import type { MemberView, TopologyView } from '../fabric.js';
import type { FromGossip, GossipNews, GossipStart, ToGossip } from './gossip-protocol.js';
import { NodeFolder } from './node-folder.js';
import { fromWireIdentity } from './wire-identity.js';

const start = workerData as GossipStart;
const agent = parentPort;
if (agent === null) throw new Error('gossip-thread.ts runs in a worker thread only');
const send = (message: FromGossip): void => agent.postMessage(message);

/** Changes gather this long before the agent hears of them together. */
const GATHER_MS = 50;
const LINKS_PERIOD_MS = 1000;
/** A loop that stood still longer is told to Lifeguard. */
const LAG_MS = 200;
const LAG_PERIOD_MS = 125;

const clock = systemClock;
const random = systemRandom();
const folder = new NodeFolder(start.folder);
const identity = new IdentityHolder(fromWireIdentity(start.identity));
const revocations = new RevocationList();
const counters = new TransportCounters();
const context = { identity, revocations, counters, clock, sessions: new SessionRegistry(revocations, counters, clock) };
const authority = new RecordAuthority(start.label, identity.current());
const [primary, ...older] = start.keys;
if (primary === undefined) throw new Error('gossip needs a group key');
const ring = new KeyRing(start.label, primary, older);
const codec = new MeshCodec({ label: start.label, self: start.nodeId, ring, session: Math.floor(clock.wallMs()) });
const vivaldi = new Vivaldi(random);
const links = new LinkTable(start.nodeId, { zone: start.zone, region: start.region });
const since = new Map<string, { readonly state: string; readonly atMs: number }>();
let gathering = false;
let watchingLoop: Timer | undefined;
/** What a node that is alone last told of itself. */
let toldAlone = '';
let revokedHere: readonly string[] = [];
let revokedElsewhere: readonly string[] = [];

const membership = new GossipMembership({
	core: {
		id: start.nodeId,
		meta: encodeMeta({
			name: start.name,
			roles: start.roles,
			version: start.version,
			digest: new Uint8Array(0),
			...start.speaksFor,
		}),
		credential: authority.credential,
		incarnation: folder.incarnation(),
		settings: swimProfiles[start.profile],
		random,
		signer: authority,
		verifier: authority,
		coordinates: { current: () => encodeCoordinate(vivaldi.coordinate) },
		signedRecords: true,
		digestFirst: true,
		seeds: start.seeds,
	},
	...(start.advertise === undefined ? {} : { advertise: start.advertise }),
	codec,
	network: new UdpNetwork({
		bind: start.bind,
		exchanges: openExchange(start.transport, context, random, { requestBytesMax: codec.streamMaxBytes }),
	}),
	clock,
	persist: (incarnation) => folder.useIncarnation(incarnation),
	onEvent,
	credentials: authority,
});

function onEvent(event: MembershipEvent): void {
	if (event.kind === 'coordinate') {
		const nowMs = clock.nowMs();
		links.measured(event.id, event.rttMs, nowMs);
		const coordinate = decodeCoordinate(event.payload);
		if (coordinate === undefined) return;
		links.coordinate(event.id, coordinate, nowMs);
		vivaldi.update(event.id, coordinate, event.rttMs / 1000);
		return;
	}
	if (event.kind === 'departed') {
		send({ kind: 'departed' });
		return;
	}
	if (event.kind === 'unreached') return links.failed(event.id);
	if (event.kind === 'packetsBlocked') return links.answered(event.id);
	if (event.kind === 'failed' || event.kind === 'left') links.lost(event.member.id);
	if (event.kind === 'reaped') {
		links.forget(event.id);
		vivaldi.forget(event.id);
		since.delete(event.id);
	}
	gather();
}

/**
 * A timer that comes late says for how long at least the loop stood still; sampling the loop would wake an idle core fifty times a second. While there is nobody
 * who could be accused, nobody looks.
 */
function watchLoop(): void {
	const wanted = membership.liveMembers > 1;
	if (wanted === (watchingLoop !== undefined)) return;
	watchingLoop?.cancel();
	watchingLoop = undefined;
	if (!wanted) return;
	let lookedMs = clock.nowMs();
	watchingLoop = clock.every(LAG_PERIOD_MS, () => {
		const nowMs = clock.nowMs();
		const lagMs = nowMs - lookedMs - LAG_PERIOD_MS;
		lookedMs = nowMs;
		if (lagMs > LAG_MS) membership.reportLoopLag(lagMs);
	});
}

function gather(): void {
	if (gathering) return;
	gathering = true;
	clock.after(GATHER_MS, tellMembers);
	watchLoop();
}

const stateNames = { alive: 'alive', suspect: 'suspect', dead: 'failed', left: 'left' } as const;

function viewOf(
	id: string,
	name: string,
	address: string,
	state: MemberView['state'],
	incarnation: number,
	accusers: readonly string[],
): MemberView {
	const known = since.get(id);
	const atMs = known?.state === state ? known.atMs : Math.floor(clock.wallMs());
	if (known?.state !== state) since.set(id, { state, atMs });
	return { id, name, address, state, incarnation, sinceMs: atMs, accusers };
}

function tellMembers(): void {
	gathering = false;
	send(memberNews());
}

/** Members and distances in one message: each wakes the agent. A node that is alone says the same thing once. */
function tellAll(): void {
	const news: GossipNews = { ...memberNews(), topology: topologyNow() };
	const text = membership.members().length === 0 ? JSON.stringify(news) : '';
	if (text !== '' && text === toldAlone) return;
	toldAlone = text;
	send(news);
}

function memberNews(): GossipNews {
	const self = membership.self;
	const others = membership.members().map(({ claim, state, incarnation, accusers }) => {
		const meta = decodeMeta(claim.meta);
		const view = viewOf(claim.id, meta?.name ?? claim.id, claim.address, stateNames[state], incarnation, accusers);
		if (meta?.cell === undefined) return view;
		return Object.assign(view, { speaksFor: { cell: meta.cell, agent: meta.agent ?? '' } });
	});
	const own = self === undefined ? [] : [viewOf(self.id, start.name, self.address, 'alive', self.incarnation, [])];
	const { transfer, core } = membership;
	return {
		kind: 'news',
		members: [...own, ...others],
		figures: {
			liveMembers: membership.liveMembers,
			healthScore: core?.healthScore ?? 0,
			packetsSent: transfer.packetsSent,
			packetsReceived: transfer.packetsReceived,
			bytesSent: transfer.bytesSent,
			bytesReceived: transfer.bytesReceived,
			refused: transfer.refused,
			counts: core?.counters ?? new SwimCounters(),
			transport: counters.snapshot(),
		},
	};
}

function topologyNow(): TopologyView {
	const nowMs = clock.nowMs();
	const { vector, heightS, error } = vivaldi.coordinate;
	const estimates = membership
		.members()
		.map(({ claim }) => ({ nodeId: claim.id, estimate: links.estimate(claim.id, vivaldi.coordinate, nowMs) }));
	return { links: estimates, vector, heightS, error };
}

agent.on('message', (message: ToGossip) => {
	switch (message.kind) {
		case 'identity':
			identity.set(fromWireIdentity(message.identity));
			authority.setIdentity(identity.current());
			membership.update({ credential: authority.credential });
			break;
		case 'revoked':
			revocations.update(message.nodeIds, message.revision);
			revokedHere = message.nodeIds;
			authority.setRevoked([...revokedHere, ...revokedElsewhere]);
			break;
		case 'revokedElsewhere':
			revocations.updateElsewhere(message.nodeIds);
			revokedElsewhere = message.nodeIds;
			authority.setRevoked([...revokedHere, ...revokedElsewhere]);
			break;
		case 'keys':
			ring.replace(message.keys);
			codec.forgetRemovedKeys();
			break;
		case 'join':
			membership.join(message.seeds);
			break;
		case 'places':
			for (const [nodeId, zone, region] of message.places) links.placed(nodeId, { zone, region });
			break;
		case 'transferred':
			links.transferred(message.nodeId, message.bytes, message.durationMs);
			break;
		case 'leave':
			void membership.leave().then(() => send({ kind: 'departed' }));
			break;
		case 'close':
			void membership.stop().then(() => process.exit(0));
			break;
	}
});

clock.every(LINKS_PERIOD_MS, tellAll);
releaseMemoryOnceSettled(clock);
try {
	const address = await membership.start();
	send({ kind: 'started', address });
	gather();
} catch (error) {
	send({
		kind: 'refused',
		code: error instanceof MeshError ? error.code : 'IM_MEMBERSHIP_BIND',
		message: error instanceof Error ? error.message : String(error),
	});
}
