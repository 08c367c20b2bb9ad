// The Agent API over real gRPC and mTLS: what it answers, whom it lets do what, and how its streams begin, go on and end.
import { type ServiceError, status } from '@grpc/grpc-js';
import { type AgentClient, type Event, type EventsReply } from '@infermesh/proto/grpc/agent/v1/agent';
import test from 'ava';
import { nodeRecord, SELF, withoutQuorum } from '../mesh/testing.js';
import { recordKinds } from '../records/kinds.js';
import type { CallerRules } from './callers.js';
import { ask, bearer, Reader, refusal } from './grpc-testing.js';
import { openAgent, type TestAgent, TOKEN } from './testing.js';

const second = '22222222-2222-4222-8222-222222222222';
const BOB = 'spiffe://mesh.test/client/bob';
const placement = JSON.stringify({ models: ['llama-*'], regions: ['eu-1'] });

const setPolicy = (client: AgentClient, name: string, ifRevision?: bigint) =>
	ask(client.setPolicy.bind(client), { kind: 'placement', name, valueJson: placement, ifRevision });

const told = (events: readonly Event[]): string[] =>
	events.map(({ revision, kind, id, change }) => `${revision} ${kind} ${id} ${change}`);

/** A second node that is there. */
async function withSecond({ mesh }: TestAgent): Promise<void> {
	await mesh.records.put(recordKinds.nodes, second, nodeRecord(second, 'two'));
	await mesh.until(() => mesh.mirrors.nodes.get(second) !== undefined);
}

test('any certificate of the mesh reads: nodes, status, members, distances', async (t) => {
	const agent = await openAgent(t);
	await withSecond(agent);
	agent.readiness = { ready: false, reasons: ['no target is serving'], degraded: ['local-only'] };
	const client = agent.client(agent.asNode);
	const { nodes, revision, stale } = await ask(client.listNodes.bind(client), {});
	t.deepEqual(
		nodes.map(({ name, present, health, state }) => ({ name, present, health, state })),
		[
			{ name: 'one', present: false, health: 'alive', state: 'active' },
			{ name: 'two', present: true, health: 'unknown', state: 'active' },
		],
	);
	t.true(revision > 0n);
	t.false(stale);
	const { node } = await ask(client.getNode.bind(client), { node: 'two' });
	t.like(node, { id: second, zone: 'z1', region: 'r1', roles: ['router'], agentAddress: '127.0.0.1:8082' });
	const now = await ask(client.getStatus.bind(client), {});
	t.like(now, { nodeId: SELF, name: 'one', roles: ['router', 'coordinator'], quorum: true, alive: [SELF] });
	t.deepEqual([now.notReady, now.degraded], [['no target is serving'], ['local-only']]);
	t.true(now.certificateExpiresMs > BigInt(Date.now()));
	t.is(now.timeMs, BigInt(agent.clock.wallMs()));
	const { members } = await ask(client.listMembers.bind(client), {});
	t.like(members[0], { id: SELF, state: 'alive', incarnation: 1n });
	t.deepEqual((await ask(client.getTopology.bind(client), {})).links, []);
	const pairs = await ask(client.listPairs.bind(client), {});
	t.deepEqual(pairs, { pairs: [], unanswered: [], truncated: false });
	t.deepEqual((await ask(client.listCells.bind(client), {})).cells, []);
});

test('bandwidth is measured for who may change something, between nodes that are known', async (t) => {
	const agent = await openAgent(t);
	await withSecond(agent);
	const client = agent.client(agent.asClient);
	const measure = (from: string, to: string) =>
		ask(client.measureBandwidth.bind(client), { from, to, bytesMax: 0, durationMsMax: 0 });
	t.deepEqual(await measure('one', 'two'), {
		from: 'one',
		to: 'two',
		bytes: 1024,
		durationMs: 2,
		bandwidthBytesPerS: 512_000,
	});
	t.deepEqual(await refusal(measure('one', 'nobody')), [status.NOT_FOUND, 'IM_NODE_UNKNOWN']);
});

