// Owns reading PyTorch Flight Recorder dumps, one JSON document a rank, and saying from all of them together who keeps the others waiting. Dumps that
// torch writes by itself are Python pickles: those are refused by their first bytes, since reading one can run code; the trainer has to dump JSON.
import { type CommStatsDelta, commBounds } from '@infermesh/proto';
import { type JsonRecord, listOf, parseJson, recordOf, textOf, wholeOf } from '../json-values.js';
import { CommDraft, type CommPlace } from './draft.js';

/** What is taken from one rank's dump. */
export interface RankDump {
	readonly rank: number;
	readonly groups: ReadonlyMap<string, GroupStanding>;
	readonly unread: readonly string[];
}

interface GroupStanding {
	/** Ranks of the group; undefined where the dump does not say. */
	readonly members: readonly number[] | undefined;
	readonly lastEnqueued: number;
	readonly lastCompleted: number;
	/** The oldest collective that is not retired. */
	readonly waitingIn: { readonly sequence: number; readonly name: string } | undefined;
}

const ENTRIES_MAX = 100_000;
const GROUPS_MAX = 1024;
const NAME_MAX = commBounds.nameCharsMax;
/** First byte of a pickle of protocol 2 and later, and of a zip that torch.save writes. */
const PICKLE = 0x80;

/** Reads one rank's dump. Never throws; `unread` says what was wrong. */
export function readFlightDump(text: string, rank: number): RankDump {
	const groups = new Map<string, GroupStanding>();
	const unread: string[] = [];
	const dump = { rank, groups, unread };
	if (text.charCodeAt(0) === PICKLE || text.charCodeAt(0) === 0xfffd || text.startsWith('PK')) {
		unread.push(`rank ${rank}: a Python pickle, which is not read: dump JSON on the trainer`);
		return dump;
	}
	const root = recordOf(parseJson(text));
	if (root === undefined) {
		unread.push(`rank ${rank}: not a JSON object`);
		return dump;
	}
	const status = recordOf(root['pg_status']);
	if (status === undefined) unread.push(`rank ${rank}: no pg_status`);
	const entries = listOf(root['entries']);
	if (!Array.isArray(root['entries'])) unread.push(`rank ${rank}: no entries`);
	if (entries.length > ENTRIES_MAX) unread.push(`rank ${rank}: ${entries.length - ENTRIES_MAX} older entries left out`);
	const recent = entries.slice(-ENTRIES_MAX).map(recordOf);
	const config = recordOf(root['pg_config']);
	for (const [id, value] of Object.entries(status ?? {}).slice(0, GROUPS_MAX)) {
		const standing = recordOf(value);
		const lastEnqueued = signed(standing?.['last_enqueued_collective']);
		if (lastEnqueued === undefined) {
			unread.push(`rank ${rank}, group ${id}: no last_enqueued_collective`);
			continue;
		}
		const own = recent.filter((entry) => entry !== undefined && groupOf(entry) === id && entry['is_p2p'] !== true);
		groups.set(id.slice(0, NAME_MAX), {
			members: membersOf(config, id),
			lastEnqueued,
			lastCompleted: signed(standing?.['last_completed_collective']) ?? -1,
			waitingIn: waitingIn(own),
		});
	}
	return dump;
}

/**
 * Who is late or stuck, by group: members with the lowest last enqueued collective keep the others waiting; when all have enqueued the same, those
 * whose entry is not retired while others' is. A member without a dump is missing.
 */
export function judgeFlightDumps(dumps: readonly RankDump[], atMs: number, place: CommPlace = {}): CommStatsDelta {
	const draft = new CommDraft('flight_recorder', atMs, place);
	for (const { unread } of dumps) for (const text of unread) draft.unread(text);
	const ids = new Set(dumps.flatMap(({ groups }) => [...groups.keys()]));
	for (const id of ids) judgeGroup(id, dumps, draft);
	if (ids.size === 0 && dumps.length > 0) draft.unread('no process group in any dump');
	return draft.finish();
}

function judgeGroup(id: string, dumps: readonly RankDump[], draft: CommDraft): void {
	const present = dumps.flatMap(({ rank, groups }) => {
		const group = groups.get(id);
		return group === undefined ? [] : [{ rank, group }];
	});
	const lasts = present.map(({ group }) => group.lastEnqueued);
	const least = lasts.reduce((low, value) => Math.min(low, value), Infinity);
	const most = lasts.reduce((high, value) => Math.max(high, value), -1);
	const members = present.find(({ group }) => group.members !== undefined)?.group.members ?? [];
	const known = new Set(present.map(({ rank }) => rank));
	const missing = members.filter((rank) => !known.has(rank));
	for (const rank of missing) draft.rank({ communicator: id, rank, trouble: 'missing' });
	const waiting = present.filter(({ group }) => group.waitingIn !== undefined);
	if (least < most) {
		const waited = waiting.find(({ group }) => group.lastEnqueued === most)?.group.waitingIn;
		const operation = waited === undefined ? `sequence ${least + 1}` : `${waited.name} ${waited.sequence}`;
		for (const { rank, group } of present)
			if (group.lastEnqueued === least) draft.rank({ communicator: id, rank, trouble: 'late', operation });
	} else if (waiting.length > 0 && waiting.length < present.length)
		for (const { rank, group } of waiting)
			draft.rank({
				communicator: id,
				rank,
				trouble: 'stuck',
				operation: `${group.waitingIn?.name} ${group.waitingIn?.sequence}`,
			});
	draft.communicator({
		communicator: id,
		state: 'running',
		ranks: members.length > 0 ? members.length : present.length,
		...(missing.length > 0 ? { ranksMissing: missing.length } : {}),
		operationsMin: Math.max(0, least),
		operationsMax: Math.max(0, most),
		...(least < most ? { errors: ['MISMATCH'] } : {}),
	});
}

/** Gloo leaves `state` at `scheduled` when it has finished: only `retired` tells. */
function waitingIn(entries: readonly (JsonRecord | undefined)[]): GroupStanding['waitingIn'] {
	const entry = entries.find((one) => one?.['retired'] === false);
	const sequence = wholeOf(entry?.['collective_seq_id']);
	return sequence === undefined ? undefined : { sequence, name: nameOf(entry) };
}

function nameOf(entry: JsonRecord | undefined): string {
	return textOf(entry?.['profiling_name'], NAME_MAX) ?? 'sequence';
}

function groupOf(entry: JsonRecord): string {
	return String(entry['pg_id']);
}

/** `pg_config` names a group by id or, of the default one, by an empty text; ranks stand in it as the text of a list. */
function membersOf(config: JsonRecord | undefined, id: string): readonly number[] | undefined {
	const found = recordOf(config?.[id]) ?? (id === '0' ? recordOf(config?.['']) : undefined);
	const ranks = found?.['ranks'];
	const list = typeof ranks === 'string' ? parseJson(ranks) : ranks;
	if (!Array.isArray(list) || list.length === 0 || list.length > 1_000_000) return undefined;
	const numbers = list.map(wholeOf);
	return numbers.every((rank) => rank !== undefined) ? numbers : undefined;
}

/** A sequence number, -1 = none yet; as number or text. */
function signed(value: unknown): number | undefined {
	return value === -1 || value === '-1' ? -1 : wholeOf(value);
}
