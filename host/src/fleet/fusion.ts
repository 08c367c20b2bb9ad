// Owns the joining of signals into columns: runtime reports, active checks, and what the router saw of its own traffic. It writes the fleet
// table and decides states through health.ts; it fetches nothing itself. One instance, in the agent.
import { parseOrcaHeader } from '@infermesh/adapters';
import type { LinkEstimate } from '@infermesh/fabric';
import type { ModelStateDelta } from '@infermesh/proto';
import {
	COLUMN_DECODE_RATE,
	COLUMN_ERROR_RATIO,
	COLUMN_HEALTH,
	COLUMN_KV_BLOCK_TOKENS,
	COLUMN_KV_FREE_BLOCKS,
	COLUMN_KV_TOTAL_BLOCKS,
	COLUMN_KV_USAGE,
	COLUMN_MAX_SEQUENCES,
	COLUMN_OBSERVED_AT_MS,
	COLUMN_PREEMPTIONS_PER_S,
	COLUMN_PREFILL_RATE,
	COLUMN_PREFIX_HIT_RATIO,
	COLUMN_QUEUE_DEPTH,
	COLUMN_QUEUE_MS,
	COLUMN_REQUEST_MS,
	COLUMN_RUNNING,
	COLUMN_SLOW_START,
	COLUMN_SPEED,
	COLUMN_STATE,
	COLUMN_TELEMETRY_AT_MS,
	COLUMN_TPOT_MS,
	COLUMN_TPOT_P95_MS,
	COLUMN_TTFT_MS,
	COLUMN_TTFT_P95_MS,
	COLUMN_WEIGHT,
	TargetState,
} from '@infermesh/sdk';
import type { DeviceSummary } from '../signals/gpu-signals.js';
import { writeDevices } from './device-columns.js';
import { DistanceColumns } from './distance.js';
import {
	afterCheck,
	afterTraffic,
	afterUnreachable,
	type HealthOptions,
	newHealth,
	slowStartOf,
	stateOf,
	steadyUntil,
	type TargetHealth,
	trialsOf,
	withDevices,
} from './health.js';
import { DECODES, type InflightReader, REQUESTS } from './inflight.js';
import { LearnedSignals } from './learned.js';
import type { TargetRecord, TargetRegistry } from './registry.js';
import { type FleetTableWriter, LOAD_BASE_COLUMN, TRIALS_COLUMN, UNREACHABLE_SEEN_COLUMN } from './table.js';

/** One ended attempt as workers report it. `failed` = by the target's fault: errors, timeouts, deaths; not 4xx, not cancellation. */
export interface AttemptReport {
	readonly tableRow: number;
	readonly generation: number;
	readonly failed: boolean;
	/** No connection could be made. */
	readonly unreachable?: boolean;
	readonly ok: boolean;
	readonly ttftMs: number;
	readonly tpotMs: number;
	readonly uncachedTokens: number;
}

/** What an engine said of its load in the head of a response (ORCA text). */
export interface LoadReport {
	readonly tableRow: number;
	readonly generation: number;
	readonly orca: string;
	/** Requests that the mesh had there when it came. */
	readonly inFlight: number;
	/** When it came, on the mesh clock. */
	readonly atMs: number;
}

/** A learned rate counts as different from its peers' beyond this factor. */
const OUTLIER_RATIO = 1.5;

export interface FusionOptions extends HealthOptions {
	readonly smoothingMs: number;
	/** Most of a pool that may be ejected at once, 0 to 1. */
	readonly ejectedMaxRatio: number;
}

interface Known {
	readonly record: TargetRecord;
	health: TargetHealth;
	readonly learned: LearnedSignals;
	readonly distance: DistanceColumns;
	state: number;
	/** The state without a look at its devices. */
	ownState: number;
	devices: DeviceSummary | undefined;
	/** Learned prefill rate, tokens a second; 0 = not yet. */
	prefillRate: number;
	lastUnread: readonly string[];
	report: ModelStateDelta | undefined;
	/** Its scrapes tell how many requests run. */
	reportsRunning: boolean;
	/** What its columns were last worked out from, and until when they come to the same: `refresh` passes it over. */
	steady: Steady | undefined;
}