test('a client with a certificate administers policies; the log names it', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asClient);
	const made = await setPolicy(client, 'eu', 0n);
	t.like(made, { kind: 'placement', name: 'eu', valueJson: placement });
	t.deepEqual(await refusal(setPolicy(client, 'eu', 0n)), [status.ABORTED, 'IM_RECORD_CONFLICT']);
	t.deepEqual(await refusal(setPolicy(client, 'eu', made.revision + 1n)), [status.ABORTED, 'IM_RECORD_CONFLICT']);
	const again = await setPolicy(client, 'eu', made.revision);
	t.true(again.revision > made.revision);
	const { policies, stale } = await ask(client.listPolicies.bind(client), { kind: '' });
	t.deepEqual(policies, [again]);
	t.false(stale);
	t.deepEqual(await ask(client.getPolicy.bind(client), { kind: 'placement', name: 'eu' }), {
		policy: again,
		stale: false,
	});
	const remove = () => ask(client.deletePolicy.bind(client), { kind: 'placement', name: 'eu' });
	t.deepEqual(await remove(), { existed: true });
	t.deepEqual(await remove(), { existed: false });
	t.deepEqual(
		agent.mesh.audits.map(({ by, action, object }) => `${by} ${action} ${object}`),
		[`${BOB} policy.set placement/eu`, `${BOB} policy.set placement/eu`, `${BOB} policy.delete placement/eu`],
	);
});

test('each decision about a node is the one of its name, with reason and author', async (t) => {
	const agent = await openAgent(t);
	await withSecond(agent);
	const client = agent.client(agent.asClient);
	const decisions = [
		[client.cordonNode.bind(client), 'cordoned'],
		[client.uncordonNode.bind(client), 'active'],
		[client.drainNode.bind(client), 'draining'],
		[client.quarantineNode.bind(client), 'quarantined'],
		[client.releaseNode.bind(client), 'active'],
	] as const;
	for (const [decide, state] of decisions) {
		const node = await ask(decide, { node: 'two', reason: `to ${state}` });
		t.like(node, { id: second, state, reason: `to ${state}`, changedBy: BOB });
		const shown = await ask(client.getNode.bind(client), { node: second });
		t.deepEqual(shown.node, { ...node }, 'and it is shown at once');
	}
	await agent.mesh.records.remove(recordKinds.nodes, second);
	await agent.mesh.until(() => agent.mesh.mirrors.nodes.get(second) === undefined);
	t.is((await ask(client.removeNode.bind(client), { node: second })).id, second);
});

test('in a trust domain that others share, a path gives no rights: whoever is listed reads or changes, nobody else', async (t) => {
	const bobMay = async (callers: Partial<CallerRules>, token?: string) => {
		const agent = await openAgent(t, { callers });
		const bob = agent.client(agent.asClient);
		const with_ = token === undefined ? undefined : bearer(token);
		const codeOf = (call: Promise<unknown>): Promise<string> =>
			call.then(
				() => 'ok',
				(error: ServiceError) => String(error.metadata.get('x-infermesh-error')[0]),
			);
		await withSecond(agent);
		const node = agent.client(agent.asNode);
		t.is(await codeOf(ask(node.listNodes.bind(node), {})), 'ok', 'nodes read');
		return [
			await codeOf(ask(bob.listNodes.bind(bob), {}, with_)),
			await codeOf(ask(bob.cordonNode.bind(bob), { node: 'two', reason: '' }, with_)),
		];
	};
	t.deepEqual(await bobMay({ clientsChange: false }), ['IM_AGENT_DENIED', 'IM_AGENT_DENIED']);
	t.deepEqual(await bobMay({ clientsChange: false, readers: [BOB] }), ['ok', 'IM_AGENT_READ_ONLY']);
	t.deepEqual(await bobMay({ clientsChange: false, admins: [BOB] }), ['ok', 'ok']);
	t.deepEqual(await bobMay({ clientsChange: false }, TOKEN), ['ok', 'ok'], 'by a token');
	t.deepEqual(
		await bobMay({ admins: [`${BOB}by`] }),
		['IM_AGENT_DENIED', 'IM_AGENT_DENIED'],
		'a list replaces the path',
	);
});

