// Owns the format of `test/*.scenario.yaml`: the schema and the types of what it lets through. Column names and units
// come from the SDK's dictionary, so a new column can be set in a scenario at once. Unions are unions of types, never `anyOf`.
import {
	CacheTier,
	columns,
	FACTORS_MAX,
	OutcomeStatus,
	Phase,
	RANKED_ROWS_MAX,
	RejectReason,
	RequestFlag,
	TargetRole,
	TargetState,
	Verdict,
} from '@infermesh/sdk';
import type { TSchema } from 'typebox';
import { Type } from '../../schema/type.js';
import { fallbackCauses } from '../../strategy/runtime/decision.js';

export const TARGETS_MAX = 16_384;
export const REQUESTS_MAX = 1024;
export const REPEAT_MAX = 100_000;

export type Cell = number | string;

export interface TargetSpec {
	readonly id: string;
	/** That many rows: `id0`, `id1`, … */
	readonly count?: number;
	readonly telemetry_age_ms?: number;
	readonly observed_age_ms?: number;
	readonly prefill_age_ms?: number;
	readonly [column: string]: Cell | undefined;
}

export interface HitSpec {
	readonly target: string;
	readonly tokens: number;
	readonly tier?: keyof typeof CacheTier;
	/** The request's LoRA adapter is loaded there. */
	readonly lora?: boolean;
}

export interface ExpectSpec {
	readonly first?: string | readonly string[];
	readonly not?: string | readonly string[];
	readonly order?: readonly string[];
	readonly same?: boolean;
	readonly share?: Readonly<Record<string, string | number>>;
	readonly verdict?: keyof typeof Verdict;
	readonly reason?: keyof typeof RejectReason;
	readonly cause?: (typeof fallbackCauses)[number];
	readonly prefill?: string;
	readonly fetch_from?: string;
	readonly count?: string | number;
	readonly fuel?: string | number;
	readonly score?: string | number;
	readonly score_margin?: string | number;
	readonly hold_key?: string | number;
	readonly retry_after_ms?: string | number;
	readonly hedge_delay_ms?: string | number;
	readonly hedge_copies?: string | number;
	readonly predicted_ttft_ms?: string | number;
	readonly factors?: Readonly<Record<string, string | number>>;
}

export interface OutcomeSpec {
	readonly target: string;
	readonly status?: keyof typeof OutcomeStatus;
	readonly tokens_in?: number;
	readonly tokens_out?: number;
	readonly tokens_cached?: number;
	readonly ttft_ms?: number;
	readonly tpot_ms?: number;
	readonly e2e_ms?: number;
	readonly predicted_ttft_ms?: number;
	readonly repeat?: number;
}

export interface RequestSpec {
	readonly name?: string;
	readonly tokens_in?: number;
	readonly tokens_out?: number;
	readonly tokens_out_max?: number;
	readonly priority?: number;
	readonly tenant?: string;
	readonly policy_mask?: number;
	readonly slo_ttft_ms?: number;
	readonly slo_tpot_ms?: number;
	readonly deadline_ms?: number;
	readonly waited_ms?: number;
	readonly lora?: string;
	readonly session?: string;
	readonly prompt?: string;
	readonly attempt?: number;
	readonly phase?: keyof typeof Phase;
	readonly flags?: readonly (keyof typeof RequestFlag)[];
	readonly held_count?: number;
	readonly seed?: number;
	readonly hits?: readonly HitSpec[];
	/** Targets already tried: not eligible for this request. */
	readonly exclude?: readonly string[];
	readonly repeat?: number;
	/** Count each routed repetition as dispatched to its target, as the router does. */
	readonly dispatch?: boolean;
	/** Time that passes before the request. */
	readonly after_ms?: number;
	/** Column values changed before the request: target → column → value. */
	readonly set?: Readonly<Record<string, Readonly<Record<string, Cell>>>>;
	/** Outcomes handed to `observe` before the request; its state block is published at once. */
	readonly outcomes?: readonly OutcomeSpec[];
	/** Run `tick` before the request. */
	readonly tick?: boolean;
	readonly expect?: ExpectSpec;
}

export interface ScenarioSpec {
	readonly name: string;
	readonly description?: string;
	readonly zone?: string;
	readonly region?: string;
	/** Ranked rows asked of the strategy; default: as many as the mesh asks for. */
	readonly top_k?: number;
	readonly defaults?: Readonly<Record<string, Cell>>;
	readonly targets: readonly TargetSpec[];
	readonly config?: Readonly<Record<string, number | boolean>>;
	readonly requests: readonly RequestSpec[];
}

const closed = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1, maxLength: 256 });
const amount = Type.Number({ minimum: 0 });
const whole = Type.Integer({ minimum: 0, maximum: 0xffff_ffff });
const texts = Type.Array(text, { maxItems: TARGETS_MAX });
const textOrTexts = Type.Unsafe({ type: ['string', 'array'], items: text });
const bound = Type.Unsafe({ type: ['string', 'number'] });
const oneOf = (names: readonly string[]): TSchema => Type.Unsafe({ type: 'string', enum: names });

