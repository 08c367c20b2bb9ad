// Owns the questions "are tenants served by their weights over all routers, and bands in their order?", in virtual time from a seed: engines that serve so many requests at once and queue the
// rest, and routers with the waiting room, turns, learned limits, exchange of load and of flows of real ones. What stands between is the rig's time.
import { SeededRandom } from '@infermesh/proto';
import { createInflight, InflightReader, InflightWriter, REQUESTS } from '../fleet/inflight.js';
import { NameTable } from '../fleet/interner.js';
import { FlowExchange, PEER_FLOWS_MAX } from '../main/flow-exchange.js';
import { MeshTurns } from '../router/admission/mesh-turns.js';
import { admissionDefaults } from '../router/admission/options.js';
import { createTargetLimits, nextLimit, TargetLimits } from '../router/admission/target-limits.js';
import { WaitingRoom } from '../router/admission/waiting-room.js';
import type { ModelPool } from '../router/ports.js';
import { EventClass, EventQueue } from '../simulator/world/event-queue.js';
import { SimClock, toUs } from '../simulator/world/sim-clock.js';
import { LoadBook } from './book.js';
import { OwnChanges } from './changes.js';
import { RemoteShare } from './remote-share.js';
import { LoadTeller } from './teller.js';

export interface RigTenant {
	readonly name: string;
	readonly weight: number;
	/** Requests a second at each router, in the order of routers. */
	readonly ratePerS: readonly number[];
	/** Mean length of its answers. */
	readonly tokensOut: number;
	/** Of its requests; default: normal. */
	readonly band?: number;
}

export interface SharesRigOptions {
	readonly seed: number;
	readonly routers: number;
	readonly engines: number;
	/** Requests an engine serves at once. */
	readonly sequences: number;
	readonly tenants: readonly RigTenant[];
	/** Requests at an engine from all routers, set by hand; default: learned. */
	readonly requestsMax?: number;
	/** Routers tell each other what waits and what they served. */
	readonly exchange: boolean;
	/** But this one, which speaks as routers did before. */
	readonly old?: number;
	/** A frame's way from one router to another. */
	readonly delayMs: number;
	readonly durationMs: number;
	/** Of it, not counted. */
	readonly warmMs: number;
	/** From here on this router is silent and does nothing more. */
	readonly dies?: { readonly router: number; readonly atMs: number };
	/** From here on this router tells of what waits there, and serves nobody. */
	readonly sticks?: { readonly router: number; readonly atMs: number };
}

export interface SharesRigResult {
	/** Tokens served, in the order of tenants. */
	readonly service: readonly number[];
	/** The same, in the order of routers. */
	readonly fromRouters: readonly number[];
	/** Part of what the engines can do that they did. */
	readonly busy: number;
	/** Longest queue of an engine when it reported. */
	readonly queueMost: number;
	/** Most requests at an engine at once, running or queued. */
	readonly atOnceMost: number;
	/** Time from a request's coming to its being sent, in the order of tenants: the mean, and what 99 of 100 do not exceed. */
	readonly waits: readonly { readonly meanMs: number; readonly p99Ms: number }[];
}

interface Job {
	readonly tenant: number;
	readonly tokens: number;
	readonly cameMs: number;
}

interface Engine {
	running: number;
	readonly queue: (() => void)[];
}

const MS_PER_TOKEN = 10;
const MODEL = 'm';
const POOL = 0;
const NORMAL = 2;
const REPORT_MS = 500;
const FRAME_MS = 5;
const LEASE_MS = 2000;
const WAITING_MAX = 128;
const LIMITS = { queueMax: 4, requestsMax: 0 };
const GAP = 2;

/** The same options give the same result. */
export function runShares(options: SharesRigOptions): SharesRigResult {
	return new SharesRig(options).run();
}

class SharesRig {
	readonly #options: SharesRigOptions;
	readonly #events = new EventQueue();
	readonly #clock = new SimClock(this.#events);
	readonly #engines: readonly Engine[];
	readonly #routers: readonly RigQueue[];
	readonly #random: SeededRandom;
	readonly #service: number[];
	readonly #fromRouters: number[];
	readonly #waitsMs: readonly number[][];
	#busy = 0;
	#samples = 0;
	#queueMost = 0;
	#atOnceMost = 0;

