// Owns running one scenario on one strategy: the fleet, the requests in order, their repetitions, and what came of each. Decisions
// come from the sandbox; comparing them is expect.ts's. Same scenario, same module, same result: nothing here is random.
import { Decision } from '../../strategy/runtime/decision.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { createHits, featuresOf, fillHits } from '../features.js';
import { Fleet } from '../fleet.js';
import { Sandbox, type SandboxOptions, sandboxDefaults } from '../sandbox.js';
import { compare, type Mismatch, meets, type NamedDecision, nameDecision } from './expect.js';
import type { Scenario } from './parse.js';
import type { RequestSpec } from './schema.js';
import type { Path } from './yaml-source.js';

export interface ScenarioFailure extends Mismatch {
	/** `file:line:column` of the expectation, or of the request when it has none. */
	readonly where: string;
	/** The request's name, or its place in the list. */
	readonly request: string;
	/** First repetition that failed, from 0. */
	readonly repetition: number;
	/** Repetitions that failed in the same way. */
	readonly times: number;
	readonly repeat: number;
	/** The decision that failed first; absent for `share` and `same`, which judge all. */
	readonly decision?: NamedDecision;
	/** Source position and message of a trap, when there was one. */
	readonly trap?: string;
}

export interface ScenarioOutcome {
	readonly name: string;
	readonly file: string;
	readonly ok: boolean;
	readonly decisions: number;
	/** Most fuel of one decision; null where none is counted. */
	readonly fuelMax: number | null;
	readonly failures: readonly ScenarioFailure[];
	/** Lines the strategy logged, the first few. */
	readonly log: readonly string[];
}

export interface ScenarioOptions {
	readonly sandbox: SandboxOptions;
	/** Tells where in the source a trap came from; undefined when it cannot. */
	readonly describeTrap: (trap: unknown) => string | undefined;
}

export const scenarioDefaults: ScenarioOptions = { sandbox: sandboxDefaults, describeTrap: () => undefined };

const LOG_LINES_MAX = 20;
const defaultSeed = 1;

/** Runs `scenario` on `strategy`, whose configuration is already the scenario's. Throws IM_RUN_NO_INSTANCE. */
export function runScenario(
	scenario: Scenario,
	strategy: StrategyModule,
	options: ScenarioOptions = scenarioDefaults,
): ScenarioOutcome {
	const { spec } = scenario;
	const fleet = new Fleet(spec);
	const sandbox = { ...options.sandbox, topK: spec.top_k ?? options.sandbox.topK };
	const deciding = new Sandbox(strategy, fleet, sandbox);
	try {
		const run = new Run(scenario, deciding, options);
		spec.requests.forEach((request, index) => run.request(request, index));
		return run.outcome();
	} finally {
		deciding.close();
	}
}

class Run {
	readonly #scenario: Scenario;
	readonly #sandbox: Sandbox;
	readonly #options: ScenarioOptions;
	readonly #decision = new Decision();
	readonly #hits = createHits();
	readonly #failures: ScenarioFailure[] = [];
	readonly #log: string[] = [];
	#decisions = 0;
	#fuelMax: number | null = null;

	constructor(scenario: Scenario, sandbox: Sandbox, options: ScenarioOptions) {
		this.#scenario = scenario;
		this.#sandbox = sandbox;
		this.#options = options;
	}

