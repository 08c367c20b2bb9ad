// Owns the record of an experiment in replicated state: all that a node needs to go on with it where another stopped. What it is to find out and by which rules is
// written before it begins and never changes; what was found is only added to. Units last in names; times are milliseconds since the Unix epoch.
import type { Static } from 'typebox';
import { Type } from '../schema/type.js';
import { arms } from './cohorts/cohort.js';
import { type ExperimentDesign, experimentKinds } from './design/design.js';
import type { ExperimentForecast } from './design/forecast.js';
import { COURSE_POINTS_MAX, guardrailRules } from './design/guardrail-rules.js';
import type { SafetyState } from './design/safety-trial.js';
import type { SwitchbackState } from './design/switchback-trial.js';

const describe = (description: string) => ({ description });
const whole = (description: string) => Type.Integer({ minimum: 0, description });

/** Blocks or windows kept for plots; the newest. */
export const POINTS_MAX = 1000;

/** One closed block of a switchback, or one window of a split, of one arm: what plots are drawn from. */
export const pointSchema = Type.Object({
	block: whole('Of a switchback or a split by groups; windows of a split by request are all in block 0.'),
	arm: Type.Enum([...arms]),
	fromMs: Type.Number(),
	toMs: Type.Number(),
	requests: whole('That say something of the arm.'),
	good: whole('Of them, within their objectives.'),
	ttftP50Ms: Type.Number(),
	ttftP99Ms: Type.Number(),
	dropped: Type.Optional(Type.String(describe('Why it does not count.'))),
});
export type ExperimentPoint = Static<typeof pointSchema>;

/** Cells of counts, in the order of cohorts/counts.ts; trailing zeros left out. */
const cellsSchema = Type.Array(Type.Number(), { maxItems: 4096 });
const bothArms = Type.Object({ baseline: cellsSchema, candidate: cellsSchema });

const designSchema = Type.Unsafe<ExperimentDesign>(
	Type.Object({ version: Type.Literal(1), kind: Type.Enum([...experimentKinds]) }, describe('As it was registered.')),
);

/** `rollback` and `end` both leave the baseline in charge; `rollback` says that the candidate harms. */
export const endings = ['promote', 'rollback', 'end', 'stop'] as const;
export type Ending = (typeof endings)[number];

export const endSchema = Type.Object({
	how: Type.Enum([...endings]),
	reason: Type.String(),
	by: Type.String(describe('`rule`, or who stopped it.')),
	atMs: Type.Number(),
	restoredAtMs: Type.Optional(Type.Number(describe('All routers follow what it leaves.'))),
});
export type ExperimentEnd = Static<typeof endSchema>;

export const experimentRecordSchema = Type.Object({
	id: Type.String(),
	tag: Type.Integer({ minimum: 1, maximum: 0xffff_ffff, description: 'Under which requests are counted.' }),
	model: Type.String(),
	digests: Type.Object({ baseline: Type.String(), candidate: Type.String() }),
	design: designSchema,
	notes: Type.Array(Type.String()),
	forecast: Type.Optional(Type.Unsafe<ExperimentForecast>(Type.Object({}))),
	startedBy: Type.String(),
	startedAtMs: Type.Number(describe('Blocks are counted from here.')),
	state: Type.Enum(['running', 'ending', 'ended']),
	/** Blocks before this one are closed. */
	nextBlock: whole('The first that is not closed.'),
	gaps: Type.Array(Type.Integer(), { description: 'Blocks not closed yet that nobody counted for all through.' }),
	routers: Type.Record(Type.String(), Type.String(), describe('Incarnations by UUID, as last seen.')),
	trial: Type.Optional(Type.Unsafe<SwitchbackState | SafetyState>(Type.Object({ version: Type.Literal(1) }))),
	figures: Type.Intersect([bothArms], describe('Of all that was counted after burn-ins.')),
	points: Type.Array(pointSchema, { maxItems: POINTS_MAX }),
	split: Type.Optional(
		Type.Object({
			windowFromMs: Type.Number(),
			/** What each router had counted at the last window. */
			seen: Type.Record(Type.String(), Type.Object({ incarnation: Type.String(), cells: bothArms })),
		}),
	),
	trip: Type.Optional(
		Type.Object({
			rule: Type.Enum([...guardrailRules]),
			atMs: Type.Number(),
			reason: Type.String(),
			course: Type.Optional(
				Type.Object({
					title: Type.String(),
					limit: Type.Number(),
					points: Type.Unsafe<readonly (readonly [number, number])[]>(
						Type.Array(Type.Tuple([Type.Number(), Type.Number()]), { maxItems: COURSE_POINTS_MAX }),
					),
				}),
			),
		}),
	),
	muted: Type.Array(Type.Enum([...guardrailRules]), describe('Guardrails that the baseline broke too.')),
	end: Type.Optional(endSchema),
});
export type ExperimentRecord = Static<typeof experimentRecordSchema>;
