// Owns the paths of the scoring API: a prefix, then the path the request would have had. What is scored is a request as its own client sent it, so any
// dialect can be scored, and another router passes on what it has in hand.

/** What a report says of admissions. */
export type ReportVerb = 'outcome' | 'renew' | 'release';
export type ScoringVerb = 'score' | 'admit' | ReportVerb;

const PREFIX = '/api/v1/';
const verbs: readonly ScoringVerb[] = ['score', 'admit'];
const reports: ReadonlyMap<string, ReportVerb> = new Map(
	(['outcome', 'renew', 'release'] as const).map((verb) => [`${PREFIX}${verb}`, verb]),
);

export interface ScoringPath {
	readonly verb: ScoringVerb;
	/** Path of the request that is meant. */
	readonly path: string;
	/** As metrics name it. */
	readonly label: string;
}

export function isReport(verb: ScoringVerb | undefined): verb is ReportVerb {
	return verb !== undefined && verb !== 'score' && verb !== 'admit';
}

/** Undefined for any other path. */
export function scoringPath(path: string): ScoringPath | undefined {
	if (!path.startsWith(PREFIX)) return undefined;
	const report = reports.get(path);
	if (report !== undefined) return { verb: report, path, label: path };
	for (const verb of verbs) {
		const prefix = `${PREFIX}${verb}`;
		if (path.startsWith(`${prefix}/`)) return { verb, path: path.slice(prefix.length), label: prefix };
	}
	return undefined;
}
