// Owns the configuration of the mesh: every number with its default, unit and meaning, in one schema from which types, validation
// and docs/config.md come. Leaves reading to load.ts and what values mean together to rules.ts. Keys are snake_case, units last.
import { gpuSourceKinds, runtimeNames } from '@infermesh/adapters';
import { type Static, Type } from 'typebox';
import { hashModes } from '../recorder/entries.js';
import { httpVersions } from '../router/upstream/http-version.js';
import { factNames } from '../signals/facts.js';
import {
	choice,
	flag,
	integer,
	item,
	list,
	map,
	maybe,
	maybeInteger,
	number,
	optional,
	required,
	secret,
	section,
	text,
} from './fields.js';

const MS = { unit: 'ms', min: 1, max: 86_400_000 } as const;
const BYTES = { unit: 'bytes', min: 1 } as const;
const PORT = { max: 65_535 } as const;

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

export const dataSchema = section('The data plane: where clients send inference requests.', {
	host: text('127.0.0.1', 'Address to listen on; beyond loopback `keys` must not be empty.'),
	port: integer(8080, 'Port; 0 takes any free one.', PORT),
	workers: integer(0, 'Worker threads, all listening on the one port; 0 = cores − 1, at least 1.', { max: 64 }),
	body_max_bytes: integer(16 * 1024 * 1024, 'Largest request body; more is 413.', { ...BYTES, max: 256 * 1024 * 1024 }),
	header_max_bytes: integer(16 * 1024, 'Largest request header block.', { ...BYTES, max: 1024 * 1024 }),
	header_count_max: integer(100, 'Most request header fields.', { min: 8, max: 2000 }),
	headers_timeout_ms: integer(10_000, 'A client must have sent its headers by then.', MS),
	request_timeout_ms: integer(60_000, 'A client must have sent its whole body by then.', MS),
	keep_alive_timeout_ms: integer(65_000, 'An idle client connection is closed after this.', MS),
	client_write_timeout_ms: integer(30_000, 'A client that takes no bytes of its stream for this long is cut.', MS),
	connections_max: integer(16_384, 'Client connections per worker; more are refused.', { min: 1, max: 1_000_000 }),
	inflight_max: integer(4096, 'Requests in flight per worker; more are answered 429 with Retry-After.', {
		min: 1,
		max: 1_000_000,
	}),
	saturated_retry_after_s: integer(1, 'Retry-After of a saturated worker.', { unit: 's', min: 1, max: 3600 }),
	shutdown_grace_ms: integer(10_000, 'Streams may finish for this long after a stop signal.', { ...MS, min: 0 }),
	decisions_kept_max: integer(4096, 'Decisions per worker that `infermesh explain` can still find.', {
		min: 16,
		max: 1_000_000,
	}),
	tls: section('TLS on the data port. Without a certificate it speaks in the clear.', {
		cert_file: optional('PEM with the certificate and its chain.'),
		key_file: optional('PEM with the key of that certificate.'),
	}),
	tls_reload_ms: integer(
		10_000,
		'The files of `data.tls` and `data.upstream` are looked at this often; new connections use what has changed. 0 = at the start only.',
		{ ...MS, min: 0 },
	),
	websocket: section(
		'WebSockets on the data port: chat at `/v1/chat/ws`, and pipes to runtimes that speak WebSocket.',
		{
			connections_max: integer(1024, 'WebSockets per worker; more are answered 503. 0 = none.', { max: 1_000_000 }),
			message_max_bytes: integer(4 * 1024 * 1024, 'Largest message; a larger one closes the socket with 1009.', {
				...BYTES,
				max: 256 * 1024 * 1024,
			}),
			fragments_max: integer(1024, 'Pieces one message may come in.', { min: 1, max: 1_000_000 }),
			requests_max: integer(16, 'Chats under way on one socket.', { min: 1, max: 1024 }),
			send_buffer_max_bytes: integer(256 * 1024, 'Bytes that wait for a slow reader before its sender is held up.', {
				...BYTES,
				max: 64 * 1024 * 1024,
			}),
			ping_period_ms: integer(30_000, 'Sockets are pinged this often; one silent for two of them is cut.', MS),
			pings_max: integer(64, 'Pings and pongs a peer may send in such a period.', { min: 2, max: 1_000_000 }),
			close_timeout_ms: integer(5000, 'A peer must answer a close by then.', MS),
			compression: flag(false, 'Offer permessage-deflate.'),
			origins: list(
				Type.String({ minLength: 1 }),
				'Origins of pages that may connect, `https://host:port`, besides those of this machine; `*` = all.',
				256,
			),
			pipe_paths: Type.Array(Type.String({ pattern: '^/[\\w./-]+$' }), {
				default: ['/v1/realtime'],
				maxItems: 64,
				description: 'Paths that are piped to a runtime, the model named by the query.',
			}),
		},
	),
	http2: section('HTTP/2 on the data port: by prior knowledge in the clear, by ALPN under TLS.', {
		streams_max: integer(256, 'Streams of one connection at once.', { min: 1, max: 65_536 }),
		window_bytes: integer(256 * 1024, 'What a client may send on one stream before it is taken.', {
			...BYTES,
			min: 65_535,
			max: 64 * 1024 * 1024,
		}),
		connection_window_bytes: integer(4 * 1024 * 1024, 'What a client may send on one connection before it is taken.', {
			...BYTES,
			min: 65_535,
			max: 1024 * 1024 * 1024,
		}),
		session_memory_mib: integer(32, 'Memory of one connection: streams, header tables, frames not sent yet.', {
			unit: 'MiB',
			min: 1,
			max: 1024,
		}),
		reset_burst: integer(200, 'Streams a client may reset at once; a connection beyond it is closed.', {
			min: 1,
			max: 1_000_000,
		}),
		reset_rate_per_s: integer(50, 'Resets a client earns back.', { unit: '1/s', min: 1, max: 1_000_000 }),
		invalid_frames_max: integer(100, 'Invalid frames, and streams beyond `streams_max`, after which it is closed.', {
			min: 1,
			max: 1_000_000,
		}),
		connection_age_max_ms: integer(
			1_800_000,
			'A connection is told to go after this, so that clients that keep one for ever spread over workers again; its streams end first.',
			MS,
		),
	}),
	scoring: section('Requests that another router asks about and dispatches itself (`/api/v1/admit`).', {
		admissions_max: integer(4096, 'Admitted and not reported back, per worker; more are refused.', {
			min: 1,
			max: 1_000_000,
		}),
		admission_ttl_ms: integer(600_000, 'One that nobody reports on ends by itself, as timed out.', MS),
	}),
	grpc: section('gRPC calls, passed on by the model their first message names.', {
		deny: list(
			Type.String({ minLength: 2 }),
			'Further methods that are not passed on: `/package.Service/Method`, or a service with a slash at the end.',
			256,
		),
		inflated_max_bytes: integer(
			64 * 1024 * 1024,
			'A compressed first message may come to so much while its model is looked for.',
			{
				...BYTES,
				max: 1024 * 1024 * 1024,
			},
		),
		replay_max_bytes: integer(
			256 * 1024,
			'What follows the first message is kept up to this, so that a call without an answer can go to another target.',
			{ ...BYTES, min: 0, max: 64 * 1024 * 1024 },
		),
		sessions_max: integer(
			8,
			'HTTP/2 connections per target and worker, of calls and of requests to targets of `http: h2`.',
			{ min: 1, max: 1024 },
		),
		streams_max: integer(100, 'Calls and requests on one of them at once.', { min: 1, max: 65_536 }),
		session_age_max_ms: integer(600_000, 'A connection to a target takes no new calls and requests after this.', MS),
		ping_period_ms: integer(20_000, 'A connection with calls or requests is asked this often whether it lives.', MS),
		ping_timeout_ms: integer(10_000, 'An answer must come by then, or they fail.', MS),
		window_bytes: integer(256 * 1024, 'What a target may send on one call or request before it is taken.', {
			...BYTES,
			min: 65_535,
			max: 64 * 1024 * 1024,
		}),
	}),
	upstream: section('Connections to targets.', {
		ca_file: optional('PEM with the authorities that targets’ certificates are from; the system’s by default.'),
		cert_file: optional('PEM with the certificate shown to targets (mutual TLS).'),
		key_file: optional('PEM with the key of that certificate.'),
		connect_timeout_ms: integer(2000, 'Connecting to a target.', MS),
		first_byte_timeout_ms: integer(120_000, 'First byte of a response after the request was sent.', MS),
		idle_timeout_ms: integer(60_000, 'Silence inside a response.', MS),
		keep_alive_timeout_ms: integer(
			4000,
			'An idle upstream connection is closed after this; below the five seconds of common engines.',
			MS,
		),
		connections_max: integer(1024, 'Connections per target and worker.', { min: 1, max: 65_536 }),
	}),
	retry: section('Retries before the first byte has gone to the client.', {
		attempts_max: integer(3, 'Attempts per request, the first included.', { min: 1, max: 10 }),
		budget_ratio: number(0.2, 'Retries allowed per request on average; more would be a storm.', { max: 1 }),
		budget_burst: integer(10, 'Retries a second allowed beyond the ratio.', { max: 10_000 }),
		backoff_ms: integer(
			50,
			'Wait before targets that have all failed are tried once more; grows by half each time, a fifth of it at random. 0 = none is tried twice.',
			{ ...MS, min: 0 },
		),
		backoff_max_ms: integer(
			1000,
			'Longest such wait; a target that asks for a longer one by Retry-After is not waited for.',
			MS,
		),
	}),
	hedge: section('Copies of a request whose first token is late, to the next ranked targets; the first token wins.', {
		copies: integer(0, 'Copies of a request for which the strategy asks none; 0 = only strategies ask.', { max: 4 }),
		copies_max: integer(1, 'Most copies of one request, whoever asks; 0 = hedging is off.', { max: 4 }),
		delay_ms: integer(0, 'Wait for a first token where the strategy names none; 0 = adaptive.', { ...MS, min: 0 }),
		delay_quantile: number(0.95, 'Adaptive wait: this quantile of the model’s recent times to first token.', {
			max: 1,
		}),
		budget_ratio: number(0.05, 'Tokens copies may cost, as a share of the tokens served.', { max: 1 }),
		delay_min_ms: integer(20, 'No wait for a first token is shorter.', MS),
		budget_tokens_max: integer(65_536, 'Unused budget kept at most, per model and worker.', {
			unit: 'tokens',
			max: 1_000_000_000,
		}),
		queue_max: integer(0, 'No copy goes to a target with more requests waiting in its engine.', { max: 100_000 }),
		kv_usage_max: number(0.8, 'No copy goes to a target with more of its KV cache in use.', { max: 1 }),
	}),
	hold: section('Requests a strategy holds back until there is room.', {
		requests_max: integer(1024, 'Held requests per worker; more are answered 429. 0 = never hold.', { max: 100_000 }),
		wait_max_ms: integer(30_000, 'A held request is refused after this.', MS),
	}),
	flow: section('What waits at the router when targets have no room, in which order, and what is refused.', {
		enabled: flag(
			true,
			'Requests wait at the router, in fair order, rather than in the queues of engines. Quotas hold in any case.',
		),
		requests_max: integer(1024, 'Waiting requests per worker.', { min: 1, max: 100_000 }),
		bytes_max: integer(128 * 1024 * 1024, 'Bytes of the bodies of waiting requests per worker.', BYTES),
		tenant_share: number(0.5, 'Part of `requests_max` that one tenant may fill.', { max: 1 }),
		wait_max_ms: integer(30_000, 'A request that waits longer is refused; one that would, at once.', MS),
		starved_after_ms: integer(
			2000,
			'A priority band whose oldest request has waited so long, for each band above it, gets one turn in eight.',
			MS,
		),
		due_ms: integer(
			10_000,
			'When a request without objective or deadline is due, in the order of its tenant’s requests.',
			MS,
		),
		output_weight: number(2, 'Service of one output token, in prompt tokens.', { max: 100 }),
		target_queue_max: integer(4, 'Requests that may wait inside an engine.', { max: 10_000 }),
		target_requests_max: integer(0, 'Requests at a target at once; 0 = learned from its reports.', { max: 1_000_000 }),
	}),
	quota: section('How quotas are leased from the mesh.', {
		lease_ms: integer(5000, 'What a router holds of a quota lapses when it is not renewed for so long.', {
			...MS,
			min: 500,
		}),
		period_ms: integer(500, 'Demand is looked at this often.', { ...MS, min: 50 }),
		wait_ms: integer(500, 'A request waits so long for its quota to be leased.', MS),
	}),
	prefix_index: section('The approximate index of which target holds which prompt prefix.', {
		blocks_max: integer(1 << 18, 'Pairs of a block and a target remembered per worker; about 70 bytes each.', {
			unit: 'blocks',
			min: 1024,
			max: 1 << 24,
		}),
		block_tokens: integer(64, 'Tokens in a block, at 4 UTF-8 bytes a token.', { unit: 'tokens', min: 4, max: 4096 }),
		lookup_blocks_max: integer(2048, 'Blocks of one prompt that are looked up.', {
			unit: 'blocks',
			min: 1,
			max: 65_536,
		}),
		speculative_ms: integer(
			2000,
			'How long a prompt counts as held by the target it was sent to while that target’s KV events have not said so.',
			{ ...MS, min: 1 },
		),
		target_tokens: integer(500_000, 'Tokens a target’s cache is taken to have room for until its engine says.', {
			unit: 'tokens',
			min: 1024,
			max: 1 << 30,
		}),
	}),
	tokenizer: section(
		'Exact token ids of prompts, where `models.tokenizers` names a tokeniser and engines publish KV events.',
		{
			threads: integer(1, 'Threads that tokenise, for all workers.', { min: 1, max: 16 }),
			wait_ms: integer(5, 'A request waits this long for its ids, and is then decided without them.', {
				...MS,
				min: 1,
				max: 10_000,
			}),
			open_max: integer(64, 'Prompts of one worker that may be with the threads; more are decided without ids.', {
				min: 1,
				max: 10_000,
			}),
			body_max_bytes: integer(1024 * 1024, 'Bodies beyond this are decided without ids.', {
				...BYTES,
				min: 1024,
				max: 64 * 1024 * 1024,
			}),
			cache_max_bytes: integer(64 * 1024 * 1024, 'Token ids of texts seen before, kept per thread.', {
				...BYTES,
				min: 0,
				max: 4 * 1024 * 1024 * 1024,
			}),
			engine_timeout_ms: integer(1000, 'A call of an engine’s `/tokenize`.', MS),
			engine_calls_max: integer(32, 'Such calls under way at once per thread.', { min: 1, max: 1024 }),
		},
	),
	kv_events: section('The precise index of what engines hold, from the KV events of targets that name `kv_events`.', {
		blocks_max: integer(1 << 18, 'Blocks of all engines known at once; about 220 bytes each, taken as they come.', {
			unit: 'blocks',
			min: 1024,
			max: 1 << 23,
		}),
		message_max_bytes: integer(16 * 1024 * 1024, 'Largest batch of events that is read.', {
			...BYTES,
			min: 4096,
			max: 1024 * 1024 * 1024,
		}),
		waiting_max: integer(1024, 'Batches of one engine that wait while older ones are replayed.', {
			unit: 'batches',
			min: 1,
			max: 1_000_000,
		}),
		connect_timeout_ms: integer(2000, 'Connecting to an engine’s socket, handshake included.', MS),
		replay_timeout_ms: integer(5000, 'A replay must have ended by then.', MS),
		reconnect_max_ms: integer(5000, 'Longest pause before a broken subscription is tried again.', { ...MS, min: 10 }),
	}),
});

