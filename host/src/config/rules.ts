// Owns what configuration values mean together: uniqueness, references, and the refusal to listen in the open without credentials.
// Takes a configuration that already satisfies the schema and has its secrets resolved.
import { parseKvEndpoint } from '@infermesh/adapters';
import type { ErrorCode } from '@infermesh/proto';
import { cellNamePattern } from '../cells/name.js';
import type { Path } from './pointer.js';
import type { MeshConfig } from './schema.js';

export interface Problem {
	readonly code: ErrorCode;
	readonly path: Path;
	readonly message: string;
}

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
	const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
	return bare === 'localhost' || bare === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(bare);
}

const invalid = (path: Path, message: string): Problem => ({ code: 'IM_CONFIG_INVALID', path, message });

function exposure(config: MeshConfig): Problem[] {
	const problems: Problem[] = [];
	if (!isLoopback(config.data.host) && config.keys.length === 0)
		problems.push({
			code: 'IM_CONFIG_DATA_KEY_REQUIRED',
			path: ['data', 'host'],
			message: `data.host is ${config.data.host}, which others can reach, and no API key is configured`,
		});
	if (!isLoopback(config.admin.host) && config.admin.token === undefined && config.admin.tokens.length === 0)
		problems.push({
			code: 'IM_CONFIG_ADMIN_TOKEN_REQUIRED',
			path: ['admin', 'host'],
			message: `admin.host is ${config.admin.host}, which others can reach, and no admin token is configured`,
		});
	if (!isLoopback(config.admin.host) && config.admin.tls.cert_file === undefined && !config.admin.allow_cleartext)
		problems.push({
			code: 'IM_CONFIG_ADMIN_TLS_REQUIRED',
			path: ['admin', 'host'],
			message: `admin.host is ${config.admin.host}, which others can reach, and admin.tls has no certificate: tokens would travel in the clear`,
		});
	return problems;
}

/** The id a target has when none is given: host and port of its URL. */
export function targetId(target: { readonly id?: string; readonly url: string }): string {
	return target.id ?? new URL(target.url).host;
}

function httpUrl(text: string): boolean {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	return url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:');
}

function targets(config: MeshConfig): Problem[] {
	const problems: Problem[] = [];
	const seen = new Map<string, number>();
	for (const [index, target] of config.targets.entries()) {
		const path = ['targets', String(index)];
		if (!httpUrl(target.url)) {
			problems.push(invalid([...path, 'url'], `"${target.url}" is not an http:// or https:// URL`));
			continue;
		}
		const url = new URL(target.url);
		if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
			problems.push(invalid([...path, 'url'], 'a target URL takes no credentials, query or fragment; use api_key'));
		if (
			target.grpc !== undefined &&
			target.grpc !== 'same' &&
			!(httpUrl(target.grpc) && new URL(target.grpc).pathname === '/')
		)
			problems.push(invalid([...path, 'grpc'], `"${target.grpc}" is neither \`same\` nor http(s)://host:port`));
		const id = targetId(target);
		if (!/^[\w.:[\]-]{1,128}$/.test(id))
			problems.push(
				invalid([...path, 'id'], `"${id}" is not a target id: letters, digits and . _ : - only, at most 128`),
			);
		for (const [at, { endpoint, replay }] of target.kv_events.entries())
			for (const [name, given] of [
				['endpoint', endpoint],
				['replay', replay],
			] as const)
				if (given !== undefined && parseKvEndpoint(given) === undefined)
					problems.push(invalid([...path, 'kv_events', String(at), name], `"${given}" is not tcp://host:port`));
		const earlier = seen.get(id);
		if (earlier !== undefined) problems.push(invalid(path, `target id "${id}" is already that of targets[${earlier}]`));
		seen.set(id, index);
	}
	if (config.targets.length > 0 && !config.roles.includes('gpu'))
		problems.push(
			invalid(['targets'], 'a node announces its targets in the role gpu, which this one does not have (roles)'),
		);
	if (config.targets.length > config.fleet.targets_max)
		problems.push(
			invalid(['targets'], `${config.targets.length} targets do not fit fleet.targets_max ${config.fleet.targets_max}`),
		);
	return problems;
}

