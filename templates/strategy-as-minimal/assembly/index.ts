// __name__: sends each request to the target with the least load.
import { addWeighted, begin, fillCosts, rankLowest, scratch } from 'infermesh';
import { columns } from './manifest';

export { init } from 'infermesh';

/** Called for every request: the eligible targets by cost, lowest first. */
export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	fillCosts(cost, 0);
	addWeighted(cost, columns.load, 1);
	return rankLowest(cost);
}
