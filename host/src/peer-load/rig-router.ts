// Owns one router of the rig: the fleet table, fusion, counters, ledger and strategy instance of a real one, with what it tells others and hears of them.
// What stands between (sockets, threads) is the rig's virtual time.
import type { ModelStateDelta, Random } from '@infermesh/proto';
import type { LoadFrame } from '@infermesh/proto/grpc/routing/v1/load';
import { HITS_MAX } from '@infermesh/sdk';
import { type AttemptReport, FleetFusion, type FusionOptions } from '../fleet/fusion.js';
import { createInflight, InflightReader, InflightWriter } from '../fleet/inflight.js';
import { NameTable } from '../fleet/interner.js';
import { WorkerLedger } from '../fleet/ledger.js';
import { PoolView } from '../fleet/pool-view.js';
import { type TargetRecord, TargetRegistry } from '../fleet/registry.js';
import { createFleetTable, FleetTableReader, FleetTableWriter } from '../fleet/table.js';
import { deciderDefaults } from '../strategy/runtime/decider.js';
import { Decision, emptyFeatures, type PrefixHits } from '../strategy/runtime/decision.js';
import { spread } from '../strategy/runtime/explore.js';
import { fuelDefaults, StrategyInstance, type StrategyModule } from '../strategy/runtime/instance.js';
import { readOutput } from '../strategy/runtime/read-output.js';
import { writeHits, writeRequest } from '../strategy/runtime/write-request.js';
import { LoadBook } from './book.js';
import { OwnChanges } from './changes.js';
import { RemoteShare } from './remote-share.js';
import { LoadTeller, type TellerOptions } from './teller.js';

const fusionOptions: FusionOptions = {
	healthyAfter: 1,
	unhealthyAfter: 3,
	consecutiveFailures: 5,
	errorRatio: 0.5,
	requestsMin: 20,
	windowMs: 10_000,
	ejectionMs: 10_000,
	ejectionMaxMs: 300_000,
	unreachableMs: 1000,
	trialRequests: 2,
	trialSuccesses: 2,
	slowStartMs: 0,
	staleAfterMs: 5000,
	smoothingMs: 5000,
	ejectedMaxRatio: 0.5,
};
const ENTRIES_MAX = 65_536;
const place = { zone: 0, region: 0, topK: deciderDefaults.topK } as const;
const nobody: readonly number[] = [];

export interface RigRequest {
	readonly promptTokens: number;
	/** What a router expects; the true length is the engine's secret. */
	readonly outputTokensExpected: number;
}

export class RigRouter {
	readonly book: LoadBook;
	readonly #table: FleetTableWriter;
	readonly #fusion: FleetFusion;
	readonly #ledger: WorkerLedger;
	readonly #share: RemoteShare;
	readonly #changes: OwnChanges;
	readonly #counters: InflightReader;
	readonly #instance: StrategyInstance;
	readonly #records: readonly TargetRecord[];
	/** Time of the last call that brought one. */
	#nowMs = 0;
	readonly #tellers: LoadTeller[] = [];
	readonly #random: Random;
	readonly #ended: AttemptReport[] = [];
	readonly #out = new Decision();
	readonly #features = emptyFeatures();
	readonly #hits: PrefixHits;
	#ticket: number;

	constructor(targets: number, strategy: StrategyModule, leaseMs: number, random: Random, nowMs: number) {
		const shared = createInflight(targets, 1);
		const tableShared = createFleetTable(targets);
		const names = new NameTable(targets * 4 + 16);
		this.#random = random;
		this.#ticket = random.nextU32();
		this.#table = new FleetTableWriter(tableShared);
		this.#counters = new InflightReader(shared);
		const registry = new TargetRegistry(
			this.#table,
			{ targets: names, nodes: names, zones: names, regions: names, models: names, revisions: names },
			0,
		);
		this.#fusion = new FleetFusion(fusionOptions, this.#table, this.#counters, registry);
		this.#records = Array.from({ length: targets }, (_, index) => registry.add(specOf(index)));
		for (const record of this.#records) this.#fusion.follow(record, nowMs);
		this.#table.publish();
		this.#ledger = new WorkerLedger(new InflightWriter(shared, 0), ENTRIES_MAX, () => this.#nowMs);
		this.book = new LoadBook({ leaseMs, targetsMax: targets, countMax: 0x7fff_ffff, flowsMax: 0 });
		this.#share = new RemoteShare(shared, this.book, (id) => registry.get(id).row);
		this.#changes = new OwnChanges(this.#counters);
		const view = new PoolView(
			new FleetTableReader(tableShared),
			this.#counters,
			this.#records.map(({ row }) => row),
			this.#records.map(({ generation }) => generation),
		);
		this.#instance = new StrategyInstance(strategy, view, fuelDefaults, [random.nextU32(), random.nextU32()]);
		this.#hits = {
			count: 0,
			rows: new Uint32Array(HITS_MAX),
			tokens: new Uint32Array(HITS_MAX),
			tiers: new Uint8Array(HITS_MAX),
			flags: new Uint8Array(HITS_MAX),
		};
	}