function gpus({ gpu }: MeshConfig): Problem[] {
	const problems: Problem[] = [];
	const exporters = new Set(['dcgm', 'amd_exporter']);
	for (const [index, { kind, url }] of gpu.sources.entries()) {
		const path = ['gpu', 'sources', String(index), 'url'];
		if (url === '' && exporters.has(kind)) problems.push(invalid(path, `a source of kind ${kind} needs a url`));
		else if (url !== '' && !httpUrl(url)) problems.push(invalid(path, `"${url}" is not an http:// or https:// URL`));
		else if (url !== '' && kind === 'nvml') problems.push(invalid(path, 'a library is given by command, not by url'));
	}
	const names = new Set<string>();
	for (const [index, rule] of gpu.rules.entries()) {
		const path = ['gpu', 'rules', String(index)];
		const said = [rule.above, rule.below, rule.in, rule.bits].filter((one) => one !== undefined).length;
		if (said !== 1) problems.push(invalid(path, `rule "${rule.name}" needs exactly one of above, below, in and bits`));
		const wrongSide =
			rule.clear !== undefined &&
			((rule.above !== undefined && rule.clear > rule.above) || (rule.below !== undefined && rule.clear < rule.below));
		if (wrongSide) problems.push(invalid([...path, 'clear'], `rule "${rule.name}" would be over while it is met`));
		if (names.has(rule.name)) problems.push(invalid([...path, 'name'], `rule "${rule.name}" is there twice`));
		names.add(rule.name);
	}
	return problems;
}

function keys(config: MeshConfig): Problem[] {
	const problems: Problem[] = [];
	const ids = new Set<string>();
	for (const [index, key] of config.keys.entries()) {
		if (ids.has(key.id)) problems.push(invalid(['keys', String(index), 'id'], `key id "${key.id}" is used twice`));
		ids.add(key.id);
	}
	return problems;
}

function adminTokens(config: MeshConfig): Problem[] {
	const problems: Problem[] = [];
	const names = new Set(config.admin.token === undefined ? [] : ['admin']);
	for (const [index, { name, token }] of config.admin.tokens.entries()) {
		const path = ['admin', 'tokens', String(index)];
		if (token === undefined) problems.push(invalid([...path, 'token'], `the token of "${name}" is missing`));
		if (names.has(name)) problems.push(invalid([...path, 'name'], `"${name}" is the name of another token`));
		names.add(name);
	}
	return problems;
}

/** An id of another trust domain, or with a wildcard, would never be seen. */
function spiffeIds({ admin, fabric }: MeshConfig): Problem[] {
	const own = `spiffe://${fabric.trust_domain}/`;
	return (['spiffe_admins', 'spiffe_readers'] as const).flatMap((list) =>
		admin[list].flatMap((id, index) =>
			id.startsWith(own) && /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(id.slice(own.length))
				? []
				: [invalid(['admin', list, String(index)], `"${id}" is not a SPIFFE id of the form ${own}PATH`)],
		),
	);
}

function models(config: MeshConfig): Problem[] {
	const { aliases, revisions, fallbacks } = config.models;
	const problems: Problem[] = [];
	for (const [model, { kind, path }] of Object.entries(config.models.tokenizers))
		if ((kind === 'file') === (path === undefined))
			problems.push(
				invalid(
					['models', 'tokenizers', model, 'path'],
					kind === 'file' ? 'a tokeniser from files needs the path of their folder' : 'is of no use to the kind engine',
				),
			);
	for (const [alias, model] of Object.entries(aliases)) {
		if (Object.hasOwn(aliases, model))
			problems.push(invalid(['models', 'aliases', alias], `"${model}" is itself an alias; an alias names a model`));
		if (Object.hasOwn(revisions, alias))
			problems.push(
				invalid(['models', 'aliases', alias], `"${alias}" also has weighted revisions; a name has one meaning`),
			);
	}
	for (const [name, shares] of Object.entries(revisions))
		if (shares.every((share) => share.weight === 0))
			problems.push(invalid(['models', 'revisions', name], 'at least one weight must be above 0'));
	for (const [model, others] of Object.entries(fallbacks))
		if (others.includes(model))
			problems.push(invalid(['models', 'fallbacks', model], `"${model}" cannot be its own fallback`));
	return problems;
}

function cells({ fabric, roles }: MeshConfig): Problem[] {
	const problems: Problem[] = [];
	if (!cellNamePattern.test(fabric.cell))
		problems.push(
			invalid(['fabric', 'cell'], `"${fabric.cell}" is not a cell’s name: letters, digits, _ and -, at most 64`),
		);
	if (fabric.gateway && !roles.includes('router') && !roles.includes('edge'))
		problems.push(
			invalid(
				['fabric', 'gateway'],
				'a gateway tells what its router knows of targets; this node has no role router or edge',
			),
		);
	if (fabric.cells.stale_after_ms < 2 * fabric.cells.period_ms)
		problems.push(
			invalid(['fabric', 'cells', 'stale_after_ms'], 'must be at least two periods (fabric.cells.period_ms)'),
		);
	if (fabric.cells.url !== undefined && !httpUrl(fabric.cells.url))
		problems.push(invalid(['fabric', 'cells', 'url'], `"${fabric.cells.url}" is not an http:// or https:// URL`));
	return problems;
}

