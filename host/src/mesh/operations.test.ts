import { createHash } from 'node:crypto';
import type { EngineStatus } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { recordKinds } from '../records/kinds.js';
import { claimName } from './claim-name.js';
import { lonelyMesh, nodeRecord, SELF, withoutQuorum } from './testing.js';

const asker = { by: 'ann' };
const second = '22222222-2222-4222-8222-222222222222';
const third = '33333333-3333-4333-8333-333333333333';

async function codeOf(work: Promise<unknown>): Promise<string> {
	try {
		await work;
		return 'none';
	} catch (error) {
		return error instanceof MeshError ? error.code : String(error);
	}
}

const voters = (...ids: readonly string[]): Partial<EngineStatus> => ({
	members: ids.map((id) => ({ id, address: '', role: 'voter', matchIndex: undefined })),
});

test('a policy is set, read, listed, guarded by its revision, and deleted; each change is audited', async (t) => {
	const { operations, audits } = lonelyMesh();
	const eu = { models: ['llama-*'], regions: ['eu-1'] };
	const made = await operations.setPolicy('placement', 'eu', eu, 0, asker);
	t.is(await codeOf(operations.setPolicy('placement', 'eu', eu, 0, asker)), 'IM_RECORD_CONFLICT');
	t.is(await codeOf(operations.setPolicy('placement', 'eu', eu, made.revision + 1, asker)), 'IM_RECORD_CONFLICT');
	await operations.setPolicy('slo', 'fast', { models: ['*'], ttftMs: 200 }, undefined, asker);
	const all = await operations.policies.list(undefined);
	t.deepEqual(
		all.items.map(({ kind, name }) => `${kind}/${name}`),
		['placement/eu', 'slo/fast'],
	);
	t.false(all.stale);
	t.true(all.revision >= made.revision);
	t.deepEqual((await operations.policies.get('placement', 'eu')).value, eu);
	t.true(await operations.removePolicy('placement', 'eu', asker));
	t.false(await operations.removePolicy('placement', 'eu', asker));
	t.is(await codeOf(operations.policies.get('placement', 'eu')), 'IM_RECORD_UNKNOWN');
	t.deepEqual(
		audits.map(({ by, action, object }) => `${by} ${action} ${object}`),
		['ann policy.set placement/eu', 'ann policy.set slo/fast', 'ann policy.delete placement/eu'],
	);
});

const wrongPolicies: readonly (readonly [string, string, unknown, string, RegExp])[] = [
	['a kind that is none', 'placment', {}, 'IM_RECORD_KIND', /did you mean `placement`/],
	['an unknown field', 'placement', { models: ['a'], zone: ['z'] }, 'IM_RECORD_INVALID', /zone/],
	['no model', 'slo', { models: [], ttftMs: 1 }, 'IM_RECORD_INVALID', /never apply/],
	['a route that says nothing', 'route', {}, 'IM_RECORD_INVALID', /says nothing/],
	[
		'a name of two meanings',
		'route',
		{ alias: 'a', revisions: [{ model: 'b', weight: 1 }] },
		'IM_RECORD_INVALID',
		/one meaning/,
	],
	['an alias of itself', 'route', { alias: 'x' }, 'IM_RECORD_INVALID', /alias of itself/],
	['its own fallback', 'route', { fallbacks: ['y', 'x'] }, 'IM_RECORD_INVALID', /own fallback/],
	['only weights of 0', 'route', { revisions: [{ model: 'b', weight: 0 }] }, 'IM_RECORD_INVALID', /above 0/],
	['not even an object', 'quota', null, 'IM_RECORD_INVALID', /object/],
];

for (const [what, kind, value, code, message] of wrongPolicies)
	test(`a policy is refused by name: ${what}`, async (t) => {
		const { operations } = lonelyMesh();
		const error = await t.throwsAsync(operations.setPolicy(kind, 'x', value, undefined, asker), {
			instanceOf: MeshError,
		});
		t.is<unknown, unknown>(error?.code, code);
		t.regex(error?.message ?? '', message);
		t.deepEqual((await operations.policies.list(undefined)).items, []);
	});

