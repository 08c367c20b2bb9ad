// Least request: cost of a row = requests this mesh has in flight there.
import { begin, rankLowest, rowCapacity, scratch } from 'infermesh';
import { columns, TOP_K } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const inflight = columns.inflight;
	const cost = scratch(0);
	for (let row = 0; row < rowCapacity; row += 4) cost.putFour(row, inflight.four(row));
	return rankLowest(cost, TOP_K);
}
