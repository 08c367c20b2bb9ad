// Owns faults that the kernel makes in a node's own network namespace: packets, not messages, are lost.
import { anyNode, between, type Fault, type FaultContext, othersThan, type Struck } from './fault.js';

const holdMs = [5_000, 10_000] as const;

async function lose(
	context: FaultContext,
	nodes: readonly number[],
	share: number,
	able: readonly number[],
): Promise<Struck> {
	const { namespaces, mesh, random } = context;
	if (namespaces === undefined) throw new Error('there are no namespaces');
	for (const at of nodes) await namespaces.lose(at, share);
	return {
		what: `${nodes.map((at) => mesh.node(at).name).join(', ')}: ${Math.round(share * 100)} %`,
		holdMs: between(random, ...holdMs),
		fired: async () => (await Promise.all(nodes.map((at) => namespaces.lost(at)))).every((count) => count > 0),
		able,
		heal: () => namespaces.heal(),
	};
}

export const kernelFaults: readonly Fault[] = [
	{
		name: 'packets lost',
		inNamespaces: true,
		strike: (context) => lose(context, othersThan(context), between(context.random, 0.02, 0.2), []),
	},
	{
		name: 'all packets of one lost',
		inNamespaces: true,
		strike: (context) => {
			const at = anyNode(context);
			return lose(context, [at], 1, othersThan(context, at));
		},
	},
];
