// What a mesh is told to be wrong about itself: one fault each, beside a mesh that is well.
import test from 'ava';
import type { NodeStatus } from '../main/fabric.js';
import { recordKinds } from '../records/kinds.js';
import { type CheckedNode, judgeMesh, type MeshFinding } from './check.js';
import { lonelyMesh, nodeRecord, SELF } from './testing.js';

const HOUR_MS = 3_600_000;
const NOW_MS = 1_800_000_000_000;
const names = ['one', 'two', 'three'];

const well: NodeStatus = {
	version: '0.1.0',
	quorum: true,
	leader: 'one',
	notReady: [],
	degraded: [],
	skewMs: 3,
	skewErrorMs: 5,
	certificate: { beginsMs: NOW_MS - 6 * HOUR_MS, expiresMs: NOW_MS + 18 * HOUR_MS },
	alive: names,
};

function nodeOf(name: string, answer: NodeStatus | undefined = well): CheckedNode {
	return {
		node: {
			id: name,
			name,
			state: 'active',
			reason: '',
			changedBy: undefined,
			changedAtMs: undefined,
			record: nodeRecord(name, name),
			health: 'alive',
			revision: 0,
		},
		answer,
		error: undefined,
	};
}

/** Three nodes, the last of which is changed. */
function judged(change: (third: CheckedNode) => CheckedNode, quorum = true): readonly MeshFinding[] {
	return judgeMesh([nodeOf('one'), nodeOf('two'), change(nodeOf('three'))], quorum, NOW_MS);
}

const answering = (answer: Partial<NodeStatus>) => (third: CheckedNode) => ({
	...third,
	answer: { ...well, ...answer },
});

test('a mesh that is well has nothing but ok', (t) => {
	const findings = judged((third) => third);
	t.deepEqual([...new Set(findings.map(({ status }) => status))], ['ok']);
	t.deepEqual(
		findings.map(({ name }) => name),
		['quorum', 'members', 'agents', 'views', 'versions', 'clocks', 'certificates', 'readiness'],
	);
	for (const { hint } of findings) t.is(hint, '');
});

type Fault = readonly [string, (third: CheckedNode) => CheckedNode, name: string, status: string, detail: RegExp];

const faults: readonly Fault[] = [
	[
		'registered but failed by gossip',
		(third) => ({ ...third, node: { ...third.node, health: 'failed' } }),
		'members',
		'fail',
		/^three is registered but failed by gossip$/,
	],
	[
		'gossiping without being registered',
		(third) => ({ ...third, answer: undefined, node: { ...third.node, record: undefined } }),
		'members',
		'fail',
		/^three gossips but is not registered$/,
	],
	[
		'away',
		(third) => ({ ...third, answer: undefined, node: { ...third.node, record: undefined, health: 'failed' } }),
		'members',
		'warn',
		/^three is failed$/,
	],
	[
		'mute',
		(third) => ({ ...third, answer: undefined, error: 'no answer in time' }),
		'agents',
		'fail',
		/^three: no answer in time$/,
	],
	['half blind', answering({ alive: ['one', 'three'] }), 'views', 'fail', /^three does not see two$/],
	['newer', answering({ version: '0.2.0' }), 'versions', 'warn', /^0\.1\.0 on one, two; 0\.2\.0 on three$/],
	['fast by seconds', answering({ skewMs: 1500 }), 'clocks', 'warn', /^three is 1500 ms ahead$/],
	['slow by minutes', answering({ skewMs: -90_000 }), 'clocks', 'fail', /^three is 90000 ms behind$/],
	[
		'late with its certificate',
		answering({ certificate: { beginsMs: NOW_MS - 20 * HOUR_MS, expiresMs: NOW_MS + 4 * HOUR_MS } }),
		'certificates',
		'warn',
		/^three's expires in 4 h$/,
	],
	[
		'expired',
		answering({ certificate: { beginsMs: NOW_MS - 25 * HOUR_MS, expiresMs: NOW_MS - HOUR_MS } }),
		'certificates',
		'fail',
		/^three's has expired$/,
	],
	[
		'not ready',
		answering({ notReady: ['no target is serving'] }),
		'readiness',
		'warn',
		/^three: no target is serving$/,
	],
	['of another mind', answering({ leader: 'two' }), 'quorum', 'warn', /^nodes name different leaders: one, two$/],
];

for (const [title, change, name, status, detail] of faults)
	test(`a node that is ${title} is found, and nothing else`, (t) => {
		const found = judged(change).filter((finding) => finding.status !== 'ok');
		t.deepEqual(
			found.map((finding) => [finding.name, finding.status]),
			[[name, status]],
		);
		t.regex(found[0]?.detail ?? '', detail);
		t.not(found[0]?.hint, '');
	});

test('without a quorum that is the fault', (t) => {
	const [quorum] = judged((third) => third, false);
	t.is(quorum?.status, 'fail');
});

test('what a round trip may hide of a clock is not held against it', (t) => {
	const findings = judged(answering({ skewMs: 1500, skewErrorMs: 800 }));
	t.is(findings.find(({ name }) => name === 'clocks')?.status, 'ok');
});

test('every node that is there is asked; one that is away is not', async (t) => {
	const asked: string[] = [];
	const mesh = lonelyMesh({
		statusOf: (nodeId) => {
			asked.push(nodeId);
			return nodeId === SELF ? Promise.resolve({ ...well, alive: [SELF] }) : Promise.reject(new Error('cut off'));
		},
		members: ['left', SELF].map((id) => ({
			id,
			name: id,
			address: '',
			state: id === SELF ? ('alive' as const) : ('left' as const),
			incarnation: 1,
			sinceMs: 1,
			accusers: [],
		})),
	});
	for (const [id, name] of [
		[SELF, 'one'],
		['22222222-2222-4222-8222-222222222222', 'two'],
	] as const)
		await mesh.records.put(recordKinds.nodes, id, nodeRecord(id, name));
	await mesh.until(() => mesh.mirrors.nodes.all().length === 2);
	const { findings, nodes } = await mesh.operations.check();
	t.is(asked.length, 2);
	t.deepEqual(
		nodes.map(({ node, error }) => [node.name, error]),
		[
			['left', undefined],
			['one', undefined],
			['two', 'cut off'],
		],
	);
	t.is(findings.find(({ name }) => name === 'agents')?.detail, 'two: cut off');
	await mesh.engine.close();
});