function consensus({ consensus: { engine, endpoints, prefix, user, password, ...files } }: MeshConfig): Problem[] {
	const at = (name: string): Path => ['consensus', name];
	if (engine !== 'etcd') {
		if (endpoints.length === 0) return [];
		return [invalid(at('endpoints'), 'are those of etcd, and consensus.engine is not etcd')];
	}
	const problems: Problem[] = [];
	if (endpoints.length === 0) problems.push(invalid(at('endpoints'), 'name at least one member of etcd'));
	for (const [index, endpoint] of endpoints.entries()) {
		const url = httpUrl(endpoint) ? new URL(endpoint) : undefined;
		if (url === undefined || url.username !== '' || url.pathname !== '/' || url.search !== '')
			problems.push(invalid([...at('endpoints'), String(index)], `"${endpoint}" is not http(s)://host:port`));
	}
	if (new Set(endpoints.map((endpoint) => endpoint.split(':')[0])).size > 1)
		problems.push(invalid(at('endpoints'), 'are either all http or all https'));
	if (!/^[\x21-\x7e]{1,128}$/.test(prefix))
		problems.push(invalid(at('prefix'), 'is printable ASCII without spaces, at least one character'));
	if ((user === undefined) !== (password === undefined))
		problems.push(invalid(at('user'), 'user and password belong together'));
	const secure = endpoints.some((endpoint) => endpoint.startsWith('https:'));
	for (const name of ['ca_file', 'cert_file', 'key_file'] as const)
		if (files[name] !== undefined && !secure)
			problems.push(invalid(at(name), 'is of no use to endpoints that begin with http:'));
	if ((files.cert_file === undefined) !== (files.key_file === undefined))
		problems.push(invalid(at('cert_file'), 'certificate and key belong together'));
	return problems;
}

function certificates({ data, admin }: MeshConfig): Problem[] {
	const pairs = [
		[['data', 'tls'], data.tls],
		[['data', 'upstream'], data.upstream],
		[['admin', 'tls'], admin.tls],
	] as const;
	const problems = pairs
		.filter(([, { cert_file, key_file }]) => (cert_file === undefined) !== (key_file === undefined))
		.map(([path]) => invalid([...path, 'cert_file'], 'certificate and key belong together'));
	if (admin.tls.client_ca_file !== undefined && admin.tls.cert_file === undefined)
		problems.push(invalid(['admin', 'tls', 'client_ca_file'], 'is of no use without admin.tls.cert_file'));
	return problems;
}

/** A short secret could be guessed from an id, off line. */
const RESPONSE_KEY_CHARS_MIN = 32;

function responseKey({ data: { response_key: key } }: MeshConfig): Problem[] {
	if (key === undefined || key.length >= RESPONSE_KEY_CHARS_MIN) return [];
	return [invalid(['data', 'response_key'], `is shorter than ${RESPONSE_KEY_CHARS_MIN} characters`)];
}

/** Everything wrong with the values taken together; empty when all is well. */
export function checkRules(config: MeshConfig): Problem[] {
	const problems = [
		...exposure(config),
		...targets(config),
		...gpus(config),
		...keys(config),
		...adminTokens(config),
		...spiffeIds(config),
		...models(config),
		...cells(config),
		...consensus(config),
		...certificates(config),
		...responseKey(config),
	];
	if (config.data.port !== 0 && config.data.port === config.admin.port && config.data.host === config.admin.host)
		problems.push(invalid(['admin', 'port'], `port ${config.admin.port} is already the data port`));
	if (config.data.headers_timeout_ms > config.data.request_timeout_ms)
		problems.push(
			invalid(['data', 'headers_timeout_ms'], 'is longer than request_timeout_ms, which covers headers and body'),
		);
	const collector = config.telemetry.otlp_endpoint;
	if (collector !== undefined && !httpUrl(collector))
		problems.push(invalid(['telemetry', 'otlp_endpoint'], `"${collector}" is not an http:// or https:// URL`));
	if (config.strategy.quarantine_ms > config.strategy.quarantine_max_ms)
		problems.push(invalid(['strategy', 'quarantine_ms'], 'is longer than strategy.quarantine_max_ms'));
	return problems;
}