export const adminTokenSchema = item('A token of one operator or tool.', {
	name: required('Who it is for: the name under which the log and the records know who decided something.'),
	token: secret('The bearer token itself'),
});

export const adminSchema = section('The admin API, status page and metrics.', {
	host: text('127.0.0.1', 'Address to listen on; beyond loopback `token` or `tokens` must be set.'),
	port: integer(8081, 'Port; 0 takes any free one.', PORT),
	token: secret('Bearer token that callers must send; the log names its holder `admin`'),
	tokens: list(adminTokenSchema, 'Further tokens, each with the name of its holder.', 256),
	spiffe_admins: list(
		Type.String({ minLength: 1 }),
		'SPIFFE ids that may change the mesh over the Agent API. Where this and `spiffe_readers` are empty: every `/client/NAME` of the built-in authority; with a SPIFFE Workload API nobody.',
		256,
	),
	spiffe_readers: list(
		Type.String({ minLength: 1 }),
		'SPIFFE ids that may read over the Agent API, as nodes may.',
		256,
	),
	body_max_bytes: integer(4 * 1024 * 1024, 'Largest request body (a strategy module travels as base64).', {
		...BYTES,
		max: 64 * 1024 * 1024,
	}),
	request_timeout_ms: integer(30_000, 'A caller must have sent its whole request by then.', MS),
});

