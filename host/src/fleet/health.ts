// Owns the rules that say whether a target may be used: active checks, outlier ejection by live failures, drain, staleness. Pure: state
// and event in, state out; ms on the caller's monotonic clock.
import { TargetState } from '@infermesh/sdk';

export interface HealthOptions {
	/** Good checks in a row that bring a target back, bad ones that take it out. */
	readonly healthyAfter: number;
	readonly unhealthyAfter: number;
	/** Live failures in a row that eject. */
	readonly consecutiveFailures: number;
	/** Failed share of a window that ejects, once the window has `requestsMin` requests. */
	readonly errorRatio: number;
	readonly requestsMin: number;
	readonly windowMs: number;
	/** First ejection; each next one is longer by the same, up to `ejectionMaxMs`, and shorter by it for as long as the target has been back. */
	readonly ejectionMs: number;
	readonly ejectionMaxMs: number;
	/** Out for this long after a connection that could not be made; doubled while that goes on, up to `ejectionMaxMs`. 0 = never for that alone. */
	readonly unreachableMs: number;
	/** After an ejection this many requests at once try the target, until so many have succeeded. */
	readonly trialRequests: number;
	readonly trialSuccesses: number;
	/** After coming back, traffic returns over this long. */
	readonly slowStartMs: number;
	readonly staleAfterMs: number;
}

export interface TargetHealth {
	/** Whether the last verdict of the active checks is "serving". Targets without checks count as serving. */
	readonly serving: boolean;
	/** Checks in a row that disagree with `serving`. */
	readonly streak: number;
	readonly checked: boolean;
	readonly liveFailures: number;
	readonly windowBeganMs: number;
	readonly windowRequests: number;
	readonly windowFailures: number;
	/** All there ever were. */
	readonly ejections: number;
	/** By how many times the first the next one for failures is longer, had the target just come back. */
	readonly repeats: number;
	readonly ejectedUntilMs: number;
	/** Ejections in a row because it could not be reached. */
	readonly unreachable: number;
	/** On trial after an ejection: successes so far; -1 = not on trial. */
	readonly trial: number;
	/** When it last came back from unhealthy or ejected; slow start counts from here. `-Infinity` = never was out. */
	readonly returnedMs: number;
	/** When its telemetry last arrived; undefined = it has none to give. */
	readonly reportedMs: number | undefined;
	readonly sleeping: boolean;
}

export function newHealth(hasChecks: boolean): TargetHealth {
	return {
		serving: !hasChecks,
		streak: 0,
		checked: !hasChecks,
		liveFailures: 0,
		windowBeganMs: 0,
		windowRequests: 0,
		windowFailures: 0,
		ejections: 0,
		repeats: 0,
		ejectedUntilMs: 0,
		unreachable: 0,
		trial: -1,
		returnedMs: Number.NEGATIVE_INFINITY,
		reportedMs: undefined,
		sleeping: false,
	};
}

/** After one active check. The first check decides at once; later ones need a run. */
export function afterCheck(health: TargetHealth, ok: boolean, nowMs: number, options: HealthOptions): TargetHealth {
	// What could not be reached answers again: the wait for it is over, the trial is not.
	if (ok && health.unreachable > 0 && nowMs < health.ejectedUntilMs)
		return afterCheck({ ...health, unreachable: 0, ejectedUntilMs: nowMs, returnedMs: nowMs }, ok, nowMs, options);
	if (!health.checked) return { ...health, checked: true, serving: ok, streak: 0 };
	if (ok === health.serving) return { ...health, streak: 0 };
	const streak = health.streak + 1;
	if (streak < (ok ? options.healthyAfter : options.unhealthyAfter)) return { ...health, streak };
	return { ...health, serving: ok, streak: 0, returnedMs: ok ? nowMs : health.returnedMs };
}

/** After a batch of live requests on the target: `requests` ended, `failures` of them by the target's fault, `lastFailed` in a row at the end. */
export function afterTraffic(
	health: TargetHealth,
	requests: number,
	failures: number,
	trailingFailures: number,
	nowMs: number,
	options: HealthOptions,
	mayEject: () => boolean,
): TargetHealth {
	const fresh = nowMs - health.windowBeganMs >= options.windowMs;
	const windowRequests = (fresh ? 0 : health.windowRequests) + requests;
	const windowFailures = (fresh ? 0 : health.windowFailures) + failures;
	const liveFailures = trailingFailures === requests ? health.liveFailures + failures : trailingFailures;
	const succeeded = requests > failures;
	const next: TargetHealth = {
		...health,
		liveFailures,
		windowBeganMs: fresh ? nowMs : health.windowBeganMs,
		windowRequests,
		windowFailures,
		// While it is out for that, a good check ends it: one that succeeds all the same must not make it wait for the end.
		unreachable: succeeded && nowMs >= health.ejectedUntilMs ? 0 : health.unreachable,
		trial: trialAfter(health, requests - failures, nowMs, options),
	};
	const byTrial = health.trial >= 0 && failures > 0;
	const byRun = byTrial || liveFailures >= options.consecutiveFailures;
	const byRatio = windowRequests >= options.requestsMin && windowFailures / windowRequests >= options.errorRatio;
	if (!(byRun || byRatio) || nowMs < health.ejectedUntilMs || !mayEject()) return next;
	const repeats = repeatsOf(health, nowMs, options);
	return { ...ejected(next, nowMs, options.ejectionMs * (repeats + 1), options), repeats: repeats + 1 };
}

