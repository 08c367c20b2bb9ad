// The Workload API over a Unix socket: our source against our server, and against one that answers as an agent of others might.
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
	credentials,
	Metadata,
	Server,
	ServerCredentials,
	type ServerWritableStream,
	type ServiceError,
	status,
} from '@grpc/grpc-js';
import { SeededRandom } from '@infermesh/proto';
import {
	SpiffeWorkloadAPIService,
	type X509BundlesResponse,
	type X509SVID,
	type X509SVIDRequest,
	X509SVIDResponse,
} from '@infermesh/proto/spiffe/workload/workloadapi';
import { SpiffeWorkloadAPIClient } from '@infermesh/proto/spiffe/workload/workloadapi-client';
import test, { type ExecutionContext } from 'ava';
import { realClock, testAuthority, testIdentity } from './identity-test-support.js';
import { generateNodeKey, privateKeyDer } from './keys.js';
import { type Identity, IdentityHolder, makeIdentity } from './source.js';
import { serveWorkloadApi } from './workload-server.js';
import { WorkloadApiSource } from './workload-source.js';

const authority = await testAuthority();

function folder(t: ExecutionContext): string {
	const made = mkdtempSync(path.join(tmpdir(), 'workload-'));
	t.teardown(() => rmSync(made, { recursive: true, force: true }));
	return made;
}

function sourceOf(t: ExecutionContext, endpoint: string): WorkloadApiSource {
	const source = new WorkloadApiSource({
		endpoint,
		clock: realClock,
		random: new SeededRandom(1),
		retryMsMin: 20,
		retryMsMax: 50,
	});
	t.teardown(() => source.close());
	return source;
}

async function nextOf(source: WorkloadApiSource): Promise<Identity> {
	return new Promise((resolve) => {
		const stop = source.onChange((identity) => {
			stop();
			resolve(identity);
		});
	});
}

async function until(condition: () => boolean): Promise<void> {
	const deadline = Date.now() + 10_000;
	while (!condition()) {
		if (Date.now() > deadline) throw new Error('the condition did not come true');
		await new Promise((resolve) => setImmediate(resolve));
	}
}

test('an identity and each new one arrive; certificate, key and bundle are those served', async (t) => {
	const holder = new IdentityHolder(await testIdentity(authority));
	const served = await serveWorkloadApi(holder, path.join(folder(t), 'run', 'agent.sock'));
	t.teardown(() => served.close());
	const source = sourceOf(t, served.endpoint);
	const first = await source.ready();
	t.is(first.svid.id.uri, holder.current().svid.id.uri);
	t.deepEqual(
		first.chain.map((der) => Buffer.from(der)),
		holder.current().chain.map((der) => Buffer.from(der)),
	);
	t.true(first.privateKey.equals(holder.current().privateKey));
	t.is(source.health().state, 'fresh');

	const rotated = nextOf(source);
	holder.set(await testIdentity(authority, Date.now(), first.svid.nodeUuid));
	t.is((await rotated).svid.leaf.serial, holder.current().svid.leaf.serial);
	t.is(source.health().updates, 2);
});

test('an identity that its user does not accept is counted and passed over; the one before stays', async (t) => {
	const holder = new IdentityHolder(await testIdentity(authority));
	const served = await serveWorkloadApi(holder, path.join(folder(t), 'agent.sock'));
	t.teardown(() => served.close());
	const own = holder.current().svid.nodeUuid;
	const source = new WorkloadApiSource({
		endpoint: served.endpoint,
		clock: realClock,
		random: new SeededRandom(1),
		accept: ({ svid }) => {
			if (svid.nodeUuid !== own) throw new Error('another node');
		},
	});
	t.teardown(() => source.close());
	const first = await source.ready();
	holder.set(await testIdentity(authority));
	await until(() => source.health().refused === 1);
	t.is(source.current().svid.leaf.serial, first.svid.leaf.serial);
	holder.set(await testIdentity(authority, Date.now(), own));
	await until(() => source.health().updates === 2);
	t.is(source.current().svid.nodeUuid, own);
});

