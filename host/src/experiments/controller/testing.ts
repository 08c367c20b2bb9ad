// Owns a small mesh in virtual time for tests of the controller: routers that count requests as the staging tells them, a store of one experiment, and nodes that run
// it. What arms are like is given as chances; the routers, the records and the runner are the real ones.
import { MeshError, SeededRandom } from '@infermesh/proto';
import { HandClock } from '../../fleet/testing.js';
import { recordErrors } from '../../records/errors.js';
import { faultOf, type Stored } from '../../records/records.js';
import type { ExperimentStaging } from '../../strategy/registry/staging.js';
import { inCanary } from '../../strategy/runtime/plan.js';
import { CohortBook } from '../cohorts/book.js';
import { type ArmName, cohortNumber } from '../cohorts/cohort.js';
import { count } from '../cohorts/judge.js';
import { type GuardrailWindows, guardrailWindowsSchema } from '../design/guardrail-windows.js';
import { designFor } from '../design/testing.js';
import type { CellBorder } from '../matched/look.js';
import type { ExperimentRecord } from '../record.js';
import { RouterTelemetry } from '../telemetry/router-telemetry.js';
import { ExperimentRunner } from './runner.js';

export interface ArmBehaviour {
	/** Chance that a request is good. */
	readonly good: number;
	/** Chance that a request never ends. */
	readonly hangs?: number;
	/** Answers take so long to end; default 0. */
	readonly endsAfterMs?: number;
	/** Chance that a decision traps. */
	readonly trap?: number;
	/** Share of all requests in flight that the busiest of four targets has. */
	readonly busiest?: number;
}

export const recordFor = (design: ExperimentRecord['design'], startedAtMs: number): ExperimentRecord => ({
	id: 'e1',
	tag: 77,
	model: 'm',
	digests: { baseline: 'b', candidate: 'c' },
	design,
	notes: [],
	startedBy: 'test',
	startedAtMs,
	state: 'running',
	nextBlock: 0,
	gaps: [],
	routers: {},
	figures: { baseline: [], candidate: [] },
	points: [],
	muted: [],
});

/** Short blocks, so that a verdict takes minutes of virtual time. */
export const quickDesign = (more: Parameters<typeof designFor>[0] = {}): ExperimentRecord['design'] =>
	designFor({ blockMs: 10_000, burnInMs: 2000, settleMs: 10_000, promote: 'win', ...more });

const STEP_MS = 100;
const IN_FLIGHT = 40;
const SESSIONS = 40;

class VirtualRouter {
	staging: ExperimentStaging | undefined;
	telemetry: RouterTelemetry;
	silent = false;
	readonly #world: VirtualMesh;
	#lives = 0;
	/** Requests under way. */
	#open: { readonly endsAtMs: number; readonly cohort: number; readonly ttftMs: number }[] = [];

	constructor(world: VirtualMesh) {
		this.#world = world;
		this.telemetry = this.#live();
	}

	/** The process dies and another begins: what it had counted is gone. */
	restart(): void {
		this.telemetry = this.#live();
	}

	#live(): RouterTelemetry {
		return new RouterTelemetry({
			incarnation: `life-${++this.#lives}`,
			blockOf: () => this.staging?.block,
			targetsOf: () => {
				const { busiest = 0.25 } = this.#world.behaviour(this.#world.armNow(this));
				return [0, 1, 2, 3].map((at) => ({
					id: `t${at}`,
					inFlight: Math.round(IN_FLIGHT * (at === 0 ? busiest : (1 - busiest) / 3)),
					waiting: 0,
				}));
			},
		});
	}

	serve(requests: number): void {
		const { clock } = this.#world;
		const book = new CohortBook(64);
		for (let n = 0; n < requests; n++) this.#begin(book);
		const nowMs = clock.wallMs();
		for (const { cohort, ttftMs } of this.#open.filter(({ endsAtMs }) => endsAtMs <= nowMs))
			count(book.of(cohort), { ...answered, ttftMs, durationMs: ttftMs + 100 }, objectives);
		this.#open = this.#open.filter(({ endsAtMs }) => endsAtMs > nowMs);
		this.telemetry.merge(book.drain());
	}

	#begin(book: CohortBook): void {
		const { staging } = this;
		const { random, clock } = this.#world;
		if (staging === undefined) return;
		const session = 1 + Math.floor(random.nextFloat() * SESSIONS);
		const features = { sessionLow: session, sessionHigh: 0, seedLow: random.nextU32(), tenant: session % 5 };
		const isCandidate =
			staging.split === undefined
				? staging.arm === 'candidate'
				: inCanary({ versionId: 1, ...staging.split }, features);
		const nowMs = clock.wallMs();
		const cohort = cohortNumber(staging.tag, staging.block, isCandidate, nowMs < staging.measureFromMs);
		const {
			good,
			trap = 0,
			hangs = 0,
			endsAfterMs = 0,
		} = this.#world.behaviour(isCandidate ? 'candidate' : 'baseline');
		const counts = book.of(cohort);
		counts.decided(random.nextFloat() < trap ? 'trap' : 'none', 20_000, 500);
		counts.add('begun', 1);
		this.#world.served++;
		const isGood = session > this.#world.sessionsFailing && random.nextFloat() < good;
		const ttftMs = isGood ? 200 : 9000;
		if (random.nextFloat() >= hangs) this.#open.push({ endsAtMs: nowMs + endsAfterMs, cohort, ttftMs });
	}
}