/** What can be said of a target beside its id and place. */
const targetFields = {
	models: Type.Array(Type.String({ minLength: 1 }), {
		default: [],
		maxItems: 64,
		description: 'Model names it serves; empty = ask its `/v1/models`.',
	}),
	runtime: choice(
		['auto', ...runtimeNames, 'openai'],
		'auto',
		'Runtime, which says how its metrics are read; `auto` looks.',
	),
	api_key: secret('Sent as `authorization: Bearer` in place of the client’s own'),
	http: choice(
		httpVersions,
		'http/1.1',
		'HTTP’s version to it: `h2` with prior knowledge where the URL has no TLS; `auto` what TLS agrees on, HTTP/1.1 without it. WebSockets to it are HTTP/1.1 always.',
	),
	grpc: optional(
		'Where it speaks gRPC: `same` for host and port of the URL, or a URL of its own, `http://host:port`; left out = it does not.',
	),
	upstream_model: optional('The engine’s own name of the model, when it differs.'),
	bootstrap_port: maybeInteger(
		'SGLang with role `prefill`: port of its bootstrap server, where decode engines fetch; 8998 by default.',
		65_535,
	),
	fetches_prefixes: flag(
		false,
		'It takes the header `x-infermesh-fetch-from: URL` as a hint of which engine to fetch a prompt’s prefix from; emulated engines do.',
	),
	data_parallel_rank: maybeInteger(
		'The one data-parallel rank of the engine that this target stands for; give each rank an `id` of its own.',
		65_535,
	),
	revision: optional('Model revision, a label.'),
	quant: optional('Quantisation, a label.'),
	weight: number(1, 'Operator weight; 1 = normal.', { max: 1000 }),
	role: choice(['both', 'prefill', 'decode'], 'both', 'What it may be used for.'),
	node: optional('Node it runs on; default: the host of its URL.'),
	zone: optional('Zone it runs in; default: this node’s.'),
	region: optional('Region it runs in; default: this node’s.'),
	cost_per_hour: number(0, 'Price of an hour, in any one currency.', { unit: 'currency/h' }),
	gpus: list(
		Type.String({ minLength: 1, maxLength: 200 }),
		'Devices it runs on: UUIDs (`GPU-…`, `MIG-…`, `GPU-…/gi/3` of a MIG slice), or numbers of devices in its node.',
		64,
	),
	gpu_share: number(1, 'Share of those devices that is its own, as under MPS.', { max: 1 }),
	metrics_path: text(
		'/metrics',
		'Path of its Prometheus metrics, or a whole URL where they are at another port; empty = none.',
	),
	kv_events: list(
		item('One publisher of KV events, as a rule one for each data-parallel rank.', {
			endpoint: required('Where it publishes, `tcp://host:port`.'),
			replay: optional('Where it replays what was missed, `tcp://host:port`; without it a gap makes all be forgotten.'),
			topic: text('', 'Prefix of the topics wanted; empty = all.'),
		}),
		'Publishers of its KV events over ZeroMQ: `{endpoint, replay, topic}`. Empty = what it holds is guessed.',
		64,
	),
	health_path: text('/health', 'Path that answers 2xx when it is healthy; empty = no active checks.'),
};

