// Owns whether what routers count can be trusted for a block: one that restarted, went away, or followed another block has counted for a part of it only. None of
// this looks at outcomes, so that dropping such a block favours no arm.
import type { ExperimentRecord } from '../record.js';
import type { Look } from './look.js';

/** Blocks of a record that are not closed: those that a router's restart spoils. */
function openBlocks({ nextBlock }: ExperimentRecord, block: number): number[] {
	const open: number[] = [];
	for (let at = nextBlock; at <= block; at++) open.push(at);
	return open;
}

/** Notes who is there now, and which blocks are spoilt. Returns the record itself when there is nothing new. `isDue`: routers should follow the block by now. */
export function noteRouters(record: ExperimentRecord, look: Look, block: number, isDue: boolean): ExperimentRecord {
	const routers: Record<string, string> = {};
	const gaps = new Set(record.gaps);
	for (const [id, reading] of look.readings) {
		const before = record.routers[id];
		const now = reading?.incarnation ?? before;
		if (now !== undefined) routers[id] = now;
		if (before !== undefined && now !== before) for (const open of openBlocks(record, block)) gaps.add(open);
		if (isDue && reading !== undefined && reading.block !== block) {
			gaps.add(block);
			// It went on with an earlier block after its time.
			if (reading.block !== undefined && reading.block >= record.nextBlock) gaps.add(reading.block);
		}
	}
	for (const id of Object.keys(record.routers))
		if (!look.readings.has(id)) for (const open of openBlocks(record, block)) gaps.add(open);
	const isSame = gaps.size === record.gaps.length && sameEntries(routers, record.routers);
	return isSame ? record : { ...record, routers, gaps: [...gaps] };
}

function sameEntries(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
	const ids = Object.keys(a);
	return ids.length === Object.keys(b).length && ids.every((id) => a[id] === b[id]);
}
