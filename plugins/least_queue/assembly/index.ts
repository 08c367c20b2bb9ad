// Least queue: cost of a row = (requests there + this one) / (operator weight × slow-start share); the lowest cost wins.
import { begin, rankLowest, rowCapacity, scratch } from 'infermesh';
import { columns, TOP_K } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const load = columns.load;
	const weight = columns.weight;
	const slowStart = columns.slow_start;
	const cost = scratch(0);
	const one = f32x4.splat(1);
	const least = f32x4.splat(<f32>0.01);
	for (let row = 0; row < rowCapacity; row += 4) {
		const share = f32x4.pmax(f32x4.mul(weight.four(row), slowStart.four(row)), least);
		cost.putFour(row, f32x4.div(f32x4.add(load.four(row), one), share));
	}
	return rankLowest(cost, TOP_K);
}
