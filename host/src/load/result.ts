// Owns the one document a load run produces: its schema, from which the type follows. `infermesh bench --json` prints it, reports read it.
// Times are milliseconds, shares are fractions of 1. Additive changes keep the schema name; anything else raises its number.
import type { Static } from 'typebox';
import { Type } from '../schema/type.js';

export const LOAD_RESULT_SCHEMA = 'infermesh.load/v1';

const number = (description: string) => Type.Number({ description });
const nullable = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });
const counts = (description: string) => Type.Array(Type.Number(), { description });
const curve = (description: string) => Type.Array(Type.Union([Type.Number(), Type.Null()]), { description });

export const DistributionSchema = Type.Object(
	{
		count: Type.Number(),
		mean: Type.Number(),
		min: Type.Number(),
		p50: Type.Number(),
		p90: Type.Number(),
		p95: Type.Number(),
		p99: Type.Number(),
		'p99.9': Type.Number(),
		max: Type.Number(),
	},
	{ description: 'Milliseconds; quantiles within 0.4 %, the rest exact.' },
);

const GroupSchema = Type.Object({
	name: Type.String(),
	requests: number('Requests answered by this target or strategy, failures included.'),
	failed: number('Those of them that failed.'),
	outputTokens: number('Tokens of the completed ones.'),
	ttftMs: Type.Union([DistributionSchema, Type.Null()]),
	e2eMs: Type.Union([DistributionSchema, Type.Null()]),
});

export const TimelineSchema = Type.Object(
	{
		widthMs: number('Width of a bin; bin i covers [i, i + 1) * widthMs since the start.'),
		sent: counts('Requests sent.'),
		completed: counts('Requests that ended well.'),
		failed: counts('Requests that failed.'),
		dropped: counts('Requests not sent because maxInFlight were under way.'),
		outputTokens: counts('Tokens received: per event when streaming, at the end otherwise.'),
		inFlight: counts('Highest number of requests under way.'),
		ttftP50Ms: curve('Median TTFT of the requests due in the bin; null without any.'),
		ttftP95Ms: curve('95th percentile, likewise.'),
		targets: Type.Record(Type.String(), Type.Array(Type.Number()), { description: 'Responses by x-infermesh-target.' }),
		strategies: Type.Record(Type.String(), Type.Array(Type.Number()), {
			description: 'Responses by x-infermesh-strategy.',
		}),
	},
	{ description: 'Columns of equal length.' },
);

const CdfSchema = Type.Array(Type.Tuple([Type.Number(), Type.Number()]), {
	description: 'Pairs of milliseconds and the fraction at or below.',
});

export const LoadResultSchema = Type.Object(
	{
		schema: Type.Literal(LOAD_RESULT_SCHEMA),
		startedAt: Type.String({ description: 'ISO 8601, UTC.' }),
		url: Type.String({ description: 'Base URL without credentials.' }),
		model: Type.String(),
		streaming: Type.Boolean(),
		mode: Type.Union([Type.Literal('open'), Type.Literal('closed')], {
			description: 'open: sent at the times of the workload; closed: a fixed number under way.',
		}),
		workload: Type.Object({
			kind: Type.String(),
			name: Type.String(),
			speed: number("Factor on the workload's clock."),
			notes: Type.Array(Type.String(), {
				description: 'What was done to the data, and whether the generator kept up.',
			}),
		}),
		partial: Type.Boolean({ description: 'The run was stopped before its end; what was under way counts as aborted.' }),
		elapsedMs: number('From the start to the end of the last request.'),
		requests: Type.Object({
			offered: number('Requests the workload asked for: sent and dropped, without aborted.'),
			sent: number('Requests sent, aborted included.'),
			completed: number('Requests that ended well.'),
			failed: number('Requests that failed.'),
			dropped: number('Requests not sent because maxInFlight were under way.'),
			aborted: number('Requests under way when the run was stopped.'),
		}),
		failures: Type.Array(Type.Object({ kind: Type.String(), detail: Type.String(), count: Type.Number() }), {
			description: 'Most frequent first.',
		}),
		failRate: number('(failed + dropped) / offered; 0 when nothing was offered.'),
		inputTokens: number('Prompt tokens of completed requests, as the workload states them.'),
		outputTokens: number('Tokens of completed requests.'),
		requestsPerSecond: number('Completed requests a second of elapsed time.'),
		outputTokensPerSecond: number('Tokens of completed requests a second of elapsed time.'),
		latency: Type.Object({
			ttftMs: Type.Union([DistributionSchema, Type.Null()], {
				description: 'Intended send time to first text, completed streams.',
			}),
			tpotMs: Type.Union([DistributionSchema, Type.Null()], {
				description: 'Per request: (last - first text) / (tokens - 1).',
			}),
			itlMs: Type.Union([DistributionSchema, Type.Null()], {
				description: 'Gaps between text events, all streams; events of one read have gap 0.',
			}),
			e2eMs: Type.Union([DistributionSchema, Type.Null()], {
				description: 'Intended send time to the end, completed requests.',
			}),
		}),
		sendLagMs: Type.Union([DistributionSchema, Type.Null()], {
			description: 'Actual minus intended send time: how late the generator itself was.',
		}),
		goodput: Type.Union(
			[
				Type.Object({
					slo: Type.String(),
					requests: number('Completed within the objective.'),
					share: number('Of offered.'),
					requestsPerSecond: Type.Number(),
				}),
				Type.Null(),
			],
			{ description: 'Null without an objective.' },
		),
		targets: Type.Array(GroupSchema),
		strategies: Type.Array(GroupSchema),
		switches: Type.Array(
			Type.Object({
				atMs: number(
					'Since the start: the first of 16 answers in a row by the new one; late answers of the old may precede it.',
				),
				from: Type.String(),
				to: Type.String(),
			}),
			{ description: "Changes of the strategy that answers; a canary's share is none." },
		),
		timeline: TimelineSchema,
		cdf: Type.Object({ ttftMs: CdfSchema, tpotMs: CdfSchema, itlMs: CdfSchema, e2eMs: CdfSchema }),
		thresholds: Type.Array(
			Type.Object({
				source: Type.String(),
				passed: Type.Boolean(),
				actual: nullable('Milliseconds, fraction or plain; null when nothing was measured, which fails.'),
			}),
		),
		passed: Type.Boolean({ description: 'Every threshold passed.' }),
	},
	{ description: 'Result of a load run.' },
);

export type Distribution = Static<typeof DistributionSchema>;
export type GroupResult = Static<typeof GroupSchema>;
export type Timeline = Static<typeof TimelineSchema>;
export type LoadResult = Static<typeof LoadResultSchema>;
