// The Agent API of a mesh of three real processes, called by a program that has nothing but the files of `infermesh ca client`: events across nodes and
// across the death of one, who may change what, a drain with a stream in flight, and what is left without a quorum.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type ChannelCredentials, status } from '@grpc/grpc-js';
import { ask, meshChannel, meshCredentials, Reader, refusal } from '@infermesh/host/grpc-testing';
import { type Event } from '@infermesh/proto/grpc/agent/v1/agent';
import { AgentClient } from '@infermesh/proto/grpc/agent/v1/agent-client';
import { HealthCheckResponse_ServingStatus as Health } from '@infermesh/proto/standard/health/v1/health';
import { HealthClient } from '@infermesh/proto/standard/health/v1/health-client';
import test, { type ExecutionContext } from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { infermesh, type MeshNode, promotions, startNodes } from '../support/mesh-nodes.js';
import { callByName, servicesAt } from '../support/reflected.js';
import { ask as request } from '../support/traffic.js';

const ANN = 'spiffe://infermesh.local/client/ann';
const placement = { models: ['other-*'], zones: ['nowhere'] };

/** What `infermesh ca client ann` has written, as credentials. */
async function certificateOf(node: MeshNode): Promise<ChannelCredentials> {
	const out = path.join(path.dirname(node.file), 'ann');
	const { code, err } = await infermesh('ca', 'client', 'ann', '--config', node.file, '--out', out, '--ttl', '1h');
	if (code !== 0) throw new Error(err);
	const file = (name: string): Buffer => readFileSync(path.join(out, name));
	return meshCredentials(file('bundle.pem'), file('ann.key'), file('ann.pem'));
}

function agentOf(t: ExecutionContext, node: MeshNode, who: ChannelCredentials): AgentClient {
	const client = new AgentClient(node.agent, who, meshChannel());
	t.teardown(() => client.close());
	return client;
}

const put = (node: MeshNode, name: string): Promise<{ readonly revision: number }> =>
	node.put(`/policies/placement/${name}`, { value: placement });

/** What `infermesh check` finds of the mesh when it asks a node. */
async function checked(node: MeshNode): Promise<{
	readonly code: number | null;
	readonly findings: readonly { readonly name: string; readonly status: string; readonly detail: string }[];
}> {
	const { code, out } = await infermesh('check', '--admin', node.admin, '--json');
	const { items } = JSON.parse(out) as { items: { name: string; status: string; detail: string }[] };
	return { code, findings: items.filter(({ name }) => name.startsWith('mesh')) };
}

const policiesIn = (events: readonly Event[]): readonly string[] =>
	events.flatMap(({ kind, id, change }) => (kind === 'policy' ? [`${id} ${change}`] : []));

