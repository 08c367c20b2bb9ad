// What is kept of a decision follows the view by what changed, and is at each decision what the view was then.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import type { PoolRows } from '../../fleet/pool-rows.js';
import { CHANGE_LOG_ENTRIES } from '../../fleet/pool-view.js';
import type { RequestFeatures } from '../runtime/decision.js';
import { Waiting } from './waiting.js';

const ROWS = 70;

test('router columns and open rows are those of the view at the decision: after few changes, many, more than are remembered, and all of them', (t) => {
	const random = new SeededRandom(20_261_127);
	const log: number[] = [];
	const view = {
		rowCount: ROWS,
		pendingPrefillTokens: new Float32Array(ROWS),
		load: new Float32Array(ROWS),
		inflight: new Float32Array(ROWS),
		eligible: new Uint32Array(3),
		eligibleCount: 0,
		changeHead: 0,
		fullVersion: 0,
		changedRow: (index: number) => log[index] as number,
	};
	const change = (row: number, isLogged: boolean): void => {
		view.pendingPrefillTokens[row] = random.nextU32() % 1000;
		view.load[row] = random.nextFloat();
		view.inflight[row] = random.nextU32() % 9;
		view.eligible[row >>> 5] = (view.eligible[row >>> 5] as number) ^ (1 << (row & 31));
		view.eligibleCount = random.nextU32() % ROWS;
		if (isLogged) log[view.changeHead++] = row;
	};
	const waiting = new Waiting(ROWS);
	const features = { tokensIn: 100, tokensOut: 10, seedLow: 1 } as RequestFeatures;
	const hits = {
		count: 1,
		rows: Uint32Array.of(3),
		tokens: Uint32Array.of(64),
		tiers: Uint8Array.of(0),
		flags: Uint8Array.of(0),
	};
	for (let round = 0; round < 66; round++) {
		const changes = [0, 1, 5, ROWS - 1, ROWS, CHANGE_LOG_ENTRIES + 3][random.nextU32() % 6] as number;
		for (let i = 0; i < changes; i++) change(random.nextU32() % ROWS, true);
		if (round % 11 === 0) {
			for (let row = 0; row < ROWS; row++) change(row, false);
			view.fullVersion++;
		}
		const live = { verdict: 'route', count: 2, chosen: 1, rows: Uint32Array.of(round % ROWS, 7, 8) } as const;
		waiting.keep(view as unknown as PoolRows, features, hits, [round % 3], live);
		for (const column of ['load', 'inflight'] as const) t.deepEqual(waiting[column], view[column]);
		t.deepEqual(waiting.pending, view.pendingPrefillTokens);
		t.deepEqual(waiting.open, view.eligible);
		t.like(waiting, { waits: true, openCount: view.eligibleCount, chosen: 7, count: 2, excluded: [round % 3] });
		t.deepEqual([...waiting.rows.subarray(0, 2)], [round % ROWS, 7]);
	}
	t.is(waiting.uncached(3), 36);
	t.is(waiting.uncached(4), 100);
});