interface Steady {
	health: TargetHealth;
	readonly hold: TargetRecord['hold'];
	readonly unreachable: number;
	readonly untilMs: number;
}

/** What operators see of a target beside its columns. */
export interface TargetStatus {
	readonly state: string;
	readonly reportedMs: number | undefined;
	readonly unread: readonly string[];
	readonly ejections: number;
	/** Rules that hold the devices it runs on. */
	readonly heldBy: readonly string[];
}

const stateNames: readonly string[] = Object.keys(TargetState);

function isOut(state: number): boolean {
	return state === TargetState.unhealthy || state === TargetState.ejected;
}

export class FleetFusion {
	readonly #options: FusionOptions;
	readonly #table: FleetTableWriter;
	readonly #counters: InflightReader;
	readonly #registry: TargetRegistry;
	readonly #byRow = new Map<number, Known>();
	/** A prefill rate was learned, or targets have come or gone, since they were last written. */
	#ratesMoved = true;
	#ratesKnown = false;
	/** Called when a target's state has changed in the table: routing should learn of it at once. */
	onStateChange: (() => void) | undefined;

	constructor(options: FusionOptions, table: FleetTableWriter, counters: InflightReader, registry: TargetRegistry) {
		this.#options = options;
		this.#table = table;
		this.#counters = counters;
		this.#registry = registry;
	}

