// Owns the three sources of configuration beside defaults: a YAML text, the environment, flags. Each writes its values into one tree
// and says where they came from. Later sources win; nothing here judges values.
import { MeshError } from '@infermesh/proto';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parse, parseDocument } from 'yaml';
import { configErrors } from './errors.js';
import type { Origins } from './origins.js';
import type { Path } from './pointer.js';
import { childSchema, isTree, type SchemaNode, schemaAt, type Tree, writeAt } from './tree.js';

/** Aliases a file may expand to in all, against "billion laughs". */
const YAML_ALIASES_MAX = 100;
const ENV_PREFIX = 'INFERMESH_';

/** Parses the file's text and records line and column of every key and item. Throws IM_CONFIG_SYNTAX with file:line:column. */
export function readYaml(name: string, source: string, origins: Origins): Tree {
	const lines = new LineCounter();
	const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
	const place = (offset: number): string => {
		const { line, col } = lines.linePos(offset);
		return `${name}:${line}:${col}`;
	};
	const problem = document.errors[0];
	if (problem !== undefined)
		throw new MeshError(configErrors, 'IM_CONFIG_SYNTAX', problem.message, {
			where: place(problem.pos[0]),
			cause: problem,
		});
	const visit = (node: unknown, path: Path): void => {
		if (isAlias(node) || isScalar(node)) return;
		if (isMap(node))
			for (const pair of node.items) {
				const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
				const at = [...path, key];
				const offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
				origins.set(at, { kind: 'file', label: place(offset) });
				visit(pair.value, at);
			}
		if (isSeq(node))
			for (const [index, inner] of node.items.entries()) {
				const at = [...path, String(index)];
				const range = isScalar(inner) || isMap(inner) || isSeq(inner) ? inner.range : undefined;
				origins.set(at, { kind: 'file', label: place(range?.[0] ?? 0) });
				visit(inner, at);
			}
	};
	visit(document.contents, []);
	let value: unknown;
	try {
		value = document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(configErrors, 'IM_CONFIG_SYNTAX', why, { where: name, cause });
	}
	if (value === null || value === undefined) return {};
	if (!isTree(value))
		throw new MeshError(configErrors, 'IM_CONFIG_SYNTAX', 'the file must hold a mapping of sections', {
			where: `${name}:1:1`,
		});
	return value;
}

/** Texts stay texts; everything else (numbers, switches, lists) is read as YAML, so `[{id: a}]` works. */
function parseFor(schema: SchemaNode | undefined, raw: string): unknown {
	if (schema === undefined || schema.type === 'string' || schema.enum !== undefined) return raw;
	try {
		return parse(raw, { maxAliasCount: YAML_ALIASES_MAX }) as unknown;
	} catch {
		return raw;
	}
}

/** `DATA__BODY_MAX_BYTES` → path. Fixed keys are lower case; names in maps keep their case. */
function envPath(schema: SchemaNode, name: string): Path {
	let node: SchemaNode | undefined = schema;
	return name.split('__').map((part) => {
		const key = node?.properties === undefined && node?.patternProperties !== undefined ? part : part.toLowerCase();
		node = node === undefined ? undefined : childSchema(node, key);
		return key;
	});
}

/**
 * Applies `INFERMESH_A__B=value`. Names without `__` count only when they are a top-level key: others belong to tools
 * (INFERMESH_ADMIN, INFERMESH_TOKEN) or to whoever runs us (Kubernetes sets INFERMESH_PORT_… for a service of our name).
 */
export function applyEnv(
	tree: Tree,
	env: Readonly<Record<string, string | undefined>>,
	schema: SchemaNode,
	origins: Origins,
): void {
	const write = (path: Path, raw: string, name: string): void => {
		writeAt(tree, path, parseFor(schemaAt(schema, path), raw));
		origins.replace(path, { kind: 'env', label: name });
	};
	const collector = env['OTEL_EXPORTER_OTLP_ENDPOINT'];
	if (collector !== undefined && collector !== '')
		write(['telemetry', 'otlp_endpoint'], collector, 'OTEL_EXPORTER_OTLP_ENDPOINT');
	for (const name of Object.keys(env).sort()) {
		const raw = env[name];
		if (!name.startsWith(ENV_PREFIX) || raw === undefined) continue;
		const rest = name.slice(ENV_PREFIX.length);
		if (!rest.includes('__') && (rest === 'ADMIN' || childSchema(schema, rest.toLowerCase()) === undefined)) continue;
		write(envPath(schema, rest), raw, name);
	}
}

/** One value given on the command line. */
export interface FlagValue {
	/** Dotted path of fixed keys, for example `data.port`. */
	readonly path: string;
	readonly value: unknown;
	/** As typed: `--port`. */
	readonly flag: string;
}

export function applyFlags(tree: Tree, flags: readonly FlagValue[], origins: Origins): void {
	for (const { path, value, flag } of flags) {
		const at = path.split('.');
		writeAt(tree, at, value);
		origins.replace(at, { kind: 'flag', label: flag });
	}
}