test('of several identities the one that is accepted is taken, wherever it stands', async (t) => {
	const [own, other] = [await testIdentity(authority), await testIdentity(authority)];
	const keys = await generateNodeKey();
	const chain = await authority.issueClient('build', keys.publicKey, Date.now());
	const client = makeIdentity(chain, keys.privateKey, authority.bundle, Date.now());
	for (const order of [
		[own, other, client],
		[client, other, own],
	]) {
		const source = new WorkloadApiSource({
			endpoint: await answering(t, order.map(wire)),
			clock: realClock,
			random: new SeededRandom(1),
			accept: ({ svid }) => {
				if (svid.nodeUuid !== own.svid.nodeUuid) throw new Error('another node');
			},
		});
		t.teardown(() => source.close());
		t.is((await source.ready()).svid.nodeUuid, own.svid.nodeUuid);
		t.is(source.health().refused, 0);
	}
});

test('a live server keeps its socket, and what takes the place of one that closed is left alone', async (t) => {
	const at = path.join(folder(t), 'agent.sock');
	const holder = new IdentityHolder(await testIdentity(authority));
	const first = await serveWorkloadApi(holder, at);
	await t.throwsAsync(serveWorkloadApi(holder, at), { code: 'IM_IDENTITY_WORKLOAD_API', message: /another process/ });
	await t.notThrowsAsync(sourceOf(t, first.endpoint).ready(), 'it still answers');
	t.deepEqual(readdirSync(path.dirname(at)), ['agent.sock']);
	first.close();
	t.false(existsSync(at));
	first.close();
	const second = await serveWorkloadApi(holder, at);
	t.teardown(() => second.close());
	first.close();
	await t.notThrowsAsync(sourceOf(t, second.endpoint).ready());
});

test('the socket comes to its place from a folder that is closed to others, so that nobody opens it before it has its mode', async (t) => {
	const root = folder(t);
	chmodSync(root, 0o777);
	const names: (string | null)[] = [];
	const watcher = watch(root, (_event, name) => names.push(name));
	t.teardown(() => watcher.close());
	const served = await serveWorkloadApi(
		new IdentityHolder(await testIdentity(authority)),
		path.join(root, 'agent.sock'),
	);
	t.teardown(() => served.close());
	await until(() => names.includes('agent.sock'));
	// `mkdtemp` makes folders of mode 0700.
	t.regex(names[0] ?? '', /^\.w-/);
});

test('the socket is for its owner alone, and a stale one is replaced; a file is not', async (t) => {
	const at = path.join(folder(t), 'agent.sock');
	const holder = new IdentityHolder(await testIdentity(authority));
	const first = await serveWorkloadApi(holder, at);
	t.is(statSync(at).mode & 0o777, 0o600);
	first.close();
	const second = await serveWorkloadApi(holder, at);
	t.teardown(() => second.close());
	await t.notThrowsAsync(sourceOf(t, second.endpoint).ready());
	const file = path.join(folder(t), 'file');
	writeFileSync(file, 'mine');
	await t.throwsAsync(serveWorkloadApi(holder, file), { code: 'IM_IDENTITY_WORKLOAD_API' });
});

