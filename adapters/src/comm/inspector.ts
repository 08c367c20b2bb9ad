// Owns reading what NCCL Inspector writes as JSON, one object a collective (a line each; indented over several lines as well), and adding it up per
// communicator, rank, collective and class of message sizes. The files are tail.ts's.
import { type CommStatsDelta, commBounds, type RankFinding } from '@infermesh/proto';
import { countOf, given, type JsonRecord, parseJson, recordOf, textOf, wholeOf } from '../json-values.js';
import { CommDraft, type CommPlace } from './draft.js';
import { LastArrivals } from './last-arrivals.js';
import { sizeClass } from './size-class.js';

/** Sums kept for one look; further kinds are counted as unread. */
const CELLS_MAX = 1024;
/** An object indented over more than this is given up. */
const OBJECT_CHARS_MAX = 64 * 1024;
/** NCCL’s gigabytes are decimal. */
const BYTES_PER_GB = 1e9;
const NAME_MAX = commBounds.nameCharsMax;

interface Cell {
	readonly communicator: string;
	readonly collective: string;
	readonly bucketId: string;
	readonly rank: number;
	readonly ranks: number | undefined;
	readonly nodes: number | undefined;
	count: number;
	bytes: number;
	durationUs: number;
	durationUsMax: number;
	algorithm: number;
	bus: number;
}

/** One collective as one rank has seen it. */
interface Measured {
	readonly communicator: string;
	readonly collective: string;
	readonly rank: number;
	readonly ranks: number | undefined;
	readonly nodes: number | undefined;
	readonly sequence: number;
	readonly bytes: number;
	readonly durationUs: number;
	readonly algorithm: number;
	readonly bus: number;
}

/** Follows the output of any number of ranks; each look starts new sums. */
export class InspectorReader {
	readonly #place: CommPlace;
	readonly #arrivals = new LastArrivals();
	#cells = new Map<string, Cell>();
	#indented = '';
	#lines = 0;
	#broken = 0;
	#foreign = 0;
	#over = 0;
	#lastMs: number | undefined;

	constructor(place: CommPlace = {}) {
		this.#place = place;
	}

	/** The next line of one file. Never throws. */
	line(text: string): void {
		const line = text.trimEnd();
		if (line === '' || line.startsWith('#')) return;
		if (this.#indented === '' && line !== '{') this.#object(line);
		else {
			this.#indented += line;
			if (line !== '}' && this.#indented.length <= OBJECT_CHARS_MAX) return;
			const whole = this.#indented;
			this.#indented = '';
			this.#object(whole);
		}
	}

	/** What has come since the look before. */
	look(atMs: number): CommStatsDelta {
		const draft = new CommDraft('nccl_inspector', atMs, this.#place);
		if (this.#lastMs !== undefined) draft.interval(Math.max(0, atMs - this.#lastMs), false);
		for (const cell of this.#cells.values()) draft.collective(statOf(cell));
		for (const slow of this.#arrivals.judge()) draft.rank({ ...slow, trouble: 'slow' } satisfies RankFinding);
		if (this.#broken > 0) draft.unread(`${this.#broken} of ${this.#lines} objects: not JSON`);
		if (this.#foreign > 0) draft.unread(`${this.#foreign} of ${this.#lines} objects: no coll_perf with its header`);
		if (this.#over > 0) draft.unread(`${this.#over} collectives of kinds beyond the first ${CELLS_MAX}`);
		this.#lastMs = atMs;
		this.#cells = new Map();
		this.#lines = this.#broken = this.#foreign = this.#over = 0;
		return draft.finish();
	}

	#object(text: string): void {
		this.#lines++;
		const root = recordOf(parseJson(text));
		if (root === undefined) {
			this.#broken++;
			return;
		}
		const measured = measuredOf(root);
		if (measured === undefined) this.#foreign++;
		else this.#add(measured);
	}

	#add(one: Measured): void {
		this.#arrivals.add(one.communicator, `${one.collective} ${one.sequence}`, one.rank, one.durationUs);
		const bucketId = sizeClass(one.bytes);
		const key = `${one.communicator}\u0000${one.rank}\u0000${one.collective}\u0000${bucketId}`;
		let cell = this.#cells.get(key);
		if (cell === undefined) {
			if (this.#cells.size >= CELLS_MAX) {
				this.#over++;
				return;
			}
			const { communicator, collective, rank, ranks, nodes } = one;
			const zero = { count: 0, bytes: 0, durationUs: 0, durationUsMax: 0, algorithm: 0, bus: 0 };
			cell = { communicator, collective, bucketId, rank, ranks, nodes, ...zero };
			this.#cells.set(key, cell);
		}
		cell.count++;
		cell.bytes += one.bytes;
		cell.durationUs += one.durationUs;
		cell.durationUsMax = Math.max(cell.durationUsMax, one.durationUs);
		cell.algorithm += one.algorithm;
		cell.bus += one.bus;
	}
}

function measuredOf(root: JsonRecord): Measured | undefined {
	const header = recordOf(root['header']);
	const perf = recordOf(root['coll_perf']);
	const communicator = textOf(header?.['id'], NAME_MAX);
	const rank = wholeOf(header?.['rank']);
	const collective = textOf(perf?.['coll'], NAME_MAX);
	const durationUs = countOf(perf?.['coll_exec_time_us']);
	const bytes = countOf(perf?.['coll_msg_size_bytes']);
	if (communicator === undefined || rank === undefined || collective === undefined) return undefined;
	if (durationUs === undefined || bytes === undefined) return undefined;
	return {
		communicator,
		collective,
		rank,
		ranks: wholeOf(header?.['n_ranks']),
		nodes: wholeOf(header?.['nnodes']),
		sequence: wholeOf(perf?.['coll_sn']) ?? 0,
		bytes,
		durationUs,
		algorithm: countOf(perf?.['coll_algobw_gbs']) ?? 0,
		bus: countOf(perf?.['coll_busbw_gbs']) ?? 0,
	};
}

function statOf(cell: Cell) {
	const { communicator, collective, bucketId, rank, ranks, nodes, count, bytes, durationUs, durationUsMax } = cell;
	return {
		communicator,
		collective,
		bucketId,
		rank,
		...given('ranks', ranks),
		...given('nodes', nodes),
		count,
		bytes,
		durationUsMean: durationUs / count,
		durationUsMax,
		...(cell.algorithm > 0 ? { algorithmBytesPerSec: (cell.algorithm * BYTES_PER_GB) / count } : {}),
		...(cell.bus > 0 ? { busBytesPerSec: (cell.bus * BYTES_PER_GB) / count } : {}),
	};
}
