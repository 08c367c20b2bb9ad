// Owns the ORCA load report on responses: what vLLM sends when a request carries `endpoint-load-metrics-format`.
import type { IncomingHttpHeaders } from 'node:http';
import type { EngineLoad } from './metrics.js';

/**
 * The headers to add to an answer: a report as TEXT or JSON, or none when not asked for or in a format vLLM does not
 * know.
 */
export function orcaHeaders(request: IncomingHttpHeaders, load: EngineLoad): Record<string, string> {
	const wanted = request['endpoint-load-metrics-format'];
	const named = { kv_cache_usage_perc: load.kvUse, num_requests_waiting: load.waiting };
	const format = typeof wanted === 'string' ? wanted.toUpperCase() : '';
	if (format === 'JSON') return { 'endpoint-load-metrics': `JSON ${JSON.stringify({ named_metrics: named })}` };
	if (format !== 'TEXT') return {};
	const pairs = Object.entries(named).map(([name, value]) => `named_metrics.${name}=${decimal(value)}`);
	return { 'endpoint-load-metrics': `TEXT ${pairs.join(', ')}` };
}

function decimal(value: number): string {
	return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