test.serial('three nodes tell one story over gRPC, whichever is asked and whoever dies', async (t) => {
	t.timeout(300_000);
	const engine = await startTestEngine(t);
	const targets = [{ id: 'engine-1', url: engine.url, models: [MODEL] }];
	const nodes = await startNodes(t, [{ targets }, {}, {}]);
	const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
	await eventually('two more have votes', () => promotions(nodes) === 2, { withinMs: 60_000 });
	const ann = await certificateOf(first);
	const [one, two, three] = [agentOf(t, first, ann), agentOf(t, second, ann), agentOf(t, third, ann)];

	// --- a program that knows nothing but the address
	t.deepEqual(
		(await servicesAt(second.agent, ann)).filter((name) => !name.startsWith('infermesh.')),
		['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'],
	);
	const own = await callByName(second.agent, ann, 'infermesh.agent.v1.Agent', 'GetStatus', {});
	t.like(own, { name: 'node-2', quorum: true });

	// --- what gossip and the links say, and that the mesh finds itself well
	await eventually('distances to the others', async () => {
		const { links } = await ask(two.getTopology.bind(two), {});
		return links.length === 2 && links.every(({ reach, rttMs = 0 }) => reach === 'reached' && rttMs > 0);
	});
	await eventually(
		'the mesh is well',
		async () => {
			const { code, findings } = await checked(third);
			return code === 0 && findings.every(({ status: found }) => found !== 'fail');
		},
		{ withinMs: 30_000, everyMs: 500 },
	);

	// --- who may change what
	const file = (name: string): Buffer => readFileSync(path.join(second.state, 'node', name));
	const asNode = meshCredentials(file('bundle.pem'), file('identity.pem'), file('identity.pem'));
	const ofNode = agentOf(t, first, asNode);
	t.is((await ask(ofNode.listNodes.bind(ofNode), {})).nodes.length, 3);
	t.deepEqual(await refusal(ask(ofNode.cordonNode.bind(ofNode), { node: 'node-3', reason: '' })), [
		status.PERMISSION_DENIED,
		'IM_AGENT_READ_ONLY',
	]);
	const nobody = agentOf(t, first, meshCredentials(file('bundle.pem')));
	t.deepEqual(await refusal(ask(nobody.listNodes.bind(nobody), {})), [
		status.UNAUTHENTICATED,
		'IM_IDENTITY_NO_CERTIFICATE',
	]);

	// --- changed by HTTP at one, seen over gRPC at another; changed over gRPC, seen by HTTP
	const events = new Reader(two.subscribeEvents({ afterRevision: 0n }));
	const begin = (await events.next())?.revision ?? 0n;
	t.true(begin > 0n);
	const { revision } = await put(first, 'a');
	const seen: Event[] = [];
	let last = begin;
	const read = async (fits: () => boolean): Promise<void> => {
		const message = await events.until((one) => {
			seen.push(...one.events);
			return fits();
		});
		last = message.revision;
	};
	await read(() => policiesIn(seen).length === 1);
	const event = seen.find(({ kind }) => kind === 'policy');
	t.like(event, { revision: BigInt(revision), id: 'placement/a', change: 'put' });
	t.deepEqual(JSON.parse(event?.valueJson ?? ''), placement);
	await ask(three.cordonNode.bind(three), { node: 'node-2', reason: 'kernel' });
	t.like(await first.get('/nodes/node-2'), { state: 'cordoned', reason: 'kernel', changedBy: ANN });
	t.regex(third.log(), new RegExp(`"by":"${ANN}","action":"node.cordon","object":"node-2"`));
	await ask(three.uncordonNode.bind(three), { node: 'node-2', reason: '' });
	await read(() => seen.filter(({ kind }) => kind === 'lifecycle').length === 2);

	// --- a drain with a stream in flight is followed to its end
	const health = new HealthClient(third.agent, ann, meshChannel());
	t.teardown(() => health.close());
	const serving = new Reader(health.watch({ service: '' }));
	await serving.until(({ status: now }) => now === Health.SERVING);
	engine.setFaults({ slow: { factor: 2000 } });
	const began = Promise.withResolvers<void>();
	const stream = request({ url: third.data, seed: 1, tokens: 200, stream: true, onFirst: () => began.resolve() });
	await began.promise;
	await ask(one.drainNode.bind(one), { node: 'node-3', reason: 'gone for now' });
	const drain = new Reader(one.followDrain({ node: 'node-3' }));
	await drain.until(({ inFlight }) => inFlight === 1n);
	await serving.until(({ status: now }) => now === Health.NOT_SERVING);
	serving.call.cancel();
	engine.setFaults({ slow: null });
	const steps = await drain.rest();
	t.is(steps.at(-1)?.state, 'drained');
	t.is(steps.at(-1)?.inFlight, 0n);
	t.true((await stream).complete, 'the open stream has finished');
	await ask(one.uncordonNode.bind(one), { node: 'node-3', reason: '' });

	// --- the node that tells dies; another goes on where it ended
	await second.end('SIGKILL');
	t.is((await refusal(events.until(() => false)))[0], status.UNAVAILABLE);
	await eventually(
		'a write is committed without the second',
		async () => typeof (await put(first, 'b').catch((error: unknown) => String(error))) === 'object',
		{ withinMs: 20_000, everyMs: 50 },
	);
	// Gossip need not have seen it by then: the group of coordinators goes on sooner.
	await eventually(
		'the second is found missing',
		async () => {
			const { findings } = await checked(first);
			return findings.find(({ name }) => name === 'mesh members')?.detail.startsWith('node-2 is ') === true;
		},
		{ withinMs: 20_000, everyMs: 50 },
	);
	const again = new Reader(three.subscribeEvents({ afterRevision: last }));
	const rest: Event[] = [];
	await put(first, 'c');
	await again.until((message) => {
		rest.push(...message.events);
		return policiesIn(rest).includes('placement/c put');
	});
	again.call.cancel();
	// The whole story from the beginning, told by a third, is the two parts one after the other.
	const whole: Event[] = [];
	const history = new Reader(one.subscribeEvents({ afterRevision: begin }));
	await history.until((message) => {
		whole.push(...message.events);
		return policiesIn(whole).includes('placement/c put');
	});
	history.call.cancel();
	const told = seen.filter((one) => one.revision <= last);
	t.deepEqual(
		[...told, ...rest],
		whole.filter(({ revision: at }) => at <= (rest.at(-1)?.revision ?? 0n)),
	);

	// --- alone: what was known is told as such, nothing is changed, requests go on
	await first.end('SIGKILL');
	await eventually(
		'the third knows that it is alone',
		async () => !(await ask(three.getStatus.bind(three), {})).quorum,
		{ withinMs: 20_000, everyMs: 100 },
	);
	const alone = await checked(third);
	t.is(alone.code, 1);
	t.is(alone.findings.find(({ name }) => name === 'mesh quorum')?.status, 'fail');
	const held = await ask(three.listPolicies.bind(three), { kind: 'placement' });
	t.true(held.stale);
	t.deepEqual(
		held.policies.map(({ name }) => name),
		['a', 'b', 'c'],
	);
	t.true((await ask(three.listNodes.bind(three), {})).stale);
	const refused = ask(three.setPolicy.bind(three), {
		kind: 'placement',
		name: 'never',
		valueJson: JSON.stringify(placement),
		ifRevision: undefined,
	});
	t.deepEqual(await refusal(refused), [status.UNAVAILABLE, 'IM_CONSENSUS_NO_QUORUM']);
	t.is((await request({ url: third.data, seed: 2, tokens: 4 })).status, 200);
});
