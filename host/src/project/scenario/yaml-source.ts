// Owns reading one YAML (or JSON) text with positions: a plain value beside a way to say `file:line:column` of any path in it,
// and schema errors told in those terms. What the value means belongs to the caller.

import { didYouMean } from '@infermesh/sdk';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import {
	isCollection,
	isMap,
	isNode,
	isPair,
	isScalar,
	LineCounter,
	type Node,
	type ParsedNode,
	parseDocument,
} from 'yaml';

/** One thing wrong with a file. */
export interface Problem {
	/** `file:line:column`. */
	readonly where: string;
	readonly message: string;
}

export type Path = readonly (string | number)[];

export class YamlSource {
	readonly file: string;
	readonly value: unknown;
	readonly #root: ParsedNode | null;
	readonly #lines: LineCounter;
	readonly #wrapper: string | undefined;

	/** `wrapper` is a key above the root that the text does not have. */
	constructor(file: string, value: unknown, root: ParsedNode | null, lines: LineCounter, wrapper?: string) {
		this.file = file;
		this.value = value;
		this.#root = root;
		this.#lines = lines;
		this.#wrapper = wrapper;
	}

	/** Position of the value at `path`, or of the nearest thing above it that exists. */
	at(path: Path): string {
		return this.#where(this.#nodeAt(path));
	}

	/** Position of the key `key` of the mapping at `path`. */
	atKey(path: Path, key: string): string {
		const parent = this.#nodeAt(path);
		if (isMap(parent)) {
			for (const pair of parent.items) {
				if (isPair(pair) && isScalar(pair.key) && String(pair.key.value) === key) return this.#where(pair.key);
			}
		}
		return this.#where(parent);
	}

	/** The same text read as the mapping `{ key: value }`; positions stay those of the text. */
	wrapped(key: string): YamlSource {
		return new YamlSource(this.file, { [key]: this.value }, this.#root, this.#lines, key);
	}

	/** The same positions beside another value: the text's with defaults filled in. */
	withValue(value: unknown): YamlSource {
		return new YamlSource(this.file, value, this.#root, this.#lines, this.#wrapper);
	}

	#nodeAt(path: Path): Node | null {
		let node: Node | null = this.#root;
		for (const step of this.#wrapper !== undefined && path[0] === this.#wrapper ? path.slice(1) : path) {
			const inner: unknown = isCollection(node) ? node.get(step, true) : undefined;
			if (!isNode(inner)) return node;
			node = inner;
		}
		return node;
	}

	#where(node: Node | null): string {
		const { line, col } = this.#lines.linePos(node?.range?.[0] ?? 0);
		return `${this.file}:${Math.max(1, line)}:${Math.max(1, col)}`;
	}
}

export type YamlResult =
	| { readonly ok: true; readonly source: YamlSource }
	| { readonly ok: false; readonly problems: readonly Problem[] };

/** Parses `text`; aliases are bounded by the parser, so that a small file cannot expand without end. */
export function readYaml(file: string, text: string): YamlResult {
	const lineCounter = new LineCounter();
	const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error' });
	const position = (offset: number): string => {
		const { line, col } = lineCounter.linePos(offset);
		return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`;
	};
	if (document.errors.length > 0) {
		return {
			ok: false,
			problems: document.errors.map((error) => ({ where: position(error.pos[0]), message: error.message })),
		};
	}
	try {
		return { ok: true, source: new YamlSource(file, document.toJS(), document.contents, lineCounter) };
	} catch (error) {
		return {
			ok: false,
			problems: [{ where: position(0), message: error instanceof Error ? error.message : String(error) }],
		};
	}
}

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, verbose: true, strictTypes: false, strictTuples: false });

// Notes for the reference pages, which say nothing about values.
ajv.addVocabulary(['x-unit', 'x-secret']);

/** A schema's check, compiled when it is first needed: most processes never do, and it takes up to a few hundred milliseconds. */
export type SchemaCheck = () => ValidateFunction;

/** Of a schema whose unions are unions of types, never `anyOf`, so that each mistake gives one error. */
export function schemaCheck(schema: object): SchemaCheck {
	let compiled: ValidateFunction | undefined;
	return () => (compiled ??= ajv.compile(schema));
}

/** What the schema has against the source; empty when it is valid. */
export function schemaProblems(check: SchemaCheck, source: YamlSource): Problem[] {
	const validate = check();
	if (validate(source.value)) return [];
	return (validate.errors ?? []).map((error) => problemOf(error, source));
}

function problemOf(error: ErrorObject, source: YamlSource): Problem {
	const path = pathOf(error.instancePath);
	const params = error.params as Record<string, unknown>;
	const name = path.length === 0 ? 'the file' : `\`${path.join('.')}\``;
	switch (error.keyword) {
		case 'additionalProperties': {
			const key = String(params['additionalProperty']);
			const known = Object.keys((error.parentSchema as { properties?: object }).properties ?? {});
			return { where: source.atKey(path, key), message: `unknown key \`${key}\`${didYouMean(key, known)}` };
		}
		case 'required':
			return { where: source.at(path), message: `${name} lacks \`${String(params['missingProperty'])}\`` };
		case 'enum': {
			const allowed = (params['allowedValues'] as unknown[]).map(String);
			const given = String(error.data);
			const meant = didYouMean(given, allowed) || `; one of ${allowed.join(', ')}`;
			return { where: source.at(path), message: `${name} cannot be \`${given}\`${meant}` };
		}
		case 'type':
			return {
				where: source.at(path),
				message: `${name} must be ${typeNames(params['type'])}, and is ${kindOf(error.data)}`,
			};
		default:
			return { where: source.at(path), message: `${name} ${error.message ?? 'is not valid'}` };
	}
}

function pathOf(pointer: string): (string | number)[] {
	return pointer
		.split('/')
		.slice(1)
		.map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~')));
}

function typeNames(type: unknown): string {
	const names = (Array.isArray(type) ? type : String(type).split(',')).map((name) =>
		name === 'object' ? 'a mapping' : name === 'array' ? 'a list' : `a ${String(name)}`,
	);
	return names.join(' or ').replace('a integer', 'a whole number').replace('a string', 'text');
}

function kindOf(value: unknown): string {
	if (value === null || value === undefined) return 'empty';
	if (Array.isArray(value)) return 'a list';
	if (typeof value === 'object') return 'a mapping';
	return typeof value === 'string'
		? `text (\`${value.slice(0, 40)}\`)`
		: `a ${typeof value} (${JSON.stringify(value)})`;
}
