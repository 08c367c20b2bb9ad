// Owns reading ORCA load reports from a response header (`endpoint-load-metrics`), in its TEXT, JSON and BIN forms; what comes in
// `endpoint-load-metrics-bin` is the last without its name. A report refreshes a few signals between two scrapes. Leaves asking for it
// (`endpoint-load-metrics-format`) to the router, and the wire form of BIN to orca-binary.ts.
import type { ModelStateDelta } from '@infermesh/proto';
import { readOrcaReport } from './orca-binary.js';
import { Draft } from './runtimes/draft.js';

/** The bounds of one header: longer ones are not read, further metrics are passed over. */
export const orcaBounds = Object.freeze({ charsMax: 8192, metricsMax: 64 });

type OrcaSignal = {
	readonly signal: 'queueDepth' | 'running' | 'kvUsage' | 'utilization' | 'requestsPerSec' | 'cpu';
	readonly kind: 'count' | 'ratio';
};

/** Named metrics that runtimes put into reports: vLLM's, those of Triton, and SGLang's names in case it adds them. */
const signals: ReadonlyMap<string, OrcaSignal> = new Map<string, OrcaSignal>([
	['kv_cache_usage_perc', { signal: 'kvUsage', kind: 'ratio' }],
	['kv_cache_utilization', { signal: 'kvUsage', kind: 'ratio' }],
	['token_usage', { signal: 'kvUsage', kind: 'ratio' }],
	['num_requests_waiting', { signal: 'queueDepth', kind: 'count' }],
	['num_queue_reqs', { signal: 'queueDepth', kind: 'count' }],
	['num_requests_running', { signal: 'running', kind: 'count' }],
	['num_running_reqs', { signal: 'running', kind: 'count' }],
	['application_utilization', { signal: 'utilization', kind: 'ratio' }],
	['rps_fractional', { signal: 'requestsPerSec', kind: 'count' }],
	['cpu_utilization', { signal: 'cpu', kind: 'ratio' }],
]);

/**
 * What the header `value` of a response that came at `atMs` (monotonic ms) tells: `TEXT name=1, named_metrics.name=2` or
 * `JSON {"named_metrics": {"name": 1}}`. Metrics that are no signal are passed over; what is malformed is in `unread`.
 */
export function parseOrcaHeader(value: string, atMs: number): ModelStateDelta {
	const draft = new Draft(atMs);
	const text = value.trim();
	if (text.length > orcaBounds.charsMax) {
		draft.unread(`orca: ${text.length} characters`);
		return draft.finish();
	}
	const space = text.search(/\s/);
	const form = text.startsWith('{') ? 'JSON' : text.slice(0, Math.max(0, space)).toUpperCase();
	const report = text.startsWith('{') ? text : text.slice(space + 1);
	const read = forms[form];
	if (read === undefined) draft.unread(`orca: form ${form === '' ? 'missing' : form} is not TEXT, JSON or BIN`);
	else read(report, draft);
	return draft.finish();
}

const forms: Readonly<Record<string, ((report: string, draft: Draft) => void) | undefined>> = Object.freeze({
	TEXT: readText,
	JSON: readJson,
	BIN: readBinary,
});

function readBinary(report: string, draft: Draft): void {
	const metrics = readOrcaReport(Buffer.from(report.trim(), 'base64'), orcaBounds.metricsMax);
	if (metrics === undefined) draft.unread('orca: malformed binary report');
	else for (const [name, value] of metrics) assign(name, value, draft);
}

function readText(report: string, draft: Draft): void {
	for (const entry of report.split(',', orcaBounds.metricsMax)) {
		const pair = /^\s*([^\s=:]+)\s*[=:]\s*(\S+)\s*$/.exec(entry);
		if (pair === null) {
			if (entry.trim() !== '') draft.unread(`orca: ${entry.trim()}`);
		} else assign(pair[1] ?? '', Number(pair[2]), draft);
	}
}

function readJson(report: string, draft: Draft): void {
	let parsed: unknown;
	try {
		parsed = JSON.parse(report);
	} catch {
		draft.unread('orca: malformed JSON');
		return;
	}
	if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
		draft.unread('orca: JSON is not an object');
		return;
	}
	for (const [name, entry] of Object.entries(parsed).slice(0, orcaBounds.metricsMax)) {
		// The mapping of protobuf to JSON also allows the camel-case name.
		if ((name === 'named_metrics' || name === 'namedMetrics') && typeof entry === 'object' && entry !== null) {
			for (const [inner, number] of Object.entries(entry).slice(0, orcaBounds.metricsMax)) assign(inner, number, draft);
		} else assign(name, entry, draft);
	}
}

function assign(name: string, value: unknown, draft: Draft): void {
	const target = signals.get(name.startsWith('named_metrics.') ? name.slice('named_metrics.'.length) : name);
	if (target === undefined) return;
	if (typeof value !== 'number') draft.unread(`orca: ${name} is not a number`);
	// A server that knows its own utilization says it; its CPU stands in where it does not.
	else if (target.signal === 'cpu') {
		if (draft.get('utilization') === undefined) draft.ratio('utilization', Math.min(value, 1));
	} else if (target.kind === 'ratio') draft.ratio(target.signal, value);
	else draft.count(target.signal, value);
}
