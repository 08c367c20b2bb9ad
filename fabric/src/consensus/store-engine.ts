// Owns the ConsensusEngine of a member: the contract's calls turned into commands for a replicator and into reads of the member's own store,
// with watches, lease renewal in batches, and expiry while the member leads. What replicates is behind `Replicator`.
import type { Clock, Random, Timer } from '@infermesh/proto';
import { type Command, type Result, requestIdBytes } from '../store/command.js';
import { checkedKey, checkedPrefix, encodeCommand } from '../store/command-codec.js';
import { LeaseClock } from '../store/lease-clock.js';
import { leasesPerCommandMax } from '../store/limits.js';
import { decodeResult } from '../store/result-codec.js';
import type { Store } from '../store/store.js';
import { WatchHub } from '../store/watch-hub.js';
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
} from './engine.js';
import { consensusError } from './errors.js';
import { refusalOf } from './refusals.js';
import type { Replicator } from './replicator.js';

export const callTimeoutDefaultMs = 5_000;
/** Calls under way on one engine, beyond which IM_CONSENSUS_LIMIT. */
const callsMax = 10_000;
const progressEveryMs = 2_000;
/** Leases that were given time, or taken over, are looked at so soon: their time counts from there. */
const leasesSoonMs = 200;
/** They are looked at so often whatever has been heard of them. */
const leasesLookMs = 1_000;

export interface StoreEngineOptions {
	readonly store: Store;
	readonly replicator: Replicator;
	readonly clock: Clock;
	/** Names requests, so it must differ between members and between starts. */
	readonly random: Random;
	/** Told of faults that no caller sees: a watch handler that throws. */
	readonly fault: (error: unknown) => void;
}

interface Renewal {
	readonly id: LeaseId;
	readonly resolve: (ttlMs: number) => void;
	readonly reject: (error: unknown) => void;
}

export class StoreEngine implements ConsensusEngine {
	readonly #options: StoreEngineOptions;
	readonly #hub: WatchHub;
	readonly #leaseClock: LeaseClock;
	readonly #progress: Timer;
	#expiry: Timer | undefined;
	/** When `#expiry` comes. */
	#expiryMs = Number.POSITIVE_INFINITY;
	#pumpTimer: Timer | undefined;
	#calls = 0;
	#closed = false;
	/** Renewals that wait for the one command under way. */
	#renewals: Renewal[] = [];
	#renewing = false;

