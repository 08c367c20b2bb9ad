// Owns the data-plane worker threads as one: starts them on one port, tells each the same things in the same order, prepares plans on all before
// a single store makes them visible, asks all of them about a decision, and replaces one that dies, taking back what it had in flight.
import { type Transferable, Worker } from 'node:worker_threads';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { CohortDelta } from '../experiments/cohorts/book.js';
import type { DirectorySnapshot } from '../fleet/directory.js';
import { reclaimLedger } from '../fleet/inflight.js';
import type { LoraSet } from '../fleet/lora-sets.js';
import type { AccessSnapshot } from '../mesh/access.js';
import type { RoomChange } from '../router/admission/waiting-room.js';
import type { DataPlaneTls } from '../router/tls.js';
import { registryErrors } from '../strategy/registry/errors.js';
import type { StrategyWorkers } from '../strategy/registry/ports.js';
import type { StrikeReport } from '../strategy/runtime/decision.js';
import type { ExplainedDecision } from '../strategy/runtime/explain-ring.js';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import { GENERATION_WORD, type RoutingPlan } from '../strategy/runtime/plan.js';
import type { StateBlockShared } from '../strategy/runtime/state-block.js';
import type { TrialCounts } from '../strategy/shadow/trial.js';
import { clearGauges } from '../telemetry/block.js';
import type { LogLevel } from '../telemetry/logger.js';
import type { OutcomeBatch } from './outcome-wire.js';
import { withRoomForRequests } from './v8-flags.js';
import type { FromWorker, ToWorker, WorkerStart } from './worker-protocol.js';

export interface WorkerGroupEvents {
	outcomes(batch: OutcomeBatch): void;
	/** Of cohorts of experiments. */
	cohorts(deltas: readonly CohortDelta[]): void;
	strike(strike: StrikeReport): void;
	strategyLog(label: string, text: string): void;
	/** What a worker has counted of shadows. */
	shadows(worker: number, counts: readonly TrialCounts[]): void;
	/** A worker has run dry of a tenant's quota. */
	quotaWanted(tenant: number): void;
	/** What waits and was served at a worker has changed. */
	flows(worker: number, changes: readonly RoomChange[]): void;
	/** A worker ended unasked; it is being replaced. */
	died(worker: number, message: string): void;
}

export interface WorkerGroupOptions {
	readonly prepareTimeoutMs: number;
	readonly explainTimeoutMs: number;
	/** Pause before a dead worker is replaced; doubles while it keeps dying, up to `restartMaxMs`. */
	readonly restartMs: number;
	readonly restartMaxMs: number;
}

export const workerGroupDefaults: WorkerGroupOptions = {
	prepareTimeoutMs: 5000,
	explainTimeoutMs: 1000,
	restartMs: 100,
	restartMaxMs: 10_000,
};

/** A worker that has served this many times the longest restart pause counts as steady again. */
const STEADY_FACTOR = 6;

interface Member {
	readonly index: number;
	thread: Worker;
	listening: boolean;
	/** It has served once: from then on it is replaced when it dies. */
	wanted: boolean;
	deaths: number;
	/** When it began to serve, on the monotonic clock. */
	servingSinceMs: number;
	/** Resolves when its present thread has ended. */
	ended: Promise<void>;
}

/** Starts a worker's thread; what it is told to begin with is its `workerData`. */
export type SpawnWorker = (start: WorkerStart) => Worker;

/** A thread that runs worker.js. */
export const spawnWorker: SpawnWorker = (start) =>
	withRoomForRequests(
		() => new Worker(new URL('./worker.js', import.meta.url), { workerData: start, name: `worker-${start.worker}` }),
	);

/** Gives a new worker all it must know before it listens: strategies, states, directory, plan. */
export type Introduce = (send: (message: ToWorker, transfer?: readonly Transferable[]) => void, worker: number) => void;

export class WorkerGroup implements StrategyWorkers {
	readonly #options: WorkerGroupOptions;
	readonly #clock: Clock;
	readonly #events: WorkerGroupEvents;
	readonly #makeStart: (worker: number, port: number) => WorkerStart;
	readonly #introduce: Introduce;
	readonly #spawn: SpawnWorker;
	readonly #control: Int32Array;
	readonly #members: Member[] = [];
	readonly #prepares = new Map<
		number,
		{ readonly plan: RoutingPlan; readonly waiting: Set<number>; readonly settle: (error: string | undefined) => void }
	>();
	readonly #queries = new Map<
		number,
		{ left: number; readonly settle: (decision: ExplainedDecision | undefined) => void }
	>();
	readonly #timers = new Set<Timer>();
	#nextQuery = 1;
	#port = 0;
	#closing = false;

