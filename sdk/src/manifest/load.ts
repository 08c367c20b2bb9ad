// Owns reading strategy.yaml: YAML with places, so that every problem is told as file:line:column.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import type { Document } from 'yaml';
import { checkManifest, type FieldPath } from './check.js';
import { manifestErrors } from './errors.js';
import type { StrategyManifest } from './schema.js';

export const MANIFEST_FILE = 'strategy.yaml';
/** Largest strategy.yaml. */
export const MANIFEST_BYTES_MAX = 65_536;

const require = createRequire(import.meta.url);

/** The YAML library, loaded at first use: processes that admit modules read no strategy.yaml, and it comes as 72 files. */
function yaml(): typeof import('yaml') {
	return require('yaml') as typeof import('yaml');
}

/** Byte offset of a field: its key when the last part is a key of a map, else its value, else the nearest thing around it. */
function offsetOf(document: Document, fieldPath: FieldPath): number {
	const { isMap, isNode, isPair, isScalar } = yaml();
	for (let length = fieldPath.length; length > 0; length--) {
		const parent = document.getIn(fieldPath.slice(0, length - 1), true) ?? document.contents;
		const last = fieldPath[length - 1];
		if (isMap(parent)) {
			const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === last);
			if (pair !== undefined && isNode(pair.key) && pair.key.range) return pair.key.range[0];
		}
		const node = document.getIn(fieldPath.slice(0, length), true);
		if (isNode(node) && node.range) return node.range[0];
	}
	return 0;
}

/** The document as plain data. Aliases are refused: a manifest needs none, and a few can expand without end. */
function plainValue(document: Document, file: string): unknown {
	try {
		return document.toJS({ maxAliasCount: 0 });
	} catch (cause) {
		throw new MeshError(manifestErrors, 'IM_MANIFEST_SYNTAX', 'aliases are not allowed', { where: file, cause });
	}
}

/**
 * Parses the text of a strategy.yaml; `file` is what problems call it.
 * @throws MeshError IM_MANIFEST_SYNTAX, IM_MANIFEST_INVALID, IM_MANIFEST_ABI; `where` is the first problem's file:line:column and
 * `details.problems` lists all.
 */
export function parseManifest(file: string, text: string): StrategyManifest {
	const { LineCounter, parseDocument } = yaml();
	const lines = new LineCounter();
	const place = (offset: number) => {
		const { line, col } = lines.linePos(offset);
		return `${file}:${line}:${col}`;
	};
	if (text.length > MANIFEST_BYTES_MAX)
		throw new MeshError(manifestErrors, 'IM_MANIFEST_INVALID', `larger than ${MANIFEST_BYTES_MAX} bytes`, {
			where: file,
		});
	const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
	const fault = document.errors[0];
	if (fault !== undefined)
		throw new MeshError(manifestErrors, 'IM_MANIFEST_SYNTAX', fault.message, { where: place(fault.pos[0]) });
	const result = checkManifest(plainValue(document, file));
	if (result.ok) return result.manifest;
	const problems = result.problems.map((problem) => ({
		where: place(offsetOf(document, problem.path)),
		message: problem.message,
	}));
	const code = result.problems.every((problem) => problem.kind === 'abi') ? 'IM_MANIFEST_ABI' : 'IM_MANIFEST_INVALID';
	const [first, ...rest] = problems;
	const message = [first?.message ?? '', ...rest.map((problem) => `${problem.where}: ${problem.message}`)].join('\n  ');
	throw new MeshError(manifestErrors, code, message, {
		...(first === undefined ? {} : { where: first.where }),
		details: { problems },
	});
}

/**
 * Reads the manifest of the strategy project in `dir`.
 * @throws MeshError IM_MANIFEST_NOT_FOUND when there is none, else as parseManifest.
 */
export function loadManifest(dir: string): StrategyManifest {
	const file = path.join(dir, MANIFEST_FILE);
	let text: string;
	try {
		text = readFileSync(file, 'utf8');
	} catch (cause) {
		throw new MeshError(manifestErrors, 'IM_MANIFEST_NOT_FOUND', undefined, { where: file, cause });
	}
	return parseManifest(file, text);
}
