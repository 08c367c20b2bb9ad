// Owns the engine of nodes that are no members: the contract over gRPC to any of a list of coordinators, another one when one fails, watches that go
// on by revision. Credentials come from outside.
import type { ChannelOptions, Metadata } from '@grpc/grpc-js';
import type { Random } from '@infermesh/proto';
import { type WatchReply } from '@infermesh/proto/grpc/store/v1/store';
import { StoreClient } from '@infermesh/proto/grpc/store/v1/store-client';
import { wholeNumber } from '../../store/command-codec.js';
import { checkRead, checkSelection, checkTransaction, checkTtl } from '../checks.js';
import { Channels, type ChannelsOptions, type Endpoint } from '../client/channels.js';
import { callTimeoutDefaultMs, Failover } from '../client/failover.js';
import { ResumingWatch, type StreamSink, silenceDefaultMs, type WatchStream } from '../client/resuming-watch.js';
import { type UnaryMethod, unary } from '../client/unary.js';
import { clusterMetadata } from '../cluster-id.js';
import type {
	ConsensusEngine,
	EngineStatus,
	Lease,
	LeaseId,
	ReadOptions,
	ReadResult,
	Selection,
	Transaction,
	TransactionResult,
	Watch,
	WatchHandlers,
} from '../engine.js';
import { consensusError } from '../errors.js';
import {
	fromEvent,
	fromKeyValue,
	fromStatusReply,
	fromTransactReply,
	toReadRequest,
	toSelection,
	toTransactRequest,
} from './messages.js';
import { judge } from './status.js';

export interface RemoteEngineOptions extends ChannelsOptions {
	readonly random: Random;
	/** Id of the cluster whose state this node has itself; empty where it has none. A coordinator of another one refuses its calls. */
	readonly clusterId?: () => string;
	/** Told of streams that broke and of watch handlers that throw. */
	readonly fault: (error: unknown) => void;
}

/** Of the time left for a write, what is kept for the answer's way back. */
const answerReserveMs = 500;
/**
 * Pings that watch over a connection with its calls and watches: one that is silent is given up about as soon as a watch with signs of life of its own. The
 * answer has time: who waits for it may stand still itself.
 */
const pings: ChannelOptions = { 'grpc.keepalive_time_ms': 4_000, 'grpc.keepalive_timeout_ms': 6_000 };
/** Of a watch that leaves its signs of life to those: four times what comes at the least. */
const silenceQuietMs = 120_000;

export class RemoteEngine implements ConsensusEngine {
	readonly #options: RemoteEngineOptions;
	readonly #channels: Channels;
	readonly #failover: Failover;
	readonly #clients = new WeakMap<Endpoint, StoreClient>();
	readonly #watches = new Set<ResumingWatch>();
	#closed = false;

	constructor(options: RemoteEngineOptions) {
		this.#options = options;
		this.#channels = new Channels(options, pings);
		this.#failover = new Failover({ channels: this.#channels, clock: options.clock, random: options.random, judge });
	}

	async read(selection: Selection, options: ReadOptions = {}): Promise<ReadResult> {
		checkRead(selection, options);
		const request = toReadRequest(selection, options);
		const reply = await this.#ask((client) => client.read.bind(client), request);
		return { items: reply.items.map(fromKeyValue), more: reply.more, revision: Number(reply.revision) };
	}

