// Keys of gossip in real stores: who is first makes one, and cells that began apart come to use the same.
import { createLocalEngine } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { HandClock } from '../../fleet/testing.js';
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

test('a cell that joins another’s gateways uses their key, and they know its own; what a later node reads is the same', async (t) => {
	const [west, east] = [await cell(t), await cell(t)];
	const [ofWest, ofEast] = [hex(west.keys), hex(east.keys)];
	t.notDeepEqual(ofWest, ofEast);
	const joined = changed(east.keys);
	east.keys.adopt(west.keys.secrets, true);
	await joined;
	t.deepEqual(hex(east.keys), [...ofWest, ...ofEast]);
	const told = changed(west.keys);
	west.keys.adopt(east.keys.secrets, false);
	await told;
	t.deepEqual(hex(west.keys), [...ofWest, ...ofEast]);
	const late = new GossipKeys(gossipKeyNames.gateways, west.engine, systemClock, [], () => undefined);
	await late.start(() => false);
	late.close();
	t.deepEqual(hex(late), hex(west.keys));
});

test('keys of other cells never displace one that is known, whatever their order and number', async (t) => {
	const { keys } = await cell(t);
	const [own] = hex(keys);
	const met = changed(keys);
	keys.adopt(
		Array.from({ length: 9 }, (_, n) => new Uint8Array(32).fill(n)),
		false,
	);
	await met;
	const full = hex(keys);
	t.is(full.length, 4);
	t.is(full[0], own, 'the key in use stays');
	let changes = 0;
	keys.onChange(() => changes++);
	keys.adopt([new Uint8Array(32).fill(200)], false);
	keys.adopt(keys.secrets.toReversed(), true);
	await new Promise((resolve) => setImmediate(resolve));
	t.is(changes, 0, 'nor does joining gateways that know the key in use');
	const joined = changed(keys);
	keys.adopt([new Uint8Array(32).fill(201)], true);
	await joined;
	t.deepEqual(hex(keys), ['c9'.repeat(32), ...full.slice(0, 3)]);
});

const shutOut = ['0b0e3d2c-0000-4000-8000-000000000001@7'];

test('a key is made against whoever is shut out, once for each decision, and the one before is dropped after a grace', async (t) => {
	const { engine } = await cell(t);
	const clock = new HandClock();
	const keys = new GossipKeys(gossipKeyNames.cell, engine, clock, [], (what, error) =>
		t.fail(`${what}: ${String(error)}`),
	);
	await keys.start(() => false);
	t.teardown(() => keys.close());
	const [first] = hex(keys);
	await keys.keepFrom(shutOut);
	const [second, before] = hex(keys);
	t.not(second, first);
	t.is(before, first, 'what is on its way is still opened');
	clock.advance(59_000);
	await keys.keepFrom(shutOut);
	t.deepEqual(hex(keys), [second, first]);
	clock.advance(1000);
	await keys.keepFrom(shutOut);
	t.deepEqual(hex(keys), [second], 'what the node that is shut out knows opens nothing any more');
	// Released in between, and shut out again: it has learnt the key that is in use.
	await keys.keepFrom([]);
	await keys.keepFrom(shutOut);
	t.deepEqual(hex(keys), [second]);
	await keys.keepFrom(['0b0e3d2c-0000-4000-8000-000000000001@9']);
	t.is(hex(keys).length, 2);
	t.not(hex(keys)[0], second);
});

test('a rotation that failed is made by the next call, and by whoever leads next', async (t) => {
	const { engine } = await cell(t);
	const failures: string[] = [];
	let cut = false;
	const broken: typeof engine = new Proxy(engine, {
		get: (of, name) => {
			if (name === 'transact' && cut) return () => Promise.reject(new Error('no quorum'));
			const member: unknown = Reflect.get(of, name);
			return typeof member === 'function' ? member.bind(of) : member;
		},
	});
	const leader = new GossipKeys(gossipKeyNames.cell, broken, systemClock, [], (what) => failures.push(what));
	await leader.start(() => false);
	const other = new GossipKeys(gossipKeyNames.cell, engine, systemClock, [], () => undefined);
	await other.start(() => false);
	t.teardown(() => {
		leader.close();
		other.close();
	});
	const [first] = hex(leader);
	cut = true;
	await leader.keepFrom(shutOut);
	t.deepEqual(failures, ['rotating the gossip key']);
	t.deepEqual(hex(leader), [first]);
	const told = changed(leader);
	await other.keepFrom(shutOut);
	await told;
	t.not(hex(other)[0], first);
	cut = false;
	await leader.keepFrom(shutOut);
	t.deepEqual(hex(leader), hex(other), 'found done');
});