export const targetSchema = item('One upstream: a model replica behind an OpenAI-compatible server.', {
	id: optional('Public id, shown in `x-infermesh-target`; default: host and port of the URL.'),
	url: required('Base URL, `http://host:port` with an optional path prefix; a trailing `/v1` is dropped.'),
	...targetFields,
});

const discoveryPeriod = (value: number) =>
	integer(value, 'Asked this often, give or take a tenth.', { ...MS, min: 100 });

const discoveryFileSchema = item('One file that lists targets, as `targets:` of the configuration does.', {
	path: required('Path of the YAML file; replace it by renaming another over it.'),
	period_ms: discoveryPeriod(1000),
});

const discoveryDnsSchema = item('One name in DNS; all its addresses are targets of one description.', {
	name: required('Name to resolve, for example of a headless service.'),
	record: choice(['address', 'srv'], 'address', 'A and AAAA records, or SRV records, which also say the port.'),
	port: integer(8000, 'Port of each address.', { ...PORT, min: 1 }),
	scheme: choice(['http', 'https'], 'http', 'Of the targets’ URLs.'),
	path: text('', 'Path prefix of the targets’ URLs.'),
	period_ms: discoveryPeriod(5000),
	...targetFields,
});

export const discoverySchema = section('Targets found by this node, recorded for the whole mesh.', {
	files: list(discoveryFileSchema, 'Files that list targets.', 64),
	dns: list(discoveryDnsSchema, 'Names in DNS.', 256),
	targets_max: integer(1024, 'Targets taken from one source.', { min: 1, max: 16_384 }),
	remove_after_ms: integer(
		30_000,
		'A target no longer listed takes no new requests at once, and is removed after this time.',
		MS,
	),
});

