// Owns the file generated beside an author's entry (`manifest.ts`): typed access to exactly the columns, configuration values and
// factors the manifest declares, so that naming another one is a compile error.
import { columns } from '../../abi/columns.js';
import type { ConfigEntry, StrategyManifest } from '../manifest/schema.js';

function columnGetter(name: string): string[] {
	const column = columns.find((candidate) => candidate.name === name);
	if (column === undefined) return [];
	const type = column.type === 'f32' ? 'F32Column' : 'U32Column';
	const unit = column.unit === '' ? '' : `${column.unit}: `;
	return [
		`\t/** ${unit}${column.meaning} */`,
		'\t@inline',
		`\tstatic get ${name}(): ${type} {`,
		`\t\treturn changetype<${type}>(columnAddress(${column.id}));`,
		'\t}',
	];
}

function configGetter(entry: ConfigEntry, slot: number): string[] {
	const unit = entry.unit === '' ? '' : `${entry.unit}: `;
	const text = `${unit}${entry.description === '' ? entry.name : entry.description} (default ${entry.default})`;
	const type = entry.type === 'bool' ? 'bool' : entry.type;
	const load =
		entry.type === 'bool'
			? `load<u32>(configAddress(), ${slot * 4}) != 0`
			: `load<${type}>(configAddress(), ${slot * 4})`;
	return [
		`\t/** ${text.replaceAll('*/', '')} */`,
		'\t@inline',
		`\tstatic get ${entry.name}(): ${type} {`,
		`\t\treturn ${load};`,
		'\t}',
	];
}

function importLine(manifest: StrategyManifest): string[] {
	const types = new Set(manifest.columns.map((name) => columns.find((column) => column.name === name)?.type));
	const names = [
		...(manifest.columns.length > 0 ? ['columnAddress'] : []),
		...(manifest.config.length > 0 ? ['configAddress'] : []),
		...(types.has('f32') ? ['F32Column'] : []),
		...(types.has('u32') ? ['U32Column'] : []),
	];
	return names.length === 0 ? [] : [`import { ${names.join(', ')} } from 'infermesh';`];
}

/** The whole text of the generated file. */
export function manifestSource(manifest: StrategyManifest): string {
	return [
		'// Generated from strategy.yaml by the build. Do not edit.',
		...importLine(manifest),
		'',
		'/** The columns this strategy reads. */',
		'export class columns {',
		...manifest.columns.flatMap(columnGetter),
		'}',
		'',
		'/** Its configuration. */',
		'export class config {',
		...manifest.config.flatMap(configGetter),
		'}',
		'',
		`/** Most rows it ranks. */`,
		`export const TOP_K: u32 = ${manifest.topK};`,
		...manifest.factors.map((name, index) => `export const FACTOR_${name.toUpperCase()}: u32 = ${index};`),
		`export const FACTOR_COUNT: u32 = ${manifest.factors.length};`,
		'',
	].join('\n');
}
