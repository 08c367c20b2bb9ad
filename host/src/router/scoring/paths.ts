// Owns the paths of the scoring API: a prefix, then the path the request would have had. What is scored is a request as its own client sent it, so any
// dialect can be scored, and another router passes on what it has in hand.

export type ScoringVerb = 'score' | 'admit' | 'outcome';

const PREFIX = '/api/v1/';
const verbs: readonly ScoringVerb[] = ['score', 'admit'];
export const OUTCOME_PATH = `${PREFIX}outcome`;

export interface ScoringPath {
	readonly verb: ScoringVerb;
	/** Path of the request that is meant. */
	readonly path: string;
	/** As metrics name it. */
	readonly label: string;
}

/** Undefined for any other path. */
export function scoringPath(path: string): ScoringPath | undefined {
	if (!path.startsWith(PREFIX)) return undefined;
	if (path === OUTCOME_PATH) return { verb: 'outcome', path, label: OUTCOME_PATH };
	for (const verb of verbs) {
		const prefix = `${PREFIX}${verb}`;
		if (path.startsWith(`${prefix}/`)) return { verb, path: path.slice(prefix.length), label: prefix };
	}
	return undefined;
}