	constructor(options: SharesRigOptions) {
		this.#options = options;
		this.#random = new SeededRandom(options.seed);
		this.#service = options.tenants.map(() => 0);
		this.#fromRouters = Array.from({ length: options.routers }, () => 0);
		this.#waitsMs = options.tenants.map(() => []);
		this.#engines = Array.from({ length: options.engines }, () => ({ running: 0, queue: [] }));
		this.#routers = Array.from(
			{ length: options.routers },
			(_, index) => new RigQueue(options, this.#clock, (job, row, done) => this.#send(index, job, row, done)),
		);
	}

	run(): SharesRigResult {
		const { routers, tenants, durationMs } = this.#options;
		for (const [index, router] of this.#routers.entries()) {
			for (const tenant of tenants.keys()) this.#arrivals(index, tenant);
			this.#every(REPORT_MS, (index * REPORT_MS) / routers, () => router.reported(this.#engines));
			for (const peer of this.#routers) if (peer !== router) this.#follow(router, index, peer);
			this.#every(LEASE_MS / 10, 0, () => router.lapse());
		}
		this.#every(20, 0, () => this.#sample());
		while (this.#nowMs < durationMs && this.#events.step());
		return {
			service: this.#service,
			fromRouters: this.#fromRouters,
			busy: this.#busy / this.#samples,
			queueMost: this.#queueMost,
			atOnceMost: this.#atOnceMost,
			waits: this.#waitsMs.map(waitsOf),
		};
	}

	get #nowMs(): number {
		return this.#events.nowUs / 1000;
	}

	#every(periodMs: number, firstMs: number, fn: () => void): void {
		const turn = (): void => {
			fn();
			this.#at(this.#nowMs + periodMs, turn);
		};
		this.#at(firstMs, turn);
	}

