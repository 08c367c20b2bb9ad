// Owns reading the text form of NCCL RAS's status, of versions before 2.28.7: the table of communicators, then paragraphs of errors and warnings.
// The table tells of groups of like communicators; a paragraph names one by its hash.
import { type CommStatsDelta, type CommunicatorState, commBounds, type RankFinding } from '@infermesh/proto';
import { printable } from '../json-values.js';
import { CommDraft, type CommPlace } from './draft.js';

const LINES_MAX = 200_000;

const states: Readonly<Record<string, CommunicatorState>> = {
	RUNNING: 'running',
	INIT: 'initialising',
	FINALIZE: 'finalising',
	ABORT: 'aborted',
};

const row =
	/^ *(?<group>\d+) +(?<comms>\d+) +(?<nodes>[\d-]+) +(?<perNode>[\d-]+) +(?<ranks>[\d-]+) +(?<all>\d+) +(?<state>[A-Z|]+) +(?<errors>[A-Z|]+)\s*$/;
const paragraph = /^#\S+ \((?<hash>[0-9a-fA-F]+)\) (?<error>[A-Z]+)/;
const launched = /^ *(?<ranks>\d+) ranks? ha(?:ve|s) launched up to operation (?<operations>\d+)/;
const rankLine = /^ *Rank (?<rank>\d+) -- (?:GPU (?<gpu>\d+) )?managed by process \d+ on node (?<node>\S+)/;
const missingLine = /^ *The missing ranks?: (?<ranks>[\d, -]+)/;
const deadLine = /^ *Process \d+ on node (?<node>\S+) managing GPUs? (?<gpu>[\d, ]+)/;

interface Paragraph {
	readonly communicator: string;
	error: string;
	/** Operation counts of its groups, as they are listed. */
	readonly operations: number[];
	/** Ranks listed below each of the counts. */
	readonly listed: { readonly finding: Omit<RankFinding, 'trouble'>; readonly operations: number | undefined }[];
	missing: number;
}

export function readRasText(text: string, atMs: number, place: CommPlace): CommStatsDelta {
	const draft = new CommDraft('nccl_ras', atMs, place);
	let current: Paragraph | undefined;
	let seen = false;
	let dead = false;
	const close = (): void => {
		if (current !== undefined) closeParagraph(current, draft);
		current = undefined;
	};
	for (const line of text.split('\n', LINES_MAX)) {
		const table = row.exec(line)?.groups;
		const head = paragraph.exec(line)?.groups;
		if (table !== undefined) {
			seen = true;
			addGroup(table, draft);
		} else if (head !== undefined) {
			close();
			current = {
				communicator: `0x${head['hash']}`,
				error: head['error'] ?? '',
				operations: [],
				listed: [],
				missing: 0,
			};
		} else if (line.trim() === '') {
			close();
			dead = false;
		} else if (line.trim() === 'DEAD') dead = true;
		else if (current !== undefined) inParagraph(line, current, draft);
		else outside(line, dead, draft);
	}
	close();
	if (!seen) draft.unread('no table of communicators');
	return draft.finish();
}

function addGroup(table: Readonly<Record<string, string | undefined>>, draft: CommDraft): void {
	const named = (table['errors'] ?? '').split('|').filter((error) => error !== 'OK');
	// Every communicator of the group stands the same; RAS does not list them.
	const comms = Number(table['comms']);
	draft.communicator({
		communicator: `group ${table['group']}${comms === 1 ? '' : ` (${comms} alike)`}`,
		state: states[(table['state'] ?? '').split('|')[0] ?? ''] ?? 'unknown',
		ranks: upper(table['ranks']),
		nodes: upper(table['nodes']),
		...(named.length > 0 ? { errors: named.slice(0, commBounds.errorsMax) } : {}),
	});
}

/** Of `7-8`, the 8. */
function upper(range: string | undefined): number {
	return Number((range ?? '').split('-').at(-1) ?? 0) || 0;
}

function inParagraph(line: string, current: Paragraph, draft: CommDraft): void {
	const count = launched.exec(line)?.groups;
	if (count !== undefined) {
		current.operations.push(Number(count['operations']));
		return;
	}
	const rank = rankLine.exec(line)?.groups;
	if (rank !== undefined) {
		const finding = {
			communicator: current.communicator,
			rank: Number(rank['rank']),
			node: printable(rank['node'] ?? '', commBounds.nameCharsMax),
			...(rank['gpu'] === undefined ? {} : { gpu: `GPU${rank['gpu']}` }),
		};
		current.listed.push({ finding, operations: current.operations.at(-1) });
		return;
	}
	const missing = missingLine.exec(line)?.groups;
	for (const one of missing?.['ranks']?.split(/[, ]+/) ?? []) {
		if (!/^\d+$/.test(one)) continue;
		current.missing++;
		draft.rank({ communicator: current.communicator, rank: Number(one), trouble: 'missing' });
	}
}

/** RAS prints the minority, which may be the fast ranks: those listed are behind only if their count is the lower one. */
function closeParagraph({ communicator, error, operations, listed, missing }: Paragraph, draft: CommDraft): void {
	const operationsMax = Math.max(0, ...operations);
	for (const { finding, operations: own } of listed)
		if (own !== undefined && own < operationsMax)
			draft.rank({ ...finding, trouble: 'behind', operation: `${own} of ${operationsMax}` });
	draft.communicator({
		communicator,
		state: 'unknown',
		...(missing > 0 ? { ranksMissing: missing } : {}),
		...(operations.length > 0 ? { operationsMin: Math.min(...operations), operationsMax } : {}),
		errors: [error],
	});
}

/** Processes that are dead are told by node and GPU, not by rank: they stand as warnings. */
function outside(line: string, dead: boolean, draft: CommDraft): void {
	const process = deadLine.exec(line)?.groups;
	if (process !== undefined) draft.warn(`${dead ? 'dead' : 'missing'}: node ${process['node']}, GPU ${process['gpu']}`);
	else if (/communication timeouts/.test(line)) draft.unread(line.trim());
}
