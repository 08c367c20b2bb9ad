// Owns what a mesh tells of itself before it becomes a cell of a matched comparison, and whether cells are apart: no engine, node or request in common. Pure. What cells do
// not know of (clients that choose their cell by how it serves them, a GPU that two engines share) is not checked, and the guarantee says so.
import { MeshError } from '@infermesh/proto';
import type { Static } from 'typebox';
import { Type } from '../../schema/type.js';
import { experimentErrors } from '../errors.js';

const texts = (description: string) => Type.Array(Type.String(), { description });

/** Where requests of a model may cross a cell's border. */
export const borderSchema = Type.Object({
	sendsTo: texts('Cells that requests of the model may be sent to when there is no room here.'),
	hearsOf: texts('Cells that serve the model and know of this one: they may send theirs here.'),
});
export type CellBorder = Static<typeof borderSchema>;

export const cellLookSchema = Type.Object({
	cell: Type.String({ description: 'Its name among cells that are linked.' }),
	model: Type.String(),
	baseline: Type.String({ description: 'What decides on the model.' }),
	nodes: texts('UUIDs of its nodes.'),
	engines: texts('URLs of the engines that serve the model.'),
	requestsPerS: Type.Number({ description: 'Of late, over the mesh; 0 = none seen.' }),
	requests: Type.Number({ description: 'Counted by the router that was asked, since its start.' }),
	tokensIn: Type.Number(),
	tokensOut: Type.Number(),
	border: borderSchema,
});
export type CellLook = Static<typeof cellLookSchema>;

/** A look under the name that the comparison has for the cell. */
export interface NamedLook {
	readonly name: string;
	/** Host of the admin API: a loopback engine is one of that host. */
	readonly host: string;
	readonly look: CellLook;
}

/** Why a cell is not by itself while these cells are compared; undefined when it is. */
export function touching({ sendsTo, hearsOf }: CellBorder, cells: readonly string[]): string | undefined {
	if (sendsTo.length > 0) return `requests may be sent to ${sendsTo.join(', ')} (fabric.cells.route)`;
	const strangers = hearsOf.filter((name) => !cells.includes(name));
	if (strangers.length === 0) return undefined;
	return `${strangers.join(', ')} may send requests here, and is no cell of the comparison`;
}

/** Throws IM_EXPERIMENT_CELLS_SHARED with the first thing that two cells have in common. */
export function checkApart(looks: readonly NamedLook[]): void {
	const names = looks.map(({ name }) => name);
	const nodes = new Map<string, string>();
	const engines = new Map<string, string>();
	for (const { name, host, look } of looks) {
		const touched = touching(look.border, names);
		if (touched !== undefined) throw shared(`${name}: ${touched}`);
		for (const node of look.nodes) claim(nodes, node, name, 'the node');
		for (const engine of new Set(look.engines.map((url) => engineKey(url, host))))
			claim(engines, engine, name, 'the engine');
	}
}

function claim(owners: Map<string, string>, key: string, name: string, what: string): void {
	const owner = owners.get(key);
	if (owner !== undefined) throw shared(`${owner} and ${name} have ${what} ${key} in common`);
	owners.set(key, name);
}

/** One engine has one key, however its URL is written; on a loopback address it is one of the host that was asked. */
function engineKey(url: string, host: string): string {
	const parsed = URL.parse(url);
	if (parsed === null) return url;
	const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(parsed.hostname);
	const port = parsed.port || (parsed.protocol === 'https:' ? '443' : '80');
	return `${isLoopback ? host : parsed.hostname}:${port}`;
}

export function shared(why: string): MeshError {
	return new MeshError(experimentErrors, 'IM_EXPERIMENT_CELLS_SHARED', why);
}
