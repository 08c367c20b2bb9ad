// Owns turning an untrusted document into a StrategyManifest: schema, then the rules a schema cannot say. Every problem names its
// field; where the field stands in a file is the caller's to add.
import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv';
import { columns } from '../../abi/columns.js';
import { hooks as hookDefinitions } from '../../abi/hooks.js';
import { ABI_MAJOR, ABI_MINOR } from '../gen/abi.js';
import {
	type BuildTarget,
	type ConfigEntry,
	configEntryKeys,
	type HookName,
	type ManifestDocument,
	manifestKeys,
	manifestSchema,
	SOURCE_DEFAULT,
	type StrategyManifest,
	TOP_K_DEFAULT,
} from './schema.js';
import { didYouMean } from './suggest.js';

export type FieldPath = ReadonlyArray<string | number>;

export interface ManifestProblem {
	/** Field, as keys and indices from the top; the key itself for an unknown key. */
	readonly path: FieldPath;
	readonly message: string;
	/** `abi` when the document asks for another ABI, else `invalid`. */
	readonly kind: 'invalid' | 'abi';
}

export type ManifestResult =
	| { readonly ok: true; readonly manifest: StrategyManifest }
	| { readonly ok: false; readonly problems: readonly ManifestProblem[] };

const require = createRequire(import.meta.url);
let compiled: ValidateFunction<ManifestDocument> | undefined;

/**
 * Loaded and compiled when it is first needed: most processes and threads check no manifest. That the schema is one is for its test to find: ajv would
 * first compile a validator of schemas, which takes longer than this one.
 */
function validator(): ValidateFunction<ManifestDocument> {
	if (compiled === undefined) {
		const { Ajv } = require('ajv') as typeof import('ajv');
		const options = { allErrors: true, verbose: true, strict: true, allowUnionTypes: true };
		compiled = new Ajv({ ...options, validateSchema: false, meta: false }).compile<ManifestDocument>(manifestSchema);
	}
	return compiled;
}

const columnNames = columns.map((column) => column.name);
const hookNames = hookDefinitions.map((hook) => hook.name);

