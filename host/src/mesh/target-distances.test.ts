import type { LinkEstimate } from '@infermesh/fabric';
import test from 'ava';
import type { TargetSpec } from '../fleet/registry.js';
import type { NodeRecord } from '../records/kinds.js';
import { knownNodes, linkToTarget, nodeOfTarget } from './target-distances.js';

const node = (id: string, agent: string): NodeRecord => ({
	id,
	name: `name-${id}`,
	zone: 'a',
	region: 'eu',
	roles: ['router'],
	version: '0',
	addresses: { agent },
	startedAtMs: 0,
});
const target = (over: Partial<TargetSpec>): TargetSpec => ({
	id: 't',
	url: 'http://10.0.0.9:9000',
	models: ['m'],
	runtime: 'auto',
	apiKey: undefined,
	upstreamModel: undefined,
	revision: undefined,
	quant: undefined,
	weight: 1,
	role: 'both',
	node: '10.0.0.9',
	zone: 'a',
	region: 'eu',
	costPerHour: 0,
	metricsPath: '',
	healthPath: '',
	...over,
});
const nodes = [node('one', '10.0.0.1:8082'), node('two', '10.0.0.2:8082')];
const announced = (by: string | undefined) => knownNodes(nodes, () => by);

test('a target runs on the node it names, else on the announcing one if its URL leads there', (t) => {
	t.is(nodeOfTarget(target({ node: 'name-two' }), announced('one'))?.id, 'two');
	t.is(nodeOfTarget(target({ node: 'two' }), announced(undefined))?.id, 'two');
	t.is(nodeOfTarget(target({ url: 'http://127.0.0.1:9' }), announced('one'))?.id, 'one');
	t.is(nodeOfTarget(target({ url: 'http://10.0.0.1:9' }), announced('one'))?.id, 'one');
	t.is(nodeOfTarget(target({}), announced('one')), undefined, 'it is on a machine that no node is on');
	t.is(nodeOfTarget(target({ url: 'http://127.0.0.1:9' }), announced(undefined)), undefined);
});

test('the class of a link follows the target’s own place, its round trip the node’s', (t) => {
	const measured: LinkEstimate = {
		basis: 'measured',
		reach: 'reached',
		rttMs: 7,
		ageMs: 1,
		error: undefined,
		bandwidthBytesPerS: 5,
		linkClass: 'same_zone',
	};
	const from = { nodeId: 'one', place: { zone: 'a', region: 'eu' }, links: new Map([['two', measured]]) };
	t.deepEqual(linkToTarget(target({ zone: 'b' }), nodes[1], from), { ...measured, linkClass: 'same_region' });
	t.like(linkToTarget(target({}), nodes[0], from), { basis: 'measured', rttMs: 0, linkClass: 'same_node' });
	t.like(linkToTarget(target({ region: 'us' }), undefined, from), { basis: 'unknown', linkClass: 'wan' });
});
