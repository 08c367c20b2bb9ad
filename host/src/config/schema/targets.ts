// Owns the sections of the configuration about targets: what is said of one, and where they are found.
import { runtimeNames } from '@infermesh/adapters';
import { httpVersions } from '../../router/upstream/http-version.js';
import { Type } from '../../schema/type.js';
import {
	choice,
	flag,
	integer,
	item,
	list,
	maybeInteger,
	number,
	optional,
	required,
	secret,
	section,
	text,
} from '../fields.js';
import { MS, PORT } from './units.js';

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
