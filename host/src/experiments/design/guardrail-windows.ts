// Owns what of the guardrails' windows another node is told, so that a take-over does not begin them anew: pure, small, and nothing at all while no rule is building up.
// Leaves judging to guardrails.ts. Invariant: what is told is never more than was seen; it can only make a rule trip later than it would have.
import type { Static } from 'typebox';
import { Type } from '../../schema/type.js';
import { arms } from '../cohorts/cohort.js';
import type { GuardrailSample, TargetLoad } from './guardrail-sample.js';

/** Samples that are told, of as many as there are. */
export const TOLD_SAMPLES_MAX = 16;
/** Of each: those whose queues grow most, and those that idle. */
export const TOLD_TARGETS_MAX = 32;
/** What is older says nothing of now. */
export const TOLD_MS_MAX = 60_000;
/** After a restart a fleet that is still too empty to judge says nothing for so long. */
export const FILLING_MS = 10_000;

const whole = Type.Integer({ minimum: 0 });

export const guardrailWindowsSchema = Type.Object({
	/** When it was seen, milliseconds since the Unix epoch. */
	atMs: Type.Number(),
	arm: Type.Enum([...arms]),
	imbalancedSinceMs: Type.Optional(Type.Number()),
	/** A lone node has restarted since: what was in flight has gone with it. */
	restarted: Type.Optional(Type.Boolean()),
	/** Oldest first; decisions of samples that are left out are added to the next one. */
	samples: Type.Array(
		Type.Object({
			atMs: Type.Number(),
			decisions: whole,
			decisionTimeouts: whole,
			targets: Type.Array(
				Type.Object({ id: Type.String(), inFlight: Type.Number(), waiting: Type.Optional(Type.Number()) }),
				{ maxItems: TOLD_TARGETS_MAX },
			),
		}),
		{ maxItems: TOLD_SAMPLES_MAX },
	),
});
export type GuardrailWindows = Static<typeof guardrailWindowsSchema>;

/** What is building up; undefined while nothing is. */
export function windowsOf(
	samples: readonly GuardrailSample[],
	imbalancedSinceMs: number | undefined,
): GuardrailWindows | undefined {
	const last = samples.at(-1);
	if (last === undefined) return undefined;
	const targets = starvedTargets(samples);
	const isBuilding =
		imbalancedSinceMs !== undefined || targets.size > 0 || samples.some((one) => one.decisionTimeouts > 0);
	if (!isBuilding) return undefined;
	return {
		atMs: last.atMs,
		arm: last.arm,
		...(imbalancedSinceMs === undefined ? {} : { imbalancedSinceMs }),
		samples: thinned(samples).map((one) => ({
			atMs: one.atMs,
			decisions: one.decisions,
			decisionTimeouts: one.decisionTimeouts,
			targets: one.targets
				.filter(({ id }) => targets.has(id))
				.map(({ id, inFlight, waiting }) => (waiting === undefined ? { id, inFlight } : { id, inFlight, waiting })),
		})),
	};
}

/** The same as samples of whoever takes over: time in which nobody looked has not passed. Empty where it is too old. */
export function samplesOf(windows: GuardrailWindows, nowMs: number): readonly GuardrailSample[] {
	const gapMs = nowMs - windows.atMs;
	if (!(gapMs >= 0 && gapMs <= TOLD_MS_MAX)) return [];
	return windows.samples.map(({ atMs, decisions, decisionTimeouts, targets }) => ({
		atMs: atMs + gapMs,
		arm: windows.arm,
		decisions,
		decisionTimeouts,
		// A trap has ended the experiment.
		traps: 0,
		targets: targets.map(({ id, inFlight, waiting }) => ({ id, inFlight, waiting })),
	}));
}

/** Those whose queue has grown, with those that have idled, while there are both. */
function starvedTargets(samples: readonly GuardrailSample[]): ReadonlySet<string> {
	const [first, last] = [samples[0], samples.at(-1)];
	if (first === undefined || last === undefined) return new Set();
	const before = new Map(first.targets.map((target) => [target.id, target]));
	const growth = ({ id, waiting }: TargetLoad): number => (waiting ?? 0) - (before.get(id)?.waiting ?? waiting ?? 0);
	const grown = last.targets.filter((target) => growth(target) > 0).sort((a, b) => growth(b) - growth(a));
	const isIdle = (target: TargetLoad | undefined): boolean =>
		target !== undefined && target.inFlight === 0 && (target.waiting ?? 0) === 0;
	const idle = last.targets.filter((target) => isIdle(target) && isIdle(before.get(target.id)));
	if (grown.length === 0 || idle.length === 0) return new Set();
	const half = TOLD_TARGETS_MAX / 2;
	return new Set([...grown.slice(0, half), ...idle.slice(0, half)].map(({ id }) => id));
}

/** The first, the last, and others at even distances; what the left-out ones counted goes to the next. */
function thinned(samples: readonly GuardrailSample[]): GuardrailSample[] {
	const kept: GuardrailSample[] = [];
	let decisions = 0;
	let decisionTimeouts = 0;
	const every = Math.max(1, (samples.length - 1) / (TOLD_SAMPLES_MAX - 1));
	for (const [at, sample] of samples.entries()) {
		decisions += sample.decisions;
		decisionTimeouts += sample.decisionTimeouts;
		if (at !== samples.length - 1 && at < Math.round(kept.length * every)) continue;
		kept.push({ ...sample, decisions, decisionTimeouts });
		decisions = 0;
		decisionTimeouts = 0;
	}
	return kept;
}
