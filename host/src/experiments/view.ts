// Owns how an experiment looks from outside: what is asked to start one, and what is told of it while it runs and after. Derived from its record alone, so that every
// node tells the same.
import type { Static } from 'typebox';
import { Type } from '../schema/type.js';
import { splitKeys } from '../strategy/runtime/plan.js';
import { arms } from './cohorts/cohort.js';
import { CELL_PAIRS_MAX, experimentKinds } from './design/design.js';
import { guardrailDefaults, guardrailRules } from './design/guardrail-rules.js';
import { promotionRules } from './design/promotion.js';
import { endSchema } from './record.js';

const describe = (description: string) => ({ description });
const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const optional = Type.Optional;
const ms = (description: string) => optional(Type.Integer({ minimum: 0, maximum: 86_400_000, description }));

/** Every limit of the hard rules. */
const limits = Object.fromEntries(
	Object.entries(guardrailDefaults).map(([name, usual]) => [
		name,
		Type.Optional(Type.Number({ exclusiveMinimum: 0, description: `Default ${usual}.` })),
	]),
) as Record<keyof typeof guardrailDefaults, ReturnType<typeof Type.Optional<ReturnType<typeof Type.Number>>>>;

export const startRequestSchema = Type.Object(
	{
		kind: Type.Enum([...experimentKinds]),
		candidate: Type.String(describe('Loaded strategy: `name`, or `name@version`.')),
		model: optional(Type.String(describe('May be left out where the mesh serves one model.'))),
		promote: optional(Type.Enum([...promotionRules], describe('What makes the candidate active; default `never`.'))),
		objectives: optional(
			Type.Object(
				{
					ttftMs: optional(Type.Number({ exclusiveMinimum: 0 })),
					tpotMs: optional(Type.Number({ exclusiveMinimum: 0 })),
					ttftPerTokenMs: optional(Type.Number({ minimum: 0 })),
				},
				{ additionalProperties: false },
			),
		),
		effect: optional(
			Type.Number({ exclusiveMinimum: 0, maximum: 1, description: 'The difference that the hours are told for.' }),
		),
		maxHours: optional(Type.Number({ exclusiveMinimum: 0, description: 'A switchback ends after so long.' })),
		seed: optional(Type.Integer({ minimum: 0, maximum: 0xffff_ffff })),
		alpha: optional(Type.Number()),
		margin: optional(Type.Number()),
		clip: optional(Type.Number()),
		truncation: optional(Type.Number()),
		blockMs: ms('Length of a block.'),
		burnInMs: ms('Of a block, not measured.'),
		settleMs: ms('After a block, for its requests to end.'),
		pairsMax: optional(Type.Integer({ minimum: 1, maximum: 2000 })),
		blockRequestsMin: optional(Type.Integer({ minimum: 1 })),
		share: optional(Type.Number({ description: 'Of the candidate in a canary or split, 0 to 1.' })),
		splitBy: optional(Type.Enum([...splitKeys])),
		requestsMin: optional(Type.Integer({ minimum: 1 })),
		durationMsMin: ms('A canary or split lasts at least so long.'),
		cell: optional(
			Type.String({ minLength: 1, maxLength: 64, description: 'Of matched cells: which of them this mesh is.' }),
		),
		cellPairs: optional(
			Type.Array(Type.Tuple([Type.String({ maxLength: 64 }), Type.String({ maxLength: 64 })]), {
				maxItems: CELL_PAIRS_MAX,
				description: 'Of matched cells: all of them, alike in pairs.',
			}),
		),
		tag: optional(
			Type.Integer({
				minimum: 1,
				maximum: 0xffff_ffff,
				description: 'Of matched cells: the id that all of them share.',
			}),
		),
		startAtMs: optional(Type.Number({ description: 'Of matched cells: when the first block begins in all of them.' })),
		guardrails: optional(
			Type.Object(limits, {
				additionalProperties: false,
				description: 'Limits of the hard rules that differ from the usual.',
			}),
		),
	},
	{ additionalProperties: false },
);
export type StartRequest = Static<typeof startRequestSchema>;

export const planViewSchema = Type.Object({
	kind: Type.Enum([...experimentKinds]),
	model: Type.String(),
	baseline: Type.String(),
	candidate: Type.String(),
	promote: Type.Enum([...promotionRules]),
	seed: Type.Integer(),
	blockMs: Type.Number(),
	burnInMs: Type.Number(),
	share: Type.Number(),
	objectives: Type.Object({ ttftMs: Type.Number(), tpotMs: Type.Number(), ttftPerTokenMs: Type.Number() }),
	designDigest: Type.String(describe('SHA-256 of all that decides what will be concluded.')),
	notes: Type.Array(Type.String()),
	requestsPerS: Type.Number(),
	pairsExpected: orNull(Type.Number(describe('Until a verdict, at the median of forecast experiments.'))),
	hoursExpected: orNull(Type.Number()),
	hoursP90: orNull(Type.Number()),
	decidedShare: orNull(Type.Number(describe('Of forecast experiments, those that end with a verdict.'))),
	hours: Type.Number(describe('A switchback ends after so long at the latest; others last about so long.')),
	text: Type.String(),
});
export type PlanView = Static<typeof planViewSchema>;

const interval = Type.Object({ lower: Type.Number(), upper: Type.Number() });

export const experimentViewSchema = Type.Object({
	id: Type.String(),
	kind: Type.Enum([...experimentKinds]),
	model: Type.String(),
	baseline: Type.String(),
	candidate: Type.String(),
	promote: Type.Enum([...promotionRules]),
	state: Type.Enum(['running', 'ending', 'ended']),
	verdict: Type.String(),
	startedBy: Type.String(),
	startedAtMs: Type.Number(),
	designDigest: Type.String(),
	/** Of a switchback: where it is now. */
	block: orNull(
		Type.Object({ number: Type.Integer(), arm: Type.Enum([...arms]), endsInMs: Type.Number(), burnIn: Type.Boolean() }),
	),
	pairs: Type.Integer(describe('Of blocks, judged; of a canary or split 0.')),
	pairsDropped: Type.Integer(),
	pairsMax: Type.Integer(),
	difference: orNull(Type.Number(describe('In the good share, candidate − baseline; of a switchback only.'))),
	interval: orNull(interval),
	winRate: orNull(Type.Number()),
	winRateInterval: orNull(interval),
	evidence: orNull(Type.Number(describe('Of harm: alarm at 1/alpha; of a canary or split.'))),
	requests: Type.Object(
		{ baseline: Type.Integer(), candidate: Type.Integer() },
		describe('Judged: of closed blocks after their burn-in, or of closed windows.'),
	),
	bad: Type.Object({ baseline: Type.Integer(), candidate: Type.Integer() }, describe('Of them: late or not answered.')),
	leftMs: orNull(Type.Number(describe('Until the end, as was forecast; at most what the budget leaves.'))),
	runner: orNull(Type.String(describe('Node that runs it.'))),
	trip: orNull(Type.Object({ rule: Type.Enum([...guardrailRules]), atMs: Type.Number(), reason: Type.String() })),
	muted: Type.Array(Type.Enum([...guardrailRules])),
	end: orNull(endSchema),
});
export type ExperimentView = Static<typeof experimentViewSchema>;