test('a key is shown once, stored as a digest that nobody can list, and guards its tenant', async (t) => {
	const { operations, records } = lonelyMesh();
	const request = { id: 'ci', tenant: 'team-a', trusted: false, expiresAtMs: undefined };
	t.is(await codeOf(operations.createKey(request, asker)), 'IM_RECORD_UNKNOWN', 'a mistyped tenant is noticed');
	await operations.setTenant('team-a', { policyMask: 5 }, undefined, asker);
	const { key } = await operations.createKey(request, asker);
	t.regex(key, /^sk-im-[A-Za-z0-9_-]{43}$/);
	const stored = await records.get(recordKinds.apiKeys, 'ci');
	t.is(stored?.value.sha256, createHash('sha256').update(key).digest('hex'));
	const listed = JSON.stringify(await operations.tenants.keys());
	t.regex(listed, /"id":"ci"/);
	t.false(listed.includes(stored?.value.sha256 ?? '?'));
	t.false(listed.includes(key));
	t.is(await codeOf(operations.createKey(request, asker)), 'IM_RECORD_EXISTS');
	t.is(await codeOf(operations.removeTenant('team-a', asker)), 'IM_RECORD_IN_USE');
	await operations.removeKey('ci', asker);
	t.is(await codeOf(operations.removeKey('ci', asker)), 'IM_RECORD_UNKNOWN');
	await operations.removeTenant('team-a', asker);
	t.is(
		await codeOf(operations.createKey({ ...request, id: 'no spaces', tenant: 'default' }, asker)),
		'IM_RECORD_INVALID',
	);
});

for (const known of [true, false])
	test(`without quorum lists are stale and writes are refused, whether the engine knows (${known})`, async (t) => {
		let cut = false;
		const { operations } = lonelyMesh({
			engine: (real) => {
				const without = withoutQuorum(real, known);
				const either = <T extends object>(on: T, off: T): T =>
					new Proxy(on, {
						get: (_, name) => {
							const from = cut ? off : on;
							const value = Reflect.get(from, name) as unknown;
							return typeof value === 'function' ? value.bind(from) : value;
						},
					});
				return either(real, without);
			},
		});
		await operations.setPolicy('route', 'gpt', { alias: 'llama' }, undefined, asker);
		await operations.setTenant('a', { policyMask: 0 }, undefined, asker);
		cut = true;
		const policies = await operations.policies.list('route');
		t.true(policies.stale);
		t.deepEqual(
			policies.items.map(({ name }) => name),
			['gpt'],
		);
		t.like(await operations.policies.get('route', 'gpt'), { stale: true, value: { alias: 'llama' } });
		t.true((await operations.tenants.list()).stale);
		t.true((await operations.listNodes()).stale);
		t.is(
			await codeOf(operations.setPolicy('route', 'gpt', { alias: 'b' }, undefined, asker)),
			'IM_CONSENSUS_NO_QUORUM',
		);
		t.is(await codeOf(operations.decideNode('one', 'cordon', '', asker)), 'IM_CONSENSUS_NO_QUORUM');
		cut = false;
		t.false((await operations.policies.list('route')).stale);
	});

test('nodes: decisions follow the table, carry author and reason, and asking twice changes nothing', async (t) => {
	const { operations, records } = lonelyMesh();
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	const cordoned = await operations.decideNode('one', 'cordon', 'disk', asker);
	t.like(cordoned, { state: 'cordoned', reason: 'disk', changedBy: 'ann' });
	t.is((await operations.decideNode(SELF, 'cordon', 'again', asker)).revision, cordoned.revision);
	t.is(await codeOf(operations.decideNode('one', 'release', '', asker)), 'IM_NODE_STATE');
	await operations.decideNode('one', 'quarantine', 'ECC', asker);
	for (const action of ['cordon', 'uncordon', 'drain'] as const)
		t.is(await codeOf(operations.decideNode('one', action, '', asker)), 'IM_NODE_STATE', action);
	t.is((await operations.decideNode('one', 'release', '', asker)).state, 'active');
	t.is(await codeOf(operations.decideNode('two', 'cordon', '', asker)), 'IM_NODE_UNKNOWN');
	t.is(await codeOf(operations.removeNode('one', asker)), 'IM_NODE_STATE', 'it is there');
	t.like((await operations.listNodes()).items, [{ name: 'one', health: 'alive' }]);
});