	/** The target the strategy chooses. Throws when it does not answer: a rig measures strategies that do. */
	decide(request: RigRequest, nowMs: number): number {
		this.#nowMs = nowMs;
		this.#ticket = (this.#ticket + 1) >>> 0;
		const features = this.#features;
		features.nowMs = nowMs;
		features.nowUs = nowMs * 1000;
		features.seedLow = this.#random.nextU32();
		features.seedHigh = this.#random.nextU32();
		features.tokensIn = request.promptTokens;
		features.tokensOut = request.outputTokensExpected;
		const instance = this.#instance;
		instance.view.sync();
		instance.sync();
		writeRequest(instance, features, place, this.#ticket, instance.view.eligibleCount, writeHits(instance, this.#hits));
		const cause = instance.rank();
		const read = cause === 'none' ? readOutput(instance, nobody, this.#out) : cause;
		if (read !== 'none') throw new Error(`the strategy did not decide: ${read}`);
		const out = this.#out;
		if (this.#counters.peers() > 0) spread(out, deciderDefaults.spreadRatio, this.#random.nextFloat());
		else out.chosen = 0;
		return out.rows[out.chosen] as number;
	}

	dispatch(target: number, promptTokens: number): number {
		return this.#ledger.dispatch(this.#record(target).upstream, promptTokens, promptTokens);
	}

	firstToken(entry: number): void {
		this.#ledger.firstToken(entry);
	}

	ended(entry: number, target: number, more: Pick<AttemptReport, 'ttftMs' | 'tpotMs' | 'uncachedTokens'>): void {
		this.#ledger.end(entry);
		const { row, generation } = this.#record(target);
		this.#ended.push({ tableRow: row, generation, ok: true, failed: false, ...more });
	}

	/** An engine's report comes in. */
	report(target: number, delta: ModelStateDelta, nowMs: number): void {
		this.#nowMs = nowMs;
		this.#fusion.report(this.#record(target), delta, nowMs);
		this.#table.publish();
	}

	/** What ended since the last call is learned from. */
	learn(nowMs: number): void {
		if (this.#ended.length === 0) return;
		this.#fusion.attempts(this.#ended.splice(0), nowMs);
		this.#fusion.refresh(nowMs);
		this.#table.publish();
	}

	/** One more router follows this one. */
	addFollower(options: TellerOptions): LoadTeller {
		const teller = new LoadTeller(
			{
				rowsMax: this.#counters.rowsMax,
				idOf: (row) => this.#records[row]?.spec.id,
				own: (counter, row) => this.#counters.own(counter, row),
			},
			options,
		);
		this.#tellers.push(teller);
		return teller;
	}

	noteChanges(): void {
		this.#changes.drain({
			changed: (row) => {
				for (const teller of this.#tellers) teller.changed(row);
			},
			allChanged: () => {
				for (const teller of this.#tellers) teller.allChanged();
			},
		});
	}

	hear(from: string, frame: LoadFrame, nowMs: number): void {
		this.book.apply(from, frame, nowMs);
		this.#share.flush();
		this.#share.setPeers(this.book.heard(nowMs));
	}

	/** Requests that this router believes to be at a target: its own, and what it has heard of. */
	believed(counter: number, target: number): number {
		return this.#counters.total(counter, this.#record(target).row);
	}

	own(counter: number, target: number): number {
		return this.#counters.own(counter, this.#record(target).row);
	}

	#record(target: number): TargetRecord {
		return this.#records[target] as TargetRecord;
	}
}

function specOf(index: number): TargetRecord['spec'] {
	return {
		id: `target-${index}`,
		url: `http://10.0.0.${index}:8000`,
		models: ['m'],
		runtime: 'vllm',
		apiKey: undefined,
		upstreamModel: undefined,
		revision: undefined,
		quant: undefined,
		weight: 1,
		role: 'both',
		node: '',
		zone: '',
		region: '',
		costPerHour: 0,
		metricsPath: '/metrics',
		healthPath: '',
	};
}
