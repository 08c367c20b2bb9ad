import { MeshError } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { type LoadedConfig, type LoadOptions, loadConfig } from './load.js';
import { configRows } from './show.js';

function load(yaml?: string, rest: Partial<LoadOptions> = {}, files: Record<string, string> = {}): LoadedConfig {
	const readText = (path: string): string => {
		const found = path === 'infermesh.yaml' ? yaml : files[path];
		if (found === undefined) throw new Error(`ENOENT: ${path}`);
		return found;
	};
	return loadConfig({ env: {}, readText, ...(yaml === undefined ? {} : { file: 'infermesh.yaml' }), ...rest });
}

function refused(fn: () => unknown): MeshError {
	try {
		fn();
	} catch (error) {
		if (error instanceof MeshError) return error;
		throw error;
	}
	throw new Error('nothing was refused');
}

test('without any source the defaults stand, complete and frozen', (t) => {
	const { config } = load();
	t.is(config.data.port, 8080);
	t.is(config.data.host, '127.0.0.1');
	t.is(config.admin.port, 8081);
	t.is(config.strategy.active, 'hybrid_mesh');
	t.is(config.data.retry.attempts_max, 3);
	t.deepEqual(config.targets, []);
	t.throws(() => Object.assign(config.data, { port: 1 }), { instanceOf: TypeError });
	t.throws(() => (config.targets as unknown[]).push({}), { instanceOf: TypeError });
});

test('flag wins over env, env over file, file over default; each origin is told', (t) => {
	const yaml = 'data:\n  port: 1001\n  workers: 1\n  inflight_max: 11\n';
	const loaded = load(yaml, {
		env: { INFERMESH_DATA__PORT: '1002', INFERMESH_DATA__WORKERS: '2' },
		flags: [{ path: 'data.port', value: 1003, flag: '--port' }],
	});
	t.is(loaded.config.data.port, 1003);
	t.is(loaded.config.data.workers, 2);
	t.is(loaded.config.data.inflight_max, 11);
	const origin = Object.fromEntries(configRows(loaded).map((row) => [row.key, row.origin]));
	t.is(origin['data.port'], '--port');
	t.is(origin['data.workers'], 'INFERMESH_DATA__WORKERS');
	t.is(origin['data.inflight_max'], 'infermesh.yaml:4:3');
	t.is(origin['data.body_max_bytes'], 'default');
});

test('an unknown key is refused with file:line:column and the nearest known one', (t) => {
	const error = refused(() => load('admin:\n  port: 9000\ndata:\n  wrokers: 2\n'));
	t.is(error.code, 'IM_CONFIG_UNKNOWN_KEY');
	t.is(error.where, 'infermesh.yaml:4:3');
	t.regex(error.message, /unknown key "data\.wrokers"; did you mean "workers"\?/);
});

test('an unknown key in an item of a list names its place', (t) => {
	const error = refused(() => load('targets:\n  - url: http://127.0.0.1:1\n    apikey: x\n'));
	t.is(error.where, 'infermesh.yaml:3:5');
	t.regex(error.message, /targets\[0\]\.apikey.*"api_key"/);
});

test('an unknown environment name is refused, names of tools and of Kubernetes are left alone', (t) => {
	const error = refused(() => load(undefined, { env: { INFERMESH_DATA__PROT: '1' } }));
	t.is(error.where, 'INFERMESH_DATA__PROT');
	t.regex(error.message, /did you mean "port"/);
	t.notThrows(() =>
		load(undefined, {
			env: { INFERMESH_ADMIN: 'http://x:1', INFERMESH_TOKEN: 't', INFERMESH_PORT_8080_TCP: 'tcp://10.0.0.1' },
		}),
	);
});

test('lists and maps can come from the environment as YAML', (t) => {
	const { config } = load('targets:\n  - url: http://127.0.0.1:1\n', {
		env: {
			INFERMESH_TARGETS: '[{id: b, url: "http://127.0.0.1:2"}]',
			INFERMESH_MODELS__ALIASES: '{gpt-4.1: llama}',
			INFERMESH_STATE_DIR: '/var/lib/infermesh',
		},
	});
	t.deepEqual(
		config.targets.map((target) => target.id),
		['b'],
	);
	t.is(config.targets[0]?.weight, 1);
	t.deepEqual(config.models.aliases, { 'gpt-4.1': 'llama' });
	t.is(config.state_dir, '/var/lib/infermesh');
});

test('a wrong value is refused with its place, unit and what was given', (t) => {
	const error = refused(() => load('data:\n  headers_timeout_ms: soon\n  port: 70000\n'));
	t.is(error.code, 'IM_CONFIG_INVALID');
	t.is(error.where, 'infermesh.yaml:3:3');
	t.regex(error.message, /data\.port must be <= 65535, not 70000/);
	t.regex(error.message, /data\.headers_timeout_ms must be integer ms, not "soon"/);
});