export const keySchema = item('One API key of the data plane.', {
	id: required('Name of the key, shown in logs.'),
	sha256: Type.String({
		pattern: '^[0-9a-f]{64}$',
		description: 'SHA-256 of the key in lower-case hex; the key itself is stored nowhere.',
	}),
	tenant: text('default', 'Tenant its requests count for.'),
	trusted: flag(false, 'May set priority, SLO and tenant by request headers.'),
	policy_mask: integer(0, 'Bits handed to strategies with the tenant.', { max: 0xffff_ffff }),
});

export const modelsSchema = section('Names of models and where they lead.', {
	tokenizers: map(
		item('How prompts of a model become token ids.', {
			kind: choice(
				['file', 'engine'],
				'file',
				'Local files of Hugging Face’s form, or the engine’s own `POST /tokenize`.',
			),
			path: optional(
				'Of `file`: a folder with `tokenizer.json` and, for chats, `tokenizer_config.json` or `chat_template.jinja`.',
			),
		}),
		'Model → its tokeniser. Without one prefixes are matched by their text.',
		256,
	),
	aliases: map(Type.String({ minLength: 1 }), 'Public name → model.', 1024),
	fallbacks: map(
		Type.Array(Type.String({ minLength: 1 }), { maxItems: 8 }),
		'Model → models tried in order when it has no eligible target.',
		1024,
	),
	revisions: map(
		Type.Array(
			item('A share of the traffic of a name.', {
				model: required('Model that gets the share.'),
				weight: number(1, 'Weight among its siblings.', { max: 1_000_000 }),
			}),
			{ minItems: 1, maxItems: 16 },
		),
		'Public name → weighted models.',
		1024,
	),
	hedging: map(
		item('What differs from `data.hedge` for one model.', {
			copies: maybe('As `data.hedge.copies`.', 4),
			copies_max: maybe('As `data.hedge.copies_max`.', 4),
			delay_ms: maybe('As `data.hedge.delay_ms`.', 3_600_000, 'ms'),
			delay_quantile: maybe('As `data.hedge.delay_quantile`.', 1),
			budget_ratio: maybe('As `data.hedge.budget_ratio`.', 1),
		}),
		'Model → its own hedging.',
		1024,
	),
});

export const strategySchema = section('The strategy host.', {
	active: text(
		'hybrid_mesh',
		'Strategy that decides at start: the name of a shipped one, a `.wasm` file or a project folder.',
	),
	settings: map(
		Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean()])),
		'Strategy → its own configuration, as its manifest declares it.',
		256,
	),
	base_fuel: integer(200_000, 'Fuel budget of one decision, whatever the fleet.', { unit: 'fuel', min: 1000 }),
	fuel_per_target: integer(400, 'Fuel budget added for each row of the pool.', { unit: 'fuel' }),
	stack_max_slots: integer(16_384, 'Depth a strategy may recurse to, in stack slots.', {
		unit: 'slots',
		min: 256,
		max: 65_536,
	}),
	module_max_bytes: integer(1024 * 1024, 'Largest module that is looked at.', { ...BYTES, max: 8 * 1024 * 1024 }),
	spares: integer(1, 'Fresh instances kept ready per pool and worker.', { min: 1, max: 16 }),
	loaded_max: integer(16, 'Strategies loaded at once.', { min: 1, max: 64 }),
	strikes_max: integer(3, 'Strikes in the window that lead to quarantine.', { min: 1, max: 1000 }),
	strike_window_ms: integer(60_000, 'Window in which strikes are counted.', MS),
	quarantine_ms: integer(300_000, 'First quarantine; each next one is twice as long.', MS),
	quarantine_max_ms: integer(3_600_000, 'Longest quarantine.', MS),
	forgive_ms: integer(7_200_000, 'Free of strikes this long after a quarantine, the doubling starts over.', MS),
	ranked_rows: integer(4, 'Ranked targets asked of a strategy: the best, and what retries would need.', {
		min: 1,
		max: 16,
	}),
	spread_ratio: number(
		0.25,
		'While several routers share the fleet: ranked targets that cost this share more than the best count as equal, and one is drawn, so that routers do not all take the same. 0 = always the best.',
		{ max: 10 },
	),
	exploration_ratio: number(
		0,
		'Share of decisions that go to a ranked target drawn evenly instead of the best, with its probability recorded, so that recordings tell what other strategies would have done (`infermesh evaluate off-policy`). It costs latency; takes the place of `spread_ratio` and of a strategy’s own exploration. 0 = never.',
		{ max: 1 },
	),
	witness_every: integer(
		1024,
		'One of this many decisions is re-run on a fresh instance and must agree; a power of two, 0 = never.',
		{
			max: 1 << 20,
		},
	),
	shadow_cpu_ratio: number(
		0.05,
		'Share of one core that shadows may use in each worker; live decisions beyond it are not run by them.',
		{
			max: 1,
		},
	),
	shadow_rerun_every: integer(
		100,
		'One of this many runs of a shadow is repeated on another instance and must agree.',
		{
			min: 1,
			max: 1_000_000,
		},
	),
	state_publish_ms: integer(10, 'A state block is published at most this often.', MS),
	admission_timeout_ms: integer(10_000, 'Admission child process: killed after this.', MS),
	admission_memory_mib: integer(512, 'Admission child process: heap limit.', { unit: 'MiB', min: 64, max: 16_384 }),
});

