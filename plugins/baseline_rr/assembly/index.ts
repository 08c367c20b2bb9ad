// Round robin: the request's ticket, which the host raises by one for each decision, picks the eligible row; the rows after it follow.
import { begin, decline, nextEligible, nthEligible, putRanked, request, route } from 'infermesh';
import { TOP_K } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const eligible = request().eligible_count;
	if (eligible == 0) return decline();
	const count = min(min(TOP_K, request().top_k), eligible);
	let row = nthEligible(request().ticket % eligible);
	for (let position: u32 = 0; position < count; position++) {
		putRanked(position, row, <f32>position);
		row = nextEligible(row + 1);
		if (row < 0) row = nextEligible(0);
	}
	return route(count);
}
