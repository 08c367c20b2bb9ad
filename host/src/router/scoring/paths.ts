// Owns the paths of the scoring API: a prefix, then the path the request would have had. What is scored is a request as its own client sent it, so any
// dialect can be scored, and another router passes on what it has in hand.

/** What a report says of admissions. */
export type ReportVerb = 'outcome' | 'renew' | 'release';
export type ScoringVerb = 'score' | 'admit' | ReportVerb;

const PREFIX = '/api/v1/';
/** What streams of questions are made of. */
export const LINES_TYPE = 'application/x-ndjson';
const asked: readonly ScoringVerb[] = ['score', 'admit'];
const reports: ReadonlyMap<string, ReportVerb> = new Map(
	(['outcome', 'renew', 'release'] as const).map((verb) => [`${PREFIX}${verb}`, verb]),
);
/** Paths whose bodies are streams of lines: those that name no request, and that of outcomes where its body says so. */
const streams: ReadonlyMap<string, ScoringPath> = new Map(
	(['score', 'admit', 'outcome'] as const).map((verb) => {
		const path = `${PREFIX}${verb}`;
		return [path, { verb, path, label: `${path}:stream`, streams: true }];
	}),
);

export interface ScoringPath {
	readonly verb: ScoringVerb;
	/** Path of the request that is meant. */
	readonly path: string;
	/** As metrics name it. */
	readonly label: string;
	/** Its body is a stream of questions. */
	readonly streams: boolean;
}

export function isReport(verb: ScoringVerb | undefined): verb is ReportVerb {
	return verb !== undefined && verb !== 'score' && verb !== 'admit';
}

export function areLines(contentType: string | undefined): boolean {
	return contentType?.split(';', 1)[0]?.trim().toLowerCase() === LINES_TYPE;
}

/** Undefined for any other path. */
export function scoringPath(path: string, contentType: string | undefined): ScoringPath | undefined {
	if (!path.startsWith(PREFIX)) return undefined;
	const report = reports.get(path);
	const stream = streams.get(path);
	if (stream !== undefined && (report === undefined || areLines(contentType))) return stream;
	if (report !== undefined) return { verb: report, path, label: path, streams: false };
	for (const verb of asked) {
		const prefix = `${PREFIX}${verb}`;
		if (path.startsWith(`${prefix}/`)) return { verb, path: path.slice(prefix.length), label: prefix, streams: false };
	}
	return undefined;
}
