// Owns the metrics of decisions and of the strategies that make them: cost, fallbacks, strikes, shadows, swaps, admission.
import { collected, counter, decisionSeconds, gauge, geometric, histogram } from './define.js';

/** 128 to 16.8 M, doubling. */
const fuel = geometric(128, 2, 18);
const STRATEGIES = 64;
const perShadow = ['strategy', 'model'] as const;

export const strategyMetrics = {
	// Decisions, counted where they are made.
	decisions: counter(
		'decisions',
		['strategy'],
		STRATEGIES,
		'Decisions, by the strategy that answered (`name@version`), the fallback included.',
	),
	decisionDuration: histogram(
		'decision_duration_seconds',
		['strategy'],
		STRATEGIES,
		decisionSeconds,
		'Wall time of one decision, all in, by the strategy that was asked.',
	),
	decisionFuel: histogram(
		'decision_fuel',
		['strategy'],
		STRATEGIES,
		fuel,
		'Fuel of one decision; exact, the same on every machine.',
	),
	fallbacks: counter(
		'fallbacks',
		['strategy', 'cause'],
		512,
		'Decisions answered by the fallback in place of a strategy, by cause.',
	),
	strikes: counter(
		'strategy_strikes',
		['strategy', 'cause'],
		256,
		'Faults held against a strategy, by cause; never wall clock.',
	),
	shadows: counter(
		'shadow_decisions',
		['strategy', 'result'],
		256,
		'Live decisions while a shadow was staged: it agreed, differed, was at fault, or was not run (`skipped_cap`: its share of the core was used up; `skipped_busy`: one of its decisions still waited).',
	),
	shadowDuration: histogram(
		'shadow_decision_duration_seconds',
		['strategy'],
		STRATEGIES,
		decisionSeconds,
		'Time of one decision of a shadow, off the path of the request.',
	),
	shadowFuel: histogram('shadow_decision_fuel', ['strategy'], STRATEGIES, fuel, 'Fuel of one decision of a shadow.'),
	shadowFaults: counter('shadow_faults', ['strategy', 'cause'], 256, 'Faults of shadows, by cause.'),
	shadowAgreement: collected(
		'shadow_agreement_ratio',
		perShadow,
		STRATEGIES,
		'Share of a shadow’s runs that agreed with the live decision.',
	),
	shadowCpu: collected(
		'shadow_cpu_ratio',
		perShadow,
		STRATEGIES,
		'Share of one core a shadow used, in the worker that used most.',
	),
	shadowPredicted: collected(
		'shadow_predicted_seconds',
		[...perShadow, 'side'],
		STRATEGIES * 2,
		'Mean predicted time of a request by the common predictor: `live` or `shadow` choices.',
	),
	shadowVirtualWait: collected(
		'shadow_virtual_wait_seconds',
		[...perShadow, 'side'],
		STRATEGIES * 2,
		'Mean wait in the virtual queues of the herding check: `live` or `shadow` choices.',
	),
	shadowVirtualImbalance: collected(
		'shadow_virtual_imbalance_ratio',
		[...perShadow, 'side'],
		STRATEGIES * 2,
		'Work of the target that got most, over the mean, in the virtual queues: `live` or `shadow` choices.',
	),
	shadowHerding: collected(
		'shadow_herding',
		perShadow,
		STRATEGIES,
		'1 when the virtual queues say that the shadow herds.',
	),
	witnesses: counter(
		'witness_decisions',
		['strategy', 'result'],
		128,
		'Sampled decisions re-run on a fresh instance: agreed or differed.',
	),
	// Native strategies, counted where they run: in the workers, and in the main thread for what keeps their state.
	nativeSandboxes: gauge(
		'native_sandboxes',
		['strategy'],
		STRATEGIES,
		'Sandboxes of native strategies alive now: one that decides and the spares, for each model and worker, and one that keeps the state.',
	),
	nativeRestarts: counter(
		'native_sandbox_restarts',
		['strategy', 'cause'],
		256,
		'Sandboxes that ended by their own fault and were replaced: `trap` (crash, exit, a forbidden system call), `deadline`, `corrupt` (wrote over what is not theirs), `load` (did not get ready).',
	),
	nativeHandOver: histogram(
		'native_hand_over_seconds',
		['strategy'],
		STRATEGIES,
		geometric(2.5e-7, Math.SQRT2, 41),
		'From the hand-over of a call to a sandbox to its answer, the call itself included.',
	),
	nativeAllowances: counter(
		'native_allowances',
		['strategy', 'result'],
		128,
		'Calls that took longer than their deadline by the clock while the sandbox had not used up its processor time: `answered` late and taken, or `given_up` after `strategy.native.grace_us`, when the fallback decides. Nobody’s fault but the machine’s.',
	),
	// The main thread.
	swaps: counter(
		'strategy_swaps',
		['strategy', 'kind'],
		256,
		'Changes of the deciding strategy: stage, rollback, unload, quarantine, release.',
	),
	quarantines: counter('strategy_quarantines', ['strategy'], STRATEGIES, 'Times a strategy was put in quarantine.'),
	admissions: counter('strategy_admissions', ['result'], 8, 'Strategy modules judged: admitted or refused.'),
	admissionDuration: histogram(
		'strategy_admission_seconds',
		[],
		1,
		geometric(0.01, 2, 12),
		'Time of one admission, its child process included.',
	),
} as const;