	constructor(
		options: WorkerGroupOptions,
		clock: Clock,
		control: SharedArrayBuffer,
		makeStart: (worker: number, port: number) => WorkerStart,
		introduce: Introduce,
		events: WorkerGroupEvents,
		spawn: SpawnWorker = spawnWorker,
	) {
		this.#options = options;
		this.#clock = clock;
		this.#control = new Int32Array(control);
		this.#makeStart = makeStart;
		this.#introduce = introduce;
		this.#spawn = spawn;
		this.#events = events;
	}

	get port(): number {
		return this.#port;
	}

	/** Workers that accept connections. */
	get listening(): number {
		return this.#members.filter((member) => member.listening).length;
	}

	/** Starts `count` workers; the first one's port is everybody's. Rejects when one cannot listen. */
	async start(count: number, port: number): Promise<void> {
		this.#port = port;
		for (let index = 0; index < count; index++) this.#port = await this.#launch(index);
	}

	#launch(index: number): Promise<number> {
		return new Promise((resolve, reject) => {
			const thread = this.#spawn(this.#makeStart(index, this.#port));
			const known = this.#members[index];
			const member: Member = known ?? {
				index,
				thread,
				listening: false,
				wanted: false,
				deaths: 0,
				servingSinceMs: 0,
				ended: Promise.resolve(),
			};
			member.thread = thread;
			this.#members[index] = member;
			thread.on('message', (message: FromWorker) => {
				if (message.kind === 'listening') {
					member.listening = true;
					member.servingSinceMs = this.#clock.nowMs();
					member.wanted = true;
					resolve(message.port);
				} else if (message.kind === 'failed') {
					// It cannot listen: its end, like any other, schedules the next try once it has been wanted.
					reject(new Error(message.message));
					void thread.terminate();
				} else this.#receive(member, message);
			});
			let reason = 'it ended';
			thread.once('error', (error) => {
				reason = error instanceof Error ? error.message : String(error);
				reject(error instanceof Error ? error : new Error(reason));
			});
			member.ended = new Promise((ended) => {
				thread.once('exit', () => {
					this.#ended(member, thread, reason);
					ended();
				});
			});
			this.#introduce((message, transfer = []) => thread.postMessage(message, transfer), index);
			// A plan on its way may be stored before this worker's first decision.
			for (const { plan } of this.#prepares.values()) thread.postMessage({ kind: 'prepare', plan } satisfies ToWorker);
			thread.postMessage({ kind: 'listen' } satisfies ToWorker);
		});
	}

