// Owns the shape of a manifest: the schema of strategy.yaml and of the JSON inside a module (they are the same document), and the
// type the mesh works with. Checks that need more than a schema are in check.ts.
import * as abi from '../gen/abi.js';

/** Lower case, digits, `_` and `-`; begins with a letter. */
export const STRATEGY_NAME_PATTERN = '^[a-z][a-z0-9]*([_-][a-z0-9]+)*$';
export const STRATEGY_NAME_LENGTH_MAX = 64;
const IDENTIFIER_PATTERN = '^[a-z][a-z0-9_]*$';
const VERSION_PATTERN = '^\\d{1,6}\\.\\d{1,6}\\.\\d{1,6}(-[0-9A-Za-z.-]{1,32})?$';

/** What a strategy in Rust can be built to: a shared library for this machine, or a module. */
export const buildTargets = ['native', 'wasm32-unknown-unknown', 'wasm32-wasip1'] as const;
export type BuildTarget = (typeof buildTargets)[number];

/** One of the entries under `config`, before it is checked. */
interface ConfigEntryDocument {
	readonly name: string;
	readonly type: ConfigType;
	readonly default: number | boolean;
	readonly min?: number;
	readonly max?: number;
	readonly unit?: string;
	readonly description?: string;
}

/** strategy.yaml as it is written. */
export interface ManifestDocument {
	readonly name: string;
	readonly version: string;
	readonly kind?: 'inference' | 'training';
	readonly abi?: string;
	readonly description?: string;
	readonly columns?: readonly string[];
	readonly hooks?: readonly string[];
	readonly config?: readonly ConfigEntryDocument[];
	readonly state_bytes?: number;
	readonly log_bytes?: number;
	readonly factors?: readonly string[];
	readonly top_k?: number;
	readonly hits?: boolean;
	readonly source?: string;
	readonly target?: BuildTarget;
}

/** Exactly the keys of a document, so that schema and type cannot name different ones. */
type PropertiesOf<Document> = { readonly [Key in keyof Required<Document>]: object };

const text = (maxLength: number): object => ({ type: 'string', maxLength });
const matching = (pattern: string, maxLength?: number): object => ({
	type: 'string',
	pattern,
	...(maxLength === undefined ? {} : { maxLength }),
});
const list = (items: object, maxItems: number): object => ({ type: 'array', items, maxItems });
const oneOf = (...values: readonly string[]): object => ({
	anyOf: values.map((value) => ({ type: 'string', const: value })),
});

const configEntryProperties: PropertiesOf<ConfigEntryDocument> = {
	name: matching(IDENTIFIER_PATTERN, 48),
	type: oneOf('f32', 'i32', 'u32', 'bool'),
	default: { anyOf: [{ type: 'number' }, { type: 'boolean' }] },
	min: { type: 'number' },
	max: { type: 'number' },
	unit: text(24),
	description: text(400),
};

const configEntrySchema = {
	type: 'object',
	properties: configEntryProperties,
	required: ['name', 'type', 'default'],
	additionalProperties: false,
};

const properties: PropertiesOf<ManifestDocument> = {
	name: matching(STRATEGY_NAME_PATTERN, STRATEGY_NAME_LENGTH_MAX),
	version: matching(VERSION_PATTERN),
	kind: oneOf('inference', 'training'),
	abi: matching('^\\d{1,4}\\.\\d{1,4}$'),
	description: text(1000),
	columns: list(text(64), abi.COLUMN_TABLE_ENTRIES),
	hooks: list(text(16), 8),
	config: list(configEntrySchema, abi.CONFIG_SLOTS_MAX),
	state_bytes: { type: 'integer', minimum: 0, maximum: abi.STATE_BYTES_MAX, multipleOf: 4 },
	log_bytes: { type: 'integer', minimum: 0, maximum: abi.LOG_BYTES_MAX },
	factors: list(matching(IDENTIFIER_PATTERN, 48), abi.FACTORS_MAX),
	top_k: { type: 'integer', minimum: 1, maximum: abi.RANKED_ROWS_MAX },
	hits: { type: 'boolean' },
	source: { type: 'string', minLength: 1, maxLength: 200 },
	target: oneOf(...buildTargets),
};

/**
 * The document, before defaults. Plain JSON Schema: the library other schemas are built with comes as 700 files, and every child process that
 * admits a module would load them for this one.
 */
export const manifestSchema = {
	type: 'object',
	properties,
	required: ['name', 'version'],
	additionalProperties: false,
};

/** Keys a document may have, and those of an entry under `config`. */
export const manifestKeys: readonly string[] = Object.keys(properties);
export const configEntryKeys: readonly string[] = Object.keys(configEntryProperties);

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
	/** What the build makes of a strategy in Rust, where strategy.yaml says so; what is built does not repeat it. */
	readonly target?: BuildTarget;
}

/** Default of `source`. */
export const SOURCE_DEFAULT = 'assembly/index.ts';
/** Default of `top_k`: the chosen row and three to fall back on. */
export const TOP_K_DEFAULT = 4;