	async transact(
		transaction: Transaction,
		{ timeoutMs = callTimeoutDefaultMs }: { readonly timeoutMs?: number } = {},
	): Promise<TransactionResult> {
		checkTransaction(transaction);
		const reply = await this.#failover.call({ timeoutMs, repeatable: false }, (endpoint, leftMs) => {
			const client = this.#client(endpoint);
			const request = toTransactRequest(transaction, Math.max(1, leftMs - Math.min(answerReserveMs, leftMs / 4)));
			return unary(client.transact.bind(client), request, this.#metadata(), this.#options.clock, leftMs);
		});
		return fromTransactReply(reply);
	}

	watch(selection: Selection, fromRevision: number, handlers: WatchHandlers): Watch {
		if (this.#closed) throw consensusError('IM_CONSENSUS_CLOSED');
		checkSelection(selection);
		const { clock, random, fault } = this.#options;
		// Who does not ask how far it stands is not told every two seconds: a node has dozens of watches.
		const quiet = handlers.onProgress === undefined;
		const watch = new ResumingWatch({
			channels: this.#channels,
			clock,
			random,
			fault,
			fromRevision,
			handlers,
			silenceMaxMs: quiet ? silenceQuietMs : silenceDefaultMs,
			open: (endpoint, from, sink) => this.#stream(endpoint, { selection, from, quiet }, sink),
			onEnd: (ended) => this.#watches.delete(ended),
		});
		this.#watches.add(watch);
		return watch;
	}

	/** A lease of a call that is repeated is left to expire. */
	async grantLease(ttlMs: number): Promise<Lease> {
		checkTtl(ttlMs);
		const reply = await this.#ask((client) => client.grantLease.bind(client), { ttlMs: BigInt(Math.ceil(ttlMs)) });
		return { id: reply.id, ttlMs: Number(reply.ttlMs) };
	}

	/** Counted from before the question, so that time spent on the way, or stopped, does not make a lease look longer than it is. */
	async keepAlive(id: LeaseId): Promise<number> {
		const { clock } = this.#options;
		const ttlMs = await this.#failover.call({ repeatable: true }, async (endpoint, timeoutMs) => {
			const client = this.#client(endpoint);
			const askedMs = clock.nowMs();
			const reply = await unary(client.keepAlive.bind(client), { id }, this.#metadata(), clock, timeoutMs);
			return Number(reply.ttlMs) - (clock.nowMs() - askedMs);
		});
		if (ttlMs <= 0) throw consensusError('IM_CONSENSUS_LEASE_LOST', `lease ${id} has ended`);
		return ttlMs;
	}

	async revokeLease(id: LeaseId): Promise<void> {
		await this.#ask((client) => client.revokeLease.bind(client), { id });
	}

	async compact(revision: number): Promise<void> {
		await this.#ask((client) => client.compact.bind(client), { revision: BigInt(wholeNumber('revision', revision)) });
	}

	async status(): Promise<EngineStatus> {
		return fromStatusReply(await this.#ask((client) => client.status.bind(client), {}));
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		for (const watch of this.#watches) watch.cancel();
		this.#failover.close();
		this.#channels.close();
	}

	/** A call that may be repeated. */
	#ask<Request, Reply>(method: (client: StoreClient) => UnaryMethod<Request, Reply>, request: Request): Promise<Reply> {
		return this.#failover.call({ repeatable: true }, (endpoint, timeoutMs) =>
			unary(method(this.#client(endpoint)), request, this.#metadata(), this.#options.clock, timeoutMs),
		);
	}

	#metadata(): Metadata {
		return clusterMetadata(this.#options.clusterId?.() ?? '');
	}

	#client(endpoint: Endpoint): StoreClient {
		let client = this.#clients.get(endpoint);
		if (client === undefined) {
			const options = { channelOverride: endpoint.channel };
			client = new StoreClient(endpoint.address, this.#options.credentials, options);
			this.#clients.set(endpoint, client);
		}
		return client;
	}

	#stream(
		endpoint: Endpoint,
		{ selection, from, quiet }: { readonly selection: Selection; readonly from: number; readonly quiet: boolean },
		sink: StreamSink,
	): WatchStream {
		const request = { selection: toSelection(selection), fromRevision: BigInt(from), quiet };
		const call = this.#client(endpoint).watch(request, this.#metadata());
		call.on('data', (reply: WatchReply) => {
			sink.alive();
			const revision = Number(reply.revision);
			try {
				if (reply.compacted) sink.compacted(revision);
				else if (reply.events.length > 0) sink.events(reply.events.map(fromEvent), revision);
				else sink.progress(revision, true);
			} catch (error) {
				sink.ended(error);
			}
		});
		call.on('error', (error) => sink.ended(error));
		call.on('end', () => sink.ended(new Error('the watch ended')));
		return { close: () => call.cancel() };
	}
}
