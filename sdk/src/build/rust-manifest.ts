// Owns the file generated beside the entry of a strategy in Rust (`manifest.rs`): the manifest as bytes, and typed access to exactly the columns,
// configuration values and factors it declares.
import { columns } from '../../abi/columns.js';
import { manifestDocument } from '../manifest/check.js';
import type { ConfigEntry, StrategyManifest } from '../manifest/schema.js';

function columnLines(name: string): string[] {
	const column = columns.find((candidate) => candidate.name === name);
	if (column === undefined) return [];
	const unit = column.unit === '' ? '' : `${column.unit}: `;
	return [
		`    /// ${unit}${column.meaning}`,
		'    #[inline(always)]',
		`    pub fn ${name}<'a>(rows: &Rows<'a>) -> &'a [${column.type}] {`,
		`        rows.column_${column.type}(${column.id})`,
		'    }',
	];
}

const reads: Readonly<Record<ConfigEntry['type'], (slot: number) => string>> = {
	f32: (slot) => `rows.config_f32(${slot})`,
	u32: (slot) => `rows.config_u32(${slot})`,
	i32: (slot) => `rows.config_u32(${slot}) as i32`,
	bool: (slot) => `rows.config_u32(${slot}) != 0`,
};

function configLines(entry: ConfigEntry, slot: number): string[] {
	const unit = entry.unit === '' ? '' : `${entry.unit}: `;
	const text = `${unit}${entry.description === '' ? entry.name : entry.description} (default ${entry.default})`;
	return [
		`    /// ${text.replaceAll(/\s+/g, ' ')}`,
		'    #[inline(always)]',
		`    pub fn ${rustName(entry.name)}(rows: &Rows) -> ${entry.type} {`,
		`        ${reads[entry.type](slot)}`,
		'    }',
	];
}

/** A name of the manifest as an identifier: words that Rust keeps for itself are written raw, or get a `_` where raw is not allowed. */
function rustName(name: string): string {
	if (name === 'crate' || name === 'self' || name === 'super') return `${name}_`;
	return keywords.has(name) ? `r#${name}` : name;
}

const keywords = new Set(
	(
		'abstract as async await become box break const continue do dyn else enum extern false final fn for gen if impl in let loop macro match mod move ' +
		'mut override priv pub ref return static struct trait true try type typeof unsafe unsized use virtual where while yield'
	).split(' '),
);

/** A byte-string literal of the manifest's JSON. */
function literal(json: string): string {
	const text = [...Buffer.from(json)].map((byte) => {
		const letter = String.fromCharCode(byte);
		if (letter === '"' || letter === '\\') return `\\${letter}`;
		return byte >= 0x20 && byte < 0x7f ? letter : `\\x${byte.toString(16).padStart(2, '0')}`;
	});
	return `b"${text.join('')}"`;
}

function module(name: string, comment: string, body: readonly string[]): string[] {
	const empty = body.length === 0;
	return [
		'',
		`/// ${comment}`,
		`pub mod ${name} {`,
		...(empty ? [] : ['    use infermesh_strategy::Rows;', '']),
		...body,
		'}',
	];
}

/** The whole text of the generated file. */
export function rustManifestSource(manifest: StrategyManifest): string {
	const json = JSON.stringify(manifestDocument(manifest));
	return [
		'// Generated from strategy.yaml by the build. Do not edit.',
		'#![allow(dead_code)]',
		'',
		'/// The manifest as JSON, for `infermesh_strategy::strategy!`.',
		`pub const MANIFEST: &[u8; ${Buffer.byteLength(json)}] = ${literal(json)};`,
		...module('columns', 'The columns this strategy reads.', manifest.columns.flatMap(columnLines)),
		...module('config', 'Its configuration.', manifest.config.flatMap(configLines)),
		'',
		'/// Most rows it ranks.',
		`pub const TOP_K: u32 = ${manifest.topK};`,
		...manifest.factors.map((name, index) => `pub const FACTOR_${name.toUpperCase()}: usize = ${index};`),
		`pub const FACTOR_COUNT: usize = ${manifest.factors.length};`,
		'',
	].join('\n');
}