export const recorderSchema = section('Recording of decisions, for replay and off-policy estimates.', {
	enabled: flag(false, 'Record from the start; `infermesh record start` does it at any time.'),
	dir: text('', 'Folder of the recordings; empty = `recordings` in `state_dir`.'),
	sample: number(1, 'Share of decisions that are recorded.', { max: 1 }),
	hashes: choice(
		hashModes,
		'salted',
		'Hashes of sessions and prompts: salted with a key that is kept nowhere, dropped, or kept as strategies see them. Prompt texts are never recorded. Strategies that use the hashes replay bit for bit only when they are kept.',
	),
	modules: flag(true, 'Keep the modules of the strategies in the files, so that they replay anywhere.'),
	ring_bytes: integer(
		4 * 1024 * 1024,
		'Memory of each worker for decisions on their way to the disk; when it is full decisions are not recorded.',
		{
			...BYTES,
			min: 65_536,
			max: 256 * 1024 * 1024,
		},
	),
	drain_ms: integer(20, 'How often what workers have recorded is taken to the disk.', { ...MS, max: 1000 }),
	file_max_bytes: integer(64 * 1024 * 1024, 'A file is closed when it has this many bytes.', {
		...BYTES,
		max: 1024 * 1024 * 1024,
	}),
	total_max_bytes: integer(1024 * 1024 * 1024, 'All recordings of the folder; the oldest files go first.', BYTES),
	files_max: integer(256, 'Files of the folder; the oldest go first.', { min: 2, max: 65_536 }),
	age_max_s: integer(86_400, 'Files older than this go.', { unit: 's', min: 60 }),
});

export const fleetSchema = section('The shared fleet table and what is known of targets.', {
	targets_max: integer(1024, 'Rows of the fleet table.', { min: 16, max: 16_384 }),
	models_max: integer(256, 'Distinct models.', { min: 1, max: 4096 }),
	tenants_max: integer(256, 'Distinct tenants, in interned names and metrics.', { min: 1, max: 65_536 }),
	stale_after_ms: integer(5000, 'A report older than this is stale; strategies see its age.', MS),
	publish_ms: integer(20, 'Signals reach the table at most this often.', MS),
	smoothing_ms: integer(5000, 'Time constant of smoothed signals (TTFT, TPOT, error ratio).', MS),
	slow_start_ms: integer(10_000, 'A recovered target gets its traffic back over this time.', { ...MS, min: 0 }),
});

export const scrapeSchema = section('Reading `/metrics` of targets.', {
	period_ms: integer(500, 'Time between two scrapes of one target.', { ...MS, min: 50 }),
	timeout_ms: integer(2000, 'One scrape.', MS),
	body_max_bytes: integer(8 * 1024 * 1024, 'Largest metrics body.', { ...BYTES, max: 256 * 1024 * 1024 }),
	concurrency_max: integer(64, 'Scrapes in flight at once.', { min: 1, max: 4096 }),
});

export const healthSchema = section('Active health checks.', {
	period_ms: integer(2000, 'Time between two checks of one target.', { ...MS, min: 50 }),
	timeout_ms: integer(1000, 'One check.', MS),
	healthy_after: integer(2, 'Good checks in a row that bring a target back.', { min: 1, max: 100 }),
	unhealthy_after: integer(3, 'Bad checks in a row that take a target out.', { min: 1, max: 100 }),
	fail_open: flag(true, 'Try one target all the same when checks or ejection keep all targets of a model out.'),
});

