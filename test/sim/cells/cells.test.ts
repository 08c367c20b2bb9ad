import test from 'ava';
import { CellsWorld, PERIOD_MS, type SimNode, STALE_AFTER_MS } from './world.js';

const cells = ['a', 'b', 'c'];
const PERIODS = 10;

/** Whether a node holds fresh summaries of exactly these other cells. */
const knows = (node: SimNode, others: readonly string[]): boolean =>
	node.exchange
		.cells()
		.filter(({ stale }) => !stale)
		.map(({ summary }) => summary.cell)
		.join() === others.join();
const othersOf = (cell: string): readonly string[] => cells.filter((one) => one !== cell);

test('what crosses from cell to cell is the same for ten nodes a cell and for a thousand', async (t) => {
	const seen = new Map<number, { calls: number; bytes: number; packets: number; perNode: number }>();
	for (const nodesPerCell of [10, 100, 1000]) {
		const world = new CellsWorld(cells, nodesPerCell, 2);
		for (let n = 0; n < PERIODS; n++) await world.period();
		t.true(world.nodes.every((node) => knows(node, othersOf(node.cell))));
		const { calls, bytes } = world.crossing;
		const asking = world.nodes.filter(({ gateway }) => !gateway).length;
		const perNode = world.within.calls / asking / PERIODS;
		const packets = world.gossipPackets();
		seen.set(nodesPerCell, { calls, bytes, packets, perNode });
		t.log(
			`${nodesPerCell} nodes a cell: ${calls / PERIODS} calls and ${Math.round(bytes / PERIODS)} bytes a period cross, ${packets} packets of gossip a minute`,
		);
	}
	const [few, more, most] = [seen.get(10), seen.get(100), seen.get(1000)];
	t.is(few?.calls, 6 * 2 * PERIODS, 'each of six gateways calls one of each of two other cells');
	for (const one of [more, most]) {
		t.is(one?.calls, few?.calls);
		t.is(one?.packets, few?.packets);
		// Numbers in a summary take a byte or two more, and URLs of at most sixteen routers a digit.
		t.true(Math.abs((one?.bytes ?? 0) / (few?.bytes ?? 1) - 1) < 0.25);
		t.is(one?.perNode, 1);
	}
	t.true(Math.abs((most?.bytes ?? 0) / (more?.bytes ?? 1) - 1) < 0.1, `${most?.bytes} against ${more?.bytes}`);
});

test('a gateway’s death makes no summary stale anywhere', async (t) => {
	const world = new CellsWorld(cells, 8, 2);
	for (let n = 0; n < 3; n++) await world.period();
	for (const cell of cells) (world.of(cell)[0] as SimNode).up = false;
	for (let n = 0; n < 3 * (STALE_AFTER_MS / PERIOD_MS); n++) {
		await world.period();
		for (const node of world.nodes)
			if (node.up) t.true(knows(node, othersOf(node.cell)), `${node.id} at ${world.nowMs} ms`);
	}
});

test('a cell that is lost is stale everywhere in time, and the others know each other as before', async (t) => {
	const world = new CellsWorld(cells, 8, 2);
	for (let n = 0; n < 3; n++) await world.period();
	world.cut.add('c');
	const cutAtMs = world.nowMs;
	const survivors = world.nodes.filter(({ cell }) => cell !== 'c');
	const left = (node: SimNode): readonly string[] => othersOf(node.cell).filter((cell) => cell !== 'c');
	while (!survivors.every((node) => knows(node, left(node)))) {
		await world.period();
		t.true(world.nowMs - cutAtMs <= STALE_AFTER_MS + 3 * PERIOD_MS, 'it was not stale everywhere in time');
	}
	t.log(`stale everywhere ${world.nowMs - cutAtMs} ms after the cut`);
	world.cut.clear();
	const healedAtMs = world.nowMs;
	while (!world.nodes.every((node) => knows(node, othersOf(node.cell)))) {
		await world.period();
		t.true(world.nowMs - healedAtMs <= 3 * PERIOD_MS, 'it is not known again in time');
	}
});
