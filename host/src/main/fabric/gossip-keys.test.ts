// Keys of gossip in real stores: who is first makes one, and cells that began apart come to use the same.
import { createLocalEngine } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { systemClock, systemRandom } from '../clock.js';
import { GossipKeys, gossipKeyNames } from './gossip-keys.js';

async function cell(t: ExecutionContext) {
	const engine = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => {
			throw error;
		},
	});
	const keys = new GossipKeys(gossipKeyNames.gateways, engine, systemClock, [], (what, error) =>
		t.fail(`${what}: ${String(error)}`),
	);
	await keys.start(() => false);
	t.teardown(async () => {
		keys.close();
		await engine.close();
	});
	return { engine, keys };
}

const changed = (keys: GossipKeys): Promise<void> =>
	new Promise((resolve) => {
		keys.onChange(resolve);
	});
const hex = (keys: GossipKeys): string[] => keys.secrets.map((key) => Buffer.from(key).toString('hex'));

test('two cells that met use one key and know both, whichever asked; what a later node reads is the same', async (t) => {
	const [west, east] = [await cell(t), await cell(t)];
	t.notDeepEqual(hex(west.keys), hex(east.keys));
	const both = Promise.all([changed(west.keys), changed(east.keys)]);
	const [ofWest, ofEast] = [west.keys.secrets, east.keys.secrets];
	east.keys.adopt(ofWest);
	west.keys.adopt(ofEast);
	await both;
	t.is(hex(west.keys).length, 2);
	t.deepEqual(hex(west.keys), hex(east.keys));
	const late = new GossipKeys(gossipKeyNames.gateways, west.engine, systemClock, [], () => undefined);
	await late.start(() => false);
	late.close();
	t.deepEqual(hex(late), hex(west.keys));
});

test('no more keys are kept than the bound, and those that are known change nothing', async (t) => {
	const { keys } = await cell(t);
	const met = changed(keys);
	keys.adopt(Array.from({ length: 9 }, (_, n) => new Uint8Array(32).fill(n)));
	await met;
	t.is(keys.secrets.length, 4);
	t.deepEqual(keys.secrets[0], new Uint8Array(32));
	let changes = 0;
	keys.onChange(() => changes++);
	keys.adopt(keys.secrets);
	await new Promise((resolve) => setImmediate(resolve));
	t.is(changes, 0);
});