test('who may not change something is told why, and nothing changes', async (t) => {
	const agent = await openAgent(t);
	await withSecond(agent);
	const [node, bob] = [agent.client(agent.asNode), agent.client(agent.asClient)];
	const cordon = (client: AgentClient, token?: string) =>
		ask(client.cordonNode.bind(client), { node: 'two', reason: '' }, token === undefined ? undefined : bearer(token));
	t.deepEqual(await refusal(cordon(node)), [status.PERMISSION_DENIED, 'IM_AGENT_READ_ONLY']);
	const unauthenticated = [status.UNAUTHENTICATED, 'IM_ADMIN_UNAUTHENTICATED'] as const;
	t.deepEqual(await refusal(cordon(node, 'wrong')), unauthenticated);
	t.deepEqual(await refusal(cordon(bob, 'wrong')), unauthenticated, 'a wrong token is not made good by a certificate');
	t.deepEqual(await refusal(ask(bob.listNodes.bind(bob), {}, bearer('wrong'))), unauthenticated);
	t.is(agent.mesh.audits.length, 0);
	t.is((await cordon(node, TOKEN)).changedBy, 'token:ann');
	t.deepEqual(
		agent.mesh.audits.map(({ by }) => by),
		['token:ann'],
	);
});

test('refusals carry the codes of HTTP and the status of their catalogue', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asClient);
	const policy = { kind: 'placement', name: 'eu', valueJson: placement };
	const long = { node: SELF, reason: 'x'.repeat(513) };
	const cases = [
		[ask(client.getNode.bind(client), { node: 'nobody' }), status.NOT_FOUND, 'IM_NODE_UNKNOWN'],
		[ask(client.releaseNode.bind(client), { node: SELF, reason: '' }), status.FAILED_PRECONDITION, 'IM_NODE_STATE'],
		[ask(client.cordonNode.bind(client), long), status.INVALID_ARGUMENT, 'IM_ADMIN_INVALID_REQUEST'],
		[ask(client.setPolicy.bind(client), { ...policy, kind: 'x' }), status.INVALID_ARGUMENT, 'IM_RECORD_KIND'],
		[ask(client.setPolicy.bind(client), { ...policy, valueJson: '{}' }), status.INVALID_ARGUMENT, 'IM_RECORD_INVALID'],
		[
			ask(client.setPolicy.bind(client), { ...policy, valueJson: '{' }),
			status.INVALID_ARGUMENT,
			'IM_ADMIN_INVALID_REQUEST',
		],
		[
			ask(client.setPolicy.bind(client), { ...policy, ifRevision: 1n << 60n }),
			status.INVALID_ARGUMENT,
			'IM_ADMIN_INVALID_REQUEST',
		],
		[ask(client.getPolicy.bind(client), { kind: 'slo', name: 'x' }), status.NOT_FOUND, 'IM_RECORD_UNKNOWN'],
	] as const;
	for (const [work, code, name] of cases) t.deepEqual(await refusal(work), [code, name]);
});

test('what breaks inside is not told', async (t) => {
	const agent = await openAgent(t, {
		engine: (real) => ({
			...withoutQuorum(real),
			status: () => Promise.reject(new Error('secret detail')),
		}),
	});
	const client = agent.client(agent.asClient);
	const error = await t.throwsAsync(ask(client.listPolicies.bind(client), { kind: '' }));
	t.false(error?.message.includes('secret'));
	t.deepEqual(await refusal(Promise.reject(error)), [status.INTERNAL, 'IM_ADMIN_INTERNAL']);
});

test('without a quorum reads are stale and changes refused by name', async (t) => {
	const agent = await openAgent(t, { engine: (real) => withoutQuorum(real) });
	await withSecond(agent);
	const client = agent.client(agent.asClient);
	const { nodes, stale } = await ask(client.listNodes.bind(client), {});
	t.true(stale);
	t.is(nodes.length, 2);
	t.true((await ask(client.getNode.bind(client), { node: 'two' })).stale);
	t.true((await ask(client.listPolicies.bind(client), { kind: '' })).stale);
	t.false((await ask(client.getStatus.bind(client), {})).quorum);
	const refused = [status.UNAVAILABLE, 'IM_CONSENSUS_NO_QUORUM'] as const;
	t.deepEqual(await refusal(setPolicy(client, 'eu')), refused);
	t.deepEqual(await refusal(ask(client.cordonNode.bind(client), { node: 'two', reason: '' })), refused);
});

