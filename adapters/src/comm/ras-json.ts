// Owns reading the JSON form of NCCL RAS's status (NCCL 2.28.7 on): communicators, their ranks, operation counts and who is missing.
import { type CommStatsDelta, type CommunicatorState, commBounds, type RankFinding } from '@infermesh/proto';
import { given, type JsonRecord, listOf, recordOf, textOf, wholeOf } from '../json-values.js';
import { CommDraft, type CommPlace } from './draft.js';

/** Ranks looked at of one communicator. */
const RANKS_MAX = 65_536;
const COMMUNICATORS_MAX = 4096;

/** NCCL's `ncclResult_t` in progress. */
const IN_PROGRESS = 7;

/** What RAS's own text calls them. */
export type RasError = 'MISMATCH' | 'ERROR' | 'INCOMPLETE' | 'TIMEOUT' | 'ABORT';

export function readRasJson(root: JsonRecord, atMs: number, place: CommPlace): CommStatsDelta {
	const draft = new CommDraft('nccl_ras', atMs, place);
	const communicators = listOf(root['communicators']);
	if (!Array.isArray(root['communicators'])) draft.unread('communicators: missing');
	for (const item of communicators.slice(0, COMMUNICATORS_MAX)) {
		const communicator = recordOf(item);
		if (communicator === undefined) draft.unread('a communicator is no object');
		else readCommunicator(communicator, draft);
	}
	if (communicators.length > COMMUNICATORS_MAX)
		draft.unread(`${communicators.length - COMMUNICATORS_MAX} communicators beyond the first ${COMMUNICATORS_MAX}`);
	const timeouts = wholeOf(recordOf(root['ras'])?.['timeouts_count']) ?? 0;
	if (timeouts > 0) draft.unread(`${timeouts} of RAS’s own calls timed out: the state is not whole`);
	return draft.finish();
}

interface Standing {
	readonly finding: Omit<RankFinding, 'trouble'>;
	readonly operations: number | undefined;
}

function readCommunicator(communicator: JsonRecord, draft: CommDraft): void {
	const name = textOf(communicator['hash'], commBounds.nameCharsMax) ?? '';
	if (name === '') draft.unread('a communicator without a hash');
	const ranks = listOf(communicator['ranks']).slice(0, RANKS_MAX);
	const standings: Standing[] = [];
	const states = new Set<CommunicatorState>();
	const nodes = new Set<string>();
	for (const item of ranks) {
		const rank = recordOf(item);
		const number = wholeOf(rank?.['rank']);
		if (rank === undefined || number === undefined) {
			draft.unread(`${name}: a rank without a number`);
			continue;
		}
		const finding = placeOf(name, number, rank);
		if (finding.node !== undefined) nodes.add(finding.node);
		const status = recordOf(rank['status']);
		states.add(stateOf(status));
		if ((wholeOf(status?.['async_error']) ?? 0) > 0 && status?.['async_error'] !== IN_PROGRESS)
			draft.rank({ ...finding, trouble: 'failed', operation: `async_error ${String(status?.['async_error'])}` });
		standings.push({ finding, operations: operationsOf(rank) });
	}
	const missing = readMissing(name, communicator, draft);
	const counts = standings.flatMap(({ operations }) => operations ?? []);
	const operationsMin = counts.reduce((least, count) => Math.min(least, count), Infinity);
	const operationsMax = counts.reduce((most, count) => Math.max(most, count), 0);
	const errors: RasError[] = [];
	if (missing > 0) errors.push('INCOMPLETE');
	if (counts.length > 1 && operationsMin < operationsMax) {
		errors.push('MISMATCH');
		for (const { finding, operations } of standings)
			if (operations !== undefined && operations < operationsMax)
				draft.rank({ ...finding, trouble: 'behind', operation: `${operations} of ${operationsMax}` });
	}
	draft.communicator({
		communicator: name,
		state: worst(states),
		...given('ranks', wholeOf(communicator['size'])),
		...(nodes.size > 0 ? { nodes: nodes.size } : {}),
		...(missing > 0 ? { ranksMissing: missing } : {}),
		...(counts.length > 0 ? { operationsMin, operationsMax } : {}),
		...(errors.length > 0 ? { errors } : {}),
	});
}

function readMissing(communicator: string, from: JsonRecord, draft: CommDraft): number {
	let found = 0;
	for (const item of listOf(from['missing_ranks']).slice(0, RANKS_MAX)) {
		const rank = recordOf(item);
		const number = wholeOf(rank?.['rank']);
		if (rank === undefined || number === undefined) continue;
		found++;
		const dead = recordOf(rank['status'])?.['considered_dead'] === true;
		draft.rank({ ...placeOf(communicator, number, rank), trouble: dead ? 'dead' : 'missing' });
	}
	return Math.max(found, wholeOf(from['missing_ranks_count']) ?? 0);
}

function placeOf(communicator: string, rank: number, from: JsonRecord): Omit<RankFinding, 'trouble'> {
	const device = wholeOf(from['nvml_dev']) ?? wholeOf(from['cuda_dev']);
	return {
		communicator,
		rank,
		...given('node', textOf(from['host'], commBounds.nameCharsMax)),
		...given('gpu', device === undefined ? undefined : `GPU${device}`),
	};
}

/** All collectives a rank has launched, together. */
function operationsOf(rank: JsonRecord): number | undefined {
	const counts = recordOf(rank['collective_counts']);
	if (counts === undefined) return undefined;
	let total = 0;
	for (const value of Object.values(counts)) total += wholeOf(value) ?? 0;
	return total;
}

function stateOf(status: JsonRecord | undefined): CommunicatorState {
	if (status === undefined) return 'unknown';
	if (status['abort_flag'] === true) return 'aborted';
	if (status['finalize_called'] === true || status['destroy_flag'] === true) return 'finalising';
	if (status['init_state'] === IN_PROGRESS) return 'initialising';
	return status['init_state'] === 0 ? 'running' : 'unknown';
}

const badness: readonly CommunicatorState[] = ['aborted', 'unknown', 'finalising', 'initialising', 'running'];

function worst(states: ReadonlySet<CommunicatorState>): CommunicatorState {
	return badness.find((state) => states.has(state)) ?? 'unknown';
}