	request(request: RequestSpec, index: number): void {
		const { fleet } = this.#sandbox;
		fleet.nowMs += request.after_ms ?? 0;
		for (const [id, cells] of Object.entries(request.set ?? {})) fleet.set(id, cells);
		if (!this.#teach(request, index)) return;
		const repeat = request.repeat ?? 1;
		const chosen = new Map<string, number>();
		const failed = new Map<string, ScenarioFailure>();
		for (let repetition = 0; repetition < repeat; repetition++) {
			const decision = this.#decide(request, index, repetition);
			const first = decision.ranked[0]?.target;
			if (first !== undefined && decision.verdict === 'route') chosen.set(first, (chosen.get(first) ?? 0) + 1);
			for (const mismatch of compare(request.expect ?? {}, decision))
				this.#note(failed, mismatch, request, index, repetition, decision);
		}
		this.#failures.push(...failed.values(), ...this.#overall(request, index, repeat, chosen));
	}

	/** Runs observe and tick when the request asks for them; false when one failed. */
	#teach(request: RequestSpec, index: number): boolean {
		const features = featuresOf(request, this.#sandbox.fleet, 0, defaultSeed + index);
		const steps: [string, () => string][] = [];
		const { outcomes } = request;
		if (outcomes !== undefined) steps.push(['outcomes', () => this.#sandbox.observe(outcomes, features, this.#hits)]);
		if (request.tick === true) steps.push(['tick', () => this.#sandbox.tick(features, this.#hits)]);
		for (const [key, run] of steps) {
			const cause = run();
			if (cause === 'none') continue;
			const actual =
				cause === 'no_instance' ? `the strategy exports no \`${key === 'tick' ? 'tick' : 'observe'}\`` : cause;
			this.#failures.push(
				this.#failure({ key, expected: 'the hook returns ok', actual }, request, index, 0, 1, ['requests', index, key]),
			);
			return false;
		}
		return true;
	}

	#decide(request: RequestSpec, index: number, repetition: number): NamedDecision {
		const { fleet } = this.#sandbox;
		fillHits(request, fleet, this.#hits);
		const excluded = (request.exclude ?? []).map((id) => fleet.row(id));
		const features = featuresOf(request, fleet, repetition, defaultSeed + index);
		this.#sandbox.rank(features, this.#hits, excluded, this.#decision);
		this.#decisions++;
		const { fuel } = this.#sandbox;
		if (fuel !== null) this.#fuelMax = Math.max(this.#fuelMax ?? 0, fuel);
		const text = this.#sandbox.log();
		if (text !== '' && this.#log.length < LOG_LINES_MAX)
			this.#log.push(
				...text
					.trimEnd()
					.split('\n')
					.slice(0, LOG_LINES_MAX - this.#log.length),
			);
		const named = nameDecision(this.#decision, fuel, fleet.ids, (rank) => this.#sandbox.factors(rank));
		const row = this.#decision.rows[0];
		if (request.dispatch === true && named.verdict === 'route' && row !== undefined && named.ranked.length > 0) {
			const cached = (request.hits ?? []).find((hit) => hit.target === named.ranked[0]?.target)?.tokens ?? 0;
			fleet.dispatch(row, features.tokensIn, Math.max(0, features.tokensIn - cached));
		}
		return named;
	}

	/** Expectations over all repetitions. */
	#overall(
		request: RequestSpec,
		index: number,
		repeat: number,
		chosen: ReadonlyMap<string, number>,
	): ScenarioFailure[] {
		const failures: ScenarioFailure[] = [];
		const spread =
			[...chosen].map(([id, times]) => `${id} ${percent(times / repeat)}`).join(', ') || 'nothing was chosen';
		const say = (key: string, expected: string, path: Path): void => {
			failures.push(this.#failure({ key, expected, actual: spread }, request, index, 0, repeat, path));
		};
		const at: Path = ['requests', index, 'expect'];
		for (const [id, expected] of Object.entries(request.expect?.share ?? {})) {
			if (!meets(expected, (chosen.get(id) ?? 0) / repeat)) say(`share.${id}`, String(expected), [...at, 'share', id]);
		}
		const { same } = request.expect ?? {};
		if (same !== undefined && same !== (chosen.size === 1))
			say('same', same ? 'one target every time' : 'more than one target', [...at, 'same']);
		return failures;
	}

	#note(
		failed: Map<string, ScenarioFailure>,
		mismatch: Mismatch,
		request: RequestSpec,
		index: number,
		repetition: number,
		decision: NamedDecision,
	): void {
		const known = failed.get(mismatch.key);
		if (known !== undefined) {
			failed.set(mismatch.key, { ...known, times: known.times + 1 });
			return;
		}
		const trap =
			this.#sandbox.fault.trap === undefined ? undefined : this.#options.describeTrap(this.#sandbox.fault.trap);
		const path: Path = ['requests', index, 'expect', ...mismatch.key.split('.')];
		const failure = this.#failure(mismatch, request, index, repetition, 1, path);
		failed.set(mismatch.key, { ...failure, decision, ...(trap === undefined ? {} : { trap }) });
	}

	#failure(
		mismatch: Mismatch,
		request: RequestSpec,
		index: number,
		repetition: number,
		times: number,
		path: Path,
	): ScenarioFailure {
		const name = request.name ?? `request ${index + 1}`;
		return {
			...mismatch,
			where: this.#scenario.source.at(path),
			request: name,
			repetition,
			times,
			repeat: request.repeat ?? 1,
		};
	}

	outcome(): ScenarioOutcome {
		const { file, spec } = this.#scenario;
		return {
			name: spec.name,
			file,
			ok: this.#failures.length === 0,
			decisions: this.#decisions,
			fuelMax: this.#fuelMax,
			failures: this.#failures,
			log: this.#log,
		};
	}
}

function percent(share: number): string {
	return `${Number((share * 100).toFixed(1))}%`;
}
