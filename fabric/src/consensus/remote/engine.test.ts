// The contract over gRPC: two remote engines on two services in front of one engine, through relays whose connections can be broken; and what
// failover, silence and slow readers do.
import { connect, createServer, type Socket, type Server as TcpServer } from 'node:net';
import {
	type ClientReadableStream,
	credentials,
	Server,
	ServerCredentials,
	type ServiceError,
	status,
} from '@grpc/grpc-js';
import { SeededRandom } from '@infermesh/proto';
import { StoreService, type WatchReply } from '@infermesh/proto/grpc/store/v1/store';
import { StoreClient } from '@infermesh/proto/grpc/store/v1/store-client';
import test from 'ava';
import { leaseTtlMinMs } from '../../store/limits.js';
import { callTimeoutDefaultMs } from '../client/failover.js';
import { bytes, eventually, monotonicMs, one, passing, put, WatchRecord, write } from '../contract/cluster.js';
import { registerContract } from '../contract/suite.js';
import type { ConsensusEngine } from '../engine.js';
import { consensusError, hasCode } from '../errors.js';
import { loneEngine, RealClock } from '../testing/lone.js';
import { RemoteEngine } from './engine.js';
import { type StoreServiceOptions, storeService } from './service.js';

interface Service {
	readonly address: string;
	stop(): void;
}

