// Owns what operators do while all goes on: hand leadership over, drain a target or a node, stop a node gently, replace one that has lost its disk.
import { eventually } from '../../support/mesh.js';
import { pick } from '../workload/workload.js';
import { anyNode, type Fault, type FaultContext, leaderOf, othersThan, type Struck } from './fault.js';

const drainWithinMs = 120_000;
const forgottenWithinMs = 60_000;
const promotedWithinMs = 60_000;
/** A target that is drained stays without new streams; looked at for so long. */
const quietMs = 2_000;

async function transfer(context: FaultContext): Promise<Struck> {
	const { mesh, random } = context;
	const before = await leaderOf(context);
	const to = pick(random, othersThan(context, before));
	const [leader, next] = [mesh.node(before), mesh.node(to)];
	await leader.admin.call('POST', '/api/v1/raft/transfer', { to: next.name });
	return {
		what: `${leader.name} → ${next.name}`,
		holdMs: 0,
		fired: async () => (await mesh.raft(next)).leaderName === next.name,
		able: othersThan(context),
		heal: async () => undefined,
	};
}

/** Waits for streams that a drain would have to let end. */
async function streamsUnder({ streams }: FaultContext, router: number | undefined, target: string): Promise<number> {
	await eventually('streams are under way', () => streams.under(router, target) > 0, {
		withinMs: 30_000,
		everyMs: 10,
	});
	return streams.under(router, target);
}

async function drainTarget(context: FaultContext): Promise<Struck> {
	const { mesh, streams } = context;
	const by = mesh.node(anyNode(context));
	const target = `engine-${anyNode(context) + 1}`;
	await context.configuration.holdLifecycle(drainWithinMs);
	const under = await streamsUnder(context, undefined, target);
	await by.admin.drain(target);
	await eventually(`streams to ${target} have ended`, () => streams.under(undefined, target) === 0, {
		withinMs: drainWithinMs,
		everyMs: 20,
	});
	for (const node of mesh.nodes)
		await eventually(
			`${node.name} knows that ${target} is draining`,
			() => node.admin.target(target).then(({ state }) => state === 'draining'),
			{ withinMs: drainWithinMs, everyMs: 50 },
		);
	const begunBefore = streams.begun(target);
	await new Promise((resolve) => setTimeout(resolve, quietMs));
	const since = streams.begun(target) - begunBefore;
	if (since > 0) throw new Error(`${since} streams began on ${target} within ${quietMs} ms after it was drained`);
	return {
		what: `${target}, ${under} streams`,
		holdMs: 0,
		fired: () => under > 0,
		able: othersThan(context),
		heal: async () => {
			await by.admin.drain(target, false);
			context.configuration.releaseLifecycle();
		},
	};
}

async function drainNode(context: FaultContext): Promise<Struck> {
	const { mesh, streams, configuration } = context;
	const at = anyNode(context);
	const node = mesh.node(at);
	const by = mesh.node(pick(context.random, othersThan(context, at)));
	await configuration.holdLifecycle(drainWithinMs);
	const under = await streamsUnder(context, at, `engine-${at + 1}`);
	streams.withhold(at, true);
	await by.admin.call('POST', `/api/v1/nodes/${node.name}/drain`, { reason: 'chaos' });
	await eventually(
		`${node.name} is drained`,
		() =>
			by.admin.call<{ state: string }>('GET', `/api/v1/nodes/${node.name}/drain`).then(
				({ state }) => state === 'drained',
				() => false,
			),
		{ withinMs: drainWithinMs, everyMs: 100 },
	);
	const code = await node.end('SIGTERM');
	return {
		what: `${node.name}, ${under} streams`,
		holdMs: 1_000,
		fired: () => under > 0 && code === 0,
		able: othersThan(context, at),
		restarts: true,
		heal: async () => {
			await node.start();
			await by.admin.call('POST', `/api/v1/nodes/${node.name}/uncordon`, { reason: 'chaos' });
			streams.withhold(at, false);
			configuration.releaseLifecycle();
		},
	};
}

async function stopGently(context: FaultContext): Promise<Struck> {
	const { mesh, streams } = context;
	const at = anyNode(context);
	const node = mesh.node(at);
	const under = await streamsUnder(context, at, `engine-${at + 1}`);
	streams.withhold(at, true);
	const code = await node.end('SIGTERM');
	return {
		what: `${node.name}, ${under} streams`,
		holdMs: 1_000,
		fired: () => code === 0,
		able: othersThan(context, at),
		restarts: true,
		heal: async () => {
			await node.start();
			streams.withhold(at, false);
		},
	};
}

interface KnownNode {
	readonly id: string;
	readonly name: string;
	readonly present: boolean;
}

async function wipe(context: FaultContext): Promise<Struck> {
	const { mesh, random } = context;
	const at = anyNode(context);
	const node = mesh.node(at);
	const others = othersThan(context, at);
	const by = mesh.node(pick(random, others));
	const known = await by.admin.call<KnownNode>('GET', `/api/v1/nodes/${node.name}`);
	await context.configuration.holdLifecycle(drainWithinMs);
	await node.end('SIGKILL');
	node.wipe();
	let refusal: unknown;
	// An operator forgets it, with its vote, before its successor comes; only the leader takes votes away.
	await eventually(
		`${node.name} is forgotten`,
		async () => {
			const leader = mesh.node(await leaderOf(context));
			refusal = await leader.admin.call('DELETE', `/api/v1/nodes/${known.id}`).then(
				() => undefined,
				(error: unknown) => error,
			);
			return refusal === undefined;
		},
		{ withinMs: forgottenWithinMs, everyMs: 300 },
	).catch((cause: unknown) => {
		throw new Error(`${node.name} is not forgotten: ${String(refusal)}`, { cause });
	});
	return {
		what: node.name,
		holdMs: 500,
		fired: async () => {
			const { members } = await mesh.raft(by);
			return members.every(({ id }) => id !== known.id);
		},
		able: others,
		restarts: true,
		heal: async () => {
			// Who holds the authority signs for itself; the others are let in by it.
			const joining =
				node === mesh.authority ? [by.agent] : [mesh.authority.agent, '--join-token', await mesh.joinToken()];
			await node.start('--join', ...joining);
			let now: KnownNode | undefined;
			await eventually(
				`${node.name} is another node and has a vote`,
				async () => {
					now = await by.admin.call<KnownNode>('GET', `/api/v1/nodes/${node.name}`);
					const { members } = await mesh.raft(by);
					return members.some(({ id, role }) => id !== known.id && id === now?.id && role === 'voter');
				},
				{ withinMs: promotedWithinMs, everyMs: 200 },
			);
			context.configuration.releaseLifecycle();
		},
	};
}

export const operatorFaults: readonly Fault[] = [
	{ name: 'leadership transfer', strike: transfer },
	{ name: 'drain a target', strike: drainTarget },
	{ name: 'drain a node, stop it, start it', strike: drainNode },
	{ name: 'stop a node gently', strike: stopGently },
	{ name: 'wipe a node, join anew', strike: wipe },
];