const objectives = { ttftMs: 5000, tpotMs: 100, ttftPerTokenMs: 0 };

const answered = {
	status: 200,
	stream: true,
	tokensIn: 100,
	tokensOut: 10,
	failed: false,
	attempts: 1,
	tokensComputed: 110,
	tokensWasted: 0,
	hedge: 'none',
} as const;

export class VirtualMesh {
	readonly clock = new HandClock(1_700_000_000_000);
	readonly random: SeededRandom;
	readonly routers: VirtualRouter[];
	readonly audited: string[] = [];
	readonly failures: string[] = [];
	/** Blocks in the order in which routers were told of them, with their arm. */
	readonly told: string[] = [];
	stored: Stored<ExperimentRecord>;
	/** What a node tells whoever takes over; `isForgetful` = it does not arrive. */
	windows: GuardrailWindows | undefined;
	isForgetful = false;
	/** Times that it was told. */
	toldWindows = 0;
	/** Where requests may cross to other cells. */
	border: CellBorder = { sendsTo: [], hearsOf: [] };
	promoted: string | undefined;
	/** Requests that routers have begun. */
	served = 0;
	/** Of 40 sessions, so many always fail, whoever decides. */
	sessionsFailing = 0;
	/** The next so many times that routers are told of the end fail. */
	unstageFailures = 0;
	runner: ExperimentRunner;
	readonly #arms: Readonly<Record<ArmName, ArmBehaviour>>;
	readonly #perStep: number;

	/** `perStep`: requests each router gets in a tenth of a second. */
	constructor(
		design: ExperimentRecord['design'],
		armsAre: Readonly<Record<ArmName, ArmBehaviour>>,
		{ seed = 1, routers = 2, perStep = 4 } = {},
	) {
		this.random = new SeededRandom(seed, 9);
		this.#arms = armsAre;
		this.#perStep = perStep;
		this.routers = Array.from({ length: routers }, () => new VirtualRouter(this));
		this.stored = { id: 'e1', value: recordFor(design, this.clock.wallMs()), revision: 1 };
		this.runner = this.#node();
		this.runner.changed();
	}

	get record(): ExperimentRecord {
		return this.stored.value;
	}

	behaviour(arm: ArmName): ArmBehaviour {
		return this.#arms[arm];
	}

	/** Who has most of a router's requests now. */
	armNow({ staging }: VirtualRouter): ArmName {
		return staging?.arm ?? 'baseline';
	}

	/** The node that runs the experiment ends, and another takes over with nothing but the record. */
	async takeOver(): Promise<void> {
		await this.runner.close();
		this.runner = this.#node();
		this.runner.changed();
	}

	/** Time passes, with traffic. */
	async run(ms: number): Promise<void> {
		for (let passed = 0; passed < ms; passed += STEP_MS) {
			for (const router of this.routers) router.serve(this.#perStep);
			this.clock.advance(STEP_MS);
			for (let turn = 0; turn < 40; turn++) await Promise.resolve();
		}
	}

	/** Until it has ended; `between` is called each second. */
	async runToEnd(minutesMax: number, between: () => Promise<void> | void = () => undefined): Promise<void> {
		for (let second = 0; second < minutesMax * 60 && this.record.state !== 'ended'; second++) {
			await this.run(1000);
			await between();
		}
	}

	#node(): ExperimentRunner {
		const stageAll = (staging: ExperimentStaging | undefined): void => {
			for (const router of this.routers) router.staging = staging;
		};
		return new ExperimentRunner({
			clock: this.clock,
			experiments: () => [this.stored],
			holds: () => Promise.resolve(true),
			write: (record, ifRevision) => {
				if (ifRevision !== this.stored.revision)
					return Promise.reject(new MeshError(recordErrors, 'IM_RECORD_CONFLICT'));
				// As a store would hold it.
				const value = JSON.parse(JSON.stringify(record)) as ExperimentRecord;
				this.stored = { id: record.id, value, revision: ifRevision + 1 };
				return Promise.resolve(this.stored.revision);
			},
			read: (ask) =>
				Promise.resolve(
					new Map(this.routers.map((router, at) => [`r${at}`, router.silent ? undefined : router.telemetry.read(ask)])),
				),
			border: () => this.border,
			stage: (_model, staging) => {
				this.told.push(`${staging.block} ${staging.arm ?? 'split'}`);
				stageAll(staging);
				return Promise.resolve();
			},
			staged: () => {
				const id = this.routers[0]?.staging?.id;
				return id === undefined ? [] : [{ model: 'm', id }];
			},
			isOver: () => Promise.resolve(this.record.state === 'ended'),
			unstage: (_model, _id, promote) => {
				if (this.unstageFailures-- > 0) return Promise.reject(new Error('a router did not answer'));
				stageAll(undefined);
				this.promoted = promote;
				return Promise.resolve();
			},
			windows: () => Promise.resolve(this.windows),
			tellWindows: (_id, windows) => {
				this.toldWindows++;
				if (windows !== undefined && faultOf(guardrailWindowsSchema, windows) !== undefined)
					return Promise.reject(new Error('no windows'));
				this.windows = this.isForgetful || windows === undefined ? undefined : structuredClone(windows);
				return Promise.resolve();
			},
			audit: ({ action, reason = '' }) => this.audited.push(`${action}: ${reason}`),
			failed: (what, error) => this.failures.push(`${what}: ${String(error)}`),
		});
	}
}
