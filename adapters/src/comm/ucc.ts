// Owns reading UCC's log with UCC_COLL_TRACE: which collectives were begun, over which transport layer, in which team.
import { type CommStatsDelta, commBounds } from '@infermesh/proto';
import { given, printable } from '../json-values.js';
import { CommDraft, type CommPlace } from './draft.js';

const prefix =
	/^\[\d+\.\d+\] \[(?<host>[^\]:]{1,253}):(?<pid>\d+) *:\d+\] +\S+:\d+ +(?<component>[A-Z_]+) +(?<level>[A-Z]+) +(?<text>.*)$/;
/** `coll_init: Allreduce sum … team_id 32768 …`, and before 1.2 `coll_init: team id 4 size 2 rank 1 ctx_rank 2: Alltoallv …`. */
const older =
	/^coll_init: team id (?<team>\d+) size (?<size>\d+) rank (?<rank>\d+) ctx_rank \d+: (?<collective>\w+)(?<rest>.*)$/;
const newer = /^coll_init: (?<collective>[A-Za-z]\w*)\b(?<rest>.*)$/;

const KINDS_MAX = 1024;

interface Kind {
	readonly communicator: string;
	readonly collective: string;
	readonly algorithm: string | undefined;
	readonly ranks: number | undefined;
	count: number;
}

export class UccLogReader {
	readonly #place: CommPlace;
	#kinds = new Map<string, Kind>();
	#warnings: string[] = [];
	#warningsCount = 0;
	#lines = 0;
	#own = 0;
	#over = 0;
	#lastMs: number | undefined;

	constructor(place: CommPlace = {}) {
		this.#place = place;
	}

	/** The next line. Never throws. */
	line(text: string): void {
		this.#lines++;
		const groups = prefix.exec(text)?.groups;
		if (groups === undefined || !/^(?:UCC|TL_|CL_)/.test(groups['component'] ?? '')) return;
		this.#own++;
		const message = groups['text'] ?? '';
		if (groups['level'] === 'ERROR' || groups['level'] === 'WARN') this.#warn(`${groups['component']}: ${message}`);
		const old = older.exec(message)?.groups;
		const begun = old ?? newer.exec(message)?.groups;
		if (begun !== undefined) this.#begin(begun, begun['rest'] ?? '');
	}

	look(atMs: number): CommStatsDelta {
		const draft = new CommDraft('ucc', atMs, this.#place);
		if (this.#lastMs !== undefined) draft.interval(Math.max(0, atMs - this.#lastMs), false);
		for (const { communicator, collective, algorithm, ranks, count } of this.#kinds.values())
			draft.collective({
				communicator,
				collective,
				bucketId: 'unknown',
				...given('algorithm', algorithm),
				...given('ranks', ranks),
				count,
			});
		draft.warned(this.#warnings, this.#warningsCount);
		if (this.#over > 0) draft.unread(`${this.#over} collectives of kinds beyond the first ${KINDS_MAX}`);
		if (this.#lines > 0 && this.#own === 0) draft.unread(`none of ${this.#lines} lines is of UCC`);
		this.#lastMs = atMs;
		this.#kinds = new Map();
		this.#warnings = [];
		this.#warningsCount = this.#lines = this.#own = this.#over = 0;
		return draft.finish();
	}

	#warn(text: string): void {
		this.#warningsCount++;
		if (this.#warnings.length >= commBounds.warningsMax) this.#warnings.shift();
		this.#warnings.push(printable(text, commBounds.textCharsMax));
	}

	#begin(groups: Readonly<Record<string, string | undefined>>, rest: string): void {
		const team = groups['team'] ?? /team_id (\d+)/.exec(rest)?.[1];
		const size = groups['size'] ?? /\bsize (\d+)/.exec(rest)?.[1];
		const algorithm = /\{(TL_[A-Z_]+)\}|\b(TL_[A-Z_]+)/.exec(rest);
		const communicator = team === undefined ? '' : `team ${team}`;
		const collective = printable(groups['collective'] ?? '', commBounds.nameCharsMax);
		const layer = algorithm?.[1] ?? algorithm?.[2];
		const key = `${communicator} ${collective} ${layer}`;
		let kind = this.#kinds.get(key);
		if (kind === undefined) {
			if (this.#kinds.size >= KINDS_MAX) {
				this.#over++;
				return;
			}
			kind = {
				communicator,
				collective,
				algorithm: layer,
				ranks: size === undefined ? undefined : Number(size),
				count: 0,
			};
			this.#kinds.set(key, kind);
		}
		kind.count++;
	}
}