/** Column name → schema of its value in a scenario; interned columns and enums are given by name. */
const columnFields: Record<string, TSchema> = {};
for (const column of columns) {
	if (column.name === 'target' || column.name === 'model') continue;
	if (column.unit === 'id') columnFields[column.name] = Type.Unsafe({ type: ['string', 'integer'] });
	else if (column.unit === 'TargetState') columnFields[column.name] = oneOf(Object.keys(TargetState));
	else if (column.unit === 'TargetRole') columnFields[column.name] = oneOf(Object.keys(TargetRole));
	else columnFields[column.name] = column.type === 'u32' ? whole : Type.Number();
}
const ageFields = { telemetry_age_ms: amount, observed_age_ms: amount, prefill_age_ms: amount };
const optionalAll = (fields: Readonly<Record<string, TSchema>>): Record<string, TSchema> =>
	Object.fromEntries(Object.entries(fields).map(([key, schema]) => [key, Type.Optional(schema)]));

const cells = Type.Object(optionalAll({ ...columnFields, ...ageFields }), closed);

export const targetSchema = Type.Object(
	{
		id: text,
		...optionalAll({ count: Type.Integer({ minimum: 1, maximum: TARGETS_MAX }), ...columnFields, ...ageFields }),
	},
	closed,
);

const hit = Type.Object(
	{ target: text, tokens: whole, ...optionalAll({ tier: oneOf(Object.keys(CacheTier)), lora: Type.Boolean() }) },
	closed,
);

const outcome = Type.Object(
	{
		target: text,
		...optionalAll({
			status: oneOf(Object.keys(OutcomeStatus)),
			tokens_in: whole,
			tokens_out: whole,
			tokens_cached: whole,
			ttft_ms: amount,
			tpot_ms: amount,
			e2e_ms: amount,
			predicted_ttft_ms: amount,
			repeat: Type.Integer({ minimum: 1, maximum: REPEAT_MAX }),
		}),
	},
	closed,
);

const expectation = Type.Object(
	optionalAll({
		first: textOrTexts,
		not: textOrTexts,
		order: texts,
		same: Type.Boolean(),
		share: Type.Record(Type.String(), bound),
		verdict: oneOf(Object.keys(Verdict)),
		reason: oneOf(Object.keys(RejectReason)),
		cause: oneOf(fallbackCauses),
		prefill: text,
		fetch_from: text,
		count: bound,
		fuel: bound,
		score: bound,
		score_margin: bound,
		hold_key: bound,
		retry_after_ms: bound,
		hedge_delay_ms: bound,
		hedge_copies: bound,
		predicted_ttft_ms: bound,
		factors: Type.Record(Type.String(), bound, { maxProperties: FACTORS_MAX }),
	}),
	closed,
);

export const requestSchema = Type.Object(
	optionalAll({
		name: text,
		tokens_in: whole,
		tokens_out: whole,
		tokens_out_max: whole,
		priority: Type.Integer({ minimum: -0x8000_0000, maximum: 0x7fff_ffff }),
		tenant: text,
		policy_mask: whole,
		slo_ttft_ms: amount,
		slo_tpot_ms: amount,
		deadline_ms: amount,
		waited_ms: amount,
		lora: text,
		session: text,
		prompt: text,
		attempt: whole,
		phase: oneOf(Object.keys(Phase)),
		flags: Type.Array(oneOf(Object.keys(RequestFlag)), { maxItems: 8 }),
		held_count: whole,
		seed: whole,
		hits: Type.Array(hit, { maxItems: TARGETS_MAX }),
		exclude: texts,
		repeat: Type.Integer({ minimum: 1, maximum: REPEAT_MAX }),
		dispatch: Type.Boolean(),
		after_ms: amount,
		set: Type.Record(Type.String(), cells),
		outcomes: Type.Array(outcome, { maxItems: REQUESTS_MAX }),
		tick: Type.Boolean(),
		expect: expectation,
	}),
	closed,
);

export const targetsSchema = Type.Array(targetSchema, { minItems: 1, maxItems: TARGETS_MAX });

export const fleetFields = {
	...optionalAll({
		zone: text,
		region: text,
		top_k: Type.Integer({ minimum: 1, maximum: RANKED_ROWS_MAX }),
		defaults: cells,
		config: Type.Record(Type.String(), Type.Unsafe({ type: ['number', 'boolean'] })),
	}),
	targets: targetsSchema,
};

export const scenarioSchema = Type.Object(
	{
		name: text,
		...optionalAll({ description: Type.String({ maxLength: 2000 }) }),
		...fleetFields,
		requests: Type.Array(requestSchema, { minItems: 1, maxItems: REQUESTS_MAX }),
	},
	closed,
);
