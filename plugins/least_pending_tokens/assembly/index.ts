// Least pending tokens: cost of a row = prompt tokens dispatched there whose first token has not come back, and a little for each decode.
import { begin, F32Column, putFactor, rankedCount, rankedRow, rankLowest, rowCapacity, scratch, setFactorCount } from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_DECODES, FACTOR_PENDING_TOKENS, TOP_K } from './manifest';
export { init } from 'infermesh';

function explain(pending: F32Column, decodes: F32Column): void {
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_PENDING_TOKENS, pending[row]);
		putFactor(position, FACTOR_DECODES, decodes[row] * config.decode_tokens);
	}
}

export function rank(frame: usize): i32 {
	begin(frame);
	const pending = columns.pending_prefill_tokens;
	const decodes = columns.active_decodes;
	const perDecode = f32x4.splat(config.decode_tokens);
	const cost = scratch(0);
	for (let row = 0; row < rowCapacity; row += 4) {
		cost.putFour(row, f32x4.add(pending.four(row), f32x4.mul(decodes.four(row), perDecode)));
	}
	const status = rankLowest(cost, TOP_K);
	explain(pending, decodes);
	return status;
}
