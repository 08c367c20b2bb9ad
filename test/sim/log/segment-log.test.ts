// What was acknowledged is there after any crash, nothing else is, and each known bug is noticed: thousands of random histories of the segment
// log on a simulated disk. `LOG_RUNS` sets how many.
import type { LogMutation } from '@infermesh/fabric';
import test from 'ava';
import * as fc from 'fast-check';
import { calmSteps, flippedSteps, lossySteps, runHistory } from './history.js';

const RUNS = Number(process.env['LOG_RUNS'] ?? 800);
const FLIP_RUNS = Math.ceil(RUNS / 2);
/** Every bug is found within so many histories. */
const MUTANT_RUNS_MAX = 600;
const seeds = fc.nat(0xffff_ffff);

test('every crash leaves what was acknowledged and nothing else', (t) => {
	const seen = {
		crashes: 0,
		syncErrors: 0,
		writeErrors: 0,
		full: 0,
		sectorsLost: 0,
		namesLost: 0,
		repairs: 0,
		segmentsMax: 0,
	};
	fc.assert(
		fc.property(seeds, calmSteps, (seed, steps) => {
			const outcome = runHistory(seed, steps);
			for (const key of ['crashes', 'syncErrors', 'writeErrors', 'full', 'sectorsLost', 'namesLost'] as const)
				seen[key] += outcome.disk.counters[key];
			seen.repairs += outcome.repairs;
			seen.segmentsMax = Math.max(seen.segmentsMax, outcome.segmentsMax);
			if (outcome.violation !== undefined) throw new Error(outcome.violation);
		}),
		{ numRuns: RUNS },
	);
	t.log(seen);
	for (const [what, count] of Object.entries(seen)) t.true(count > 1, `${what} never happened`);
});

test('a log with a flipped bit is refused or unhurt, never another', (t) => {
	let refusals = 0;
	fc.assert(
		fc.property(seeds, flippedSteps, (seed, steps) => {
			const outcome = runHistory(seed, steps);
			refusals += outcome.refusals;
			if (outcome.violation !== undefined) throw new Error(outcome.violation);
		}),
		{ numRuns: FLIP_RUNS },
	);
	t.log({ refusals, of: FLIP_RUNS });
	t.true(refusals > FLIP_RUNS / 2);
});

test('lost writes are refused, or take the log back to what it was, never to anything else', (t) => {
	const seen = { lostWrites: 0, refusals: 0, returns: 0 };
	fc.assert(
		fc.property(seeds, lossySteps, (seed, steps) => {
			const outcome = runHistory(seed, steps);
			seen.lostWrites += outcome.disk.counters.lostWrites;
			seen.refusals += outcome.refusals;
			seen.returns += outcome.returns;
			if (outcome.violation !== undefined) throw new Error(outcome.violation);
		}),
		{ numRuns: FLIP_RUNS },
	);
	t.log(seen);
	for (const [what, count] of Object.entries(seen)) t.true(count > 1, `${what} never happened`);
});

const noticedInCalm: readonly LogMutation[] = [
	'skip-fsync',
	'ack-before-sync',
	'retry-after-failed-sync',
	'ignore-checksum',
	'reuse-segment-without-sequence',
	'no-folder-sync',
	'recycle-live-marks',
	'trust-cache-on-open',
	'leave-torn-residue',
];

for (const [mutation, steps] of [
	...noticedInCalm.map((mutation) => [mutation, calmSteps] as const),
	['truncate-middle-corruption', flippedSteps] as const,
]) {
	test(`the bug ${mutation} is noticed`, (t) => {
		let runs = 0;
		const result = fc.check(
			fc.property(seeds, steps, (seed, list) => {
				runs++;
				return runHistory(seed, list, [mutation]).violation === undefined;
			}),
			{ numRuns: MUTANT_RUNS_MAX, endOnFailure: true, seed: 1 },
		);
		t.log({ runs });
		t.true(result.failed, `not noticed in ${runs} histories`);
	});
}
