// Owns loading: flag > env > file > default, unknown keys and bad values refused with the place they stand at, secrets resolved, the
// result frozen. The only impure part is `readText`, which the caller gives.
import { MeshError } from '@infermesh/proto';
import { nearestName } from '@infermesh/sdk';
import type { ErrorObject } from 'ajv';
import { configErrors } from './errors.js';
import { faultsOfGiven } from './faults.js';
import { Origins } from './origins.js';
import { displayPath, fromPointer, type Path } from './pointer.js';
import { checkRules, type Problem } from './rules.js';
import { configSchema, type MeshConfig } from './schema.js';
import { maskSecret, resolveSecret, type SecretSources } from './secrets.js';
import { applyEnv, applyFlags, type FlagValue, readYaml } from './sources.js';
import {
	deepFreeze,
	fillDefaults,
	isTree,
	type SchemaNode,
	schemaAt,
	type Tree,
	unknownKeys,
	valueAt,
} from './tree.js';

export interface LoadOptions {
	/** Path of the YAML file, as it is to appear in messages. Absent = no file. */
	readonly file?: string;
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly flags?: readonly FlagValue[];
	/** Reads a text file; throws when it cannot. */
	readonly readText: (path: string) => string;
}

export interface LoadedConfig {
	/** Complete, secrets resolved, deeply frozen. */
	readonly config: MeshConfig;
	/** The same with literal secrets masked: safe to print. */
	readonly shown: MeshConfig;
	readonly origins: Origins;
	readonly file: string | undefined;
}

/** Problems shown in one message. */
const PROBLEMS_SHOWN_MAX = 8;

const root = configSchema as unknown as SchemaNode;
function raise(problems: readonly Problem[], origins: Origins): never {
	const first = problems[0];
	if (first === undefined) throw new TypeError('no problem to raise');
	const lines = problems
		.slice(1, PROBLEMS_SHOWN_MAX)
		.map((problem) => `${origins.of(problem.path).label}: ${problem.message}`);
	if (problems.length > PROBLEMS_SHOWN_MAX) lines.push(`… and ${problems.length - PROBLEMS_SHOWN_MAX} more`);
	throw new MeshError(configErrors, first.code, [first.message, ...lines].join('\n  '), {
		where: origins.of(first.path).label,
		details: {
			problems: problems.slice(0, 64).map(({ code, message, path }) => ({ code, message, path: displayPath(path) })),
		},
	});
}

function readFile(options: LoadOptions, origins: Origins): Tree {
	if (options.file === undefined) return {};
	let source: string;
	try {
		source = options.readText(options.file);
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(configErrors, 'IM_CONFIG_UNREADABLE', why, { where: options.file, cause });
	}
	return readYaml(options.file, source, origins);
}

function unknownKeyProblems(tree: Tree): Problem[] {
	return unknownKeys(root, tree).map(({ path, known }) => {
		const name = path.at(-1) ?? '';
		const near = nearestName(name, known);
		const help = near === undefined ? `known here: ${known.join(', ')}` : `did you mean "${near}"?`;
		return { code: 'IM_CONFIG_UNKNOWN_KEY', path, message: `unknown key "${displayPath(path)}"; ${help}` };
	});
}

/** What was given, short, and never a secret. */
function given(tree: unknown, path: Path): string {
	if (schemaAt(root, path)?.['x-secret'] === true) return 'a secret';
	const text = JSON.stringify(valueAt(tree, path)) ?? 'nothing';
	return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function describe(error: ErrorObject, tree: unknown): Problem {
	const path = fromPointer(error.instancePath);
	const missing: unknown = error.params['missingProperty'];
	if (error.keyword === 'required' && typeof missing === 'string')
		return { code: 'IM_CONFIG_INVALID', path, message: `${displayPath(path)} needs "${missing}"` };
	const unit = schemaAt(root, path)?.['x-unit'];
	const allowed: unknown = error.params['allowedValues'];
	const expected = Array.isArray(allowed) ? `must be one of ${allowed.join(', ')}` : (error.message ?? 'is not valid');
	const message = `${displayPath(path)} ${expected}${unit === undefined ? '' : ` ${unit}`}, not ${given(tree, path)}`;
	return { code: 'IM_CONFIG_INVALID', path, message };
}

function valueProblems(given: unknown, tree: unknown): Problem[] {
	return faultsOfGiven(root, given, tree)
		.filter((error) => error.keyword !== 'additionalProperties' && error.keyword !== 'anyOf')
		.map((error) => describe(error, tree));
}

/** A copy in which every secret text is passed through `change`. */
function mapSecrets(
	schema: SchemaNode,
	value: unknown,
	path: Path,
	change: (secret: string, path: Path) => string,
): unknown {
	if (schema['x-secret'] === true && typeof value === 'string') return change(value, path);
	if (Array.isArray(value))
		return value.map((inner, index) => mapSecrets(schema.items ?? {}, inner, [...path, String(index)], change));
	if (!isTree(value)) return value;
	return Object.fromEntries(
		Object.entries(value).map(([key, inner]) => {
			const at = [...path, key];
			return [key, mapSecrets(schemaAt(schema, [key]) ?? {}, inner, at, change)];
		}),
	);
}

/**
 * Loads a configuration. Throws MeshError IM_CONFIG_* whose `where` is `file:line:column`, the environment variable or the flag at
 * fault; all problems found are in the message (first eight) and in `details.problems`.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
	const origins = new Origins();
	const tree = readFile(options, origins);
	applyEnv(tree, options.env, root, origins);
	applyFlags(tree, options.flags ?? [], origins);
	const filled = fillDefaults(root, tree, [], origins);
	const problems = [...unknownKeyProblems(tree), ...valueProblems(tree, filled)];
	if (problems.length > 0) raise(problems, origins);
	const sources: SecretSources = options;
	const config = mapSecrets(root, filled, [], (secret, path) =>
		resolveSecret(secret, `${origins.of(path).label}: ${displayPath(path)}`, sources),
	) as MeshConfig;
	const broken = checkRules(config);
	if (broken.length > 0) raise(broken, origins);
	const shown = mapSecrets(root, filled, [], maskSecret) as MeshConfig;
	return { config: deepFreeze(config), shown: deepFreeze(shown), origins, file: options.file };
}