test('events come in order from now on, begin by saying where that is, and are resumed without gap or repeat', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asClient);
	await setPolicy(client, 'before');
	const first = new Reader(client.subscribeEvents({ afterRevision: 0n }));
	const begin = await first.next();
	t.deepEqual(begin?.events, []);
	const made = [];
	for (const name of ['a', 'b', 'c']) made.push(await setPolicy(client, name));
	const seen: Event[] = [];
	const { revision } = await first.until(({ events }) => seen.push(...events) >= 2);
	first.call.cancel();
	t.deepEqual(
		told(seen),
		made.slice(0, seen.length).map((one) => `${one.revision} policy placement/${one.name} put`),
	);
	t.deepEqual(JSON.parse(seen[0]?.valueJson ?? ''), JSON.parse(placement));
	await ask(client.deletePolicy.bind(client), { kind: 'placement', name: 'a' });
	const again = new Reader(client.subscribeEvents({ afterRevision: revision }));
	const rest: Event[] = [];
	await again.until(({ events }) => {
		rest.push(...events);
		return rest.at(-1)?.change === 'delete';
	});
	again.call.cancel();
	t.deepEqual(
		told([...seen, ...rest]).map((line) => line.split(' ').slice(1).join(' ')),
		['policy placement/a put', 'policy placement/b put', 'policy placement/c put', 'policy placement/a delete'],
	);
	t.is(rest.at(-1)?.valueJson, '');
});

test('all events of one revision are in one message, so that nobody resumes in its middle', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asClient);
	const reader = new Reader(client.subscribeEvents({ afterRevision: 0n }));
	await reader.next();
	const writes = ['a', 'b', 'c'].map((id) => ({ id, value: { models: ['*'], zones: ['z'] }, ifRevision: 0 }));
	const revision = await agent.mesh.records.putAll(recordKinds.placements, writes);
	const message = await reader.until(({ events }) => events.length > 0);
	reader.call.cancel();
	t.is(message.revision, BigInt(revision));
	t.deepEqual(
		message.events.map(({ id }) => id),
		['placement/a', 'placement/b', 'placement/c'],
	);
});

test('a subscriber that does not read holds up nobody, and is told when its history is gone', async (t) => {
	const agent = await openAgent(t);
	const { records, engine } = agent.mesh;
	const client = agent.client(agent.asClient);
	const call = client.subscribeEvents({ afterRevision: 0n });
	const reader = new Reader(call);
	const begin = await reader.next();
	call.pause();
	const value = { models: ['*'], zones: ['z'.repeat(100)] };
	let last = 0;
	for (let n = 0; n < 12_000; n++) last = await records.put(recordKinds.placements, `p${n}`, value);
	await engine.compact(last);
	const messages: EventsReply[] = [];
	const refused = await refusal(
		(async () => {
			for (;;) messages.push((await reader.next()) as EventsReply);
		})(),
	);
	t.deepEqual(refused, [status.OUT_OF_RANGE, 'IM_CONSENSUS_COMPACTED']);
	const ids = messages.flatMap(({ events }) => events.map(({ id }) => id));
	t.true(ids.length > 0 && ids.length < 12_000, `${ids.length} of 12000 were told`);
	t.deepEqual(
		ids,
		ids.map((_, n) => `placement/p${n}`),
		'without a gap up to there',
	);
	t.true((messages.at(-1)?.revision ?? 0n) > (begin?.revision ?? 0n));
});

test('a revision whose history is gone is refused at once', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asClient);
	const { revision } = await setPolicy(client, 'a');
	await setPolicy(client, 'b');
	await agent.mesh.engine.compact(Number(revision) + 1);
	const reader = new Reader(client.subscribeEvents({ afterRevision: revision }));
	t.deepEqual(await refusal(reader.next()), [status.OUT_OF_RANGE, 'IM_CONSENSUS_COMPACTED']);
});

test('a drain is followed to its end, through what each router still has', async (t) => {
	const agent = await openAgent(t);
	const { records } = agent.mesh;
	await withSecond(agent);
	await records.put(recordKinds.routers, second, { loaded: [], refused: {}, stagingRevision: 0 });
	await agent.mesh.until(() => agent.mesh.mirrors.routers.get(second) !== undefined);
	const client = agent.client(agent.asClient);
	const follow = () => new Reader(client.followDrain({ node: 'two' }));
	t.deepEqual(await refusal(follow().next()), [status.FAILED_PRECONDITION, 'IM_NODE_STATE'], 'not being drained');
	const { revision } = await ask(client.drainNode.bind(client), { node: 'two', reason: 'kernel' });
	const reader = follow();
	const router = { nodeId: second, name: 'two' };
	const progress = { nodeId: second, name: 'two', state: 'draining', present: true };
	t.deepEqual(await reader.next(), { ...progress, routers: [{ ...router, inFlight: undefined }], inFlight: 0n });
	const decision = Number(revision);
	await records.put(recordKinds.drains, `${second}/${second}`, { inFlight: 3, decision });
	t.deepEqual(await reader.next(), { ...progress, routers: [{ ...router, inFlight: 3n }], inFlight: 3n });
	await records.put(recordKinds.drains, `${second}/${second}`, { inFlight: 0, decision: decision - 1 });
	t.is(
		(await reader.next())?.routers[0]?.inFlight,
		undefined,
		'what answers an earlier drain says nothing of this one',
	);
	await records.update(recordKinds.lifecycle, second, (present) =>
		present === undefined ? undefined : { ...present, state: 'drained' as const },
	);
	const rest = await reader.rest();
	t.is(rest.at(-1)?.state, 'drained');
});

