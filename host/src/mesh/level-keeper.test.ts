// The level of formats over a real store: who may be in the mesh, when it rises, what holds it up.
import { COMPAT_LEVEL } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { HandClock } from '../fleet/testing.js';
import { recordKinds } from '../records/kinds.js';
import { LEVEL_ID, LevelKeeper, ownLevel } from './level-keeper.js';
import { lonelyMesh, nodeRecord, SELF } from './testing.js';

const OTHER = '22222222-2222-4222-8222-222222222222';
const SETTLE_MS = 6000;

async function open(t: ExecutionContext, own: number, options: { raises?: boolean; members?: string[] } = {}) {
	const mesh = lonelyMesh();
	const { records, mirrors } = mesh;
	const until = (holds: () => boolean): Promise<void> => mesh.until(holds);
	const clock = new HandClock();
	const told: number[] = [];
	const members = options.members ?? [SELF];
	const keeper = new LevelKeeper({
		clock,
		records,
		mirrors,
		self: SELF,
		own,
		raises: options.raises ?? true,
		members: () => members,
		settleMs: SETTLE_MS,
		changed: (level) => told.push(level),
		failed: (what, error) => t.fail(`${what}: ${String(error)}`),
	});
	t.teardown(() => keeper.close());
	const node = async (id: string, level: number | undefined): Promise<void> => {
		const record = { ...nodeRecord(id, id.slice(0, 4)), ...(level === undefined ? {} : { level }) };
		await records.put(recordKinds.nodes, id, record);
		await until(() => mirrors.nodes.get(id)?.value.level === level && mirrors.nodes.get(id) !== undefined);
		keeper.changed();
	};
	const set = async (level: number): Promise<void> => {
		await records.put(recordKinds.levels, LEVEL_ID, { level, raisedBy: OTHER, raisedAtMs: 1 });
		await until(() => mirrors.levels.get(LEVEL_ID)?.value.level === level);
	};
	return { keeper, records, mirrors, until, clock, told, members, node, set };
}

test('a mesh that begins here begins at the level of the node', async (t) => {
	const { keeper, records } = await open(t, COMPAT_LEVEL);
	await keeper.admit();
	t.is((await records.get(recordKinds.levels, LEVEL_ID))?.value.level, COMPAT_LEVEL);
});

test('a mesh of an older version has decided nothing: whoever comes to it first leaves its level alone', async (t) => {
	const { keeper, records, node } = await open(t, 2);
	await node(OTHER, undefined);
	await keeper.admit();
	t.is(await records.get(recordKinds.levels, LEVEL_ID), undefined);
	const restarted = await open(t, 2, { members: [SELF, OTHER] });
	await restarted.keeper.admit();
	t.is(
		await restarted.records.get(recordKinds.levels, LEVEL_ID),
		undefined,
		'the other member may come back as it was',
	);
});

for (const [own, mesh, why] of [
	[1, 2, /level 2; this node speaks 1 to 1 and is too old/],
	[3, 1, /level 1; this node speaks 2 to 3 and is too new/],
	[4, 2, /level 2; this node speaks 3 to 4 and is too new/],
] as const)
	test(`a node of level ${own} is refused by a mesh of level ${mesh}, by name`, async (t) => {
		const { keeper, set, node } = await open(t, own);
		await node(OTHER, mesh);
		await set(mesh);
		const error = await t.throwsAsync(keeper.admit(), { code: 'IM_NODE_LEVEL' });
		t.regex(error?.message ?? '', why);
		t.regex(keeper.refusal() ?? '', why);
	});

for (const [own, mesh] of [
	[2, 1],
	[2, 2],
	[3, 2],
] as const)
	test(`a node of level ${own} may be in a mesh of level ${mesh}`, async (t) => {
		const { keeper, set, node } = await open(t, own);
		await node(OTHER, mesh);
		await set(mesh);
		await t.notThrowsAsync(keeper.admit());
		t.is(keeper.refusal(), undefined);
	});

test('the level rises when every node has spoken a newer one for a while, and not before', async (t) => {
	const { keeper, clock, node, mirrors, until, told } = await open(t, 2);
	await node(SELF, 2);
	await node(OTHER, undefined);
	clock.advance(10 * SETTLE_MS);
	t.is(keeper.level, 1);
	await node(OTHER, 2);
	clock.advance(SETTLE_MS - 1);
	await node(OTHER, undefined);
	clock.advance(SETTLE_MS);
	t.is(keeper.level, 1, 'one has gone back meanwhile');
	await node(OTHER, 2);
	clock.advance(SETTLE_MS);
	await until(() => mirrors.levels.get(LEVEL_ID)?.value.level === 2);
	keeper.changed();
	t.deepEqual(told, [1, 2]);
	await node(OTHER, undefined);
	clock.advance(10 * SETTLE_MS);
	t.is(keeper.level, 2, 'what was written at a level stays to be read');
});

test('a coordinator that is away holds the rise up; once it is removed from the group, it does not', async (t) => {
	const { keeper, clock, node, members, mirrors, until } = await open(t, 2, { members: [SELF, OTHER] });
	await node(SELF, 2);
	clock.advance(10 * SETTLE_MS);
	t.is(keeper.level, 1);
	// Nobody is told that it has left the group: no record changes by it.
	members.pop();
	clock.advance(2 * SETTLE_MS);
	await until(() => mirrors.levels.get(LEVEL_ID)?.value.level === 2);
	t.is(keeper.level, 2);
	keeper.changed();
	t.is(clock.timers, 0);
});

test('a node that is no coordinator raises nothing', async (t) => {
	const { clock, node, records } = await open(t, 2, { raises: false, members: [] });
	await node(SELF, 2);
	clock.advance(10 * SETTLE_MS);
	t.is(await records.get(recordKinds.levels, LEVEL_ID), undefined);
});

test('a level that this version cannot be held at is refused', (t) => {
	t.is(ownLevel(0), COMPAT_LEVEL);
	t.is(ownLevel(COMPAT_LEVEL - 1), COMPAT_LEVEL - 1);
	t.throws(() => ownLevel(COMPAT_LEVEL + 1), { code: 'IM_NODE_LEVEL' });
	t.throws(() => ownLevel(COMPAT_LEVEL + 2), { code: 'IM_NODE_LEVEL' });
});
