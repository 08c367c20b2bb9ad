// Owns one member of the consensus bench in a process of its own: log thread, Raft over gRPC with mTLS, store and engine, and the load it puts on itself
// when it is told to. It is forked by rig.ts and speaks to it by messages.
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { ChannelCredentials, Server, ServerCredentials, type ServerUnaryCall } from '@grpc/grpc-js';
import {
	foundedGroup,
	foundingWrite,
	GrpcRaftTransport,
	LogThread,
	logThreadDefaults,
	nodeUuidOf,
	parseSpiffeId,
	RaftAdmin,
	RaftGroup,
	raftGroupSettings,
	SharedTicks,
	Store,
	StoreEngine,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import { RaftTransportClient } from '@infermesh/proto/grpc/raft/v1/raft-client';
import { benchClock } from './clock.js';

export interface MemberStart {
	readonly id: string;
	readonly voters: readonly string[];
	/** Port of each voter, in the same order. */
	readonly ports: readonly number[];
	readonly folder: string;
	readonly rootPem: string;
	readonly chainPem: string;
	readonly keyPem: string;
	/** Raft groups of the member; the load goes to the first. */
	readonly groups: number;
	/** Of 25 ms; the default of a mesh when not given. */
	readonly electionTicks?: number;
}

export interface Load {
	readonly what: 'write' | 'read';
	readonly workers: number;
	readonly forMs: number;
}

export interface LoadResult {
	readonly count: number;
	readonly failures: number;
	readonly elapsedMs: number;
	readonly latenciesMs: readonly number[];
}

export type MemberCall =
	| { readonly call: 'load'; readonly load: Load }
	| { readonly call: 'writeOnce'; readonly timeoutMs: number }
	| { readonly call: 'transfer'; readonly to: string }
	| { readonly call: 'status' }
	| { readonly call: 'cost' };

/** What the process has used and sent so far. */
export interface Cost {
	readonly cpuMs: number;
	readonly batches: number;
	readonly messages: number;
	/** Groups this member leads. */
	readonly leads: number;
}

const FIRST = 1;
const value = new Uint8Array(128).fill(7);

function receive<T>(): Promise<T> {
	return new Promise((resolve) => process.once('message', (message) => resolve(message as T)));
}

function randomSeed(): number {
	return randomBytes(4).readUInt32LE();
}

function transportOf(start: MemberStart): GrpcRaftTransport {
	const [root, key, chain] = [start.rootPem, start.keyPem, start.chainPem].map((pem) => Buffer.from(pem));
	const credentials = ChannelCredentials.createSsl(root, key, chain, { checkServerIdentity: () => undefined });
	const clients = new Map<string, RaftTransportClient>();
	return new GrpcRaftTransport({
		id: start.id,
		clock: benchClock,
		random: new SeededRandom(randomSeed()),
		connect: (peer) => {
			let client = clients.get(peer);
			if (client === undefined) {
				const address = `127.0.0.1:${start.ports[start.voters.indexOf(peer)]}`;
				const options = {
					'grpc.initial_reconnect_backoff_ms': 50,
					'grpc.max_reconnect_backoff_ms': 500,
					'grpc.ssl_target_name_override': 'member.bench.test',
				};
				client = new RaftTransportClient(address, credentials, options);
				clients.set(peer, client);
			}
			return { client, release: () => {} };
		},
		peerOf: (call) => {
			const { subjectaltname } = (call as ServerUnaryCall<unknown, unknown>).getAuthContext()?.sslPeerCertificate ?? {};
			const uri = subjectaltname?.split(', ').find((name) => name.startsWith('URI:'));
			const id = parseSpiffeId(uri?.slice('URI:'.length) ?? '');
			return id === undefined ? undefined : nodeUuidOf(id);
		},
	});
}

async function listen(start: MemberStart, transport: GrpcRaftTransport): Promise<void> {
	const server = new Server();
	transport.addTo(server);
	const pair = { private_key: Buffer.from(start.keyPem), cert_chain: Buffer.from(start.chainPem) };
	const credentials = ServerCredentials.createSsl(Buffer.from(start.rootPem), [pair], true);
	const port = start.ports[start.voters.indexOf(start.id)] ?? 0;
	await new Promise<void>((resolve, reject) => {
		server.bindAsync(`127.0.0.1:${port}`, credentials, (error) => (error === null ? resolve() : reject(error)));
	});
}

async function openLog(start: MemberStart): Promise<LogThread> {
	const options = { ...logThreadDefaults, log: { ...logThreadDefaults.log, segmentBytes: 16 * 1024 * 1024 } };
	const log = await LogThread.open(start.folder, benchClock, options);
	if (log.recovered.has(FIRST)) return log;
	const founded = foundedGroup(start.voters);
	const writes = Array.from({ length: start.groups }, (_, at) => foundingWrite(FIRST + at, founded));
	await new Promise<void>((resolve, reject) => log.append(writes, resolve, reject));
	return log;
}

class Member {
	readonly #transport: GrpcRaftTransport;
	readonly #raft: RaftGroup;
	readonly #others: readonly RaftGroup[];
	readonly #admin: RaftAdmin;
	readonly #engine: StoreEngine;

	constructor(start: MemberStart, log: LogThread, transport: GrpcRaftTransport) {
		const ticks = new SharedTicks(benchClock, raftGroupSettings.tickMs);
		const open = (group: number, store: Store): RaftGroup =>
			new RaftGroup({
				group,
				id: start.id,
				clock: benchClock,
				random: new SeededRandom(randomSeed()),
				log,
				snapshots: log.snapshots,
				transport,
				stateMachine: store,
				recovered: log.recovered.get(group) ?? foundedGroup(start.voters),
				addressOf: () => undefined,
				defer: setImmediate,
				ticks,
				settings: start.electionTicks === undefined ? {} : { limits: { electionTicks: start.electionTicks } },
				onFailed: (error) => process.stderr.write(`${start.id} stopped: ${error.stack}\n`),
			});
		const store = new Store();
		this.#transport = transport;
		this.#raft = open(FIRST, store);
		this.#others = Array.from({ length: start.groups - 1 }, (_, at) => open(FIRST + 1 + at, new Store()));
		this.#admin = new RaftAdmin(this.#raft, benchClock);
		this.#engine = new StoreEngine({
			store,
			replicator: this.#raft,
			clock: benchClock,
			random: new SeededRandom(randomSeed()),
			fault: (error) => process.stderr.write(`${String(error)}\n`),
		});
	}

	async answer(call: MemberCall): Promise<unknown> {
		switch (call.call) {
			case 'load':
				return this.#load(call.load);
			case 'writeOnce':
				return this.#write('once', call.timeoutMs);
			case 'transfer':
				return this.#admin.transfer(call.to);
			case 'status': {
				const { leader, role, term, commitIndex, appliedIndex } = this.#raft.status();
				return { leader, role, term, commitIndex, appliedIndex, leads: this.#raft.leads() };
			}
			case 'cost': {
				const { user, system } = process.cpuUsage();
				const { batchesSent, messagesSent } = this.#transport.counters;
				const leads = [this.#raft, ...this.#others].filter((group) => group.leads()).length;
				return { cpuMs: (user + system) / 1000, batches: batchesSent, messages: messagesSent, leads };
			}
		}
	}

	async #write(key: string, timeoutMs: number): Promise<void> {
		await this.#engine.transact({ when: [], then: [{ put: `bench/${key}`, value }] }, { timeoutMs });
	}

	async #load({ what, workers, forMs }: Load): Promise<LoadResult> {
		const latenciesMs: number[] = [];
		let failures = 0;
		const beganMs = benchClock.nowMs();
		const worker = async (number: number): Promise<void> => {
			while (benchClock.nowMs() - beganMs < forMs) {
				const fromMs = benchClock.nowMs();
				try {
					if (what === 'write') await this.#write(String(number), 5_000);
					else await this.#engine.read({ key: `bench/${number}` });
					latenciesMs.push(benchClock.nowMs() - fromMs);
				} catch {
					failures++;
				}
			}
		};
		await Promise.all(Array.from({ length: workers }, (_, number) => worker(number)));
		return { count: latenciesMs.length, failures, elapsedMs: benchClock.nowMs() - beganMs, latenciesMs };
	}
}

async function main(): Promise<void> {
	const start = await receive<MemberStart>();
	const transport = transportOf(start);
	await listen(start, transport);
	const member = new Member(start, await openLog(start), transport);
	process.on('message', ({ number, call }: { readonly number: number; readonly call: MemberCall }) => {
		const answer = async (): Promise<void> => {
			try {
				process.send?.({ number, value: await member.answer(call) });
			} catch (error) {
				process.send?.({ number, error: error instanceof Error ? error.message : 'failed' });
			}
		};
		void answer();
	});
	process.on('disconnect', () => process.exit(0));
	process.send?.({ ready: true });
}

await main();
