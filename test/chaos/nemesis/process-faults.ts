// Owns faults of processes: killed and started again, stopped for a while, starved of time.
import { anyNode, between, type Fault, type FaultContext, leaderOf, othersThan, type Struck } from './fault.js';

const pauseLeastMs = 100;
const pauseMostMs = 8_000;
/** A stop that lasts longer must not keep the others from writing. */
const noticedMs = 4_000;
const starveTurnMs = 200;

async function kill(context: FaultContext, nodes: readonly number[]): Promise<Struck> {
	const { mesh, random } = context;
	const chosen = nodes.map((at) => mesh.node(at));
	await Promise.all(chosen.map((node) => node.end('SIGKILL')));
	const left = othersThan(context, ...nodes);
	return {
		what: chosen.map(({ name }) => name).join(', '),
		holdMs: between(random, 500, 6_000),
		fired: () => chosen.every(({ up }) => !up),
		able: left.length * 2 > mesh.nodes.length ? left : [],
		restarts: true,
		heal: async () => void (await Promise.all(chosen.map((node) => node.start()))),
	};
}

function stop(context: FaultContext, at: number): Struck {
	const { mesh, random } = context;
	const node = mesh.node(at);
	const holdMs = between(random, pauseLeastMs, pauseMostMs);
	node.pause();
	return {
		what: `${node.name} for ${Math.round(holdMs)} ms`,
		holdMs,
		fired: () => node.paused,
		able: holdMs > noticedMs ? othersThan(context, at) : [],
		heal: async () => node.resume(),
	};
}

function starve(context: FaultContext): Struck {
	const { mesh, random } = context;
	const node = mesh.node(anyNode(context));
	let stops = 0;
	let seen = false;
	const turn = (): void => {
		if (stops++ % 2 === 0) return node.pause();
		seen ||= node.paused;
		node.resume();
	};
	const turning = setInterval(turn, starveTurnMs);
	return {
		what: `${node.name}, stopped every other ${starveTurnMs} ms`,
		holdMs: between(random, 4_000, 8_000),
		fired: () => seen,
		heal: async () => {
			clearInterval(turning);
			node.resume();
		},
	};
}

export const processFaults: readonly Fault[] = [
	{ name: 'kill one', strike: (context) => kill(context, [anyNode(context)]) },
	{ name: 'kill the leader', strike: async (context) => kill(context, [await leaderOf(context)]) },
	{ name: 'kill all', strike: (context) => kill(context, othersThan(context)) },
	{ name: 'stop one', strike: async (context) => stop(context, anyNode(context)) },
	{ name: 'stop the leader', strike: async (context) => stop(context, await leaderOf(context)) },
	{ name: 'starve one', strike: async (context) => starve(context) },
];