	#receive(member: Member, message: FromWorker): void {
		switch (message.kind) {
			case 'outcomes':
				this.#events.outcomes(message.batch);
				break;
			case 'cohorts':
				this.#events.cohorts(message.deltas);
				break;
			case 'strike':
				this.#events.strike(message.strike);
				break;
			case 'strategyLog':
				this.#events.strategyLog(message.label, message.text);
				break;
			case 'shadows':
				this.#events.shadows(member.index, message.counts);
				break;
			case 'quotaWanted':
				this.#events.quotaWanted(message.tenant);
				break;
			case 'flows':
				this.#events.flows(member.index, message.flows);
				break;
			case 'prepared':
				this.#prepared(member.index, message.generation, message.error);
				break;
			case 'explained':
				this.#explained(message.query, message.decision);
				break;
			case 'listening':
			case 'failed':
			case 'closed':
				break;
		}
	}

	/** A worker thread is gone. Unless the group is closing, its in-flight share is taken back and another takes its place. */
	#ended(member: Member, thread: Worker, reason: string): void {
		if (member.thread !== thread) return;
		member.listening = false;
		// A dead worker holds up no plan: the one that takes its place begins with it.
		for (const generation of this.#prepares.keys()) this.#prepared(member.index, generation, undefined);
		if (this.#closing || !member.wanted) return;
		const { inflight, metrics } = this.#makeStart(member.index, this.#port);
		reclaimLedger(inflight, member.index);
		clearGauges(metrics);
		this.#events.died(member.index, reason);
		// A worker that served for a good while before it died starts over with short pauses.
		const servedMs = this.#clock.nowMs() - member.servingSinceMs;
		if (servedMs > STEADY_FACTOR * this.#options.restartMaxMs) member.deaths = 0;
		const delayMs = Math.min(this.#options.restartMaxMs, this.#options.restartMs * 2 ** member.deaths);
		member.deaths++;
		const timer = this.#clock.after(delayMs, () => {
			this.#timers.delete(timer);
			if (this.#closing) return;
			// A failed start ends the thread too, and that end schedules the next try.
			this.#launch(member.index).catch(() => undefined);
		});
		this.#timers.add(timer);
	}

	#all(message: ToWorker): void {
		for (const member of this.#members) member.thread.postMessage(message);
	}

	/** Tells one worker; nothing happens when there is none. */
	tell(worker: number, message: ToWorker): void {
		this.#members[worker]?.thread.postMessage(message);
	}

	addStrategy(strategy: StrategyModule): void {
		this.#all({ kind: 'strategy', strategy });
	}

	addState(versionId: number, poolIndex: number, shared: StateBlockShared): void {
		this.#all({ kind: 'state', versionId, poolIndex, shared });
	}

	removeStrategy(versionId: number): void {
		this.#all({ kind: 'forget', versionId });
	}

	loras(sets: readonly LoraSet[]): void {
		this.#all({ kind: 'loras', sets });
	}

	directory(snapshot: DirectorySnapshot): void {
		this.#all({ kind: 'directory', snapshot });
	}

	access(access: AccessSnapshot): void {
		this.#all({ kind: 'access', ...access });
	}

	quotaGranted(tenants: readonly number[]): void {
		this.#all({ kind: 'quotaGranted', tenants });
	}

	tls(tls: DataPlaneTls): void {
		this.#all({ kind: 'tls', tls });
	}

	logLevel(level: LogLevel): void {
		this.#all({ kind: 'logLevel', level });
	}

	async commit(plan: RoutingPlan): Promise<void> {
		const waiting = new Set(this.#members.filter((member) => member.listening).map((member) => member.index));
		await new Promise<void>((resolve, reject) => {
			const settle = (error: string | undefined): void => {
				timer.cancel();
				this.#prepares.delete(plan.generation);
				if (error === undefined) resolve();
				else reject(new MeshError(registryErrors, 'IM_STRATEGY_PREPARE', `a worker could not prepare: ${error}`));
			};
			const timer = this.#clock.after(this.#options.prepareTimeoutMs, () => settle('it did not answer in time'));
			this.#prepares.set(plan.generation, { plan, waiting, settle });
			// Also to workers that are still starting: what they were introduced with may be older.
			this.#all({ kind: 'prepare', plan });
			if (waiting.size === 0) settle(undefined);
		});
		// The one store that makes the plan visible to all workers, between two decisions of each.
		Atomics.store(this.#control, GENERATION_WORD, plan.generation);
	}

	#prepared(worker: number, generation: number, error: string | undefined): void {
		const prepare = this.#prepares.get(generation);
		if (prepare === undefined) return;
		if (error !== undefined) {
			prepare.settle(error);
			return;
		}
		prepare.waiting.delete(worker);
		if (prepare.waiting.size === 0) prepare.settle(undefined);
	}

	/** Asks every worker; the first that remembers the decision answers. */
	explain(decisionId: string): Promise<ExplainedDecision | undefined> {
		const asked = this.#members.filter((member) => member.listening);
		if (asked.length === 0) return Promise.resolve(undefined);
		return new Promise((resolve) => {
			const query = this.#nextQuery++;
			const settle = (decision: ExplainedDecision | undefined): void => {
				timer.cancel();
				this.#queries.delete(query);
				resolve(decision);
			};
			const timer = this.#clock.after(this.#options.explainTimeoutMs, () => settle(undefined));
			this.#queries.set(query, { left: asked.length, settle });
			for (const member of asked) member.thread.postMessage({ kind: 'explain', query, decisionId } satisfies ToWorker);
		});
	}

	#explained(query: number, decision: ExplainedDecision | undefined): void {
		const waiting = this.#queries.get(query);
		if (waiting === undefined) return;
		waiting.left--;
		if (decision !== undefined || waiting.left === 0) waiting.settle(decision);
	}

	/** Stops accepting, lets streams finish for `graceMs`, then ends all threads. */
	async close(graceMs: number): Promise<void> {
		this.#closing = true;
		for (const timer of this.#timers) timer.cancel();
		await Promise.all(
			this.#members.map(async (member) => {
				const overdue = this.#clock.after(graceMs + 2000, () => void member.thread.terminate());
				member.thread.postMessage({ kind: 'close', graceMs } satisfies ToWorker);
				await member.ended;
				overdue.cancel();
			}),
		);
	}
}