test('a request without the header is refused; bundles are served; other profiles are unimplemented', async (t) => {
	const holder = new IdentityHolder(await testIdentity(authority));
	const served = await serveWorkloadApi(holder, path.join(folder(t), 'agent.sock'));
	t.teardown(() => served.close());
	const client = new SpiffeWorkloadAPIClient(served.endpoint.replace('unix://', 'unix:'), credentials.createInsecure());
	t.teardown(() => client.close());
	const codeOf = async (metadata: Metadata): Promise<number> =>
		new Promise((resolve) =>
			client
				.fetchX509Svid({}, metadata)
				.on('error', (error: ServiceError) => resolve(error.code))
				.resume(),
		);
	t.is(await codeOf(new Metadata()), status.INVALID_ARGUMENT);
	const header = new Metadata();
	header.set('workload.spiffe.io', 'true');
	const stream = client.fetchX509Bundles({}, header);
	stream.on('error', () => {});
	const answer = await new Promise<X509BundlesResponse>((resolve) => stream.once('data', resolve));
	stream.cancel();
	t.deepEqual(Object.keys(answer.bundles), ['spiffe://mesh.test']);
	const jwt = await new Promise<number>((resolve) => {
		const identity = (value: Buffer): Buffer => value;
		client.makeUnaryRequest('/SpiffeWorkloadAPI/FetchJWTSVID', identity, identity, Buffer.alloc(0), header, (error) =>
			resolve(error?.code ?? 0),
		);
	});
	t.is(jwt, status.UNIMPLEMENTED);
});

test('an agent that starts later, dies, refuses and comes back: the source waits, keeps what it has, and reads on', async (t) => {
	const at = path.join(folder(t), 'agent.sock');
	const source = sourceOf(t, `unix://${at}`);
	t.throws(() => source.current(), { code: 'IM_IDENTITY_NOT_READY' });
	t.is(source.health().state, 'waiting');
	await until(() => source.health().lastError !== undefined);
	const holder = new IdentityHolder(await testIdentity(authority));
	const first = await serveWorkloadApi(holder, at);
	const identity = await source.ready();
	const reconnects = source.health().reconnects;
	first.close();
	await until(() => source.health().reconnects > reconnects);
	t.is(source.current(), identity);
	holder.set(await testIdentity(authority));
	const again = nextOf(source);
	const second = await serveWorkloadApi(holder, at);
	t.teardown(() => second.close());
	t.is((await again).svid.id.uri, holder.current().svid.id.uri);
	t.is(source.health().lastError, undefined);
});

test('what an agent sends is judged: the node among several is taken, bad ones leave the one before in place', async (t) => {
	const at = path.join(folder(t), 'agent.sock');
	const server = new Server();
	const streams: ServerWritableStream<X509SVIDRequest, X509SVIDResponse>[] = [];
	server.addService(SpiffeWorkloadAPIService, {
		fetchX509Svid: (call: ServerWritableStream<X509SVIDRequest, X509SVIDResponse>) => streams.push(call),
		fetchX509Bundles: () => {},
	});
	await new Promise((resolve) => {
		server.bindAsync(`unix:${at}`, ServerCredentials.createInsecure(), resolve);
	});
	t.teardown(() => server.forceShutdown());
	const source = sourceOf(t, `unix:${at}`);
	await until(() => streams.length > 0);
	const [stream] = streams;
	const send = (...svids: X509SVID[]): void => void stream?.write({ svids, crl: [], federatedBundles: {} });

	const keys = await generateNodeKey();
	const chain = await authority.issueClient('build', keys.publicKey, Date.now());
	const client = wire(makeIdentity(chain, keys.privateKey, authority.bundle, Date.now()));
	const node = await testIdentity(authority);
	send(client, wire(node));
	t.is((await source.ready()).svid.nodeUuid, node.svid.nodeUuid);

	const other = wire(await testIdentity(authority));
	const stranger = wire(await testIdentity(await testAuthority()));
	const bad: X509SVID[] = [
		{ ...other, x509SvidKey: wire(node).x509SvidKey },
		{ ...other, x509SvidKey: Buffer.from('no key') },
		{ ...other, x509Svid: other.x509Svid.subarray(1) },
		{ ...other, x509Svid: Buffer.alloc(0) },
		{ ...other, bundle: stranger.bundle },
		{ ...other, bundle: Buffer.from([0x30, 0x80]) },
		{ ...other, spiffeId: wire(node).spiffeId },
		{ ...other, spiffeId: 'https://mesh.test' },
	];
	for (const svid of bad) send(svid);
	send();
	await until(() => source.health().refused === bad.length + 1);
	t.is(source.current().svid.nodeUuid, node.svid.nodeUuid);
	const next = nextOf(source);
	send(other);
	t.is((await next).svid.id.uri, other.spiffeId);
});