test('a node that is removed is forgotten, frees its name, and is refused when it comes back as it was', async (t) => {
	const { operations, records, audits } = lonelyMesh();
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	await claimName(records, nodeRecord(second, 'two'), undefined);
	await claimName(records, nodeRecord(third, 'three'), undefined);
	await operations.listNodes();
	await operations.decideNode('two', 'cordon', 'disk', asker);
	await operations.decideNode('three', 'quarantine', 'stolen', asker);
	for (const [id, name] of [
		[second, 'two'],
		[third, 'three'],
	] as const) {
		await records.remove(recordKinds.nodes, id);
		await records.remove(recordKinds.nodeNames, name);
	}
	await operations.listNodes();
	t.is((await operations.removeNode('two', asker)).id, second);
	await operations.removeNode('three', asker);
	t.is(audits.at(-1)?.action, 'node.remove');
	t.deepEqual(
		(await operations.listNodes()).items.map(({ name }) => name),
		['one'],
	);
	t.is((await operations.removeNode('two', asker)).id, second, 'asking again changes nothing');
	t.is(audits.filter(({ action }) => action === 'node.remove').length, 2);
	t.is(await codeOf(operations.removeNode('four', asker)), 'IM_NODE_UNKNOWN');
	t.is(await codeOf(claimName(records, nodeRecord(second, 'two'), undefined)), 'IM_NODE_REMOVED');
	// Joined anew it has another UUID, and its name.
	await claimName(records, nodeRecord('44444444-4444-4444-8444-444444444444', 'two'), undefined);
	await claimName(records, nodeRecord('55555555-5555-4555-8555-555555555555', 'three'), undefined);
	t.is((await records.get(recordKinds.lifecycle, second)) === undefined, true);
	t.is((await records.get(recordKinds.lifecycle, third))?.value.state, 'quarantined', 'its certificate stays revoked');
});

test('a removal that takes long is audited at once, and whoever asks again waits for its end', async (t) => {
	let inGroup = true;
	const member = (id: string, role: 'voter' | 'learner') => ({ id, address: '', role, matchIndex: undefined });
	const { operations, records, audits } = lonelyMesh({
		status: {
			get members() {
				return [member(SELF, 'voter'), ...(inGroup ? [member(second, 'learner')] : [])];
			},
		},
	});
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	await claimName(records, nodeRecord(second, 'two'), undefined);
	await operations.listNodes();
	await operations.decideNode('two', 'cordon', 'disk', asker);
	await records.remove(recordKinds.nodes, second);
	await operations.listNodes();
	const first = operations.removeNode('two', asker);
	while (audits.length < 2) await new Promise((resolve) => setImmediate(resolve));
	const again = [operations.removeNode('two', asker), operations.removeNode(second, asker)];
	t.deepEqual(
		audits.slice(1).map(({ action, object }) => `${action} ${object}`),
		['node.remove two'],
		'it stands, whatever follows',
	);
	inGroup = false;
	for (const removed of await Promise.all([first, ...again])) t.like(removed, { id: second, name: 'two' });
	t.is(audits.length, 2);
});

test('a node that comes back while it is being removed stays', async (t) => {
	let back = (): Promise<void> => Promise.resolve();
	const { operations, records, audits } = lonelyMesh({
		engine: (real) =>
			new Proxy(real, {
				get(_, name) {
					if (name === 'status') return () => back().then(() => real.status());
					const value = Reflect.get(real, name) as unknown;
					return typeof value === 'function' ? value.bind(real) : value;
				},
			}),
	});
	await claimName(records, nodeRecord(second, 'two'), undefined);
	await operations.listNodes();
	await operations.decideNode('two', 'cordon', 'disk', asker);
	await records.remove(recordKinds.nodes, second);
	await operations.listNodes();
	// After this node has looked whether it is there, before it writes.
	back = () => claimName(records, nodeRecord(second, 'two'), undefined);
	t.is(await codeOf(operations.removeNode('two', asker)), 'IM_NODE_STATE');
	t.is((await records.list(recordKinds.removals)).items.length, 0);
	t.is((await records.get(recordKinds.lifecycle, second))?.value.state, 'cordoned');
	t.is(audits.at(-1)?.action, 'node.cordon');
});

test('no node is removed that the quorum needs', async (t) => {
	const { operations, records } = lonelyMesh({ status: voters(SELF, second, third) });
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	for (const [id, name] of [
		[second, 'two'],
		[third, 'three'],
	] as const)
		await records.put(recordKinds.lifecycle, id, {
			name,
			state: 'cordoned',
			reason: '',
			changedBy: 'ann',
			changedAtMs: 1,
		});
	await operations.listNodes();
	t.is(await codeOf(operations.removeNode('two', asker)), 'IM_NODE_QUORUM', 'the third is away too');
	t.is((await records.list(recordKinds.removals)).items.length, 0, 'nothing was written');
});

