// Owns faults of the network between nodes, as the relay makes them.
import type { LinkCount, LinkRules } from '../relay/link.js';
import type { Way } from '../relay/protocol.js';
import { pick } from '../workload/workload.js';
import { anyNode, between, type Fault, type FaultContext, leaderOf, othersThan, type Struck } from './fault.js';

const holdMs = [5_000, 10_000] as const;
const resetEveryMs = 300;

/** Ways between the sides, in both directions. */
function acrossOf(side: readonly number[], other: readonly number[]): readonly Way[] {
	return side.flatMap((one) =>
		other.flatMap((two) => [
			{ from: one, to: two },
			{ from: two, to: one },
		]),
	);
}

async function rules(
	context: FaultContext,
	ways: readonly Way[],
	given: Partial<LinkRules>,
	{ what, shows, able = [] }: { readonly what: string; readonly shows: LinkCount; readonly able?: readonly number[] },
): Promise<Struck> {
	const { relay } = context.mesh;
	const before = await relay.counts(ways, shows);
	await relay.rules(ways, given);
	return {
		what,
		holdMs: between(context.random, ...holdMs),
		async fired() {
			const now = await relay.counts(ways, shows);
			const more = now.map((count, at) => count - (before[at] ?? 0));
			// A cut must be felt on every way; of the others it is enough that they are felt.
			return given.cut === true ? more.every((count) => count > 0) : more.some((count) => count > 0);
		},
		able,
		heal: () => relay.heal(),
	};
}

async function isolate(context: FaultContext, at: number): Promise<Struck> {
	const others = othersThan(context, at);
	return rules(
		context,
		acrossOf([at], others),
		{ cut: true },
		{ what: context.mesh.node(at).name, shows: 'cut', able: others },
	);
}

/** A part without a majority on its own; with three nodes that is one. */
async function split(context: FaultContext): Promise<Struck> {
	const { mesh, random } = context;
	const count = mesh.nodes.length;
	const minority = Math.max(1, Math.floor(between(random, 1, Math.ceil(count / 2))));
	const shuffled = othersThan(context)
		.map((at) => ({ at, key: random.nextU32() }))
		.sort((a, b) => a.key - b.key)
		.map(({ at }) => at);
	const [side, others] = [shuffled.slice(0, minority), shuffled.slice(minority)];
	const names = side.map((at) => mesh.node(at).name).join(', ');
	return rules(context, acrossOf(side, others), { cut: true }, { what: names, shows: 'cut', able: others });
}

async function oneWay(context: FaultContext, heard: boolean): Promise<Struck> {
	const at = anyNode(context);
	const ways = othersThan(context, at).map((other) => (heard ? { from: other, to: at } : { from: at, to: other }));
	const { name } = context.mesh.node(at);
	return rules(
		context,
		ways,
		{ cut: true },
		{ what: `${name} ${heard ? 'hears nobody' : 'is not heard'}`, shows: 'cut' },
	);
}

async function bridge(context: FaultContext): Promise<Struck> {
	const { mesh, random } = context;
	const one = anyNode(context);
	const two = pick(random, othersThan(context, one));
	return rules(
		context,
		acrossOf([one], [two]),
		{ cut: true },
		{ what: `${mesh.node(one).name} – ${mesh.node(two).name}`, shows: 'cut', able: othersThan(context, one, two) },
	);
}

const weather =
	(shows: LinkCount, draw: (context: FaultContext) => Partial<LinkRules>): Fault['strike'] =>
	(context) => {
		const given = draw(context);
		const what = Object.entries(given)
			.map(([name, value]) => `${name} ${Number(value).toFixed(Number(value) < 1 ? 2 : 0)}`)
			.join(', ');
		return rules(context, context.mesh.relay.ways, given, { what, shows });
	};

async function resets(context: FaultContext): Promise<Struck> {
	const { relay } = context.mesh;
	const before = await relay.counts(relay.ways, 'reset');
	const turning = setInterval(() => void relay.reset([pick(context.random, relay.ways)]), resetEveryMs);
	return {
		what: `one way every ${resetEveryMs} ms`,
		holdMs: between(context.random, ...holdMs),
		fired: async () => (await relay.counts(relay.ways, 'reset')).some((count, at) => count > (before[at] ?? 0)),
		heal: async () => clearInterval(turning),
	};
}

async function halfOpen(context: FaultContext): Promise<Struck> {
	const { mesh, random } = context;
	const { relay } = mesh;
	const at = anyNode(context);
	const ways = othersThan(context, at).map((to) => ({ from: at, to }));
	const before = await relay.counts(ways, 'halfOpened');
	await relay.halfOpen(ways);
	return {
		what: `connections of ${mesh.node(at).name}`,
		holdMs: between(random, ...holdMs),
		fired: async () => (await relay.counts(ways, 'halfOpened')).some((count, way) => count > (before[way] ?? 0)),
		// Nothing mends them: their owners must notice by themselves.
		heal: async () => undefined,
	};
}

export const networkFaults: readonly Fault[] = [
	{ name: 'isolate one', strike: (context) => isolate(context, anyNode(context)) },
	{ name: 'isolate the leader', strike: async (context) => isolate(context, await leaderOf(context)) },
	{
		name: 'majority and minority',
		// Of three nodes that is to isolate one.
		nodesLeast: 4,
		strike: split,
	},
	{ name: 'one way: not heard', strike: (context) => oneWay(context, false) },
	{ name: 'one way: hears nobody', strike: (context) => oneWay(context, true) },
	{ name: 'two do not see each other', strike: bridge },
	{
		name: 'delay',
		strike: weather('delayed', ({ random }) => ({
			delayMs: between(random, 5, 80),
			jitterMs: between(random, 5, 80),
		})),
	},
	{ name: 'loss', strike: weather('lost', ({ random }) => ({ loss: between(random, 0.05, 0.3) })) },
	{
		name: 'duplicates',
		strike: weather('duplicated', ({ random }) => ({ duplicate: between(random, 0.2, 0.6) })),
	},
	{ name: 'reordering', strike: weather('reordered', ({ random }) => ({ reorder: between(random, 0.2, 0.6) })) },
	{
		name: 'slow links',
		strike: weather('limited', ({ random }) => ({ bytesPerSecond: between(random, 60_000, 200_000) })),
	},
	{ name: 'resets', strike: resets },
	{ name: 'half-open', strike: halfOpen },
];
