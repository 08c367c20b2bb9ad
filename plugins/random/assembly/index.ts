// Random: all eligible rows cost the same, and equal costs are drawn by the request's seed.
import { begin, fillCosts, rankLowest, scratch } from 'infermesh';
import { TOP_K } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	fillCosts(cost, 0);
	return rankLowest(cost, TOP_K);
}