test('what a node says of etcd must make sense together', (t) => {
	const etcd = (more: string): string => `consensus: {engine: etcd, ${more}}`;
	const wrong: [string, RegExp][] = [
		['consensus: {endpoints: ["http://a:2379"]}', /consensus\.engine is not etcd/],
		[etcd('endpoints: []'), /name at least one member/],
		[etcd('endpoints: ["a:2379"]'), /"a:2379" is not http\(s\):\/\/host:port/],
		[etcd('endpoints: ["http://a:2379/v3"]'), /is not http\(s\)/],
		[etcd('endpoints: ["http://a:2379", "https://b:2379"]'), /either all http or all https/],
		[etcd('endpoints: ["http://a:2379"], prefix: "a b"'), /printable ASCII/],
		[etcd('endpoints: ["http://a:2379"], user: mesh'), /user and password belong together/],
		[etcd('endpoints: ["http://a:2379"], ca_file: ca.pem'), /of no use to endpoints that begin with http:/],
		[etcd('endpoints: ["https://a:2379"], cert_file: c.pem'), /certificate and key belong together/],
	];
	for (const [text, message] of wrong) {
		const error = refused(() => load(text));
		t.is(error.code, 'IM_CONFIG_INVALID');
		t.regex(error.message, message);
	}
	t.notThrows(() => load(etcd('endpoints: ["https://a:2379"], ca_file: ca.pem, cert_file: c.pem, key_file: k.pem')));
});

test('certificates come with their keys, and a target speaks gRPC at an address', (t) => {
	const wrong: [string, RegExp][] = [
		['data: {tls: {cert_file: c.pem}}', /certificate and key belong together/],
		['data: {upstream: {key_file: k.pem}}', /certificate and key belong together/],
		['targets: [{url: "http://a:1", grpc: "a:2"}]', /"a:2" is neither `same` nor http\(s\)/],
		['targets: [{url: "http://a:1", grpc: "http://a:2/path"}]', /is neither `same` nor/],
	];
	for (const [text, message] of wrong) {
		const error = refused(() => load(text));
		t.is(error.code, 'IM_CONFIG_INVALID');
		t.regex(error.message, message);
	}
	t.notThrows(() => load('data: {tls: {cert_file: c.pem, key_file: k.pem}, upstream: {ca_file: ca.pem}}'));
	t.notThrows(() => load('targets: [{url: "http://a:1", grpc: same}, {url: "http://b:1", grpc: "https://b:2"}]'));
});

test('what a node says of its cell must make sense together', (t) => {
	const wrong: [string, RegExp][] = [
		['fabric: {cell: "a/b"}', /"a\/b" is not a cell’s name/],
		['roles: [coordinator]\nfabric: {gateway: true}', /a gateway tells what its router knows/],
		['fabric: {cells: {period_ms: 1000, stale_after_ms: 1500}}', /at least two periods/],
		['fabric: {cells: {url: "tcp://x"}}', /not an http:\/\/ or https:\/\/ URL/],
	];
	for (const [text, message] of wrong) {
		const error = refused(() => load(text));
		t.is(error.code, 'IM_CONFIG_INVALID');
		t.regex(error.message, message);
	}
	t.notThrows(() => load('roles: [router]\nfabric: {gateway: true, cell: west_1}'));
});

test('a value outside a choice lists the choices', (t) => {
	const error = refused(() => load('telemetry: {log_level: loud}'));
	t.regex(error.message, /one of trace, debug, info, warn, error, silent, not "loud"/);
});

test('broken YAML is refused with file:line:column', (t) => {
	const error = refused(() => load('data:\n  port: [1\n'));
	t.is(error.code, 'IM_CONFIG_SYNTAX');
	t.regex(error.where ?? '', /^infermesh\.yaml:\d+:\d+$/);
	t.is(refused(() => load('- a list\n')).code, 'IM_CONFIG_SYNTAX');
	t.is(refused(() => load('data:\n  port: 1\n  port: 2\n')).where, 'infermesh.yaml:3:3');
});

test('aliases that explode are refused, not expanded', (t) => {
	const lines = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
	for (let i = 1; i < 8; i++)
		lines.push(`k${i}: &k${i} [${Array.from({ length: 10 }, () => (i === 1 ? '*a' : `*k${i - 1}`)).join(',')}]`);
	t.is(refused(() => load(lines.join('\n'))).code, 'IM_CONFIG_SYNTAX');
});

test('a missing file is told as such', (t) => {
	const error = refused(() => load(undefined, { file: 'absent.yaml' }));
	t.is(error.code, 'IM_CONFIG_UNREADABLE');
	t.is(error.where, 'absent.yaml');
});