test('who follows a drain that is undone is told so', async (t) => {
	const agent = await openAgent(t);
	await withSecond(agent);
	const client = agent.client(agent.asClient);
	await ask(client.drainNode.bind(client), { node: 'two', reason: '' });
	const reader = new Reader(client.followDrain({ node: 'two' }));
	t.is((await reader.next())?.state, 'draining');
	await ask(client.uncordonNode.bind(client), { node: 'two', reason: '' });
	t.deepEqual(await refusal(reader.rest()), [status.FAILED_PRECONDITION, 'IM_NODE_STATE']);
});

test('streams have a bound, and one that ends makes room', async (t) => {
	const agent = await openAgent(t, { streams: { all: 2 } });
	const client = agent.client(agent.asClient);
	const open = () => new Reader(client.subscribeEvents({ afterRevision: 0n }));
	const [first, other] = [open(), open()];
	await Promise.all([first.next(), other.next()]);
	t.deepEqual(await refusal(open().next()), [status.RESOURCE_EXHAUSTED, 'IM_NODE_STREAMS_MAX']);
	first.call.cancel();
	for (let refused = true; refused; ) {
		const reader = open();
		const [code] = await refusal(reader.next());
		refused = code !== 0;
		reader.call.cancel();
	}
	other.call.cancel();
	t.pass();
});

test('one caller cannot take all the streams there are', async (t) => {
	const agent = await openAgent(t, { streams: { perCaller: 2 } });
	const open = (who: typeof agent.asClient) => new Reader(agent.client(who).subscribeEvents({ afterRevision: 0n }));
	await Promise.all([open(agent.asClient).next(), open(agent.asClient).next()]);
	t.deepEqual(await refusal(open(agent.asClient).next()), [status.RESOURCE_EXHAUSTED, 'IM_NODE_STREAMS_MAX']);
	t.truthy(await open(agent.asNode).next());
});

test('a node that stops ends its streams by name', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asClient);
	const reader = new Reader(client.subscribeEvents({ afterRevision: 0n }));
	await reader.next();
	agent.api.close();
	const stopping = [status.UNAVAILABLE, 'IM_AGENT_STOPPING'] as const;
	t.deepEqual(await refusal(reader.rest()), stopping);
	t.deepEqual(await refusal(new Reader(client.subscribeEvents({ afterRevision: 0n })).next()), stopping);
});

test('calls are counted by method and result, open streams as they come and go', async (t) => {
	const agent = await openAgent(t);
	const client = agent.client(agent.asNode);
	await ask(client.listNodes.bind(client), {});
	await refusal(ask(client.getNode.bind(client), { node: 'nobody' }));
	await refusal(ask(client.cordonNode.bind(client), { node: SELF, reason: '' }));
	const reader = new Reader(client.subscribeEvents({ afterRevision: 0n }));
	await reader.next();
	const counted = (method: string, result: string): RegExp =>
		new RegExp(`^infermesh_agent_calls_total\\{method="${method}",result="${result}"\\} 1$`, 'm');
	t.regex(agent.metrics(), counted('ListNodes', 'ok'));
	t.regex(agent.metrics(), counted('GetNode', 'IM_NODE_UNKNOWN'));
	t.regex(agent.metrics(), counted('CordonNode', 'IM_AGENT_READ_ONLY'));
	t.regex(agent.metrics(), /^infermesh_agent_streams 1$/m);
	reader.call.cancel();
	while (!/^infermesh_agent_streams 0$/m.test(agent.metrics())) await new Promise((resolve) => setImmediate(resolve));
	// Its end is told to nobody but the counters, at the next change or sign of life.
	await setPolicy(agent.client(agent.asClient), 'a');
	while (!counted('SubscribeEvents', 'ok').test(agent.metrics())) await new Promise((resolve) => setImmediate(resolve));
});
