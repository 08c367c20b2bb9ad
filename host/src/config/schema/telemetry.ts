// Owns the section of the configuration about logs, metrics and traces.
import { choice, flag, integer, number, optional, section } from '../fields.js';
import { MS } from './units.js';

export const telemetrySchema = section('Logs, metrics and traces.', {
	log_level: choice(['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'info', 'Least level that is written.'),
	log_requests: flag(false, 'One log line per request, with ids and figures, never prompts.'),
	otlp_endpoint: optional(
		'OTLP/HTTP collector, `http://host:4318`; OTEL_EXPORTER_OTLP_ENDPOINT does the same. Absent = no traces.',
	),
	trace_ratio: number(1, 'Share of requests traced when the caller has not decided.', { max: 1 }),
	trace_queue_max: integer(2048, 'Spans waiting for export; more are dropped.', {
		unit: 'spans',
		min: 64,
		max: 1_000_000,
	}),
	loop_lag_period_ms: integer(1000, 'Event-loop lag is read this often.', { ...MS, min: 100 }),
});
