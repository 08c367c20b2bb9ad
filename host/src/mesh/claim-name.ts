// Owns the writing of a node's own record together with its name, in one transaction, so that no two nodes ever have one name.
import type { LeaseId } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import { type NodeRecord, recordKinds } from '../records/kinds.js';
import { decodeRecord, encodeRecord, keyOf, type Records } from '../records/records.js';
import { meshErrors } from './errors.js';

/** Between finding who has the name and writing over it the name may change hands; more often than this it does not. */
const ROUNDS_MAX = 8;

/** Writes `nodes/ID` and `node-names/NAME` under the lease, and that the node is of this mesh for good. IM_NODE_NAME_TAKEN, IM_NODE_REMOVED. */
export async function claimName(records: Records, record: NodeRecord, lease: LeaseId | undefined): Promise<void> {
	const [lifecycle, removals] = await Promise.all([
		records.list(recordKinds.lifecycle),
		records.list(recordKinds.removals),
	]);
	const removed = new Set(removals.items.map(({ id }) => id));
	const remembered = lifecycle.items.find(
		({ id, value }) => value.name === record.name && id !== record.id && !removed.has(id),
	);
	if (remembered !== undefined) throw taken(record.name, remembered.id);
	const held = lease === undefined ? {} : { lease };
	const removalKey = keyOf(recordKinds.removals, record.id);
	const nameKey = keyOf(recordKinds.nodeNames, record.name);
	const puts = [
		{ put: nameKey, value: encodeRecord({ id: record.id }), ...held },
		{ put: keyOf(recordKinds.nodes, record.id), value: encodeRecord(record), ...held },
		{ put: keyOf(recordKinds.registrations, record.id), value: encodeRecord({ name: record.name }) },
	];
	let revision = 0;
	for (let round = 0; round < ROUNDS_MAX; round++) {
		const done = await records.engine.transact({
			when: [
				{ key: removalKey, exists: false },
				revision === 0 ? { key: nameKey, exists: false } : { key: nameKey, modRevision: revision },
			],
			then: puts,
			otherwise: [{ get: { key: nameKey } }, { get: { key: removalKey } }],
		});
		if (done.held) return;
		const [found, removal] = done.results.map((answer) => (answer.kind === 'get' ? answer.items[0] : undefined));
		if (removal !== undefined)
			throw new MeshError(meshErrors, 'IM_NODE_REMOVED', `node ${record.id}, which was ${record.name}, was removed`);
		const owner = found === undefined ? undefined : decodeRecord(recordKinds.nodeNames, found.value)?.id;
		if (owner !== undefined && owner !== record.id) throw taken(record.name, owner);
		// Ours, from before a restart or an earlier lease: it moves under the present one.
		revision = found?.modRevision ?? 0;
	}
	throw taken(record.name, 'somebody who takes it and gives it up all the time');
}

function taken(name: string, owner: string): MeshError {
	return new MeshError(meshErrors, 'IM_NODE_NAME_TAKEN', `the name ${name} belongs to node ${owner}`);
}