/** What has gone well since counts against what went wrong before it: an engine that fails once a month is not out for longer each time. */
function repeatsOf({ repeats, returnedMs }: TargetHealth, nowMs: number, { ejectionMs }: HealthOptions): number {
	return Math.max(0, repeats - Math.floor(Math.max(0, nowMs - returnedMs) / ejectionMs));
}

/**
 * After a connection that could not be made: there is nothing to weigh, so neither a run of failures nor the rest of the pool is asked. Several
 * workers meet one outage: while the target is out, more reports change nothing.
 */
export function afterUnreachable(health: TargetHealth, nowMs: number, options: HealthOptions): TargetHealth {
	if (options.unreachableMs === 0 || nowMs < health.ejectedUntilMs) return health;
	const forMs = options.unreachableMs * 2 ** Math.min(health.unreachable, DOUBLINGS_MAX);
	return { ...ejected(health, nowMs, forMs, options), unreachable: health.unreachable + 1 };
}

const DOUBLINGS_MAX = 20;

function ejected(health: TargetHealth, nowMs: number, forMs: number, options: HealthOptions): TargetHealth {
	const untilMs = nowMs + Math.min(options.ejectionMaxMs, forMs);
	return {
		...health,
		ejections: health.ejections + 1,
		ejectedUntilMs: untilMs,
		returnedMs: untilMs,
		liveFailures: 0,
		windowRequests: 0,
		windowFailures: 0,
		trial: 0,
	};
}

/** Successes on trial, once the ejection is over; -1 when there were enough. */
function trialAfter(health: TargetHealth, successes: number, nowMs: number, options: HealthOptions): number {
	if (health.trial < 0 || nowMs < health.ejectedUntilMs) return health.trial;
	return health.trial + successes >= options.trialSuccesses ? -1 : health.trial + successes;
}

/** Requests at once that a target on trial may have; 0 = as many as come. */
export function trialsOf({ trial }: TargetHealth, options: HealthOptions): number {
	return trial < 0 ? 0 : options.trialRequests;
}

/** What has been decided about a target or its node, whatever its signals say. */
export type TargetHold = 'none' | 'draining' | 'quarantined';

/** The life-cycle state shown in the table. */
export function stateOf(health: TargetHealth, hold: TargetHold, nowMs: number, options: HealthOptions): number {
	if (hold === 'quarantined') return TargetState.quarantined;
	if (hold === 'draining') return TargetState.draining;
	if (!health.checked) return TargetState.unknown;
	if (!health.serving || health.sleeping) return TargetState.unhealthy;
	if (nowMs < health.ejectedUntilMs) return TargetState.ejected;
	const stale = health.reportedMs !== undefined && nowMs - health.reportedMs > options.staleAfterMs;
	return stale ? TargetState.degraded : TargetState.ready;
}

/** The state with what is known of the target's devices. */
export function withDevices(state: number, devices: 'sound' | 'degraded' | 'quarantined'): number {
	if (devices === 'quarantined') return state === TargetState.draining ? state : TargetState.quarantined;
	return devices === 'degraded' && state === TargetState.ready ? TargetState.degraded : state;
}

/** Until when, exclusively, `stateOf` and `slowStartOf` say the same as now of the same health; `nowMs` = they may move at any time. */
export function steadyUntil(health: TargetHealth, nowMs: number, { staleAfterMs, slowStartMs }: HealthOptions): number {
	if (nowMs - health.returnedMs < slowStartMs) return nowMs;
	const later = (atMs: number | undefined): number =>
		atMs === undefined || atMs <= nowMs ? Number.POSITIVE_INFINITY : atMs;
	const staleMs = health.reportedMs === undefined ? undefined : health.reportedMs + staleAfterMs;
	// At the very instant it is not stale yet.
	return staleMs === nowMs ? nowMs : Math.min(later(health.ejectedUntilMs), later(staleMs));
}

/** Share of its normal traffic a target should get: rises from 0.1 to 1 over `slowStartMs` after it came back. */
export function slowStartOf(health: TargetHealth, nowMs: number, options: HealthOptions): number {
	const sinceMs = nowMs - health.returnedMs;
	if (sinceMs < 0 || sinceMs >= options.slowStartMs) return 1;
	return 0.1 + (0.9 * sinceMs) / options.slowStartMs;
}