test('an endpoint of another form is refused', (t) => {
	for (const endpoint of ['', 'agent.sock', 'unix:relative', 'http://a', 'tcp://host:1', 'unix:///a?b'])
		t.throws(() => sourceOf(t, endpoint), { code: 'IM_IDENTITY_WORKLOAD_API' }, endpoint);
	t.notThrows(() => sourceOf(t, 'tcp://127.0.0.1:1'));
});

test('field numbers are those of the standard', (t) => {
	const wireOf = (message: Partial<X509SVIDResponse>): string =>
		Buffer.from(X509SVIDResponse.encode({ svids: [], crl: [], federatedBundles: {}, ...message }).finish()).toString(
			'hex',
		);
	const empty = {
		spiffeId: '',
		x509Svid: Buffer.alloc(0),
		x509SvidKey: Buffer.alloc(0),
		bundle: Buffer.alloc(0),
		hint: '',
	};
	t.is(wireOf({ svids: [{ ...empty, spiffeId: 'a' }] }), '0a030a0161');
	t.is(wireOf({ svids: [{ ...empty, x509Svid: Buffer.of(1) }] }), '0a03120101');
	t.is(wireOf({ svids: [{ ...empty, x509SvidKey: Buffer.of(1) }] }), '0a031a0101');
	t.is(wireOf({ svids: [{ ...empty, bundle: Buffer.of(1) }] }), '0a03220101');
	t.is(wireOf({ svids: [{ ...empty, hint: 'h' }] }), '0a032a0168');
	t.is(wireOf({ crl: [Buffer.of(1)] }), '120101');
	t.is(wireOf({ federatedBundles: { a: Buffer.of(1) } }), '1a060a0161120101');
	t.is(SpiffeWorkloadAPIService.fetchX509Svid.path, '/SpiffeWorkloadAPI/FetchX509SVID');
	t.is(SpiffeWorkloadAPIService.fetchX509Bundles.path, '/SpiffeWorkloadAPI/FetchX509Bundles');
});

/** An agent that says the same to everybody. */
async function answering(t: ExecutionContext, svids: X509SVID[]): Promise<string> {
	const endpoint = `unix:${path.join(folder(t), 'agent.sock')}`;
	const server = new Server();
	server.addService(SpiffeWorkloadAPIService, {
		fetchX509Svid: (call: ServerWritableStream<X509SVIDRequest, X509SVIDResponse>) =>
			call.write({ svids, crl: [], federatedBundles: {} }),
		fetchX509Bundles: () => {},
	});
	await new Promise((resolve) => {
		server.bindAsync(endpoint, ServerCredentials.createInsecure(), resolve);
	});
	t.teardown(() => server.forceShutdown());
	return endpoint;
}

function wire(identity: Identity): X509SVID {
	return {
		spiffeId: identity.svid.id.uri,
		x509Svid: Buffer.concat(identity.chain),
		x509SvidKey: Buffer.from(privateKeyDer(identity.privateKey)),
		bundle: Buffer.concat(identity.bundle.roots),
		hint: '',
	};
}

test('a folder that cannot be written makes no server', async (t) => {
	const at = folder(t);
	if (process.getuid?.() === 0) {
		// Root writes anywhere; a path through a file fails for everyone.
		writeFileSync(path.join(at, 'file'), '');
		const holder = new IdentityHolder(await testIdentity(authority));
		await t.throwsAsync(serveWorkloadApi(holder, path.join(at, 'file', 'agent.sock')), {
			code: 'IM_IDENTITY_WORKLOAD_API',
		});
		return;
	}
	chmodSync(at, 0o500);
	const holder = new IdentityHolder(await testIdentity(authority));
	await t.throwsAsync(serveWorkloadApi(holder, path.join(at, 'agent.sock')), { code: 'IM_IDENTITY_WORKLOAD_API' });
	chmodSync(at, 0o700);
});
