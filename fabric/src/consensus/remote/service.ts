// Owns the gRPC service `infermesh.store.v1.Store` over any engine of the contract. Whoever adds it to a server decides who may call it.
import type { handleUnaryCall, ServerWritableStream, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import type * as wire from '@infermesh/proto/grpc/store/v1/store';
import { foreignCaller } from '../cluster-id.js';
import type { ConsensusEngine, StoreEvent, Watch } from '../engine.js';
import { consensusError } from '../errors.js';
import {
	fromReadRequest,
	fromSelection,
	fromTransactRequest,
	toEvent,
	toKeyValue,
	toStatusReply,
	toTransactReply,
} from './messages.js';
import { toStatus } from './status.js';

/** Of the engine's signs of life, which come every few seconds, a quiet watch passes on one in so many: twice a minute. */
const SIGNS_PER_QUIET = 15;
/** Watches open at one service. */
const WATCHES_MAX = 10_000;
/** A message of events is closed after the revision that fills it. */
const messageBytes = 1 << 20;

type WatchCall = ServerWritableStream<wire.WatchRequest, wire.WatchReply>;

export interface StoreServiceOptions {
	/** Id of the cluster whose state this is; callers of another one are refused. Empty while it has none. */
	readonly clusterId?: () => string;
	readonly watchesMax?: number;
}

/** Handlers for `server.addService(StoreService, storeService(engine))`. */
export function storeService(
	engine: ConsensusEngine,
	{ clusterId = () => '', watchesMax = WATCHES_MAX }: StoreServiceOptions = {},
): UntypedServiceImplementation {
	const watches = new Set<WatchFeed>();
	const answering = <Request, Reply>(answer: (request: Request) => Promise<Reply>): handleUnaryCall<Request, Reply> => {
		return (call, callback) => {
			const refusal = foreignCaller(clusterId(), call.metadata);
			void reply(refusal === undefined ? answer(call.request) : Promise.reject(refusal), callback);
		};
	};
	return {
		read: answering<wire.ReadRequest, wire.ReadReply>(async (request) => {
			const { items, more, revision } = await engine.read(fromSelection(request.selection), fromReadRequest(request));
			return { items: items.map(toKeyValue), more, revision: BigInt(revision) };
		}),
		transact: answering<wire.TransactRequest, wire.TransactReply>(async (request) => {
			const options = request.timeoutMs === 0 ? {} : { timeoutMs: request.timeoutMs };
			return toTransactReply(await engine.transact(fromTransactRequest(request), options));
		}),
		watch: (call: WatchCall) => {
			const foreign = foreignCaller(clusterId(), call.metadata);
			if (foreign !== undefined) {
				call.emit('error', toStatus(foreign));
				return;
			}
			if (watches.size >= watchesMax) {
				call.emit('error', toStatus(consensusError('IM_CONSENSUS_LIMIT', `at most ${watchesMax} watches`)));
				return;
			}
			const feed = new WatchFeed(engine, call, () => watches.delete(feed));
			watches.add(feed);
			feed.begin();
		},
		grantLease: answering<wire.GrantLeaseRequest, wire.LeaseReply>(async (request) => {
			const { id, ttlMs } = await engine.grantLease(Number(request.ttlMs));
			return { id, ttlMs: BigInt(Math.floor(ttlMs)) };
		}),
		keepAlive: answering<wire.LeaseRequest, wire.LeaseReply>(async ({ id }) => ({
			id,
			ttlMs: BigInt(Math.floor(await engine.keepAlive(id))),
		})),
		revokeLease: answering<wire.LeaseRequest, wire.RevokeLeaseReply>(async ({ id }) => {
			await engine.revokeLease(id);
			return {};
		}),
		compact: answering<wire.CompactRequest, wire.CompactReply>(async ({ revision }) => {
			await engine.compact(Number(revision));
			return {};
		}),
		status: answering<wire.StatusRequest, wire.StatusReply>(async () => toStatusReply(await engine.status())),
	};
}

async function reply<Reply>(answer: Promise<Reply>, callback: sendUnaryData<Reply>): Promise<void> {
	let value: Reply;
	try {
		value = await answer;
	} catch (error) {
		callback(toStatus(error));
		return;
	}
	callback(null, value);
}

/**
 * One watch on its way to a client. Nothing is queued for a client that reads slowly: its watch is taken off the engine and begun anew, from the
 * last revision that was sent, once the client has caught up; if that is compacted by then, it is told so.
 */
class WatchFeed {
	readonly #engine: ConsensusEngine;
	readonly #call: WatchCall;
	readonly #ended: () => void;
	#watch: Watch | undefined;
	#sent = 0;
	#signs = 0;
	#over = false;

	constructor(engine: ConsensusEngine, call: WatchCall, ended: () => void) {
		this.#engine = engine;
		this.#call = call;
		this.#ended = ended;
		for (const sign of ['cancelled', 'close', 'error', 'finish']) call.on(sign, () => this.#end());
		call.on('drain', () => this.#resume());
	}

	begin(): void {
		this.#sent = Number(this.#call.request.fromRevision);
		this.#resume();
	}

	#resume(): void {
		if (this.#over || this.#watch !== undefined) return;
		try {
			this.#watch = this.#engine.watch(fromSelection(this.#call.request.selection), this.#sent, {
				onEvents: (events, revision) => this.#send(events, revision),
				onProgress: (revision) => this.#sign(revision),
				onCompacted: (revision) => {
					this.#call.write({ events: [], revision: BigInt(revision), compacted: true });
					this.#call.end();
					this.#end();
				},
			});
		} catch (error) {
			// Listened to above: it ends this feed too.
			this.#call.emit('error', toStatus(error));
		}
	}

	/** The first is passed on at once: the watch is up. */
	#sign(revision: number): void {
		const due = !this.#call.request.quiet || this.#signs % SIGNS_PER_QUIET === 0;
		this.#signs++;
		if (due) this.#write({ events: [], revision: BigInt(revision), compacted: false });
	}

	/** Cuts between revisions, never inside one. */
	#send(events: readonly StoreEvent[], revision: number): void {
		let message: wire.StoreEvent[] = [];
		let bytes = 0;
		let last = 0;
		for (const event of events) {
			const at = event.kind === 'put' ? event.current.modRevision : event.modRevision;
			if (bytes > messageBytes && at !== last) {
				if (!this.#write({ events: message, revision: BigInt(last), compacted: false })) return;
				message = [];
				bytes = 0;
			}
			message.push(toEvent(event));
			bytes += 600 + (event.kind === 'put' ? event.current.value.length : 0);
			last = at;
		}
		this.#write({ events: message, revision: BigInt(revision), compacted: false });
	}

	/** False when the client has to catch up first; what was handed over is sent all the same. */
	#write(reply: wire.WatchReply): boolean {
		if (this.#over) return false;
		this.#sent = Math.max(this.#sent, Number(reply.revision));
		if (this.#call.write(reply)) return true;
		this.#watch?.cancel();
		this.#watch = undefined;
		return false;
	}

	#end(): void {
		if (this.#over) return;
		this.#over = true;
		this.#watch?.cancel();
		this.#watch = undefined;
		this.#ended();
	}
}