async function serve(engine: ConsensusEngine, options: StoreServiceOptions = {}): Promise<Service> {
	const server = new Server();
	server.addService(StoreService, storeService(engine, options));
	const port = await new Promise<number>((resolve, reject) => {
		server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
			if (error === null) resolve(bound);
			else reject(error);
		});
	});
	return { address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

/** Between client and service: connections can be broken, refused and held. */
class Relay {
	readonly #sockets = new Set<Socket>();
	readonly #server: TcpServer;
	held = false;
	refuse = false;
	broken = 0;

	constructor(target: string) {
		const [host = '', port = ''] = target.split(':');
		this.#server = createServer((client) => {
			if (this.refuse) return void client.destroy();
			const service = connect(Number(port), host);
			for (const [from, to] of [
				[client, service],
				[service, client],
			] as const) {
				this.#sockets.add(from);
				from.on('data', (data) => {
					if (!this.held) to.write(data);
				});
				from.on('close', () => {
					this.#sockets.delete(from);
					to.destroy();
				});
				from.on('error', () => undefined);
			}
		});
	}

	async listen(): Promise<string> {
		await new Promise<void>((resolve) => void this.#server.listen(0, '127.0.0.1', resolve));
		const address = this.#server.address();
		return `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
	}

	breakAll(): void {
		for (const socket of this.#sockets) {
			socket.destroy();
			this.broken++;
		}
	}

	close(): void {
		this.breakAll();
		this.#server.close();
	}
}

function remote(addresses: readonly string[], seed: number, clusterId = ''): RemoteEngine {
	return new RemoteEngine({
		clusterId: () => clusterId,
		addresses,
		credentials: credentials.createInsecure(),
		clock: new RealClock(),
		random: new SeededRandom(seed),
		fault: () => undefined,
	});
}

async function cluster() {
	const { engine, replicator, store } = loneEngine();
	const services = [await serve(engine), await serve(engine)];
	const relays = services.map(({ address }) => new Relay(address));
	const addresses = await Promise.all(relays.map((relay) => relay.listen()));
	const engines = [remote(addresses, 1), remote(addresses.toReversed(), 2)] as const;
	return {
		engine,
		replicator,
		store,
		services,
		relays,
		engines,
		close: async () => {
			for (const one of engines) await one.close();
			for (const relay of relays) relay.close();
			for (const service of services) service.stop();
			await engine.close();
		},
	};
}

registerContract(
	'remote',
	(title, run) => test(title, run),
	async () => {
		const { engines, relays, replicator, close } = await cluster();
		return {
			engines,
			leaseMinMs: leaseTtlMinMs * 3,
			breakConnections: async () => {
				for (const relay of relays) relay.breakAll();
				if (relays.every(({ broken }) => broken === 0)) throw new Error('nothing was connected');
			},
			cutQuorum: async () => {
				replicator.quorum = false;
				return async () => {
					replicator.quorum = true;
				};
			},
			close,
		};
	},
);

test('a coordinator that is gone is left for another, and with none the call says that it had no effect', async (t) => {
	const { engines, relays, close } = await cluster();
	t.timeout(60_000);
	const [engine] = engines;
	await put(engine, 'k', 'one');
	for (const relay of relays) {
		relay.refuse = true;
		relay.breakAll();
		const beganMs = monotonicMs();
		if (relay === relays[0]) {
			await eventually('reads through the other', () => one(engine, 'k').then((item) => item !== undefined));
			await put(engine, 'k', 'two');
			t.true(monotonicMs() - beganMs < 10_000);
		} else {
			// A call that was under way when the connection broke ends as unknown; the next ones know better.
			await eventually('certainty', () =>
				engine.transact({ when: [], then: [] }, { timeoutMs: 1_000 }).then(
					() => false,
					(error) => hasCode(error, 'IM_CONSENSUS_UNAVAILABLE'),
				),
			);
		}
	}
	await close();
});

test('a node whose own state is of another cluster is refused by name, calls and watches', async (t) => {
	const { engine } = loneEngine();
	const faults: unknown[] = [];
	const service = await serve(engine, { clusterId: () => 'recovered' });
	const member = remote([service.address], 1, 'recovered');
	const stranger = remote([service.address], 2);
	const old = new RemoteEngine({
		addresses: [service.address],
		credentials: credentials.createInsecure(),
		clock: new RealClock(),
		random: new SeededRandom(3),
		clusterId: () => 'old',
		fault: (error) => void faults.push(error),
	});
	t.teardown(async () => {
		for (const each of [member, stranger, old]) await each.close();
		service.stop();
		await engine.close();
	});
	await put(member, 'k', 'one');
	t.not(await one(stranger, 'k'), undefined);
	const refused = { code: 'IM_CONSENSUS_OTHER_CLUSTER' };
	const theft = { when: [], then: [{ put: 'k', value: bytes('two') }] };
	await t.throwsAsync(old.transact(theft, { timeoutMs: 20_000 }), refused);
	const watch = old.watch({ key: 'k' }, 1, { onEvents: () => t.fail(), onCompacted: () => t.fail() });
	await eventually('the watch is refused', () => Promise.resolve(faults.length > 0));
	watch.cancel();
	t.is((await one(member, 'k'))?.version, 1);
});

test('a coordinator that is silent: reads go to another in time, watches go on, a write ends as unknown', async (t) => {
	const { engines, relays, close } = await cluster();
	const [engine, other] = engines;
	const from = await put(engine, 'k', 'one');
	const record = new WatchRecord(engine, { key: 'k' }, from);
	await eventually('the watch is up', () => record.progress.length > 0);
	const [silent] = relays;
	if (silent !== undefined) silent.held = true;
	const error = await t.throwsAsync(() =>
		engine.transact({ when: [], then: [{ put: 'unknown', value: bytes('') }] }, { timeoutMs: 500 }),
	);
	t.true(hasCode(error, 'IM_CONSENSUS_TIMEOUT'), String(error));
	const beganMs = monotonicMs();
	t.truthy(await one(engine, 'k'));
	t.true(monotonicMs() - beganMs < callTimeoutDefaultMs);
	const revision = await put(other, 'k', 'two');
	await eventually('the watch noticed by its own clock', () => record.told.length > 0);
	t.deepEqual(record.told, [`k=two@${revision}`]);
	record.cancel();
	await close();
});

test('a quiet watch has one sign of life while others have several; a coordinator that is silent is left for its pings', async (t) => {
	const { engines, relays, services, close } = await cluster();
	const client = new StoreClient(services[0]?.address ?? '', credentials.createInsecure());
	const counts = [false, true].map((quiet) => {
		const count = { signs: 0 };
		const stream = client.watch({ selection: { key: 'k' }, fromRevision: 0n, quiet });
		stream.on('data', () => void count.signs++).on('error', () => undefined);
		t.teardown(() => stream.cancel());
		return count;
	});
	const [asking, quiet] = counts;
	await eventually('three signs', () => (asking?.signs ?? 0) >= 3);
	t.is(quiet?.signs, 1);
	client.close();

	const [engine, other] = engines;
	const from = await put(engine, 'k', 'one');
	const told: number[] = [];
	const watch = engine.watch({ key: 'k' }, from, {
		onEvents: (_, revision) => void told.push(revision),
		onCompacted: () => t.fail(),
	});
	await eventually('the watch is up', async () => {
		await put(other, 'k', 'more');
		return told.length > 0;
	});
	const [silent] = relays;
	if (silent !== undefined) silent.held = true;
	const revision = await put(other, 'k', 'two');
	await eventually('the watch goes on elsewhere', () => told.includes(revision));
	watch.cancel();
	await close();
});

test('a client that did not read for a while catches up by revision, each event once', async (t) => {
	const { engine, engines, relays, store, close } = await cluster();
	const [slow] = engines;
	const from = await put(engine, 'k', 'begin');
	const record = new WatchRecord(slow, { prefix: 'load/' }, from);
	await eventually('the watch is up', () => record.progress.length > 0);
	for (const relay of relays) relay.held = true;
	for (let i = 0; i < 60; i++) await write(engine, { put: `load/${i}`, value: new Uint8Array(400_000) });
	for (const relay of relays) relay.breakAll();
	for (const relay of relays) relay.held = false;
	await eventually('all of it', () => record.told.length === 60);
	t.is(new Set(record.told).size, 60);
	record.cancel();
	t.true(store.revision > 60);
	await close();
});

test('errors keep their codes over the connection, also ones that are not the store’s own', async (t) => {
	const { engine, close } = await cluster();
	const odd: ConsensusEngine = {
		read: async () => {
			throw consensusError('IM_CONSENSUS_DENIED', 'not you');
		},
		transact: async () => {
			throw new Error('a bug');
		},
		watch: (...args) => engine.watch(...args),
		grantLease: (ttlMs) => engine.grantLease(ttlMs),
		keepAlive: (id) => engine.keepAlive(id),
		revokeLease: (id) => engine.revokeLease(id),
		compact: (revision) => engine.compact(revision),
		status: () => engine.status(),
		close: async () => undefined,
	};
	const service = await serve(odd);
	const client = remote([service.address], 3);
	const denied = await t.throwsAsync(() => client.read({ key: 'k' }));
	t.true(hasCode(denied, 'IM_CONSENSUS_DENIED'));
	t.is(denied.message, 'not you');
	t.true(hasCode(await t.throwsAsync(() => put(client, 'k')), 'IM_CONSENSUS_INTERNAL'));
	t.is((await client.status()).engine, 'remote');
	await client.close();
	service.stop();
	await passing(0);
	await close();
});

const refusalOf = (stream: ClientReadableStream<WatchReply>): Promise<ServiceError> =>
	new Promise((resolve) => stream.once('error', (error) => resolve(error as ServiceError)).resume());

test('a watch that cannot begin is refused with a status at once, not left to its deadline', async (t) => {
	const { engine } = loneEngine();
	const service = await serve(engine, { watchesMax: 1 });
	const client = new StoreClient(service.address, credentials.createInsecure());
	const watch = () => client.watch({ selection: { prefix: 'k' }, fromRevision: 1n, quiet: false });
	const first = watch();
	await new Promise((resolve) => first.once('metadata', resolve).resume());
	const full = await refusalOf(watch());
	t.is(full.code, status.RESOURCE_EXHAUSTED);
	t.deepEqual(full.metadata.get('x-infermesh-error'), ['IM_CONSENSUS_LIMIT']);
	first.on('error', () => undefined).cancel();
	await engine.close();
	await eventually('room for another, which finds the engine closed', async () => {
		const { metadata } = await refusalOf(watch());
		return metadata.get('x-infermesh-error')[0] === 'IM_CONSENSUS_CLOSED';
	});
	client.close();
	service.stop();
});

test('a coordinator whose disk has failed is left for another, and a write is not tried twice', async (t) => {
	const { engine, close } = await cluster();
	const stopped = async (): Promise<never> => {
		throw consensusError('IM_CONSENSUS_STOPPED');
	};
	const dead: ConsensusEngine = {
		read: stopped,
		transact: stopped,
		watch: (...args) => engine.watch(...args),
		grantLease: stopped,
		keepAlive: stopped,
		revokeLease: stopped,
		compact: stopped,
		status: stopped,
		close: async () => undefined,
	};
	const services = [await serve(dead), await serve(engine)];
	const reader = remote(
		services.map(({ address }) => address),
		4,
	);
	t.is(await one(reader, 'k'), undefined);
	const writer = remote(
		services.map(({ address }) => address),
		5,
	);
	t.true(hasCode(await t.throwsAsync(() => put(writer, 'k', 'first')), 'IM_CONSENSUS_STOPPED'));
	await put(writer, 'k', 'second');
	t.is((await one(writer, 'k'))?.version, 1);
	for (const client of [reader, writer]) await client.close();
	for (const service of services) service.stop();
	await close();
});