function pathOf(pointer: string): (string | number)[] {
	if (pointer === '') return [];
	return pointer
		.slice(1)
		.split('/')
		.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
		.map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

function knownKeys(path: FieldPath): readonly string[] {
	return path.length === 0 ? manifestKeys : configEntryKeys;
}

function patternMeaning(path: FieldPath): string {
	if (path[0] === 'version') return 'must be a version such as 1.0.0';
	if (path[0] === 'abi') return `must be major.minor in quotes, such as "${ABI_MAJOR}.${ABI_MINOR}"`;
	return 'must be lower case: letters, digits and _, beginning with a letter';
}

function describe(error: ErrorObject): ManifestProblem | undefined {
	const path = pathOf(error.instancePath);
	if (error.keyword === 'additionalProperties') {
		const key = (error.params as { additionalProperty: string }).additionalProperty;
		return {
			path: [...path, key],
			message: `unknown key \`${key}\`${didYouMean(key, knownKeys(path))}`,
			kind: 'invalid',
		};
	}
	if (error.keyword === 'required') {
		const key = (error.params as { missingProperty: string }).missingProperty;
		return { path, message: `\`${key}\` is missing`, kind: 'invalid' };
	}
	// The members of a union are reported beside the union itself; one line says it.
	if (error.keyword === 'const' || error.schemaPath.includes('/anyOf/')) return undefined;
	if (error.keyword === 'anyOf') {
		const values = (error.parentSchema?.['anyOf'] ?? []) as ReadonlyArray<{ const?: string; type?: string }>;
		const names = values.map((value) => (value.const === undefined ? (value.type ?? '') : `\`${value.const}\``));
		return { path, message: `must be ${names.join(' or ')}`, kind: 'invalid' };
	}
	const message = error.keyword === 'pattern' ? patternMeaning(path) : (error.message ?? error.keyword);
	return { path, message, kind: 'invalid' };
}

/** Collects the problems a schema cannot see. */
class Rules {
	readonly problems: ManifestProblem[] = [];

	add(path: FieldPath, message: string, kind: ManifestProblem['kind'] = 'invalid'): void {
		this.problems.push({ path, message, kind });
	}

	names(field: string, values: readonly string[], known?: readonly string[]): void {
		const seen = new Set<string>();
		values.forEach((value, index) => {
			if (known !== undefined && !known.includes(value))
				this.add([field, index], `unknown ${field.replace(/s$/, '')} \`${value}\`${didYouMean(value, known)}`);
			else if (seen.has(value)) this.add([field, index], `\`${value}\` is listed twice`);
			seen.add(value);
		});
	}

	configEntry(entry: NonNullable<ManifestDocument['config']>[number], index: number): void {
		const fault = valueFault(entry, entry.default);
		if (fault !== undefined) this.add(['config', index, 'default'], fault);
		if (entry.min !== undefined && entry.max !== undefined && entry.min > entry.max)
			this.add(['config', index, 'min'], `min ${entry.min} is above max ${entry.max}`);
	}

	hooks(kind: StrategyManifest['kind'], names: readonly string[]): void {
		this.names('hooks', names, hookNames);
		const needed = kind === 'inference' ? 'rank' : 'plan';
		if (!names.includes(needed)) this.add(['hooks'], `a strategy of kind ${kind} must have the hook \`${needed}\``);
		for (const [index, name] of names.entries()) {
			const hook = hookDefinitions.find((candidate) => candidate.name === name);
			if (hook !== undefined && hook.kind !== 'both' && hook.kind !== kind)
				this.add(['hooks', index], `\`${name}\` is a hook of ${hook.kind} strategies; this one is of kind ${kind}`);
		}
	}

	abi(version: string): void {
		const [major = 0, minor = 0] = version.split('.').map(Number);
		if (major === ABI_MAJOR && minor <= ABI_MINOR) return;
		this.add(['abi'], `the strategy needs ABI ${version}; this SDK has ${ABI_MAJOR}.${ABI_MINOR}`, 'abi');
	}

	source(source: string): void {
		if (source.startsWith('/') || source.split('/').includes('..') || source.includes('\\'))
			this.add(['source'], 'must be a path inside the project');
		else if (!/\.(ts|rs|c)$/.test(source))
			this.add(['source'], 'must be an AssemblyScript file (.ts), a Rust file (.rs) or a C file (.c)');
	}

	target(source: string, target: BuildTarget | undefined): void {
		const only = onlyTargetOf(source);
		if (target !== undefined && only !== undefined && target !== only)
			this.add(['target'], `${source} is built to \`${only}\` and nothing else; only Rust has a choice`);
	}
}

/** Why `value` is no value of this configuration entry; undefined when it is one. */
export function valueFault(
	entry: Pick<ConfigEntry, 'type'> & { readonly min?: number | undefined; readonly max?: number | undefined },
	value: unknown,
): string | undefined {
	if (entry.type === 'bool') return typeof value === 'boolean' ? undefined : 'must be true or false';
	if (typeof value !== 'number' || !Number.isFinite(value)) return 'must be a finite number';
	if (entry.type === 'f32') {
		if (!Number.isFinite(Math.fround(value))) return 'is beyond the range of a 32-bit float';
	} else {
		const lowest = entry.type === 'u32' ? 0 : -(2 ** 31);
		const highest = entry.type === 'u32' ? 2 ** 32 - 1 : 2 ** 31 - 1;
		if (!Number.isInteger(value) || value < lowest || value > highest)
			return `must be an integer of type ${entry.type}`;
	}
	if (entry.min !== undefined && value < entry.min) return `${value} is below the minimum ${entry.min}`;
	if (entry.max !== undefined && value > entry.max) return `${value} is above the maximum ${entry.max}`;
	return undefined;
}

/** The one target of a language that has no other; undefined for Rust. */
function onlyTargetOf(source: string): BuildTarget | undefined {
	if (source.endsWith('.rs')) return undefined;
	return source.endsWith('.c') ? 'native' : 'wasm32-unknown-unknown';
}

function fill(document: ManifestDocument): StrategyManifest {
	const kind = document.kind ?? 'inference';
	return Object.freeze({
		name: document.name,
		version: document.version,
		kind,
		abi: document.abi ?? `${ABI_MAJOR}.${ABI_MINOR}`,
		description: document.description ?? '',
		columns: document.columns ?? [],
		hooks: (document.hooks ?? [kind === 'inference' ? 'rank' : 'plan']) as HookName[],
		config: (document.config ?? []).map((entry) => ({
			name: entry.name,
			type: entry.type,
			default: entry.default,
			min: entry.min,
			max: entry.max,
			unit: entry.unit ?? '',
			description: entry.description ?? '',
		})),
		stateBytes: document.state_bytes ?? 0,
		logBytes: document.log_bytes ?? 0,
		factors: document.factors ?? [],
		topK: document.top_k ?? TOP_K_DEFAULT,
		hits: document.hits ?? false,
		source: document.source ?? SOURCE_DEFAULT,
		...(document.target === undefined ? {} : { target: document.target }),
	});
}

/** Checks a document. All problems are told at once. */
export function checkManifest(document: unknown): ManifestResult {
	const validate = validator();
	if (!validate(document)) {
		const problems = (validate.errors ?? []).map(describe).filter((problem) => problem !== undefined);
		return { ok: false, problems };
	}
	const manifest = fill(document);
	const rules = new Rules();
	rules.abi(manifest.abi);
	rules.names('columns', manifest.columns, columnNames);
	rules.names('factors', manifest.factors);
	rules.names(
		'config',
		manifest.config.map((entry) => entry.name),
	);
	document.config?.forEach((entry, index) => rules.configEntry(entry, index));
	rules.hooks(manifest.kind, manifest.hooks);
	rules.source(manifest.source);
	rules.target(manifest.source, manifest.target);
	return rules.problems.length > 0 ? { ok: false, problems: rules.problems } : { ok: true, manifest };
}

/** The document of a manifest, as it goes into a module: every field written out but `target`, which is what the module itself is. */
export function manifestDocument(manifest: StrategyManifest): ManifestDocument {
	return {
		name: manifest.name,
		version: manifest.version,
		kind: manifest.kind,
		abi: manifest.abi,
		description: manifest.description,
		columns: [...manifest.columns],
		hooks: [...manifest.hooks],
		config: manifest.config.map((entry) => ({
			name: entry.name,
			type: entry.type,
			default: entry.default,
			...(entry.min === undefined ? {} : { min: entry.min }),
			...(entry.max === undefined ? {} : { max: entry.max }),
			unit: entry.unit,
			description: entry.description,
		})),
		state_bytes: manifest.stateBytes,
		log_bytes: manifest.logBytes,
		factors: [...manifest.factors],
		top_k: manifest.topK,
		hits: manifest.hits,
		source: manifest.source,
	};
}
