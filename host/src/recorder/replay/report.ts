// Owns what a replay answers: whether every decision came out as it was recorded, and where other strategies would have gone instead. Plain data: it
// crosses processes and is written as JSON.
import type { RecordingIssue } from '../reader.js';

export const REPLAY_SCHEMA = 'infermesh.replay/1';

/** One ranked target in a difference. */
export interface ReplayedChoice {
	readonly target: string;
	/** The strategy's own, lower is better; null = it did not rank it. */
	readonly score: number | null;
	readonly factors: Readonly<Record<string, number>>;
	/** Predicted milliseconds until the request would be finished there, by the common predictor. */
	readonly predictedMs: number;
	/** Columns the strategy reads in which the two targets differ. */
	readonly columns: Readonly<Record<string, number>>;
}

/** A decision that did not come out as recorded although the strategy is the same. */
export interface IdentityDifference {
	/** Position among the decisions of the recording, from 0. */
	readonly index: number;
	readonly id: string;
	readonly at: string;
	readonly strategy: string;
	/** What differs, each as `field: recorded → replayed`. */
	readonly fields: readonly string[];
}

/** A decision another strategy would have made otherwise. */
export interface AgainstDifference {
	readonly index: number;
	readonly id: string;
	readonly at: string;
	readonly model: string;
	readonly tokensIn: number;
	readonly verdicts: { readonly recorded: string; readonly other: string };
	/** What the recorded strategy ranked first; null = nothing. */
	readonly recorded: ReplayedChoice | null;
	readonly other: ReplayedChoice | null;
	/** Score the other strategy gives the recorded choice, less that of its own; null when it did not rank it. */
	readonly margin: number | null;
}

export interface ReplayedStrategy {
	readonly label: string;
	readonly digest: string;
	readonly decisions: number;
	/** Where its module came from; `missing`: its decisions were not checked. */
	readonly module: 'recording' | 'given' | 'missing';
	/** Why its module could not be used. */
	readonly problem: string;
	/** The module is admitted to the same digest here. Otherwise instrumenter or fuel weights are of another version, and fuel may differ. */
	readonly sameDigest: boolean;
}

export interface IdentityReport {
	/** Decisions run again with what decided them. */
	readonly checked: number;
	readonly identical: number;
	readonly different: number;
	/** Their answer hangs on hashes that were salted or dropped. */
	readonly redacted: number;
	/** Not run again, by reason. */
	readonly passedOver: Readonly<Record<string, number>>;
	readonly differences: readonly IdentityDifference[];
}

export interface AgainstReport {
	readonly label: string;
	readonly digest: string;
	/** Decisions that both strategies answered. */
	readonly compared: number;
	/** First choice and verdict are the same. */
	readonly agreed: number;
	/** Share of the recorded ranked targets that the other strategy ranked too, mean. */
	readonly overlap: number;
	readonly faults: Readonly<Record<string, number>>;
	/** Null of a native library, like the next: it is not metered. */
	readonly fuelMean: number | null;
	readonly fuelMax: number | null;
	/** `rebuilt`: learned anew from the recorded outcomes, from nothing. */
	readonly state: 'none' | 'rebuilt';
	/** Mean predicted milliseconds a decision by the common predictor; regret = less the least over all targets that could be chosen. */
	readonly predicted: { readonly recordedMs: number; readonly otherMs: number };
	readonly regret: { readonly recordedMs: number; readonly otherMs: number };
	/** Share of decisions by target: what the recorded strategy and the other one would have sent there. */
	readonly targets: readonly { readonly target: string; readonly recorded: number; readonly other: number }[];
	readonly differences: readonly AgainstDifference[];
	/** Differences beyond those listed. */
	readonly unlisted: number;
}

export interface ReplayReport {
	readonly schema: typeof REPLAY_SCHEMA;
	readonly recording: string;
	readonly node: string;
	/** Version that recorded, and version that replays. */
	readonly versions: { readonly recorded: string; readonly replayed: string };
	readonly files: readonly string[];
	/** Rolling hash at the end of the last file. */
	readonly chain: string;
	readonly hashes: string;
	readonly sample: number;
	readonly from: string | null;
	readonly to: string | null;
	readonly decisions: number;
	readonly outcomes: number;
	readonly dropped: number;
	readonly outcomesLost: number;
	readonly blocks: { readonly read: number; readonly verified: number };
	readonly partial: boolean;
	readonly tampered: boolean;
	readonly issues: readonly RecordingIssue[];
	readonly strategies: readonly ReplayedStrategy[];
	readonly identity: IdentityReport;
	readonly against: readonly AgainstReport[];
	/** Every decision that could be checked was identical, and nothing was tampered with. */
	readonly ok: boolean;
}
