// Owns the rules of quarantine: their form, which is data, the set that holds by default, and how one rule moves on one device. Pure: state, value
// and time in, state out. Hysteresis has two parts: another threshold to leave than to enter, and a time that each must hold.
import { throttleBits } from '@infermesh/proto';
import type { FactName, FactValue } from './facts.js';

export interface Rule {
	readonly name: string;
	readonly fact: FactName;
	/** Exactly one of the four says when it is met. */
	readonly above?: number | undefined;
	readonly below?: number | undefined;
	readonly in?: readonly number[] | undefined;
	readonly bits?: number | undefined;
	/** It is over at or beyond this; by default as soon as it is not met. */
	readonly clear?: number | undefined;
	/** How long it must be met without a break, and be over. */
	readonly enterAfterMs: number;
	readonly clearAfterMs: number;
	readonly then: 'quarantined' | 'degraded';
	/** `hand`: once in force it stays until somebody releases the device. */
	readonly release: 'rule' | 'hand';
}

/** XIDs after which a device cannot be trusted until it is reset: of its memory, microcontroller, bus, links and firmware. */
const FATAL_XIDS = [48, 61, 62, 64, 74, 79, 95, 119, 120, 140, 143];
/** XIDs that tell of trouble coming: rows remapped, many corrected errors, an error that was contained. */
const WARNING_XIDS = [63, 92, 94, 110];
// XIDs of applications (13, 31, 32, 43, 45, 68, 69 …) are in neither: a faulty program is no faulty device.

const plain = { release: 'rule', clearAfterMs: 30_000, enterAfterMs: 0 } as const;

export const defaultRules: readonly Rule[] = Object.freeze([
	{ ...plain, name: 'xid_fatal', fact: 'xid', in: FATAL_XIDS, then: 'quarantined' },
	{ ...plain, name: 'xid_warning', fact: 'xid_recent', in: WARNING_XIDS, then: 'degraded' },
	{ ...plain, name: 'ecc_uncorrected', fact: 'ecc_uncorrected', above: 0, then: 'quarantined' },
	{ ...plain, name: 'remap_failed', fact: 'remap_failed', above: 0, then: 'quarantined' },
	{ ...plain, name: 'remap_pending', fact: 'remap_pending', above: 0, then: 'degraded' },
	{ ...plain, name: 'unhealthy', fact: 'unhealthy', above: 0, enterAfterMs: 5000, then: 'quarantined' },
	{ ...plain, name: 'recovery_asked', fact: 'recovery_asked', above: 0, then: 'quarantined' },
	{
		...plain,
		name: 'too_hot',
		fact: 'temperature_c',
		above: 95,
		clear: 85,
		enterAfterMs: 30_000,
		clearAfterMs: 60_000,
		then: 'quarantined',
	},
	{
		...plain,
		name: 'near_slowdown',
		fact: 'temperature_margin_c',
		below: 1,
		clear: 6,
		enterAfterMs: 10_000,
		clearAfterMs: 60_000,
		then: 'degraded',
	},
	{
		...plain,
		name: 'slowed_by_hardware',
		fact: 'throttle',
		bits: throttleBits.hardwareSlowdown | throttleBits.hardwareThermal | throttleBits.hardwarePowerBrake,
		enterAfterMs: 15_000,
		clearAfterMs: 60_000,
		then: 'degraded',
	},
	{
		...plain,
		name: 'link_errors',
		fact: 'link_errors_per_min',
		above: 60,
		clear: 1,
		enterAfterMs: 30_000,
		clearAfterMs: 300_000,
		then: 'degraded',
	},
	{ ...plain, name: 'fabric_unhealthy', fact: 'fabric_unhealthy', above: 0, enterAfterMs: 10_000, then: 'degraded' },
	{
		...plain,
		name: 'pcie_replays',
		fact: 'pcie_replays_per_min',
		above: 600,
		clear: 60,
		enterAfterMs: 30_000,
		clearAfterMs: 300_000,
		then: 'degraded',
	},
	{ ...plain, name: 'network', fact: 'network_degraded', above: 0, clearAfterMs: 60_000, then: 'degraded' },
] as const);

export interface RuleState {
	readonly phase: 'clear' | 'entering' | 'in_force' | 'clearing';
	/** When the phase began. */
	readonly sinceMs: number;
	/** Values with which somebody has released the device: they count again once they have been away. */
	readonly waived: readonly number[];
}

export const clearState: RuleState = Object.freeze({ phase: 'clear', sinceMs: 0, waived: [] });

/** Whether the rule holds the device in its state. */
export function inForce({ phase }: RuleState): boolean {
	return phase === 'in_force' || phase === 'clearing';
}

/** The values that meet the rule, of those a fact has. */
function meeting(rule: Rule, value: FactValue): readonly number[] {
	const values = typeof value === 'number' ? [value] : value;
	return values.filter(
		(one) =>
			(rule.above !== undefined && one > rule.above) ||
			(rule.below !== undefined && one < rule.below) ||
			(rule.bits !== undefined && (one & rule.bits) !== 0) ||
			rule.in?.includes(one) === true,
	);
}

function isOver(rule: Rule, value: FactValue, met: boolean): boolean {
	if (met) return false;
	if (rule.clear === undefined || typeof value !== 'number') return true;
	return rule.below === undefined ? value <= rule.clear : value >= rule.clear;
}

/** The state after a look. A fact that is not known lets nothing begin and nothing end. */
export function step(rule: Rule, state: RuleState, value: FactValue | undefined, nowMs: number): RuleState {
	if (value === undefined) {
		if (state.phase === 'entering') return { ...state, phase: 'clear', sinceMs: nowMs };
		return state.phase === 'clearing' ? { ...state, phase: 'in_force' } : state;
	}
	const met = meeting(rule, value);
	// A level that was waived (too hot, say) is waived at any height, until it is over; named values, each by itself.
	const named = rule.in !== undefined;
	const waived = named ? state.waived.filter((one) => met.includes(one)) : met.length > 0 ? state.waived : [];
	const counts = named ? met.some((one) => !waived.includes(one)) : met.length > 0 && waived.length === 0;
	const at = waived.length === state.waived.length ? state : { ...state, waived };
	return moved(rule, at, counts, isOver(rule, value, met.length > 0) || (!counts && waived.length > 0), nowMs);
}

function moved(rule: Rule, state: RuleState, met: boolean, over: boolean, nowMs: number): RuleState {
	const to = (phase: RuleState['phase']): RuleState => ({ ...state, phase, sinceMs: nowMs });
	switch (state.phase) {
		case 'clear':
			if (!met) return state;
			return to(rule.enterAfterMs > 0 ? 'entering' : 'in_force');
		case 'entering':
			if (!met) return to('clear');
			return nowMs - state.sinceMs >= rule.enterAfterMs ? to('in_force') : state;
		case 'in_force':
			if (!over || rule.release === 'hand') return state;
			return to(rule.clearAfterMs > 0 ? 'clearing' : 'clear');
		case 'clearing':
			if (!over) return to('in_force');
			return nowMs - state.sinceMs >= rule.clearAfterMs ? to('clear') : state;
	}
}

/** The state after somebody has released the device with `value` standing. */
export function waive(rule: Rule, state: RuleState, value: FactValue | undefined, nowMs: number): RuleState {
	const waived = value === undefined ? [] : meeting(rule, value);
	return inForce(state) || state.phase === 'entering' || waived.length > 0
		? { phase: 'clear', sinceMs: nowMs, waived }
		: state;
}