export const outlierSchema = section('Ejection of targets that fail live requests.', {
	consecutive_failures: integer(5, 'Failures in a row that eject a target.', { min: 1, max: 10_000 }),
	error_ratio: number(0.5, 'Failed share of a window that ejects a target.', { max: 1 }),
	requests_min: integer(20, 'Requests a window needs before its ratio counts.', { min: 1 }),
	window_ms: integer(10_000, 'The window.', MS),
	ejection_ms: integer(10_000, 'First ejection; each next one is longer by the same.', MS),
	ejection_max_ms: integer(300_000, 'Longest ejection.', MS),
	unreachable_ms: integer(
		1000,
		'Out at once after a connection that could not be made, for this long; doubled while that goes on, up to `ejection_max_ms`; a good check ends it. 0 = such a failure counts as any other.',
		{ ...MS, min: 0 },
	),
	trial_requests: integer(3, 'Requests at once that try a target after an ejection.', { min: 1, max: 10_000 }),
	trial_successes: integer(2, 'Of these must succeed before all traffic comes back; one failure ejects again.', {
		min: 1,
		max: 10_000,
	}),
	ejected_max_ratio: number(0.5, 'Most of a pool that may be ejected at once.', { max: 1 }),
});

export const adapterSchema = item('One adapter of collectives, networks or stores that this node runs.', {
	kind: required('Its kind; `infermesh adapter kinds` lists them. Runtimes and GPUs are configured elsewhere.'),
	period_ms: integer(0, 'Time between two looks; 0 = that of the kind.', { ...MS, min: 0 }),
	job_id: text('', 'Job it watches over, a label.'),
	settings: map(Type.String(), 'Settings of the kind, but for its secrets.', 32),
	secret_access_key: secret('Setting of the same name'),
	session_token: secret('Setting of the same name'),
	token: secret('Setting of the same name'),
});

export const reportsSchema = section(
	'Reports of collectives, networks and stores, and those that adapters outside send.',
	{
		window: integer(64, 'Reports an adapter may send beyond the last acknowledgement.', { min: 1, max: 4096 }),
		ack_every_ms: integer(10, 'A stream is acknowledged at most this often, which bounds its rate.', { ...MS, min: 1 }),
		streams_max: integer(4096, 'Streams whose place is remembered over a reconnect.', { min: 16, max: 65_536 }),
		origins_max: integer(
			256,
			'Sources of collectives, and of stores, kept; the one not heard of for longest goes first.',
			{
				min: 16,
				max: 4096,
			},
		),
		stale_after_ms: integer(30_000, 'A report older than this is shown as stale, and out of the metrics.', MS),
		forget_after_ms: integer(
			600_000,
			'A source not heard of for this long is forgotten, its degradations with it.',
			MS,
		),
		link_errors_per_s: number(1, 'Errors a second that degrade a link; 0 = not judged.'),
		link_drops_per_s: number(1000, 'Dropped packets a second that degrade a link; 0 = not judged.'),
		link_congestion_per_s: number(10_000, 'Congestion notifications a second that degrade a link; 0 = not judged.'),
		store_failure_ratio: number(0.5, 'Failed share of requests that degrades a store; 0 = not judged.', { max: 1 }),
		checkpoint_age_max_s: number(0, 'Age of the newest checkpoint that degrades a store; 0 = not judged.', {
			unit: 's',
		}),
		raise_after_looks: integer(2, 'Bad looks in a row that raise a degradation; a link that goes down needs one.', {
			min: 1,
			max: 100,
		}),
		clear_after_ms: integer(60_000, 'All looks have been good this long when a degradation is cleared.', MS),
		degradations_max: integer(256, 'Links, ranks and stores followed, in force or on the way to it.', {
			min: 16,
			max: 4096,
		}),
	},
);

export const gpuSourceSchema = item('A source of the state of GPUs.', {
	kind: choice(
		gpuSourceKinds,
		'dcgm',
		'`dcgm` and `amd_exporter` are pages of exporters, `nvml` is the driver’s library, the others are tools of that name.',
	),
	url: text('', 'Of an exporter, `http://host:9400/metrics`; of a tool, a page with its output.'),
	command: text('', 'Of a tool or library, in place of its usual name.'),
	node: text('', 'Node its devices are on; empty = as the source says, else this node.'),
});

export const gpuRuleSchema = item(
	'A rule of quarantine. Exactly one of `above`, `below`, `in` and `bits` says when it is met.',
	{
		name: required('Name, shown wherever it holds a device.'),
		fact: choice(factNames, 'xid', 'What it looks at; docs/signals.md lists them.'),
		above: Type.Optional(Type.Number({ description: 'Met beyond this.' })),
		below: Type.Optional(Type.Number({ description: 'Met under this.' })),
		in: Type.Optional(
			Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 256, description: 'Met by any of these values.' }),
		),
		bits: Type.Optional(Type.Integer({ minimum: 1, maximum: 0x7fff_ffff, description: 'Met by any of these bits.' })),
		clear: Type.Optional(
			Type.Number({ description: 'Over only at or beyond this, on the good side of the threshold.' }),
		),
		enter_after_ms: integer(0, 'It must be met this long without a break.', { ...MS, min: 0 }),
		clear_after_ms: integer(30_000, 'It must be over this long without a break.', { ...MS, min: 0 }),
		then: choice(['quarantined', 'degraded'], 'quarantined', 'What becomes of the targets on the device.'),
		release: choice(['rule', 'hand'], 'rule', '`hand`: once in force it stays until `infermesh gpu release`.'),
	},
);

