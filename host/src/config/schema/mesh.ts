// Owns the sections of the configuration about a node among others: who it is, membership, replicated state.

import { Type } from '../../schema/type.js';
import { choice, flag, integer, list, optional, secret, section, text } from '../fields.js';
import { BYTES, MS, PORT } from './units.js';

export const nodeSchema = section('Who and where this node is.', {
	id: text('local', 'Node id, the `node` label of metrics.'),
	zone: text('local', 'Zone, for distance and labels.'),
	region: text('local', 'Region, for distance and labels.'),
});

export const nodeRoles = ['router', 'coordinator', 'gpu', 'trainer', 'edge'] as const;

export const fabricSchema = section('Membership of a mesh of several nodes.', {
	mode: choice(
		['auto', 'alone', 'mesh'],
		'auto',
		'`mesh` joins or begins a mesh, `alone` keeps everything in this process; `auto` is `mesh` for `infermesh agent` and `alone` for `infermesh up`.',
	),
	join: list(
		Type.String({ minLength: 1 }),
		'Agents of the mesh to join, `host:port`; tried for ever. Empty = begin a mesh, or go on with the one this node was in.',
		64,
	),
	join_token: secret('Proves to the mesh that this node may come; needed once, `infermesh join-token` makes it'),
	host: text('127.0.0.1', 'Address to listen on for other nodes: agent, Raft and gossip. Always mutual TLS.'),
	advertise: optional('Host name or address at which other nodes reach this one; default: `host`.'),
	agent_port: integer(8082, 'Agent gRPC; 0 takes any free one.', PORT),
	raft_port: integer(8083, 'Between coordinators; 0 takes any free one.', PORT),
	gossip_port: integer(8946, 'Gossip, UDP and mTLS on one number; 0 takes any free one.', PORT),
	transport: choice(
		['tls', 'quic'],
		'tls',
		'Connections of gossip: `quic` asks over QUIC first, then TLS. Experimental; needs the optional package `@infisical/quic`.',
	),
	trust_domain: text('infermesh.local', 'SPIFFE trust domain; nodes of another one are refused.'),
	ca_dir: optional(
		'Folder of the built-in CA, on nodes that sign for others; default: `ca` in the state folder if it is there.',
	),
	ca_passphrase: secret('Opens the CA key'),
	spiffe_socket: optional(
		'SPIFFE Workload API to take the identity from in place of the built-in authority and join tokens, `unix:///path` or `tcp://ADDRESS:PORT`; SPIFFE_ENDPOINT_SOCKET does the same.',
	),
	workload_socket: optional(
		'Path of a Unix socket at which this node serves the SPIFFE Workload API to local processes of its own user; whoever opens it can act as the node.',
	),
	gossip_profile: choice(
		['lan', 'wan', 'local'],
		'lan',
		'Gossip timers: within a site, between sites, or on one machine.',
	),
	compat_level: integer(
		0,
		'Newest level of formats this node writes and reads, to hold a mesh at the level of the version before; 0 = the newest of this version.',
		{ max: 1000 },
	),
	authorities: list(
		Type.String({ minLength: 1 }),
		'Agents that sign certificates, where they are not those of `join`: a cell that begins under the authority of another names that one’s here.',
		16,
	),
	cell: text(
		'default',
		'Cell this node belongs to: a gossip pool and a group of coordinators of its own. One is enough up to about a thousand nodes.',
	),
	gateway: flag(false, 'This node speaks for its cell to other cells. Needs the role `router`; have two in each cell.'),
	wan_join: list(
		Type.String({ minLength: 1 }),
		'Agents of gateways of other cells, `host:port`; asked until their cell is known. One side is enough.',
		64,
	),
	wan_port: integer(8947, 'Gossip between gateways, UDP and mTLS on one number; 0 takes any free one.', PORT),
	wan_profile: choice(['lan', 'wan', 'local'], 'wan', 'Timers of the gossip between gateways.'),
	cells: section('What cells tell each other, and what is sent to other cells.', {
		period_ms: integer(1000, 'Summaries are exchanged this often.', { ...MS, min: 100 }),
		stale_after_ms: integer(10_000, 'Nothing is sent to a cell whose summary is older.', { ...MS, min: 500 }),
		forget_after_ms: integer(3_600_000, 'A cell that has told nothing for so long is forgotten.', { ...MS, min: 1000 }),
		route: flag(
			true,
			'Send requests to other cells when no target of this one is eligible, or the strategy says that none has room.',
		),
		url: optional(
			'Base URL at which other cells reach the routers of this one, for example a load balancer; default: the data planes of its nodes.',
		),
		api_key: secret('Sent to routers of other cells as `authorization: Bearer`; they must have it among their keys'),
	}),
	load: section('What routers of the mesh tell each other of what they have in flight.', {
		period_ms: integer(5, 'Changes are told this often.', { ...MS, min: 1, max: 1000 }),
		full_ms: integer(2000, 'Everything is told again this often.', { ...MS, min: 100 }),
		lease_ms: integer(2000, 'What a router had in flight counts no longer when it has been silent for so long.', {
			...MS,
			min: 200,
		}),
		peers_max: integer(64, 'Routers followed, and followers; the load of others shows in reports of engines only.', {
			min: 1,
			max: 1024,
		}),
	}),
	voters_max: integer(5, 'Coordinators that vote; further ones are learners.', { min: 1, max: 9 }),
	lease_ttl_ms: integer(15_000, 'What a node says of itself lapses this long after it was last heard of.', {
		...MS,
		min: 1000,
	}),
});

export const consensusSchema = section('Replicated state.', {
	engine: choice(['raft', 'etcd'], 'raft', 'The embedded Raft, or an etcd cluster that exists.'),
	endpoints: list(Type.String({ minLength: 1 }), 'Of etcd, `http(s)://host:port`, all members.', 16),
	prefix: text('infermesh/', 'Before every key in etcd: one for each mesh that shares the cluster.'),
	user: optional('Of etcd.'),
	password: secret('Of etcd'),
	ca_file: optional(
		'PEM with the authorities that etcd’s certificates are from; the system’s by default. Read at the start.',
	),
	cert_file: optional('PEM with the certificate this node shows etcd.'),
	key_file: optional('PEM with the key of that certificate.'),
	heartbeat_ms: integer(100, 'Raft heartbeat.', { ...MS, min: 10 }),
	election_ms: integer(500, 'Raft election timeout; at least five heartbeats.', { ...MS, min: 50 }),
	snapshot_entries: integer(10_000, 'A snapshot is taken after this many entries.', { min: 100, max: 10_000_000 }),
	log_segment_bytes: integer(64 * 1024 * 1024, 'Size of a segment of the log.', {
		...BYTES,
		min: 8 * 1024 * 1024,
		max: 1024 * 1024 * 1024,
	}),
});