	#at(atMs: number, fn: () => void): void {
		this.#events.at(toUs(atMs), EventClass.wire, fn);
	}

	#isDead(router: number): boolean {
		const { dies } = this.#options;
		return dies?.router === router && this.#nowMs >= dies.atMs;
	}

	#isStuck(router: number): boolean {
		const { sticks } = this.#options;
		return sticks?.router === router && this.#nowMs >= sticks.atMs;
	}

	#arrivals(router: number, tenant: number): void {
		const { ratePerS, tokensOut } = this.#options.tenants[tenant] as RigTenant;
		const rate = ratePerS[router] ?? 0;
		if (rate === 0) return;
		const next = (): void => {
			if (this.#isDead(router)) return;
			const tokens = Math.max(1, Math.round(-Math.log(1 - this.#random.nextFloat()) * tokensOut));
			this.#routers[router]?.arrive({ tenant, tokens, cameMs: this.#nowMs }, tokensOut);
			this.#at(this.#nowMs + this.#gapMs(rate), next);
		};
		this.#at(this.#gapMs(rate), next);
	}

	#gapMs(ratePerS: number): number {
		return (-Math.log(1 - this.#random.nextFloat()) / ratePerS) * 1000;
	}

	#follow(router: RigQueue, index: number, peer: RigQueue): void {
		const { exchange, old } = this.#options;
		const teller = router.tellTo(exchange && old !== index);
		peer.book.begin(String(index), this.#clock.nowMs());
		this.#every(FRAME_MS, (index * FRAME_MS) / this.#routers.length, () => {
			if (this.#isDead(index)) return router.stop();
			if (this.#isStuck(index)) router.stop();
			router.noteChanges();
			const frame = teller.next(this.#clock.nowMs(), this.#clock.nowMs());
			if (frame !== undefined) this.#at(this.#nowMs + this.#options.delayMs, () => peer.hear(String(index), frame));
		});
	}

	#send(router: number, job: Job, row: number, done: () => void): void {
		if (job.cameMs >= this.#options.warmMs) this.#waitsMs[job.tenant]?.push(this.#nowMs - job.cameMs);
		const engine = this.#engines[row] as Engine;
		const begin = (): void => {
			engine.running++;
			this.#at(this.#nowMs + job.tokens * MS_PER_TOKEN, () => {
				engine.running--;
				if (this.#nowMs >= this.#options.warmMs) {
					this.#service[job.tenant] = (this.#service[job.tenant] as number) + job.tokens;
					this.#fromRouters[router] = (this.#fromRouters[router] as number) + job.tokens;
				}
				engine.queue.shift()?.();
				done();
			});
		};
		if (engine.running < this.#options.sequences) begin();
		else engine.queue.push(begin);
	}

	#sample(): void {
		if (this.#nowMs < this.#options.warmMs) return;
		this.#samples++;
		const running = this.#engines.reduce((sum, engine) => sum + engine.running, 0);
		this.#busy += running / (this.#engines.length * this.#options.sequences);
		for (const { queue, running } of this.#engines) {
			this.#queueMost = Math.max(this.#queueMost, queue.length);
			this.#atOnceMost = Math.max(this.#atOnceMost, running + queue.length);
		}
	}
}

function waitsOf(waitsMs: readonly number[]): { readonly meanMs: number; readonly p99Ms: number } {
	const sorted = waitsMs.toSorted((a, b) => a - b);
	return {
		meanMs: sorted.reduce((sum, one) => sum + one, 0) / Math.max(1, sorted.length),
		p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
	};
}

/** One router: a worker's queue, and what its agent knows of the others. */
class RigQueue {
	readonly book = new LoadBook({ leaseMs: LEASE_MS, targetsMax: 64, countMax: 0x7fff_ffff, flowsMax: PEER_FLOWS_MAX });
	readonly #clock: SimClock;
	readonly #tenants: readonly RigTenant[];
	readonly #send: (job: Job, row: number, done: () => void) => void;
	readonly #rows: number;
	readonly #counters: InflightReader;
	readonly #writer: InflightWriter;
	readonly #share: RemoteShare;
	readonly #changes: OwnChanges;
	readonly #limits: TargetLimits;
	readonly #room: WaitingRoom<Job>;
	readonly #turns: MeshTurns<Job>;
	readonly #flows: FlowExchange;
	readonly #followers: { readonly teller: LoadTeller; readonly flows: boolean }[] = [];
	#looking = false;
	#stopped = false;

	constructor(
		{ engines, tenants, requestsMax = 0 }: SharesRigOptions,
		clock: SimClock,
		send: (job: Job, row: number, done: () => void) => void,
	) {
		this.#clock = clock;
		this.#send = send;
		this.#rows = engines;
		this.#tenants = tenants;
		const shared = createInflight(engines, 1);
		this.#counters = new InflightReader(shared);
		this.#writer = new InflightWriter(shared, 0);
		this.#changes = new OwnChanges(this.#counters);
		this.#share = new RemoteShare(shared, this.book, (id) => Number(id));
		this.#limits = new TargetLimits(createTargetLimits(engines, requestsMax > 0));
		for (let row = 0; row < engines; row++) {
			this.#limits.set(row, requestsMax);
			this.#limits.setOfMesh(row, requestsMax);
		}
		const { bandShares, agedMs, agedEvery } = admissionDefaults;
		this.#room = new WaitingRoom<Job>({
			requestsMax: WAITING_MAX,
			bytesMax: 1e9,
			bandShares: bandShares.map(() => 1),
			tenantShare: 1 / tenants.length,
			waitMaxMs: 1e9,
			agedMs,
			agedEvery,
			tells: true,
		});
		const port = {
			room: (row: number) => this.#limits.room(row, this.#counters),
			handRows: requestsMax > 0 ? engines : 0,
			tell: (changes: Parameters<FlowExchange['fromWorker']>[1]) => this.#flows.fromWorker(0, changes),
		};
		this.#turns = new MeshTurns(
			{ tellMs: admissionDefaults.tellMs, aheadGap: GAP, outrankedGap: 2 * GAP },
			port,
			this.#room,
			clock,
		);
		const names = new NameTable(tenants.length);
		for (const { name } of tenants) names.intern(name);
		this.#flows = new FlowExchange({
			clock,
			workerCount: 1,
			tenants: names,
			send: (_worker, changes) => {
				for (const change of changes) this.#room.heard(change, this.#weight(change.tenant));
			},
			dropped: (flows) => {
				throw new Error(`${flows} flows found no room`);
			},
		});
		this.#flows.setPools([{ index: POOL, model: MODEL } as ModelPool]);
	}

	/** `flows`: of what waits too; routers of before tell of load alone. */
	tellTo(flows: boolean): LoadTeller {
		const teller = new LoadTeller(
			{
				rowsMax: this.#rows,
				idOf: String,
				own: (counter, row) => this.#counters.own(counter, row),
				...(flows ? { flows: () => this.#flows.own.all() } : {}),
			},
			{ heartbeatMs: LEASE_MS / 10, fullMs: LEASE_MS },
		);
		this.#followers.push({ teller, flows });
		return teller;
	}

	noteChanges(): void {
		this.#changes.drain({
			changed: (row) => {
				for (const { teller } of this.#followers) teller.changed(row);
			},
			allChanged: () => {
				for (const { teller } of this.#followers) teller.allChanged();
			},
		});
		const changed = this.#flows.own.takeChanged();
		for (const { teller, flows } of this.#followers) if (flows) teller.flowsChanged(changed);
	}

	hear(peer: string, frame: Parameters<LoadBook['apply']>[1]): void {
		this.book.apply(peer, frame, this.#clock.nowMs());
		this.#learn();
	}

	/** What waits is lost; what is under way ends. */
	stop(): void {
		this.#stopped = true;
	}

	lapse(): void {
		this.book.lapse(this.#clock.nowMs());
		this.#learn();
	}

	/** An engine's report, as the learner of limits takes it. */
	reported(engines: readonly Engine[]): void {
		if (this.#limits.byHand) return;
		for (const [row, { running, queue }] of engines.entries()) {
			const report = { waiting: queue.length, running, sequencesMax: 0 };
			const own = this.#counters.own(REQUESTS, row);
			const all = this.#counters.total(REQUESTS, row);
			this.#limits.set(row, nextLimit(this.#limits.limit(row), { ...report, own }, LIMITS));
			this.#limits.setOfMesh(row, nextLimit(this.#limits.ofMesh(row), { ...report, own: all }, LIMITS));
		}
	}

	arrive(job: Job, expected: number): void {
		const contended = this.#room.waiting(POOL) > 0 || this.#room.waitsElsewhere(POOL);
		const row = contended || this.#stopped ? -1 : this.#rowWithRoom();
		if (row >= 0) return this.#dispatch(job, row, undefined);
		const nowMs = this.#clock.nowMs();
		const tenant = job.tenant + 1;
		const entry = this.#room.enter(
			POOL,
			{
				item: job,
				band: this.#band(job),
				tenant,
				weight: this.#weight(tenant),
				dueMs: nowMs,
				sinceMs: nowMs,
				cost: expected,
				bytes: 1,
			},
			nowMs,
			Number.POSITIVE_INFINITY,
		);
		if ('reason' in entry) return;
		this.#turns.changed();
		if (this.#room.waiting(POOL) === 1 && this.#room.waitsElsewhere(POOL)) this.#look();
		this.#lookSoon();
	}

	#learn(): void {
		this.#share.flush();
		this.#flows.fromPeers(this.book.flows.takeChanged());
	}

	#band({ tenant }: Job): number {
		return this.#tenants[tenant]?.band ?? NORMAL;
	}

	#weight(tenant: number): number {
		return this.#tenants[tenant - 1]?.weight ?? 1;
	}

	#lookSoon(): void {
		if (this.#looking) return;
		this.#looking = true;
		this.#clock.after(admissionDefaults.lookMs, () => {
			this.#looking = false;
			this.#look();
			if (this.#room.size > 0) this.#lookSoon();
		});
	}

	#look(): void {
		if (this.#stopped) return;
		const nowMs = this.#clock.nowMs();
		for (let entry = this.#room.next(POOL, nowMs); entry !== undefined; entry = this.#room.next(POOL, nowMs)) {
			this.#turns.begin(POOL, entry);
			const row = this.#rowWithRoom();
			if (row < 0) break;
			this.#room.serve(POOL, entry, nowMs);
			this.#turns.end();
			this.#turns.changed();
			this.#dispatch(entry.item, row, entry.cost);
		}
		this.#turns.end();
	}

	/** The least loaded of those that take one more; -1 = none does. */
	#rowWithRoom(): number {
		let best = -1;
		let least = Number.POSITIVE_INFINITY;
		for (let row = 0; row < this.#rows; row++) {
			const total = this.#counters.total(REQUESTS, row);
			if (total >= least || !this.#turns.takes(row, this.#limits.hasRoom(row, this.#counters))) continue;
			least = total;
			best = row;
		}
		return best;
	}

	/** `charged`: what its flow was, if it had to wait. */
	#dispatch(job: Job, row: number, charged: number | undefined): void {
		this.#writer.add(REQUESTS, row, 1);
		this.#writer.changed(row);
		this.#send(job, row, () => {
			this.#writer.add(REQUESTS, row, -1);
			this.#writer.changed(row);
			this.#turns.freed(row);
			if (charged !== undefined) {
				this.#room.settle(POOL, this.#band(job), job.tenant + 1, job.tokens - charged);
				this.#turns.changed();
			}
			this.#look();
		});
	}
}