export const gpuSchema = section('The GPUs that targets run on.', {
	sources: list(gpuSourceSchema, 'Where their state is read; this node looks at all of them.', 1024),
	period_ms: integer(2000, 'Time between two looks at one source.', { ...MS, min: 100 }),
	timeout_ms: integer(5000, 'One look.', MS),
	stale_after_ms: integer(15_000, 'A device not heard of for this long is judged no further.', MS),
	forget_after_ms: integer(3_600_000, 'A device not heard of for this long is forgotten, its standing with it.', MS),
	devices_max: integer(4096, 'Devices and slices kept.', { min: 1, max: 65_536 }),
	default_rules: flag(
		true,
		'Judge by the rules that docs/signals.md lists; a rule of `rules` replaces that of its name.',
	),
	rules: list(gpuRuleSchema, 'Rules of quarantine.', 64),
	quarantine_ratio_max: number(
		0.5,
		'Share of a model’s targets that rules may take out, rounded down; what they would take beyond serves as degraded. By hand all may be taken.',
		{ max: 1 },
	),
});

export const capacitySchema = section('How many replicas a model should have: advice, which nothing here follows.', {
	window_ms: integer(30_000, 'Traffic is judged in windows of this length.', { ...MS, min: 1000 }),
	ttft_ms: number(5000, 'Objective of the first token where no SLO policy names one.', { unit: 'ms', min: 1 }),
	tpot_ms: number(100, 'Objective of each further token where no SLO policy names one.', { unit: 'ms', min: 1 }),
	good_ratio: number(0.95, 'Share of requests that must meet their objectives.', { max: 1 }),
	requests_min: integer(20, 'A window with fewer requests teaches nothing.', { min: 1 }),
	headroom_ratio: number(0.85, 'Share of the lowest rate seen failing that is planned with.', { min: 0.1, max: 1 }),
	growth_ratio: number(
		1.3,
		'The limit of a replica is looked for this far beyond the highest rate seen sustained; 1 = only what was seen, and a fleet never shrinks at the same demand.',
		{ min: 1, max: 10 },
	),
	half_life_ms: integer(21_600_000, 'What was learned counts half after this.', MS),
	out_after_ms: integer(30_000, 'A need for more replicas must have lasted so long.', { ...MS, min: 0 }),
	in_after_ms: integer(300_000, 'A need for fewer must have lasted so long, again before each step.', {
		...MS,
		min: 0,
	}),
	in_step: integer(1, 'Replicas fewer at a time.', { min: 1, max: 1000 }),
	replicas_min: integer(1, 'Fewest advised.', { max: 16_384 }),
	replicas_max: integer(64, 'Most advised.', { min: 1, max: 16_384 }),
});

export const telemetrySchema = section('Logs, metrics and traces.', {
	log_level: choice(['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'info', 'Least level that is written.'),
	log_requests: flag(false, 'One log line per request, with ids and figures, never prompts.'),
	otlp_endpoint: optional(
		'OTLP/HTTP collector, `http://host:4318`; OTEL_EXPORTER_OTLP_ENDPOINT does the same. Absent = no traces.',
	),
	trace_ratio: number(1, 'Share of requests traced when the caller has not decided.', { max: 1 }),
	trace_queue_max: integer(2048, 'Spans waiting for export; more are dropped.', {
		unit: 'spans',
		min: 64,
		max: 1_000_000,
	}),
	loop_lag_period_ms: integer(1000, 'Event-loop lag is read this often.', { ...MS, min: 100 }),
});

export const configSchema = Type.Object(
	{
		state_dir: text('.infermesh', 'Folder for the state of the mesh: admin token, loaded strategies.'),
		node: nodeSchema,
		roles: Type.Array(Type.Enum([...nodeRoles]), {
			default: [...nodeRoles],
			minItems: 1,
			maxItems: 5,
			uniqueItems: true,
			description:
				'What runs on this node: `router` (data plane), `coordinator` (votes in Raft, schedules), `gpu` (announces its targets and watches over them), `trainer` (joins and is seen), `edge` (a router near users). Agent, gossip and admin API run on every node; ports of what does not run are not opened.',
		}),
		fabric: fabricSchema,
		consensus: consensusSchema,
		data: dataSchema,
		admin: adminSchema,
		targets: list(targetSchema, 'Upstreams known at start; `infermesh target add` adds more.', 16_384),
		discovery: discoverySchema,
		keys: list(keySchema, 'API keys of the data plane; empty = no key asked, loopback only.', 4096),
		models: modelsSchema,
		strategy: strategySchema,
		recorder: recorderSchema,
		fleet: fleetSchema,
		scrape: scrapeSchema,
		health: healthSchema,
		outlier: outlierSchema,
		adapters: list(adapterSchema, 'Adapters of collectives, networks and stores that this node runs.', 64),
		reports: reportsSchema,
		gpu: gpuSchema,
		capacity: capacitySchema,
		telemetry: telemetrySchema,
	},
	{ additionalProperties: false, default: {} },
);

type Frozen<T> = T extends readonly (infer U)[]
	? readonly Frozen<U>[]
	: T extends object
		? { readonly [K in keyof T]: Frozen<T[K]> }
		: T;

/** The whole configuration with defaults filled in and secrets resolved. */
export type MeshConfig = Frozen<Static<typeof configSchema>>;
export type TargetConfig = MeshConfig['targets'][number];
export type DiscoveryFileConfig = MeshConfig['discovery']['files'][number];
export type DiscoveryDnsConfig = MeshConfig['discovery']['dns'][number];
export type KeyConfig = MeshConfig['keys'][number];
