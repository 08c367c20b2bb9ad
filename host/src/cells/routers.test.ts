import test from 'ava';
import { nodeRecord } from '../mesh/testing.js';
import type { LifecycleState, NodeRecord } from '../records/kinds.js';
import { routersOf } from './routers.js';

const router = (id: string, data: string | undefined, agent = '10.0.0.1:8082'): NodeRecord => ({
	...nodeRecord(id, id),
	addresses: { agent, ...(data === undefined ? {} : { data }) },
});
const active = (): LifecycleState => 'active';

test('a data plane that listens everywhere is reached where its agent is', (t) => {
	const nodes = [
		router('b', 'http://0.0.0.0:8080'),
		router('a', 'http://[::]:8080', '[fd00::2]:8082'),
		router('c', 'http://10.0.0.3:9000/'),
		router('d', 'http://0.0.0.0:8080', 'node-d.example:8082'),
	];
	t.deepEqual(
		routersOf(nodes, () => true, active),
		['http://10.0.0.1:8080', 'http://10.0.0.3:9000', 'http://[fd00::2]:8080', 'http://node-d.example:8080'],
	);
});

test('nodes that are away, not to be used, without a router or with an address that is none take nothing', (t) => {
	const url = 'http://10.0.0.9:8080';
	const states: Record<string, LifecycleState> = {
		draining: 'draining',
		quarantined: 'quarantined',
		cordoned: 'cordoned',
	};
	const nodes = ['alive', 'gone', ...Object.keys(states)].map((id) => router(id, url));
	const taking = routersOf(
		[...nodes, router('none', undefined), router('odd', 'nonsense')],
		(id) => id !== 'gone',
		(id) => states[id] ?? 'active',
	);
	t.deepEqual(taking, [url]);
});
