// Owns the section of the configuration about the data plane: every bound of clients’ requests and of connections to targets.

import { Type } from '../../schema/type.js';
import { flag, integer, list, number, optional, secret, section, text } from '../fields.js';
import { BYTES, MS, PORT } from './units.js';

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
	response_key: secret(
		'Vouches for which tenant made a stored response: at least 32 characters, the same on all routers. Without it the mesh makes one and keeps it in its state, a lone node in `node/response-key` of `state_dir`',
	),
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
		admission_ttl_ms: integer(
			600_000,
			'One that nobody reports on ends by itself, as timed out; and the longest lease there is (`x-infermesh-lease-ms`).',
			MS,
		),
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
		budget_ratio: number(
			0.2,
			'Retries allowed per request on average; more would be a storm. What a target had when it died is served elsewhere beyond it.',
			{ max: 1 },
		),
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
		target_requests_max: integer(
			0,
			'Requests at a target at once, from all routers together; 0 = learned from its reports.',
			{
				max: 1_000_000,
			},
		),
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
		blocks_max: integer(1 << 18, 'Blocks of all engines known at once; about 180 bytes each, taken as they come.', {
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
