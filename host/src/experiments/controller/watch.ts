// Owns what a controller remembers of an experiment between two looks: the windows of the guardrails. A node that takes over goes on with what it is told of them; what
// closed blocks have shown is in the record.
import type { FallbackCause } from '../../strategy/runtime/decision.js';
import { type ArmName, cohortOf } from '../cohorts/cohort.js';
import { CohortCounts } from '../cohorts/counts.js';
import type { Trip } from '../design/guardrail-rules.js';
import type { TargetLoad } from '../design/guardrail-sample.js';
import type { GuardrailWindows } from '../design/guardrail-windows.js';
import { Guardrails } from '../design/guardrails.js';
import type { ExperimentPoint, ExperimentRecord } from '../record.js';
import type { Look } from './look.js';

/** Budgets are fuel: a decision that spent it all has timed out. */
export const timeoutCauses: readonly FallbackCause[] = ['fuel'];
export const trapCauses: readonly FallbackCause[] = ['trap', 'stack'];

interface Decided {
	readonly decisions: number;
	readonly timeouts: number;
	readonly traps: number;
}

const nothing: Decided = { decisions: 0, timeouts: 0, traps: 0 };

export function faultsOf(counts: CohortCounts, causes: readonly FallbackCause[]): number {
	return causes.reduce((sum, cause) => sum + counts.faults(cause), 0);
}

export class Watch {
	readonly #guardrails: Guardrails;
	/** By router, incarnation and cohort: what the last look has seen decided for the candidate. */
	#seen = new Map<string, Decided>();
	#first = true;

	/** `windows`: what the node before saw building up. */
	constructor({ design, muted, points }: ExperimentRecord, nowMs: number, windows?: GuardrailWindows) {
		this.#guardrails = new Guardrails(design.guardrails, nowMs, muted);
		if (windows !== undefined) this.#guardrails.resume(windows, nowMs);
		for (const point of points) this.closed(point);
	}

	/** What is building up, to be told to whoever takes over; undefined while nothing is. */
	windows(): GuardrailWindows | undefined {
		return this.#guardrails.windows();
	}

	get trip(): Trip | undefined {
		return this.#guardrails.trip;
	}

	get muted(): Guardrails['muted'] {
		return this.#guardrails.muted;
	}

	/** `arm` has the fleet. A look in which a router is missing counts as none. */
	look(look: Look, arm: ArmName): void {
		const decided = this.#decided(look);
		if ([...look.readings.values()].includes(undefined)) this.#guardrails.tick(look.nowMs);
		else
			this.#guardrails.observe({
				atMs: look.nowMs,
				arm,
				decisions: decided.decisions,
				decisionTimeouts: decided.timeouts,
				traps: decided.traps,
				targets: targetLoads(look),
			});
	}

	closed({ dropped, requests, good, arm, toMs }: ExperimentPoint): void {
		if (dropped !== undefined || requests === 0) return;
		this.#guardrails.observeBlock({ atMs: toMs, arm, requests, attainment: good / requests });
	}

	/**
	 * Of the candidate since the last look; routers that were not there then begin at nothing. At the first look totals since a block's begin say nothing of the last
	 * seconds: of them only traps count, since any trap does.
	 */
	#decided({ readings }: Look): Decided {
		const { decisions, timeouts, traps } = this.#sinceLast(readings);
		const isFirst = this.#first;
		this.#first = false;
		return isFirst ? { decisions: 0, timeouts: 0, traps } : { decisions, timeouts, traps };
	}

	#sinceLast(readings: Look['readings']): Decided {
		const seen = new Map<string, Decided>();
		let since = nothing;
		for (const [router, reading] of readings)
			for (const { cohort, cells } of reading?.cohorts ?? []) {
				if (cohortOf(cohort).arm !== 'candidate') continue;
				const counts = new CohortCounts(cells);
				const now = {
					decisions: counts.get('decisions'),
					timeouts: faultsOf(counts, timeoutCauses),
					traps: faultsOf(counts, trapCauses),
				};
				const key = `${router}/${reading?.incarnation ?? ''}/${cohort}`;
				seen.set(key, now);
				const before = this.#seen.get(key) ?? nothing;
				since = {
					decisions: since.decisions + now.decisions - before.decisions,
					timeouts: since.timeouts + now.timeouts - before.timeouts,
					traps: since.traps + now.traps - before.traps,
				};
			}
		this.#seen = seen;
		return since;
	}
}

/** What all routers together have at each target, by id. */
function targetLoads({ readings }: Look): TargetLoad[] {
	const loads = new Map<string, { inFlight: number; waiting: number | undefined }>();
	for (const reading of readings.values())
		for (const { id, inFlight, waiting } of reading?.targets ?? []) {
			const load = loads.get(id) ?? { inFlight: 0, waiting: undefined };
			load.inFlight += inFlight;
			if (waiting !== undefined) load.waiting = Math.max(load.waiting ?? 0, waiting);
			loads.set(id, load);
		}
	return [...loads].map(([id, load]) => Object.assign(load, { id })).sort((a, b) => (a.id < b.id ? -1 : 1));
}
