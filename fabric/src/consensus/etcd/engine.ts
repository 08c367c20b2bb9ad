// Owns the engine on an existing etcd cluster (3.4 and later), which it shares with others under a key prefix. What etcd is asked for and what it
// means is here; connections, failover and resuming are those of every client (client/).
//
// `compact` compacts the whole cluster, and history is kept as long as the cluster's own compaction keeps it. Transactions have the store's bounds,
// except that deletions by prefix are not counted.
import type { Metadata } from '@grpc/grpc-js';
import { MeshError, type Random } from '@infermesh/proto';
import type { RangeResponse } from '@infermesh/proto/etcd/etcdserverpb/rpc';
import { checkedKey, wholeNumber } from '../../store/command-codec.js';
import { storeErrors } from '../../store/errors.js';
import { readItemsMax } from '../../store/limits.js';
import { checkRead, checkSelection, checkTransaction, checkTtl } from '../checks.js';
import { Channels, type ChannelsOptions, type Endpoint } from '../client/channels.js';
import { Failover } from '../client/failover.js';
import { ResumingWatch, silenceDefaultMs } from '../client/resuming-watch.js';
import { type UnaryMethod, unary } from '../client/unary.js';
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
import { consensusError, hasCode } from '../errors.js';
import { answerTooLarge, judgeEtcd } from './judge.js';
import { keepAliveOnce } from './keep-alive.js';
import { EtcdKeys, type Range } from './keys.js';
import { type EtcdLogin, type EtcdMember, EtcdMembers } from './members.js';
import { fromKeyValue, fromTxn, leaseNumber, toTxn } from './messages.js';
import { etcdStatus, noSpaceIn } from './status.js';
import { EtcdWatchStream } from './watch-stream.js';

export const etcdPrefixDefault = 'infermesh/';
/** Keys with values of one answer; those without go up to the store's own limit. */
const pageItems = 1_000;
const loginTimeoutMs = 5_000;
/** A member that does not answer for so long counts as down. */
const healthTimeoutMs = 1_500;

export interface EtcdEngineOptions extends ChannelsOptions {
	readonly random: Random;
	/** Under which our keys lie, at least one character; `etcdPrefixDefault` if not given. */
	readonly prefix?: string;
	readonly login?: EtcdLogin;
	/** Told of streams that broke and of watch handlers that throw. */
	readonly fault: (error: unknown) => void;
}

/** One member as it answers for itself. */
export interface EtcdMemberHealth {
	/** `host:port`, as it was configured. */
	readonly address: string;
	readonly answers: boolean;
	/** Whether it sees a leader; false where it does not answer. */
	readonly hasLeader: boolean;
	/** An alarm stands that makes the cluster refuse writes for want of space, as far as this member knows. */
	readonly noSpace: boolean;
}

interface AskOptions {
	readonly repeatable: boolean;
	readonly timeoutMs?: number;
	/** False for what a member without a leader can answer. */
	readonly requireLeader?: boolean;
}

export class EtcdEngine implements ConsensusEngine {
	readonly #options: EtcdEngineOptions;
	readonly #keys: EtcdKeys;
	readonly #channels: Channels;
	readonly #members: EtcdMembers;
	readonly #failover: Failover;
	readonly #watches = new Set<ResumingWatch>();
	#closed = false;
	/** The highest that etcd has told; it cannot be asked. */
	#compactedRevision = 0;

	constructor(options: EtcdEngineOptions) {
		this.#options = options;
		this.#keys = new EtcdKeys(checkedKey(options.prefix ?? etcdPrefixDefault));
		this.#channels = new Channels(options);
		this.#members = new EtcdMembers(options.credentials, options.clock, options.login);
		const { clock, random } = options;
		this.#failover = new Failover({ channels: this.#channels, clock, random, judge: judgeEtcd });
	}