	constructor(options: StoreEngineOptions) {
		const { store, replicator, clock, fault } = options;
		this.#options = options;
		this.#hub = new WatchHub(store, fault);
		this.#leaseClock = new LeaseClock(store);
		replicator.onApplied(() => this.#applied());
		this.#progress = clock.every(progressEveryMs, () => this.#hub.progress(), { unref: true });
		this.#expireAt(clock.nowMs() + leasesSoonMs);
	}

	async read(selection: Selection, options: ReadOptions = {}): Promise<ReadResult> {
		const { store, replicator } = this.#options;
		return this.#call(async () => {
			if (options.consistency !== 'serializable') await replicator.readBarrier(callTimeoutDefaultMs);
			return store.read(selection, options);
		});
	}

	async transact(
		transaction: Transaction,
		{ timeoutMs = callTimeoutDefaultMs }: { readonly timeoutMs?: number } = {},
	): Promise<TransactionResult> {
		const result = await this.#run({ kind: 'transact', transaction }, 'transaction', timeoutMs);
		return { held: result.held, revision: result.revision, results: result.results };
	}

	watch(selection: Selection, fromRevision: number, handlers: WatchHandlers): Watch {
		if (this.#closed) throw consensusError('IM_CONSENSUS_CLOSED');
		if ('key' in selection) checkedKey(selection.key);
		else checkedPrefix(selection.prefix);
		const watch = this.#hub.watch(selection, fromRevision, handlers);
		this.#pumpSoon();
		return watch;
	}

	async grantLease(ttlMs: number): Promise<Lease> {
		const { id, ttlMs: granted } = await this.#run({ kind: 'grant', ttlMs: Math.ceil(ttlMs) }, 'lease');
		return { id, ttlMs: granted };
	}

	/** Renewals go through the log, so a deposed leader renews nothing; those that arrive while one is under way share the next. */
	async keepAlive(id: LeaseId): Promise<number> {
		const ttlMs = await this.#call(
			() =>
				new Promise<number>((resolve, reject) => {
					this.#renewals.push({ id, resolve, reject });
					if (!this.#renewing) void this.#renew();
				}),
		);
		if (ttlMs === 0) throw consensusError('IM_CONSENSUS_LEASE_LOST', `lease ${id} has ended`);
		return ttlMs;
	}

	async revokeLease(id: LeaseId): Promise<void> {
		await this.#run({ kind: 'revoke', id }, 'done');
	}

	async compact(revision: number): Promise<void> {
		await this.#run({ kind: 'compact', revision }, 'done');
	}

	async status(): Promise<EngineStatus> {
		const { store, replicator } = this.#options;
		return {
			engine: 'raft',
			clusterId: store.clusterId,
			revision: store.revision,
			compactedRevision: store.compactedRevision,
			noSpace: store.noSpace,
			...replicator.status(),
		};
	}

	/** Ends watches without a word and closes the replicator. Calls under way end as the replicator ends them. */
	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		this.#progress.cancel();
		this.#expiry?.cancel();
		this.#pumpTimer?.cancel();
		await this.#options.replicator.close();
	}

	async #run<K extends Result['kind']>(
		command: Command,
		kind: K,
		timeoutMs = callTimeoutDefaultMs,
	): Promise<Extract<Result, { kind: K }>> {
		const bytes = encodeCommand(command, this.#requestId());
		const result = decodeResult(await this.#call(() => this.#options.replicator.propose(bytes, timeoutMs)));
		if (result.kind === 'refused') throw refusalOf(result.code, result.message);
		if (result.kind !== kind) throw consensusError('IM_CONSENSUS_INTERNAL', `${kind} was answered with ${result.kind}`);
		return result as Extract<Result, { kind: K }>;
	}

	async #call<T>(work: () => Promise<T>): Promise<T> {
		if (this.#closed) throw consensusError('IM_CONSENSUS_CLOSED');
		if (this.#calls >= callsMax) throw consensusError('IM_CONSENSUS_LIMIT', `at most ${callsMax} calls at once`);
		this.#calls++;
		try {
			return await work();
		} finally {
			this.#calls--;
		}
	}

	async #renew(): Promise<void> {
		this.#renewing = true;
		while (this.#renewals.length > 0) {
			const batch = this.#renewals.splice(0, leasesPerCommandMax);
			try {
				const bytes = encodeCommand({ kind: 'renew', ids: batch.map(({ id }) => id) });
				const result = decodeResult(await this.#options.replicator.propose(bytes, callTimeoutDefaultMs));
				if (result.kind !== 'renewed') throw consensusError('IM_CONSENSUS_INTERNAL', `renewal: ${result.kind}`);
				batch.forEach(({ resolve }, at) => resolve(result.ttlsMs[at] ?? 0));
			} catch (error) {
				for (const { reject } of batch) reject(error);
			}
		}
		this.#renewing = false;
	}

	/** An expiry that fails is due again; a leader that has lost its place has nothing to say. */
	#expire(): void {
		const { clock, replicator } = this.#options;
		const nowMs = clock.nowMs();
		const leases = this.#leaseClock.due(nowMs, replicator.leads());
		const nextMs = Math.min(this.#leaseClock.nextMs, nowMs + leasesLookMs);
		this.#expireAt(Math.max(nextMs, nowMs + leasesSoonMs));
		if (leases.length === 0) return;
		const bytes = encodeCommand({ kind: 'expire', leases });
		replicator.propose(bytes, callTimeoutDefaultMs).catch(() => undefined);
	}

	/** Sets the timer, unless it comes sooner already. */
	#expireAt(atMs: number): void {
		if (this.#closed || atMs >= this.#expiryMs) return;
		const { clock } = this.#options;
		this.#expiry?.cancel();
		this.#expiryMs = atMs;
		const look = (): void => {
			this.#expiryMs = Number.POSITIVE_INFINITY;
			this.#expire();
		};
		this.#expiry = clock.after(Math.max(0, atMs - clock.nowMs()), look, { unref: true });
	}

	#applied(): void {
		const { clock, replicator } = this.#options;
		if (this.#leaseClock.stale(replicator.leads())) this.#expireAt(clock.nowMs() + leasesSoonMs);
		this.#pump();
	}

	#pump(): void {
		if (!this.#closed && this.#hub.pump()) this.#pumpSoon();
	}

	#pumpSoon(): void {
		this.#pumpTimer ??= this.#options.clock.after(0, () => {
			this.#pumpTimer = undefined;
			this.#pump();
		});
	}

	#requestId(): Uint8Array {
		const id = new DataView(new ArrayBuffer(requestIdBytes));
		for (let at = 0; at < requestIdBytes; at += 4) id.setUint32(at, this.#options.random.nextU32());
		return new Uint8Array(id.buffer);
	}
}