	/** Begins to follow a target just added. */
	follow(record: TargetRecord, nowMs: number): void {
		const known: Known = {
			record,
			health: newHealth(record.spec.healthPath !== ''),
			learned: new LearnedSignals(this.#options.smoothingMs),
			distance: new DistanceColumns(this.#table, record.row),
			state: TargetState.unknown,
			ownState: TargetState.unknown,
			devices: undefined,
			prefillRate: 0,
			lastUnread: [],
			report: undefined,
			reportsRunning: false,
			steady: undefined,
		};
		this.#byRow.set(record.row, known);
		this.#refreshOne(known, nowMs);
		this.#ratesMoved = true;
		// It takes the rate of its peers at once, where there is one.
		if (this.#ratesKnown) this.#writeRates();
	}

	forget(record: TargetRecord): void {
		this.#byRow.delete(record.row);
		this.#ratesMoved = true;
	}

	status(record: TargetRecord): TargetStatus {
		const known = this.#byRow.get(record.row);
		return {
			state: stateNames[known?.state ?? TargetState.unknown] ?? 'unknown',
			reportedMs: known?.health.reportedMs,
			unread: known?.lastUnread ?? [],
			ejections: known?.health.ejections ?? 0,
			heldBy: known?.devices?.rules ?? [],
		};
	}

	/** A runtime's report. `nowMs` is the mesh clock on which ages are counted. */
	report(record: TargetRecord, delta: ModelStateDelta, nowMs: number): void {
		const known = this.#byRow.get(record.row);
		if (known === undefined || known.record !== record) return;
		known.reportsRunning ||= delta.running !== undefined;
		this.#take(known, ofRank(delta, record.spec.dataParallelRank), nowMs, this.#counters.total(REQUESTS, record.row));
	}

	/** What engines said of their load on responses, in order: fresher than the last scrape, unless one has come since. */
	loads(reports: readonly LoadReport[]): void {
		for (const { tableRow, generation, orca, inFlight, atMs } of reports) {
			const known = this.#byRow.get(tableRow);
			if (known === undefined || known.record.generation !== generation) continue;
			if (known.health.reportedMs !== undefined && known.health.reportedMs > atMs) continue;
			const delta = parseOrcaHeader(orca, atMs);
			// Only the queue, where scrapes tell what runs too: a sum with what ran then would count what has ended since.
			if (known.reportsRunning && delta.running === undefined) this.#takeQueue(known, delta);
			else this.#take(known, delta, atMs, inFlight);
		}
	}

	#takeQueue({ record }: Known, { queueDepth, kvUsage }: ModelStateDelta): void {
		if (queueDepth !== undefined) this.#table.setF32(COLUMN_QUEUE_DEPTH, record.row, queueDepth);
		if (kvUsage !== undefined) this.#table.setF32(COLUMN_KV_USAGE, record.row, kvUsage);
	}

	/** `inFlight`: the mesh's requests there when the report was made. */
	#take(known: Known, delta: ModelStateDelta, nowMs: number, inFlight: number): void {
		const { row } = known.record;
		const table = this.#table;
		const put = (column: number, value: number | undefined): void => {
			if (value !== undefined && Number.isFinite(value)) table.setF32(column, row, value);
		};
		put(COLUMN_QUEUE_DEPTH, delta.queueDepth);
		put(COLUMN_RUNNING, delta.running);
		put(COLUMN_KV_USAGE, delta.kvUsage);
		put(COLUMN_KV_TOTAL_BLOCKS, delta.kvBlocksTotal);
		put(COLUMN_KV_BLOCK_TOKENS, delta.kvBlockTokens);
		put(COLUMN_KV_FREE_BLOCKS, delta.kvBlocksFree);
		put(COLUMN_MAX_SEQUENCES, delta.maxSequences);
		put(COLUMN_PREFIX_HIT_RATIO, delta.prefixHitRatio);
		put(COLUMN_PREEMPTIONS_PER_S, delta.preemptionsPerSec);
		put(COLUMN_REQUEST_MS, delta.requestMsMean);
		put(COLUMN_QUEUE_MS, delta.queueMsMean);
		if (delta.queueDepth !== undefined || delta.running !== undefined) {
			// load(t) = report(t₀) + in flight(t) − in flight(t₀): what others sent stays in the base, what this mesh sent is counted once.
			const reported = table.getF32(COLUMN_QUEUE_DEPTH, row) + table.getF32(COLUMN_RUNNING, row);
			table.setF32(LOAD_BASE_COLUMN, row, reported - inFlight);
		}
		// A runtime that tells no load tells that it is there; a load report on a response names no runtime, and nothing but load.
		if (delta.runtime !== undefined || delta.queueDepth !== undefined || delta.running !== undefined) {
			table.setU32(COLUMN_TELEMETRY_AT_MS, row, nowMs % 0x1_0000_0000);
			const sleeping =
				delta.runtime === undefined ? known.health.sleeping : delta.sleeping === true || delta.ready === false;
			const before = known.health;
			known.health = { ...before, reportedMs: nowMs, sleeping };
			// A report moves nothing but the time at which the target is stale, to later.
			const isLater = before.reportedMs !== undefined && nowMs >= before.reportedMs;
			if (
				isLater &&
				known.steady?.health === before &&
				before.sleeping === sleeping &&
				known.ownState !== TargetState.degraded
			)
				known.steady.health = known.health;
		}
		known.lastUnread = delta.unread;
		known.report = delta;
		this.#learnedRates(known);
	}

	/** An active check. `rttMs` is undefined when it failed. */
	checked(record: TargetRecord, ok: boolean, rttMs: number | undefined, nowMs: number): void {
		const known = this.#byRow.get(record.row);
		if (known === undefined || known.record !== record) return;
		known.health = afterCheck(known.health, ok, nowMs, this.#options);
		if (rttMs !== undefined) known.distance.checked(rttMs, nowMs);
		this.#refreshOne(known, nowMs);
	}

	/** What the devices of the target come to; `undefined` = nothing is known of them. */
	devices(record: TargetRecord, summary: DeviceSummary | undefined, nowMs: number): void {
		const known = this.#byRow.get(record.row);
		if (known?.record !== record) return;
		known.devices = summary;
		if (summary !== undefined) writeDevices(this.#table, record.row, summary);
		this.#refreshOne(known, nowMs);
	}

	/** The number of targets a row stands for. */
	weigh(record: TargetRecord, weight: number): void {
		if (this.#byRow.get(record.row)?.record === record) this.#table.setF32(COLUMN_WEIGHT, record.row, weight);
	}

	/** What the fabric knows of the way to the target's node. */
	linked(record: TargetRecord, link: LinkEstimate, nowMs: number): void {
		const known = this.#byRow.get(record.row);
		if (known?.record === record) known.distance.linked(link, nowMs);
	}

	/**
	 * Attempts that ended, in order. Reports of a row's former owner are dropped. True when a target's state changed: that should be published
	 * at once, because requests keep going to a target that fails them until it is.
	 */
	attempts(reports: readonly AttemptReport[], nowMs: number): boolean {
		const touched = new Map<Known, { requests: number; failures: number; trailing: number; unreachable: boolean }>();
		for (const report of reports) {
			const known = this.#byRow.get(report.tableRow);
			if (known === undefined || known.record.generation !== report.generation) continue;
			const tally = touched.get(known) ?? { requests: 0, failures: 0, trailing: 0, unreachable: false };
			if (report.ok || report.failed) {
				const unreachable = report.unreachable === true;
				tally.unreachable = unreachable || (tally.unreachable && report.failed);
				// What has a rule of its own is not weighed by the others too: their ejections are longer, and end by time alone.
				if (!unreachable || this.#options.unreachableMs === 0) {
					tally.requests++;
					tally.failures += report.failed ? 1 : 0;
					tally.trailing = report.failed ? tally.trailing + 1 : 0;
				}
				known.learned.add(
					{
						ok: report.ok,
						ttftMs: report.ttftMs,
						tpotMs: report.tpotMs,
						uncachedTokens: report.uncachedTokens,
						concurrent: this.#counters.total(DECODES, report.tableRow) + 1,
					},
					nowMs,
				);
			}
			touched.set(known, tally);
		}
		let changed = false;
		for (const [known, tally] of touched) {
			if (tally.requests === 0 && !tally.unreachable) continue;
			const before = known.state;
			if (tally.requests > 0)
				known.health = afterTraffic(
					known.health,
					tally.requests,
					tally.failures,
					tally.trailing,
					nowMs,
					this.#options,
					() => this.#mayEject(known),
				);
			if (tally.unreachable) known.health = afterUnreachable(known.health, nowMs, this.#options);
			this.#writeLearned(known, nowMs);
			this.#refreshOne(known, nowMs);
			changed ||= known.state !== before;
		}
		return changed;
	}

	/**
	 * Recomputes what follows from time alone: staleness, ends of ejections, slow start. Answers until when, exclusively, nothing changes by time alone if
	 * nothing else happens; `nowMs` = it may at any time, Infinity = never.
	 */
	refresh(nowMs: number): number {
		let untilMs = Number.POSITIVE_INFINITY;
		for (const known of this.#byRow.values()) {
			if (!this.#isSteady(known, nowMs)) this.#refreshOne(known, nowMs);
			untilMs = Math.min(untilMs, known.steady?.untilMs ?? nowMs);
		}
		if (this.#ratesMoved) {
			this.#ratesMoved = false;
			this.#writeRates();
		}
		return untilMs;
	}

	/** Whether its columns say all that is known of it, and go on to if nothing else happens. */
	isSteady(record: TargetRecord, nowMs: number): boolean {
		const known = this.#byRow.get(record.row);
		return known === undefined || this.#isSteady(known, nowMs);
	}

	/** A fleet of thousands is looked at several times a second, and most of it has not changed. What else it follows from (devices, attempts) refreshes it by itself. */
	#isSteady({ steady, health, record }: Known, nowMs: number): boolean {
		return (
			steady !== undefined &&
			nowMs < steady.untilMs &&
			steady.health === health &&
			steady.hold === record.hold &&
			steady.unreachable === this.#counters.unreachable(record.row)
		);
	}

	#refreshOne(known: Known, nowMs: number): void {
		const { row } = known.record;
		const ownState = stateOf(known.health, known.record.hold, nowMs, this.#options);
		const state = withDevices(ownState, known.devices?.standing ?? 'sound');
		if (ownState === TargetState.degraded && known.ownState !== TargetState.degraded) {
			// A stale report no longer adds load of its own: what remains is what this mesh knows to be in flight.
			this.#table.setF32(LOAD_BASE_COLUMN, row, 0);
		}
		if (isOut(known.state) && !isOut(state)) known.learned.forgetErrors();
		const changed = known.state !== state;
		known.state = state;
		known.ownState = ownState;
		this.#table.setU32(COLUMN_STATE, row, state);
		this.#table.setU32(TRIALS_COLUMN, row, trialsOf(known.health, this.#options));
		const unreachable = this.#counters.unreachable(row);
		this.#table.setU32(UNREACHABLE_SEEN_COLUMN, row, unreachable);
		this.#table.setF32(COLUMN_SLOW_START, row, slowStartOf(known.health, nowMs, this.#options));
		const usable = state === TargetState.ready ? 1 : state === TargetState.degraded ? 0.5 : 0;
		const errorRatio = known.learned.errorRatioAt(nowMs);
		this.#table.setF32(COLUMN_ERROR_RATIO, row, errorRatio);
		this.#table.setF32(COLUMN_HEALTH, row, usable * (1 - errorRatio) * (known.devices?.health ?? 1));
		const untilMs = errorRatio === 0 ? steadyUntil(known.health, nowMs, this.#options) : nowMs;
		known.steady =
			untilMs > nowMs ? { health: known.health, hold: known.record.hold, unreachable, untilMs } : undefined;
		if (changed) this.onStateChange?.();
	}

	/** Ejecting may not take more than a share of any pool the target belongs to: a wrong judgement must not empty it. */
	#mayEject(known: Known): boolean {
		for (const pool of this.#registry.pools()) {
			if (!pool.targets.includes(known.record.upstream)) continue;
			const members = pool.targets.filter((target) => target !== undefined);
			const ejected = members.filter(
				(target) => this.#byRow.get(target.tableRow)?.state === TargetState.ejected,
			).length;
			if (ejected + 1 > members.length * this.#options.ejectedMaxRatio) return false;
		}
		return true;
	}

	#writeLearned(known: Known, nowMs: number): void {
		const { row } = known.record;
		const { learned } = known;
		const table = this.#table;
		table.setU32(COLUMN_OBSERVED_AT_MS, row, nowMs % 0x1_0000_0000);
		table.setF32(COLUMN_TTFT_MS, row, learned.ttftMs);
		table.setF32(COLUMN_TTFT_P95_MS, row, learned.ttftP95Ms);
		table.setF32(COLUMN_TPOT_MS, row, learned.tpotMs);
		table.setF32(COLUMN_TPOT_P95_MS, row, learned.tpotP95Ms);
		this.#learnedRates(known);
	}

	#learnedRates(known: Known): void {
		const { row } = known.record;
		const prefill = known.learned.prefillRate;
		if (prefill !== undefined && prefill !== known.prefillRate) {
			known.prefillRate = prefill;
			this.#ratesMoved = true;
			this.#ratesKnown = true;
		}
		const decode = known.learned.decodeRate ?? known.report?.decodeTokensPerSec;
		if (decode !== undefined && decode > 0) this.#table.setF32(COLUMN_DECODE_RATE, row, decode);
	}

	/**
	 * Writes the prefill rates of targets that serve the same first model. A rate within OUTLIER_RATIO of the median of its peers is taken for the
	 * median itself, and so is one not learned yet: between equal engines the difference is noise, and a strategy that believed it
	 * would send everything to the luckiest, or to the only one it has tried.
	 */
	#writeRates(): void {
		for (const peers of Map.groupBy(this.#byRow.values(), (known) => known.record.spec.models[0]).values()) {
			const rates = peers.map((known) => known.prefillRate).filter((rate) => rate > 0);
			const median = rates.sort((a, b) => a - b)[rates.length >>> 1];
			if (median === undefined) continue;
			for (const { prefillRate, record } of peers) {
				const speed = prefillRate === 0 ? 1 : prefillRate / median;
				const ordinary = speed < OUTLIER_RATIO && speed > 1 / OUTLIER_RATIO;
				this.#table.setF32(COLUMN_PREFILL_RATE, record.row, ordinary ? median : prefillRate);
				this.#table.setF32(COLUMN_SPEED, record.row, ordinary ? 1 : speed);
			}
		}
	}
}

/** What a report says of the one rank a target stands for, where it tells ranks apart; the rest is the whole engine's. */
function ofRank(delta: ModelStateDelta, rank: number | undefined): ModelStateDelta {
	const own = rank === undefined ? undefined : delta.ranks?.find((one) => one.rank === rank);
	return own === undefined ? delta : { ...delta, ...own };
}
