// Owns a small mesh in virtual time for tests of the controller: routers that count requests as the staging tells them, a store of one experiment, and nodes that run
// it. What arms are like is given as chances; the routers, the records and the runner are the real ones.
import { MeshError, SeededRandom } from '@infermesh/proto';
import { HandClock } from '../../fleet/testing.js';
import { recordErrors } from '../../records/errors.js';
import type { Stored } from '../../records/records.js';
import type { ExperimentStaging } from '../../strategy/registry/staging.js';
import { CohortBook } from '../cohorts/book.js';
import { type ArmName, cohortNumber } from '../cohorts/cohort.js';
import { count } from '../cohorts/judge.js';
import { designFor } from '../design/testing.js';
import type { ExperimentRecord } from '../record.js';
import { RouterTelemetry } from '../telemetry/router-telemetry.js';
import { ExperimentRunner } from './runner.js';

export interface ArmBehaviour {
	/** Chance that a request is good. */
	readonly good: number;
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

class VirtualRouter {
	staging: ExperimentStaging | undefined;
	telemetry: RouterTelemetry;
	silent = false;
	readonly #world: VirtualMesh;
	#lives = 0;

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
		const { staging } = this;
		const book = new CohortBook(8);
		for (let n = 0; n < requests; n++) {
			const isCandidate =
				staging?.split === undefined
					? staging?.arm === 'candidate'
					: this.#world.random.nextFloat() * 100 < staging.split.percent;
			const arm: ArmName = isCandidate ? 'candidate' : 'baseline';
			if (staging === undefined) continue;
			const isBurnIn = this.#world.clock.wallMs() < staging.measureFromMs;
			const counts = book.of(cohortNumber(staging.tag, staging.block, isCandidate, isBurnIn));
			const { good, trap = 0 } = this.#world.behaviour(arm);
			counts.decided(this.#world.random.nextFloat() < trap ? 'trap' : 'none', 20_000, 500);
			counts.add('begun', 1);
			const ttftMs = this.#world.random.nextFloat() < good ? 200 : 9000;
			count(
				counts,
				{
					status: 200,
					stream: true,
					tokensIn: 100,
					tokensOut: 10,
					ttftMs,
					durationMs: ttftMs + 100,
					failed: false,
					attempts: 1,
					tokensComputed: 110,
					tokensWasted: 0,
					hedge: 'none',
				},
				staging.objectives,
			);
		}
		this.telemetry.merge(book.drain());
	}
}

export class VirtualMesh {
	readonly clock = new HandClock(1_700_000_000_000);
	readonly random: SeededRandom;
	readonly routers: VirtualRouter[];
	readonly audited: string[] = [];
	readonly failures: string[] = [];
	/** Blocks in the order in which routers were told of them, with their arm. */
	readonly told: string[] = [];
	stored: Stored<ExperimentRecord>;
	promoted: string | undefined;
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
				stageAll(undefined);
				this.promoted = promote;
				return Promise.resolve();
			},
			audit: ({ action, reason = '' }) => this.audited.push(`${action}: ${reason}`),
			failed: (what, error) => this.failures.push(`${what}: ${String(error)}`),
		});
	}
}
