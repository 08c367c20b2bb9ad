// Owns the off-policy report: a recording replayed against one strategy, and what its outcomes say of it. Equal files, strategy and seed give an equal report.
import { SeededRandom } from '@infermesh/proto';
import type { Slo } from '../../load/slo.js';
import { estimateOffPolicy, type OffPolicyResult, ONE_STEP_LABEL } from '../../statistics/off-policy.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import type { RecordingFileBytes } from '../reader.js';
import { Replay, replayDefaults } from '../replay/replay.js';
import { OffPolicyGathering, type Skipped } from './gathering.js';

export const OFF_POLICY_SCHEMA = 'infermesh.off-policy/1';

/** Outcomes that are estimated. */
export const offPolicyOutcomes = ['attainment', 'ttftMs'] as const;
export type OffPolicyOutcome = (typeof offPolicyOutcomes)[number];

export interface OffPolicyReport {
	readonly schema: typeof OFF_POLICY_SCHEMA;
	readonly recording: string;
	readonly files: readonly string[];
	readonly against: { readonly label: string; readonly digest: string };
	/** What an estimate means. */
	readonly label: typeof ONE_STEP_LABEL;
	readonly slo: string;
	readonly seed: number;
	/** Decisions on which the strategy was asked, and those that do not count, by reason. */
	readonly decisions: number;
	readonly skipped: Skipped;
	/** Something of the recording is missing or wrong. */
	readonly partial: boolean;
	readonly tampered: boolean;
	/** Share of requests that met the objectives, 0..1; mean milliseconds to the first token of those that brought one. */
	readonly outcomes: Readonly<Record<OffPolicyOutcome, OffPolicyResult>>;
	/** Whether any outcome could be estimated. */
	readonly ok: boolean;
}

export interface OffPolicyRequest {
	readonly files: readonly RecordingFileBytes[];
	readonly against: StrategyModule;
	readonly slo: Slo;
	/** As it was written. */
	readonly sloText: string;
	/** Of the bootstrap: unsigned 32-bit. */
	readonly seed: number;
	/** Version of this program. */
	readonly version: string;
	/** Told now and then how many decisions have been replayed. */
	readonly progress?: (decisions: number) => void;
}

/** Throws IM_RECORDING_FORMAT, and what a strategy that cannot be made throws. */
export function evaluateOffPolicy(request: OffPolicyRequest): OffPolicyReport {
	const { files, against, slo, sloText, seed, version, progress } = request;
	const gathering = new OffPolicyGathering(slo);
	const replay = new Replay(
		files,
		{ ...replayDefaults, differencesMax: 0, version },
		{
			// Who decided does not matter here: only the other strategy is run.
			prepare: () => {
				throw new Error('the recorded strategies are not run again');
			},
			given: [],
			against: [against],
			watch: gathering,
			...(progress === undefined ? {} : { progress }),
		},
	);
	const { recording, files: names, partial, tampered } = replay.run();
	const outcomes = {
		attainment: estimateOffPolicy(gathering.attainment(), { random: new SeededRandom(seed, 1) }),
		ttftMs: estimateOffPolicy(gathering.ttftMs(), { random: new SeededRandom(seed, 2) }),
	};
	return {
		schema: OFF_POLICY_SCHEMA,
		recording,
		files: names,
		against: { label: against.label, digest: against.digest },
		label: ONE_STEP_LABEL,
		slo: sloText,
		seed,
		decisions: gathering.decisions,
		skipped: gathering.skipped(),
		partial,
		tampered,
		outcomes,
		ok: offPolicyOutcomes.some((name) => outcomes[name].kind === 'estimates'),
	};
}
