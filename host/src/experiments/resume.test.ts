// What becomes of an experiment after the restart of a lone node, for each way in which the world may have changed.
import test from 'ava';
import { quickDesign, recordFor } from './controller/testing.js';
import type { ExperimentRecord } from './record.js';
import { type AfterRestart, resumed } from './resume.js';

const record: ExperimentRecord = recordFor(quickDesign(), 1000);
const { baseline, candidate } = record.design;
const same: AfterRestart = { nowMs: 9000, active: { label: baseline, digest: 'b' }, candidateDigest: 'c' };

test('it goes on as it stood where both arms are what they were', (t) => {
	t.deepEqual(resumed(record, same), record);
});

test('it ends by rule, and says why, where they are not', (t) => {
	const changed: readonly (readonly [Partial<AfterRestart>, RegExp])[] = [
		[{ active: undefined }, /the built-in fallback decides on m now, not the baseline least_request@1/],
		[{ active: { label: 'other@1', digest: 'b' } }, /other@1 decides on m now/],
		[{ active: { label: baseline, digest: 'x' } }, /least_request@1 is another module now/],
		[{ candidateDigest: 'x' }, /hybrid_mesh@1 is another module now/],
		[{ candidateDigest: undefined }, /hybrid_mesh@1 could not be loaded again: it is gone/],
		[{ candidateDigest: undefined, candidateFailure: 'IM_X: why' }, /could not be loaded again: IM_X: why/],
	];
	for (const [change, reason] of changed) {
		const { state, end } = resumed(record, { ...same, ...change });
		t.like({ state, end }, { state: 'ended', end: { how: 'end', by: 'rule', atMs: 9000, restoredAtMs: 9000 } });
		t.regex(end?.reason ?? '', reason);
	}
});

test('an end stands, but a promotion that was not in force is none', (t) => {
	const ending = (how: 'rollback' | 'promote'): ExperimentRecord => ({
		...record,
		state: 'ending',
		end: { how, reason: 'r', by: 'rule', atMs: 5000 },
	});
	t.like(resumed(ending('rollback'), same), {
		state: 'ended',
		end: { how: 'rollback', reason: 'r', restoredAtMs: 9000 },
	});
	t.like(resumed(ending('promote'), same), {
		state: 'ended',
		end: { how: 'end', reason: 'r; the node restarted before it was in force' },
	});
	const ended: ExperimentRecord = { ...ending('promote'), state: 'ended' };
	t.is(resumed(ended, { ...same, active: undefined }), ended);
	t.is(candidate, 'hybrid_mesh@1');
});
