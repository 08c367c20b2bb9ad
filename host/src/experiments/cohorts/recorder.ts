// Owns the counting of requests of experiments in one worker: into a book of its own, which goes to the agent a few times a second while there is anything in it.
// Nothing is posted per request, and nothing at all while no model is under experiment.
import type { Clock, Timer } from '@infermesh/proto';
import type { FallbackCause } from '../../strategy/runtime/decision.js';
import type { ExperimentPlan } from '../../strategy/runtime/plan.js';
import { CohortBook, type CohortDelta } from './book.js';
import { cohortOf } from './cohort.js';
import { count, type EndedRequest } from './judge.js';

/** Cohorts that requests of one worker are in at once: the two blocks that overlap, with their burn-ins, of a few models. */
const COHORTS_MAX = 64;
const POST_MS = 200;

export interface RecorderPorts {
	readonly clock: Clock;
	/** The experiment a model is under now. */
	readonly experimentOn: (model: string) => ExperimentPlan | undefined;
	readonly post: (deltas: CohortDelta[]) => void;
}

export class CohortRecorder {
	readonly #ports: RecorderPorts;
	readonly #book = new CohortBook(COHORTS_MAX);
	#due: Timer | undefined;

	constructor(ports: RecorderPorts) {
		this.#ports = ports;
	}

	decided(cohort: number, cause: FallbackCause, durationNs: number, fuel: number): void {
		this.#of(cohort).decided(cause, durationNs, fuel);
	}

	enlisted(cohort: number): void {
		this.#of(cohort).add('begun', 1);
	}

	/** What ends after its experiment counts for nothing: nobody is left to read it. */
	ended(model: string, cohort: number, request: EndedRequest): void {
		const experiment = this.#ports.experimentOn(model);
		if (experiment === undefined || experiment.tag !== cohortOf(cohort).tag) return;
		count(this.#of(cohort), request, experiment.objectives);
	}

	flush(): void {
		this.#due?.cancel();
		this.#due = undefined;
		if (this.#book.size > 0) this.#ports.post(this.#book.drain());
	}

	#of(cohort: number) {
		this.#due ??= this.#ports.clock.after(POST_MS, () => this.flush(), { unref: true });
		return this.#book.of(cohort);
	}
}
