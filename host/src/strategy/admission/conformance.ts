// Owns the conformance run: an admitted module is asked to decide on ordinary and on awkward frames before it may see a request. A module
// that faults on an ordinary frame is refused; awkward frames must be survived with a sound answer or an honest "decline".
import {
	COLUMN_KV_USAGE,
	COLUMN_PREFILL_RATE,
	COLUMN_QUEUE_DEPTH,
	COLUMN_STATE,
	COLUMN_TTFT_MS,
	TargetState,
} from '@infermesh/sdk';
import { Decision, type FallbackCause } from '../runtime/decision.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from '../runtime/instance.js';
import { readOutput } from '../runtime/read-output.js';
import { createRig, type Rig } from '../runtime/rig.js';
import { writeHits, writeRequest } from '../runtime/write-request.js';
import type { ConformanceFinding } from './report.js';

interface Check {
	readonly name: string;
	readonly rows: number;
	readonly decisions: number;
	/** Changes the rig before it runs. */
	readonly arrange?: (rig: Rig) => void;
	readonly request?: (rig: Rig) => void;
	readonly excluded?: (rig: Rig) => readonly number[];
}

const everyRow = (rig: Rig, set: (row: number) => void): void => {
	for (let row = 0; row < rig.rows; row++) set(row);
	rig.table.publish();
};

const checks: readonly Check[] = [
	{
		name: 'one target',
		rows: 1,
		decisions: 8,
		arrange: (rig) => everyRow(rig, (row) => rig.table.setU32(COLUMN_STATE, row, TargetState.ready)),
	},
	{ name: 'sixteen targets', rows: 16, decisions: 64 },
	{ name: 'a thousand targets', rows: 1024, decisions: 16 },
	{ name: 'rows not a multiple of the SIMD width', rows: 37, decisions: 32 },
	{
		name: 'all signals zero',
		rows: 8,
		decisions: 8,
		arrange: (rig) =>
			everyRow(rig, (row) => {
				rig.table.resetRow(row);
				rig.table.setU32(COLUMN_STATE, row, TargetState.ready);
				rig.table.setF32(COLUMN_PREFILL_RATE, row, 0);
			}),
	},
	{
		name: 'enormous signals',
		rows: 8,
		decisions: 8,
		arrange: (rig) =>
			everyRow(rig, (row) => {
				rig.table.setU32(COLUMN_STATE, row, TargetState.ready);
				rig.table.setF32(COLUMN_QUEUE_DEPTH, row, 1e9);
				rig.table.setF32(COLUMN_TTFT_MS, row, 1e9);
				rig.table.setF32(COLUMN_KV_USAGE, row, 1);
			}),
	},
	{
		name: 'one eligible target among many',
		rows: 64,
		decisions: 16,
		arrange: (rig) =>
			everyRow(rig, (row) =>
				rig.table.setU32(COLUMN_STATE, row, row === 41 ? TargetState.ready : TargetState.draining),
			),
	},
	{
		name: 'all but one tried already',
		rows: 16,
		decisions: 8,
		arrange: (rig) => everyRow(rig, (row) => rig.table.setU32(COLUMN_STATE, row, TargetState.ready)),
		excluded: (rig) => Array.from({ length: rig.rows - 1 }, (_, row) => row),
	},
	{
		name: 'an empty prompt and a huge one',
		rows: 16,
		decisions: 8,
		request: (rig) => {
			rig.features.tokensIn = (rig.features.seedLow & 1) === 0 ? 0 : 4_000_000;
			rig.hits.count = 0;
		},
	},
];

/** Rows over which the same frame must give the same answer in two instances. */
const DETERMINISM_ROWS = 64;
const DETERMINISM_DECISIONS = 64;
const place = { zone: 1, region: 1, topK: 4 } as const;
const meshSeed: readonly [number, number] = [3, 4];

export function runConformance(strategy: StrategyModule, fuel: FuelBudget, seed: number): ConformanceFinding[] {
	const findings = checks.map((check) => runCheck(check, strategy, fuel, seed));
	if (findings.every((finding) => finding.ok)) findings.push(checkDeterminism(strategy, fuel, seed));
	return findings;
}

function runCheck(check: Check, strategy: StrategyModule, fuel: FuelBudget, seed: number): ConformanceFinding {
	const rig = createRig(check.rows, seed);
	check.arrange?.(rig);
	const excluded = check.excluded?.(rig) ?? [];
	const instance = new StrategyInstance(strategy, rig.view, fuel, meshSeed);
	if (instance.poisoned) return { check: check.name, ok: false, detail: '`init` failed' };
	const out = new Decision();
	for (let i = 0; i < check.decisions; i++) {
		rig.nextRequest();
		check.request?.(rig);
		const cause = decide(instance, rig, excluded, i, out);
		if (cause === 'none' || cause === 'declined') continue;
		const { tokensIn } = rig.features;
		return {
			check: check.name,
			ok: false,
			detail: `${cause} on decision ${i + 1} (${check.rows} targets, ${tokensIn} prompt tokens)`,
		};
	}
	return { check: check.name, ok: true, detail: `${check.decisions} decisions` };
}

/** A decision is a pure function: an instance that has decided a thousand times and a fresh one must answer alike. */
function checkDeterminism(strategy: StrategyModule, fuel: FuelBudget, seed: number): ConformanceFinding {
	const check = 'the same frame gives the same answer';
	const rig = createRig(DETERMINISM_ROWS, seed + 1);
	const old = new StrategyInstance(strategy, rig.view, fuel, meshSeed);
	const a = new Decision();
	const b = new Decision();
	for (let i = 0; i < DETERMINISM_DECISIONS; i++) {
		rig.nextRequest();
		rig.touch(i % DETERMINISM_ROWS);
		old.sync();
		decide(old, rig, [], i, a);
		const fresh = new StrategyInstance(strategy, rig.view, fuel, meshSeed);
		decide(fresh, rig, [], i, b);
		const fuelDiffers = old.lastFuel !== fresh.lastFuel;
		const differs =
			a.count !== b.count ||
			a.rows.some((row, k) => k < a.count && row !== b.rows[k]) ||
			a.scores.some((score, k) => k < a.count && score !== b.scores[k]);
		if (!differs && !fuelDiffers) continue;
		const what = differs ? 'another ranking' : 'another fuel count';
		return {
			check,
			ok: false,
			detail: `a fresh instance gave ${what} on decision ${i + 1}: \`rank\` keeps something between calls`,
		};
	}
	return { check, ok: true, detail: `${DETERMINISM_DECISIONS} decisions against fresh instances` };
}

function decide(
	instance: StrategyInstance,
	rig: Rig,
	excluded: readonly number[],
	ticket: number,
	out: Decision,
): FallbackCause {
	for (const row of excluded) instance.mask(row, false);
	const hitCount = writeHits(instance, rig.hits);
	writeRequest(instance, rig.features, place, ticket, rig.view.eligibleCount - excluded.length, hitCount);
	const ran = instance.rank();
	return ran === 'none' ? readOutput(instance, excluded, out) : ran;
}
