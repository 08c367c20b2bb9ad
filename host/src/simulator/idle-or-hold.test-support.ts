// Owns a strategy that the tests can rely on whatever the library's do: the first target without a request, else the request is held, shortest prompt first. Test
// support only; nothing in production imports it.
import {
	COLUMN_INFLIGHT,
	HEADER_COLUMNS_OFFSET_WORD,
	HEADER_OUTPUT_OFFSET_WORD,
	HEADER_REQUEST_OFFSET_WORD,
	HEADER_ROW_COUNT_WORD,
	OUTPUT_COUNT_WORD,
	OUTPUT_HOLD_KEY_WORD,
	OUTPUT_ROWS_WORD,
	OUTPUT_SCORES_WORD,
	OUTPUT_VERDICT_WORD,
	REQUEST_TOKENS_IN_WORD,
	Verdict,
} from '@infermesh/sdk';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import { written } from '../strategy/runtime/testing.js';

const header = (word: number): string => `(i32.load offset=${word * 4} (local.get $frame))`;
const part = (word: number): string => `(i32.add (local.get $frame) ${header(word)})`;
const cell = (word: number): string => `offset=${word * 4} (local.get $out)`;

export const idleOrHold: StrategyModule = written(
	1,
	`(func (export "rank") (param $frame i32) (result i32) (local $out i32) (local $column i32) (local $row i32)
		(local.set $out ${part(HEADER_OUTPUT_OFFSET_WORD)})
		(local.set $column (i32.add (local.get $frame)
			(i32.load offset=${COLUMN_INFLIGHT * 4} ${part(HEADER_COLUMNS_OFFSET_WORD)})))
		(block $busy (loop $next
			(br_if $busy (i32.ge_u (local.get $row) ${header(HEADER_ROW_COUNT_WORD)}))
			(if (f32.eq (f32.const 0) (f32.load (i32.add (local.get $column) (i32.shl (local.get $row) (i32.const 2)))))
				(then
					(i32.store ${cell(OUTPUT_COUNT_WORD)} (i32.const 1))
					(i32.store ${cell(OUTPUT_ROWS_WORD)} (local.get $row))
					(f32.store ${cell(OUTPUT_SCORES_WORD)} (f32.const 0))
					(return (i32.const 0))))
			(local.set $row (i32.add (local.get $row) (i32.const 1)))
			(br $next)))
		(i32.store ${cell(OUTPUT_VERDICT_WORD)} (i32.const ${Verdict.hold}))
		(f32.store ${cell(OUTPUT_HOLD_KEY_WORD)}
			(f32.convert_i32_u (i32.load offset=${REQUEST_TOKENS_IN_WORD * 4} ${part(HEADER_REQUEST_OFFSET_WORD)})))
		(i32.const 0))`,
	{ columns: ['inflight'] },
);