	async read(selection: Selection, options: ReadOptions = {}): Promise<ReadResult> {
		checkRead(selection, options);
		const range = this.#keys.range(selection, options.after);
		// Nothing can lie there, but the answer has a revision, and needs a quorum, all the same.
		const asked = range ?? { key: this.#keys.toEtcd(''), rangeEnd: new Uint8Array(0) };
		const wanted = Math.min(options.limit ?? readItemsMax, options.keysOnly === true ? readItemsMax : pageItems);
		const response = await this.#range(asked, wanted, options);
		return {
			items: range === undefined ? [] : response.kvs.map((item) => fromKeyValue(this.#keys, item)),
			more: range !== undefined && response.more,
			revision: Number(response.header?.revision ?? 0n),
		};
	}

	async transact(transaction: Transaction, options: { readonly timeoutMs?: number } = {}): Promise<TransactionResult> {
		checkTransaction(transaction);
		const request = toTxn(this.#keys, transaction);
		const ask = { ...options, repeatable: false };
		return fromTxn(this.#keys, await this.#ask(ask, ({ kv }) => kv.txn.bind(kv), request));
	}

	watch(selection: Selection, fromRevision: number, handlers: WatchHandlers): Watch {
		if (this.#closed) throw consensusError('IM_CONSENSUS_CLOSED');
		checkSelection(selection);
		const { clock, random, fault } = this.#options;
		const range = this.#keys.range(selection) as Range;
		const watch = new ResumingWatch({
			channels: this.#channels,
			clock,
			random,
			fault: (error) => {
				this.#members.note(error);
				fault(error);
			},
			fromRevision,
			silenceMaxMs: silenceDefaultMs,
			handlers: {
				...handlers,
				onCompacted: (revision) => {
					this.#compactedRevision = Math.max(this.#compactedRevision, revision);
					handlers.onCompacted(revision);
				},
			},
			open: (endpoint, from, sink) => {
				const client = this.#members.at(endpoint).watch;
				return new EtcdWatchStream({
					keys: this.#keys,
					range,
					fromRevision: from,
					clock,
					sink,
					open: (metadata) => client.watch(metadata),
					metadata: this.#members.metadata(endpoint, loginTimeoutMs, true),
				});
			},
			onEnd: (ended) => this.#watches.delete(ended),
		});
		this.#watches.add(watch);
		return watch;
	}

	/** etcd counts in seconds and grants no less than its election timeout. A lease of a call that is repeated is left to expire. */
	async grantLease(ttlMs: number): Promise<Lease> {
		checkTtl(ttlMs);
		const request = { TTL: BigInt(Math.ceil(ttlMs / 1_000)), ID: 0n };
		const reply = await this.#ask({ repeatable: true }, ({ lease }) => lease.leaseGrant.bind(lease), request);
		return { id: reply.ID.toString(), ttlMs: Number(reply.TTL) * 1_000 };
	}

	/** Counted from before the question, so that time spent on the way, or stopped, does not make a lease look longer than it is. */
	async keepAlive(id: LeaseId): Promise<number> {
		const number = leaseNumber(id);
		if (number === undefined) throw consensusError('IM_CONSENSUS_LEASE_LOST', `there is no lease ${id}`);
		const { clock } = this.#options;
		const ttlMs = await this.#failover.call({ repeatable: true }, async (endpoint, timeoutMs) => {
			const metadata = await this.#metadata(endpoint, timeoutMs, true);
			const askedMs = clock.nowMs();
			const seconds = await keepAliveOnce(this.#members.at(endpoint).lease, number, metadata, clock, timeoutMs);
			return seconds * 1_000 - (clock.nowMs() - askedMs);
		});
		if (ttlMs <= 0) throw consensusError('IM_CONSENSUS_LEASE_LOST', `lease ${id} has ended`);
		return ttlMs;
	}

	async revokeLease(id: LeaseId): Promise<void> {
		const number = leaseNumber(id);
		if (number === undefined) return;
		try {
			await this.#ask({ repeatable: true }, ({ lease }) => lease.leaseRevoke.bind(lease), { ID: number });
		} catch (error) {
			if (!hasCode(error, 'IM_CONSENSUS_LEASE_LOST')) throw error;
		}
	}

	async compact(revision: number): Promise<void> {
		const request = { revision: BigInt(wholeNumber('revision', revision)), physical: false };
		try {
			await this.#ask({ repeatable: true }, ({ kv }) => kv.compact.bind(kv), request);
			this.#compactedRevision = Math.max(this.#compactedRevision, revision);
		} catch (error) {
			if (!hasCode(error, 'IM_CONSENSUS_COMPACTED')) throw error;
		}
	}

	/** As one member sees it; `quorum` is whether it answers a linearizable read. */
	async status(): Promise<EngineStatus> {
		const quorum = await this.read({ key: 'status' }).then(
			() => true,
			(error: unknown) => {
				if (hasCode(error, 'IM_CONSENSUS_DENIED') || hasCode(error, 'IM_CONSENSUS_CLOSED')) throw error;
				return false;
			},
		);
		const { revision } = await this.read({ key: 'status' }, { consistency: 'serializable' });
		const options = { repeatable: true, requireLeader: false };
		const status = await this.#ask(options, ({ maintenance }) => maintenance.status.bind(maintenance), {});
		const list = await this.#ask(options, ({ cluster }) => cluster.memberList.bind(cluster), {});
		return etcdStatus(status, list, { revision, quorum, compactedRevision: this.#compactedRevision });
	}

	/** Every member asked for itself, in the order of the addresses. Never rejects. */
	health(): Promise<readonly EtcdMemberHealth[]> {
		return Promise.all(this.#channels.all().map((endpoint) => this.#healthOf(endpoint)));
	}

	async #healthOf(endpoint: Endpoint): Promise<EtcdMemberHealth> {
		const { address } = endpoint;
		const { maintenance } = this.#members.at(endpoint);
		try {
			const metadata = await this.#metadata(endpoint, healthTimeoutMs, false);
			const ask = maintenance.status.bind(maintenance);
			const { leader, errors } = await unary(ask, {}, metadata, this.#options.clock, healthTimeoutMs);
			return { address, answers: true, hasLeader: leader !== 0n, noSpace: noSpaceIn(errors) };
		} catch (error) {
			this.#members.note(error);
			return { address, answers: false, hasLeader: false, noSpace: false };
		}
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		for (const watch of this.#watches) watch.cancel();
		this.#failover.close();
		this.#channels.close();
	}

	/** etcd bounds answers by count only: one that is over what a message may hold is asked for again by half. */
	async #range(range: Range, limit: number, options: ReadOptions): Promise<RangeResponse> {
		const serializable = options.consistency === 'serializable';
		const ask = { repeatable: true, requireLeader: !serializable };
		for (let count = limit; ; count = Math.ceil(count / 2)) {
			const request = {
				...range,
				limit: BigInt(count),
				revision: BigInt(options.revision ?? 0),
				serializable,
				keysOnly: options.keysOnly ?? false,
			};
			try {
				return await this.#ask(ask, ({ kv }) => kv.range.bind(kv), request);
			} catch (error) {
				const cause = error instanceof MeshError ? error.cause : undefined;
				if (!answerTooLarge(cause)) throw error;
				if (count === 1) throw new MeshError(storeErrors, 'IM_STORE_ANSWER_TOO_LARGE', undefined, { cause });
			}
		}
	}

	#ask<Request, Reply>(
		{ requireLeader = true, ...options }: AskOptions,
		method: (member: EtcdMember) => UnaryMethod<Request, Reply>,
		request: Request,
	): Promise<Reply> {
		return this.#failover.call(options, async (endpoint, timeoutMs) => {
			const metadata = await this.#metadata(endpoint, timeoutMs, requireLeader);
			try {
				const call = method(this.#members.at(endpoint));
				return await unary(call, request, metadata, this.#options.clock, timeoutMs);
			} catch (error) {
				this.#members.note(error);
				throw error;
			}
		});
	}

	#metadata(endpoint: Endpoint, timeoutMs: number, requireLeader: boolean): Promise<Metadata> {
		return this.#members.metadata(endpoint, timeoutMs, requireLeader);
	}
}