test('no drain or quarantine may leave the coordinators without quorum, counting who is already on the way out', async (t) => {
	const { operations, records } = lonelyMesh({ status: voters(SELF, second, third) });
	for (const [id, name] of [
		[SELF, 'one'],
		[second, 'two'],
	] as const)
		await records.put(recordKinds.nodes, id, nodeRecord(id, name));
	await operations.listNodes();
	t.is(await codeOf(operations.decideNode('one', 'drain', '', asker)), 'IM_NODE_QUORUM', 'the third is away');
	await records.put(recordKinds.nodes, third, nodeRecord(third, 'three'));
	await operations.listNodes();
	t.is((await operations.decideNode('one', 'drain', '', asker)).state, 'draining');
	t.is(await codeOf(operations.decideNode('two', 'drain', '', asker)), 'IM_NODE_QUORUM', 'one is about to go');
	t.is(await codeOf(operations.decideNode('two', 'quarantine', '', asker)), 'IM_NODE_QUORUM');
	await operations.decideNode('one', 'uncordon', '', asker);
	t.is((await operations.decideNode('two', 'drain', '', asker)).state, 'draining');
});

test('a mesh that is one coordinator may drain it: there is no quorum of others to keep', async (t) => {
	const { operations, records } = lonelyMesh({ status: voters(SELF) });
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	await operations.listNodes();
	t.is((await operations.decideNode('one', 'drain', '', asker)).state, 'draining');
});

test('progress of a drain says who has how many, and who has not answered this drain', async (t) => {
	const { operations, records } = lonelyMesh();
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	const router = { loaded: [], refused: {}, stagingRevision: 0 };
	for (const id of [SELF, second]) await records.put(recordKinds.routers, id, router);
	const { revision } = await operations.decideNode('one', 'drain', '', asker);
	await records.put(recordKinds.drains, `${SELF}/${SELF}`, { inFlight: 3, decision: revision });
	await records.put(recordKinds.drains, `${SELF}/${second}`, { inFlight: 0, decision: revision - 1 });
	await operations.listNodes();
	const shares = (): unknown => operations.drainProgress('one').routers.map(({ name, inFlight }) => [name, inFlight]);
	await new Promise<void>((resolve) => void setImmediate(resolve));
	t.deepEqual(
		shares(),
		[
			[second, undefined],
			['one', 3],
		],
		'what was said of an earlier drain does not count',
	);
	t.is(operations.drainProgress('one').inFlight, 3);
});

test('two nodes never have one name, and a node that comes back keeps its own', async (t) => {
	const { records, engine } = lonelyMesh();
	await claimName(records, nodeRecord(SELF, 'one'), undefined);
	t.is(await codeOf(claimName(records, nodeRecord(second, 'one'), undefined)), 'IM_NODE_NAME_TAKEN');
	t.is(await records.get(recordKinds.nodes, second), undefined, 'nothing of the refused node is left');
	const lease = await engine.grantLease(10_000);
	await claimName(records, { ...nodeRecord(SELF, 'one'), zone: 'z2' }, lease.id);
	t.is((await records.get(recordKinds.nodes, SELF))?.value.zone, 'z2');
	await engine.revokeLease(lease.id);
	t.deepEqual(
		(await records.get(recordKinds.registrations, SELF))?.value,
		{ name: 'one' },
		'whose it is stays known while it is away',
	);
	await claimName(records, nodeRecord(second, 'one'), undefined);
	await records.put(recordKinds.lifecycle, third, {
		name: 'three',
		state: 'cordoned',
		reason: '',
		changedBy: 'ann',
		changedAtMs: 1,
	});
	t.is(
		await codeOf(claimName(records, nodeRecord(second, 'three'), undefined)),
		'IM_NODE_NAME_TAKEN',
		'it is remembered',
	);
});

test('of two nodes that claim one name at the same time exactly one gets it', async (t) => {
	const { records } = lonelyMesh();
	const ids = Array.from({ length: 12 }, (_, at) => `${String(at).padStart(8, '0')}-0000-4000-8000-000000000000`);
	const codes = await Promise.all(ids.map((id) => codeOf(claimName(records, nodeRecord(id, 'one'), undefined))));
	t.is(codes.filter((code) => code === 'none').length, 1);
	t.is(codes.filter((code) => code === 'IM_NODE_NAME_TAKEN').length, 11);
	t.is((await records.list(recordKinds.nodes)).items.length, 1);
});

test('where this node is no coordinator, leadership and snapshots are refused by name', async (t) => {
	const { operations } = lonelyMesh();
	t.is(await codeOf(operations.transferLeadership(undefined, asker)), 'IM_CONSENSUS_NOT_MEMBER');
	t.throws(() => operations.saveSnapshot(asker), { message: /no coordinator/ });
});
