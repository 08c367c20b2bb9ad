// Owns the way from a latency as it is written (in a scenario, or in a file of its own as `simulate calibrate` writes it) to a LatencySpec,
// with everything wrong about it said in words. Positions belong to the caller.
import { readYaml } from '../../project/scenario/yaml-source.js';
import type { LatencySpec } from '../spec.js';
import type { LatencyChoice } from './document.js';

export type LatencyResult =
	| { readonly ok: true; readonly latency: LatencySpec }
	/** `key` is the part of the latency at fault, where one is. */
	| { readonly ok: false; readonly key?: 'prefill' | 'decode' | 'file' | 'kind'; readonly message: string };

const wrong = (message: string, key?: 'prefill' | 'decode' | 'file' | 'kind'): LatencyResult =>
	key === undefined ? { ok: false, message } : { ok: false, key, message };

/** Reads one latency. `readFile` gets a path as written; what it throws is told. */
export function latencyOf(choice: LatencyChoice | undefined, readFile: (path: string) => string): LatencyResult {
	if (choice?.file !== undefined) return fromFile(choice, choice.file, readFile);
	switch (choice?.kind ?? 'roofline') {
		case 'roofline':
			if (choice?.prefill === undefined && choice?.decode === undefined)
				return { ok: true, latency: { kind: 'roofline' } };
			return wrong('a roofline takes its constants from the profile; name `kind: polynomial` or `kind: table`', 'kind');
		case 'polynomial':
			return polynomial(choice ?? {});
		case 'table':
			return tables(choice ?? {});
	}
}

function fromFile(choice: LatencyChoice, file: string, readFile: (path: string) => string): LatencyResult {
	if (choice.kind !== undefined || choice.prefill !== undefined || choice.decode !== undefined)
		return wrong('`file` stands alone: the other keys are in the file', 'file');
	let text: string;
	try {
		text = readFile(file);
	} catch (error) {
		return wrong(`cannot be read: ${error instanceof Error ? error.message : String(error)}`, 'file');
	}
	const read = readYaml(file, text);
	if (!read.ok) return wrong(`${read.problems[0]?.where ?? file}: ${read.problems[0]?.message ?? ''}`, 'file');
	const written = read.source.value as { readonly latency?: LatencyWritten } | null;
	const inner = written?.latency;
	if (inner === undefined || typeof inner !== 'object' || inner === null || inner.file !== undefined)
		return wrong(`${file} has no \`latency\` with \`kind\`, \`prefill\` and \`decode\``, 'file');
	const result = latencyOf(camel(inner), readFile);
	return result.ok ? result : wrong(`${read.source.at(['latency', result.key ?? 'kind'])}: ${result.message}`, 'file');
}

type LatencyWritten = LatencyChoice & { readonly decode?: unknown };

/** The one key of two words in a latency. */
function camel(written: LatencyWritten): LatencyChoice {
	const { decode } = written;
	if (typeof decode !== 'object' || decode === null || Array.isArray(decode)) return written;
	const { context_tokens: contextTokens, ...rest } = decode as Record<string, unknown>;
	return { ...written, decode: { contextTokens, ...rest } };
}

function polynomial(choice: LatencyChoice): LatencyResult {
	for (const key of ['prefill', 'decode'] as const) {
		const found = choice[key];
		if (!isNumbers(found) || found.length !== 3 || found.some((value) => value < 0))
			return wrong('must be three numbers from 0: [a, b, c]', key);
	}
	const triple = (key: 'prefill' | 'decode') => choice[key] as [number, number, number];
	return { ok: true, latency: { kind: 'polynomial', prefill: triple('prefill'), decode: triple('decode') } };
}

function tables(choice: LatencyChoice): LatencyResult {
	const prefill = choice.prefill as { readonly tokens?: unknown; readonly us?: unknown } | undefined;
	if (!isAxis(prefill?.tokens)) return wrong('must have `tokens`: numbers from 0, rising', 'prefill');
	const { tokens } = prefill as { readonly tokens: readonly number[] };
	if (!isDurations(prefill?.us, tokens.length))
		return wrong(`must have \`us\`: ${tokens.length} numbers above 0`, 'prefill');
	const decode = choice.decode as
		| { readonly contextTokens?: unknown; readonly batch?: unknown; readonly us?: unknown }
		| undefined;
	if (!isAxis(decode?.contextTokens)) return wrong('must have `context_tokens`: numbers from 0, rising', 'decode');
	if (!isAxis(decode?.batch)) return wrong('must have `batch`: numbers from 0, rising', 'decode');
	const { contextTokens, batch } = decode as { readonly contextTokens: number[]; readonly batch: number[] };
	const rows = decode?.us;
	if (
		!Array.isArray(rows) ||
		rows.length !== contextTokens.length ||
		!rows.every((row) => isDurations(row, batch.length))
	)
		return wrong(
			`must have \`us\`: ${contextTokens.length} rows (one a context) of ${batch.length} numbers above 0 (one a batch)`,
			'decode',
		);
	return {
		ok: true,
		latency: {
			kind: 'table',
			prefill: { tokens, us: prefill.us },
			decode: { contextTokens, batch, us: rows },
		},
	};
}

function isNumbers(value: unknown): value is number[] {
	return Array.isArray(value) && value.every((it) => typeof it === 'number' && Number.isFinite(it));
}

function isAxis(value: unknown): value is number[] {
	if (!isNumbers(value) || value.length === 0 || (value[0] ?? -1) < 0) return false;
	return value.every((it, index) => index === 0 || it > (value[index - 1] ?? 0));
}

function isDurations(value: unknown, count: number): value is number[] {
	return isNumbers(value) && value.length === count && value.every((it) => it > 0);
}
