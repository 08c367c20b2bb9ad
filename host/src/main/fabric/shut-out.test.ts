// Who is shut out, and that the port of replicated state hears of it: a consensus thread as nodes run it, called over TLS by nodes that another cell or
// this one has shut out.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
	CertificateAuthority,
	generateNodeKey,
	IdentityHolder,
	makeIdentity,
	nodeCredentials,
	RemoteEngine,
	RevocationList,
	SessionRegistry,
	TransportCounters,
} from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { systemClock, systemRandom } from '../clock.js';
import { ConsensusThread } from './consensus-client.js';
import { decisionsOf, ShutOut, type ShutOutMessage } from './shut-out.js';
import { toWireIdentity } from './wire-identity.js';

const [coordinator, node, other] = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`) as [
	string,
	string,
	string,
];

const authority = await CertificateAuthority.create('mesh.test', systemClock.wallMs());

async function identityOf(nodeId: string) {
	const keys = await generateNodeKey();
	const nowMs = systemClock.wallMs();
	const chain = await authority.issueNode(nodeId, keys.publicKey, nowMs);
	return makeIdentity(chain, keys.privateKey, authority.bundle, nowMs);
}

async function storePort(t: ExecutionContext): Promise<ConsensusThread> {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-shut-out-'));
	const thread = await ConsensusThread.open(
		{
			nodeId: coordinator,
			folder,
			listen: '127.0.0.1:0',
			identity: toWireIdentity(await identityOf(coordinator)),
			peers: [],
			clusterId: '',
			found: true,
			heartbeatMs: 100,
			electionMs: 500,
			snapshotEntries: 1000,
			segmentBytes: 16 << 20,
			level: 1,
		},
		{ state: () => undefined, failed: () => undefined, fault: () => undefined },
	);
	t.teardown(async () => {
		await thread.close();
		rmSync(folder, { recursive: true });
	});
	return thread;
}

async function caller(t: ExecutionContext, nodeId: string, address: string): Promise<RemoteEngine> {
	const revocations = new RevocationList();
	const counters = new TransportCounters();
	const sessions = new SessionRegistry(revocations, counters, systemClock);
	const context = {
		identity: new IdentityHolder(await identityOf(nodeId)),
		revocations,
		counters,
		sessions,
		clock: systemClock,
	};
	const engine = new RemoteEngine({
		addresses: [address],
		credentials: nodeCredentials(context, { timeoutMs: 3000 }),
		clock: systemClock,
		random: systemRandom(),
		clusterId: () => '',
		fault: () => undefined,
	});
	t.teardown(() => engine.close());
	return engine;
}

const answers = async (engine: RemoteEngine): Promise<boolean> =>
	engine.read({ key: 'k' }).then(
		() => true,
		() => false,
	);

async function becomes(engine: RemoteEngine, wanted: boolean): Promise<boolean> {
	const deadlineMs = systemClock.nowMs() + 60_000;
	while (systemClock.nowMs() < deadlineMs) if ((await answers(engine)) === wanted) return true;
	return false;
}

test('whom another cell shuts out reaches replicated state no more, on connections that are open neither', async (t) => {
	const thread = await storePort(t);
	const shutOut = new ShutOut(new RevocationList());
	shutOut.addPart((message) => thread.send(message));
	const [guest, guest2] = [await caller(t, node, thread.address), await caller(t, other, thread.address)];
	t.true(await becomes(guest, true));
	t.true(await becomes(guest2, true));

	shutOut.elsewhere([node]);
	t.true(await becomes(guest, false));
	t.true(await answers(guest2));
	shutOut.elsewhere([]);
	t.true(await becomes(guest, true), 'released there');

	const at = { revision: 4, all: () => [{ id: other, value: {}, revision: 4 }] };
	shutOut.decided(decisionsOf({ revision: 3, all: () => [] }, at));
	t.true(await becomes(guest2, false), 'removed here');
	t.true(await answers(guest));
});

test('a part that comes late is told all that is known', (t) => {
	const shutOut = new ShutOut(new RevocationList());
	shutOut.elsewhere([node]);
	shutOut.decided({ nodeIds: [other], names: [], revision: 9n });
	const told: ShutOutMessage[] = [];
	shutOut.addPart((message) => told.push(message));
	t.deepEqual(told, [
		{ kind: 'revoked', nodeIds: [other], revision: 9n },
		{ kind: 'revokedElsewhere', nodeIds: [node] },
	]);
	shutOut.decided({ nodeIds: [], names: [], revision: 8n });
	t.is(told.length, 2, 'of an older state');
});

test('quarantined and removed nodes are shut out, by the decision about each', (t) => {
	const lifecycle = {
		revision: 10,
		all: () => [
			{ id: node, value: { state: 'quarantined' }, revision: 7 } as const,
			{ id: coordinator, value: { state: 'drained' }, revision: 10 } as const,
		],
	};
	const removals = {
		revision: 12,
		all: () => [
			{ id: other, value: {}, revision: 9 },
			{ id: node, value: {}, revision: 12 },
		],
	};
	t.deepEqual(decisionsOf(lifecycle, removals), {
		nodeIds: [node, other],
		names: [`${node}@7`, `${other}@9`],
		revision: 12n,
	});
});

test('a removal that is heard of after a later quarantine counts all the same', (t) => {
	const list = new RevocationList();
	const shutOut = new ShutOut(list);
	const lifecycle = { revision: 10, all: () => [{ id: node, value: { state: 'quarantined' }, revision: 10 } as const] };
	shutOut.decided(decisionsOf(lifecycle, { revision: 4, all: () => [] }));
	shutOut.decided(decisionsOf(lifecycle, { revision: 9, all: () => [{ id: other, value: {}, revision: 9 }] }));
	t.true(list.isRevoked(node));
	t.true(list.isRevoked(other));
});
