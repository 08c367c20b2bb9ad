// Owns the shape of a manifest: the schema of strategy.yaml and of the JSON inside a module (they are the same document), and the
// type the mesh works with. Checks that need more than a schema are in check.ts.
import { type Static, Type } from 'typebox';
import * as abi from '../gen/abi.js';

/** Lower case, digits, `_` and `-`; begins with a letter. */
export const STRATEGY_NAME_PATTERN = '^[a-z][a-z0-9]*([_-][a-z0-9]+)*$';
export const STRATEGY_NAME_LENGTH_MAX = 64;
const IDENTIFIER_PATTERN = '^[a-z][a-z0-9_]*$';
const VERSION_PATTERN = '^\\d{1,6}\\.\\d{1,6}\\.\\d{1,6}(-[0-9A-Za-z.-]{1,32})?$';

const configEntrySchema = Type.Object(
	{
		name: Type.String({ pattern: IDENTIFIER_PATTERN, maxLength: 48 }),
		type: Type.Union([Type.Literal('f32'), Type.Literal('i32'), Type.Literal('u32'), Type.Literal('bool')]),
		default: Type.Union([Type.Number(), Type.Boolean()]),
		min: Type.Optional(Type.Number()),
		max: Type.Optional(Type.Number()),
		unit: Type.Optional(Type.String({ maxLength: 24 })),
		description: Type.Optional(Type.String({ maxLength: 400 })),
	},
	{ additionalProperties: false },
);

/** The document, before defaults. */
export const manifestSchema = Type.Object(
	{
		name: Type.String({ pattern: STRATEGY_NAME_PATTERN, maxLength: STRATEGY_NAME_LENGTH_MAX }),
		version: Type.String({ pattern: VERSION_PATTERN }),
		kind: Type.Optional(Type.Union([Type.Literal('inference'), Type.Literal('training')])),
		abi: Type.Optional(Type.String({ pattern: '^\\d{1,4}\\.\\d{1,4}$' })),
		description: Type.Optional(Type.String({ maxLength: 1000 })),
		columns: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: abi.COLUMN_TABLE_ENTRIES })),
		hooks: Type.Optional(Type.Array(Type.String({ maxLength: 16 }), { maxItems: 8 })),
		config: Type.Optional(Type.Array(configEntrySchema, { maxItems: abi.CONFIG_SLOTS_MAX })),
		state_bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: abi.STATE_BYTES_MAX, multipleOf: 4 })),
		log_bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: abi.LOG_BYTES_MAX })),
		factors: Type.Optional(
			Type.Array(Type.String({ pattern: IDENTIFIER_PATTERN, maxLength: 48 }), { maxItems: abi.FACTORS_MAX }),
		),
		top_k: Type.Optional(Type.Integer({ minimum: 1, maximum: abi.RANKED_ROWS_MAX })),
		hits: Type.Optional(Type.Boolean()),
		source: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
	},
	{ additionalProperties: false },
);

/** strategy.yaml as it is written. */
export type ManifestDocument = Static<typeof manifestSchema>;

export type ConfigType = 'f32' | 'i32' | 'u32' | 'bool';

/** One configuration value: a 32-bit slot of the frame, in manifest order. */
export interface ConfigEntry {
	readonly name: string;
	readonly type: ConfigType;
	readonly default: number | boolean;
	readonly min: number | undefined;
	readonly max: number | undefined;
	readonly unit: string;
	readonly description: string;
}

export type HookName = 'init' | 'rank' | 'plan' | 'admit' | 'observe' | 'tick';

/** A checked manifest, defaults filled in. Immutable. */
export interface StrategyManifest {
	readonly name: string;
	readonly version: string;
	readonly kind: 'inference' | 'training';
	/** `major.minor` the strategy was written for. */
	readonly abi: string;
	readonly description: string;
	/** Names of the columns it reads; others are not copied into its frame. */
	readonly columns: readonly string[];
	/** Exports besides `init`; at least `rank` or `plan`. */
	readonly hooks: readonly HookName[];
	readonly config: readonly ConfigEntry[];
	readonly stateBytes: number;
	readonly logBytes: number;
	/** Names of the explain factors, in the order they are written. */
	readonly factors: readonly string[];
	/** Ranked rows the strategy gives at most. */
	readonly topK: number;
	/** Whether it reads the prefix hits. */
	readonly hits: boolean;
	/** Entry file, relative to the project. */
	readonly source: string;
}

/** Default of `source`. */
export const SOURCE_DEFAULT = 'assembly/index.ts';
/** Default of `top_k`: the chosen row and three to fall back on. */
export const TOP_K_DEFAULT = 4;
