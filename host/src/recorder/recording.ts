// Owns a recording in memory as estimators and reports take it: decisions in order, each with its target names, its candidates and what became of it.
// Inputs by column are not kept; replay walks the events for those.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { RECORDING_SUFFIX } from './blocks.js';
import {
	candidatesOf,
	type RecordedCandidate,
	type RecordedDecision,
	type RecordedOutcome,
	type RecordedRequest,
	requestOf,
} from './decision.js';
import type { MetaEntry, StrategyEntry } from './entries.js';
import { recorderErrors } from './errors.js';
import { type RecordingFileBytes, type RecordingIssue, RecordingReader } from './reader.js';

export interface LoadedDecision {
	readonly decision: RecordedDecision;
	readonly model: string;
	readonly worker: number;
	/** What decided: undefined for the fallback alone. */
	readonly strategy: StrategyEntry | undefined;
	/** Target id of each ranked row, best first; '' for a hole. */
	readonly targets: readonly string[];
	readonly outcomes: readonly RecordedOutcome[];
	/** Ranked rows with their probability of being chosen. */
	candidates(): RecordedCandidate[];
	request(): RecordedRequest;
}

export interface LoadedRecording {
	/** Of the last file read; undefined when none was whole. */
	readonly meta: MetaEntry | undefined;
	readonly strategies: readonly StrategyEntry[];
	readonly decisions: readonly LoadedDecision[];
	/** Decisions the recorder had to drop. */
	readonly dropped: number;
	/** Outcomes the recorder lost: decisions that stand without one have had one. */
	readonly outcomesLost: number;
	/** Outcomes of decisions that are not in it. */
	readonly orphans: number;
	readonly issues: readonly RecordingIssue[];
	/** Something is missing or wrong: see `issues`. */
	readonly partial: boolean;
	readonly tampered: boolean;
}

export interface LoadOptions {
	/** Decisions kept before IM_RECORDING_LIMIT. Default 2 million. */
	readonly decisionsMax?: number;
}

const DECISIONS_MAX = 2_000_000;
/** Outcomes kept of one decision: more attempts than any request has. */
const OUTCOMES_MAX = 16;
const FILE_BYTES_MAX = 1024 * 1024 * 1024;

/** The recording files that paths name: a folder stands for all of its own. Throws IM_RECORDING_READ. */
export function recordingPaths(paths: readonly string[]): string[] {
	return paths.flatMap((file) => {
		if (statSync(file, { throwIfNoEntry: false })?.isDirectory() !== true) return [file];
		const found = readdirSync(file)
			.filter((name) => name.endsWith(RECORDING_SUFFIX))
			.sort();
		if (found.length > 0) return found.map((name) => path.join(file, name));
		throw new MeshError(recorderErrors, 'IM_RECORDING_READ', 'the folder holds no recording', { where: file });
	});
}

/** Reads recording files. Throws IM_RECORDING_READ and IM_RECORDING_LIMIT. */
export function readRecordingFiles(paths: readonly string[]): RecordingFileBytes[] {
	return paths.map((file) => {
		try {
			if (statSync(file).size <= FILE_BYTES_MAX) return { name: path.basename(file), bytes: readFileSync(file) };
		} catch (cause) {
			const reason = cause instanceof Error ? cause.message : String(cause);
			throw new MeshError(recorderErrors, 'IM_RECORDING_READ', reason, { where: file, cause });
		}
		throw new MeshError(recorderErrors, 'IM_RECORDING_LIMIT', `the file has more than ${FILE_BYTES_MAX} bytes`, {
			where: file,
		});
	});
}

/** Loads a recording's decisions. Damage is an issue, not an exception. Throws IM_RECORDING_FORMAT and IM_RECORDING_LIMIT. */
export function loadRecording(files: readonly RecordingFileBytes[], options: LoadOptions = {}): LoadedRecording {
	const decisionsMax = options.decisionsMax ?? DECISIONS_MAX;
	const reader = new RecordingReader(files);
	const strategies = new Map<number, StrategyEntry>();
	const decisions: LoadedDecision[] = [];
	const outcomesById = new Map<string, RecordedOutcome[]>();
	let meta: MetaEntry | undefined;
	let dropped = 0;
	let outcomesLost = 0;
	let orphans = 0;
	for (const event of reader.events()) {
		if (event.kind === 'meta') meta = event.meta;
		else if (event.kind === 'strategy') strategies.set(event.strategy.versionId, event.strategy);
		else if (event.kind === 'gap') dropped += event.dropped;
		else if (event.kind === 'outcomeGap') outcomesLost += event.lost;
		else if (event.kind === 'outcome') {
			const known = outcomesById.get(event.outcome.decisionId);
			if (known === undefined) orphans++;
			else if (known.length < OUTCOMES_MAX) known.push(event.outcome);
		} else if (event.kind === 'decision') {
			const { decision, stream } = event;
			if (decisions.length >= decisionsMax)
				throw new MeshError(recorderErrors, 'IM_RECORDING_LIMIT', `it has more than ${decisionsMax} decisions`, {
					details: { limit: 'decisionsMax', value: decisionsMax },
				});
			const outcomes: RecordedOutcome[] = [];
			if (decision.id !== '') outcomesById.set(decision.id, outcomes);
			decisions.push({
				decision,
				model: stream?.entry.model ?? '',
				worker: stream?.entry.worker ?? 0,
				strategy: strategies.get(decision.versionId),
				targets: Array.from(decision.rows, (row) => stream?.entry.targets[row] ?? ''),
				outcomes,
				candidates: () => candidatesOf(decision),
				request: () => requestOf(decision),
			});
		}
	}
	const { issues, partial, tampered } = reader;
	return {
		meta,
		strategies: [...strategies.values()],
		decisions,
		dropped,
		outcomesLost,
		orphans,
		issues,
		partial,
		tampered,
	};
}