test('secrets come from env: and file:, and are never shown', (t) => {
	const yaml = [
		'admin: {token: "env:TOKEN"}',
		'targets:',
		'  - {id: a, url: "http://127.0.0.1:1", api_key: "file:key.txt"}',
		'  - {id: b, url: "http://127.0.0.1:2", api_key: literal-secret}',
	].join('\n');
	const loaded = load(yaml, { env: { TOKEN: 'tok' } }, { 'key.txt': 'from-file\n' });
	t.is(loaded.config.admin.token, 'tok');
	t.deepEqual(
		loaded.config.targets.map((target) => target.api_key),
		['from-file', 'literal-secret'],
	);
	t.deepEqual(
		loaded.shown.targets.map((target) => target.api_key),
		['file:key.txt', '***'],
	);
	t.false(JSON.stringify(configRows(loaded)).includes('literal-secret'));
	const error = refused(() => load(yaml, {}, { 'key.txt': 'k' }));
	t.is(error.code, 'IM_CONFIG_SECRET_MISSING');
	t.regex(error.where ?? '', /^infermesh\.yaml:1:9: admin\.token$/);
});

for (const host of ['0.0.0.0', '::', '10.1.2.3', 'mesh.example'])
	test(`listening on ${host} wants a key, a token and a certificate`, (t) => {
		const key = `keys: [{id: k, sha256: "${'0'.repeat(64)}"}]`;
		t.is(refused(() => load(`data: {host: "${host}"}`)).code, 'IM_CONFIG_DATA_KEY_REQUIRED');
		t.notThrows(() => load(`data: {host: "${host}"}\n${key}`));
		t.is(refused(() => load(`admin: {host: "${host}"}`)).code, 'IM_CONFIG_ADMIN_TOKEN_REQUIRED');
		const tls = 'tls: {cert_file: a, key_file: b}';
		t.is(refused(() => load(`admin: {host: "${host}", ${tls}}`)).code, 'IM_CONFIG_ADMIN_TOKEN_REQUIRED');
		t.is(refused(() => load(`admin: {host: "${host}", token: abc}`)).code, 'IM_CONFIG_ADMIN_TLS_REQUIRED');
		t.notThrows(() => load(`admin: {host: "${host}", token: abc, ${tls}}`));
		t.notThrows(() => load(`admin: {host: "${host}", token: abc, allow_cleartext: true}`));
		t.notThrows(() => load(`admin: {host: "${host}", tokens: [{name: ann, token: abc}], ${tls}}`));
	});

test('loopback addresses want none of them', (t) => {
	for (const host of ['127.0.0.1', '127.9.9.9', '::1', '[::1]', 'localhost'])
		t.notThrows(() => load(`data: {host: "${host}"}\nadmin: {host: "${host}"}`));
});

test('values are checked against each other', (t) => {
	const broken: [string, RegExp][] = [
		['targets: [{url: "http://a:1"}, {url: "http://a:1"}]', /already that of targets\[0\]/],
		['targets: [{url: "ftp://a:1"}]', /not an http/],
		['targets: [{url: "http://user:pw@a:1"}]', /takes no credentials/],
		['targets: [{id: "a b", url: "http://a:1"}]', /not a target id/],
		['roles: [router]\ntargets: [{url: "http://a:1"}]', /in the role gpu/],
		['models: {aliases: {a: b, b: c}}', /itself an alias/],
		['models: {fallbacks: {a: [a]}}', /own fallback/],
		['models: {revisions: {a: [{model: x, weight: 0}]}}', /above 0/],
		['telemetry: {otlp_endpoint: "collector:4317"}', /not an http/],
		['admin: {tokens: [{name: ann}]}', /token of "ann" is missing/],
		['admin: {tls: {cert_file: a}}', /certificate and key belong together/],
		['admin: {tls: {client_ca_file: a}}', /is of no use without admin\.tls\.cert_file/],
		['data: {response_key: short}', /is shorter than 32 characters/],
		['admin: {tokens: [{name: ann, token: a}, {name: ann, token: b}]}', /"ann" is the name of another token/],
		['admin: {token: a, tokens: [{name: admin, token: b}]}', /"admin" is the name of another token/],
		['admin: {port: 8080}', /already the data port/],
		[
			'admin: {spiffe_admins: ["spiffe://elsewhere/ann"]}',
			/"spiffe:\/\/elsewhere\/ann" is not a SPIFFE id of the form spiffe:\/\/infermesh.local\/PATH/,
		],
		['admin: {spiffe_readers: ["spiffe://infermesh.local/ops/*"]}', /is not a SPIFFE id/],
		['targets: [{id: a}]', /needs "url"/],
	];
	for (const [yaml, expected] of broken) t.regex(refused(() => load(yaml)).message, expected, yaml);
});

test('whatever the file holds, loading ends in a configuration or a named error', (t) => {
	const seed = Date.now() | 0;
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(fc.oneof(fc.string({ maxLength: 80 }), fc.json({ maxDepth: 4 })), (source) => {
			try {
				return load(source).config.data.port >= 0;
			} catch (error) {
				return error instanceof MeshError && error.code.startsWith('IM_CONFIG_');
			}
		}),
		{ seed, numRuns: 300 },
	);
	t.pass();
});
