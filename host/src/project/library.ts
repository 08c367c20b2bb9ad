// Owns what is said of the strategies that ship with the mesh: from a strategy's manifest what it is, reads and can be set to, and from its README whose
// policy it is and its formula. Leaves running them to prepare.ts.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { type ColumnDef, type ConfigEntry, columns, didYouMean, loadManifest } from '@infermesh/sdk';
import { projectErrors } from './errors.js';
import { shippedDir, shippedNames } from './prepare.js';

/** One line of the library. */
export interface ShippedStrategy {
	readonly name: string;
	readonly version: string;
	readonly kind: 'inference' | 'training';
	/** System, paper or book the policy is from, as its README's line `Source: ….` says. */
	readonly origin: string;
	/** Kinds of signals without which it decides blindly, of `needNames`; empty = none. */
	readonly needs: readonly string[];
	readonly description: string;
}

export type ShippedColumn = Pick<ColumnDef, 'name' | 'unit' | 'source' | 'meaning'>;

/** All that `infermesh strategies NAME` tells. */
export interface ShippedPage extends ShippedStrategy {
	/** The README's indented blocks, without their indentation; a blank line between two. */
	readonly formula: string;
	readonly columns: readonly ShippedColumn[];
	readonly hits: boolean;
	readonly config: readonly ConfigEntry[];
	readonly factors: readonly string[];
	readonly hooks: readonly string[];
	readonly stateBytes: number;
	/** Path of the README; undefined where it is not installed. */
	readonly readme: string | undefined;
}

const needsBySource: Readonly<Record<ColumnDef['source'], string | undefined>> = {
	registry: undefined,
	router: 'own traffic',
	fusion: 'own traffic',
	runtime: 'engine reports',
	gpu: 'device reports',
	fabric: 'network',
};

const columnByName = new Map(columns.map((column) => [column.name, column]));

/** Text behind `Source:` at the beginning of a README, without its full stop; '' where there is none. */
function originOf(readme: string): string {
	return /^Source: (.+)\.$/m.exec(readme)?.[1] ?? '';
}

/** The indented blocks of a README. */
function formulaOf(readme: string): string {
	const lines = readme.split('\n');
	const kept = lines.filter(
		(line, at) => line.startsWith('    ') || (line === '' && lines[at - 1]?.startsWith('    ')),
	);
	return kept
		.map((line) => line.slice(4))
		.join('\n')
		.trimEnd();
}

function needsOf(read: readonly ShippedColumn[], hits: boolean): string[] {
	const needs = read.map((column) => needsBySource[column.source]).filter((need) => need !== undefined);
	return [...new Set([...(hits ? ['prefixes'] : []), ...needs.sort()])];
}

function pageOf(name: string, pluginsDir: string): ShippedPage {
	const dir = path.join(pluginsDir, name);
	const manifest = loadManifest(dir);
	const file = path.join(dir, 'README.md');
	const readme = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
	const read = manifest.columns.flatMap((column) => columnByName.get(column) ?? []);
	return {
		name,
		version: manifest.version,
		kind: manifest.kind,
		origin: originOf(readme ?? ''),
		needs: needsOf(read, manifest.hits),
		description: manifest.description,
		formula: formulaOf(readme ?? ''),
		columns: read.map(({ name: column, unit, source, meaning }) => ({ name: column, unit, source, meaning })),
		hits: manifest.hits,
		config: manifest.config,
		factors: manifest.factors,
		hooks: manifest.hooks,
		stateBytes: manifest.stateBytes,
		readme: readme === undefined ? undefined : file,
	};
}

/** Every strategy that ships, by name. Throws IM_MANIFEST_* where one's manifest is damaged. */
export function shippedLibrary(pluginsDir: string = shippedDir): ShippedStrategy[] {
	return shippedNames(pluginsDir).map((shipped) => {
		const { name, version, kind, origin, needs, description } = pageOf(shipped, pluginsDir);
		return { name, version, kind, origin, needs, description };
	});
}

/** What there is to tell of one. Throws IM_PROJECT_NOT_FOUND, IM_MANIFEST_*. */
export function shippedPage(name: string, pluginsDir: string = shippedDir): ShippedPage {
	const known = shippedNames(pluginsDir);
	if (known.includes(name)) return pageOf(name, pluginsDir);
	const message = `no strategy \`${name}\` ships with the mesh${didYouMean(name, known)}`;
	throw new MeshError(projectErrors, 'IM_PROJECT_NOT_FOUND', message, { where: name });
}
