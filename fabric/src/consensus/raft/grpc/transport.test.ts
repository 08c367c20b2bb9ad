// Raft over real gRPC connections on loopback: messages in order, senders that are not who they say, full queues, snapshots that break off.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import type { SnapshotReader, SnapshotWriter } from '../../../log/ports.js';
import type { Message, MessageOf } from '../../../raft/messages.js';
import type { RaftInbox } from '../../../raft/ports.js';
import { foundedGroup } from '../bootstrap.js';
import { RaftGroup } from '../group.js';
import { LogMachine } from '../testing/log-machine.js';
import { LoopbackNode } from '../testing/loopback.js';
import { MemoryStorage } from '../testing/memory-storage.js';
import { realClock, until } from '../testing/real-clock.js';

class Collected {
	readonly messages: Message[] = [];
	readonly unreachable: string[] = [];
	snapshots = 0;
	writer: SnapshotWriter | undefined;
	readonly inbox: RaftInbox = {
		onMessage: (message) => void this.messages.push(message),
		onUnreachable: (peer) => void this.unreachable.push(peer),
		onSnapshotOffered: () => this.writer,
		onSnapshotReceived: () => void this.snapshots++,
	};
}

function heartbeat(from: string, to: string, commit: number): Message {
	return { kind: 'heartbeat', from, to, term: 1, commit, readRound: 0 };
}

async function pair(claims?: string): Promise<{ a: LoopbackNode; b: LoopbackNode; inA: Collected; inB: Collected }> {
	const addresses = new Map<string, string>();
	const a = new LoopbackNode('a', addresses, {}, claims);
	const b = new LoopbackNode('b', addresses);
	await Promise.all([a.listen(), b.listen()]);
	const [inA, inB] = [new Collected(), new Collected()];
	a.transport.listen(1, inA.inbox);
	b.transport.listen(1, inB.inbox);
	return { a, b, inA, inB };
}

test('messages arrive in order, many in one batch', async (t) => {
	const { a, b, inB } = await pair();
	for (let commit = 0; commit < 500; commit++) a.transport.send(1, heartbeat('a', 'b', commit));
	await until('it is so', () => inB.messages.length === 500);
	t.deepEqual(
		inB.messages,
		Array.from({ length: 500 }, (_, commit) => heartbeat('a', 'b', commit)),
	);
	t.true(a.transport.counters.batchesSent < 10);
	a.close();
	b.close();
});

test('a message from someone else than the authenticated peer does not count', async (t) => {
	const { a, b, inB } = await pair('mallory');
	a.transport.send(1, heartbeat('a', 'b', 1));
	await until('it is so', () => b.transport.counters.messagesRefused > 0);
	t.deepEqual(inB.messages, []);
	a.close();
	b.close();
});

test('a member of another cluster is refused by name; one that has no state yet is of any', async (t) => {
	const { a, b, inB } = await pair();
	b.clusterId = 'recovered';
	a.transport.send(1, heartbeat('a', 'b', 1));
	await until('it is so', () => inB.messages.length === 1);
	a.close();

	const old = await pair();
	old.a.clusterId = 'old';
	old.b.clusterId = 'recovered';
	old.a.transport.send(1, heartbeat('a', 'b', 2));
	await until('it is so', () => old.a.foreign.length > 0);
	t.is(old.a.foreign[0], 'b: IM_CONSENSUS_OTHER_CLUSTER');
	t.deepEqual(old.inB.messages, []);
	t.true(old.b.transport.counters.foreignRefused > 0);
	b.close();
	old.a.close();
	old.b.close();
});

test('a peer that comes back on the same address is reached again', async (t) => {
	const { a, b, inA } = await pair();
	const addresses = new Map<string, string>();
	a.transport.send(1, heartbeat('a', 'b', 1));
	await until('it is so', () => b.transport.counters.messagesReceived === 1);
	b.close();
	await until('it is so', () => {
		a.transport.send(1, heartbeat('a', 'b', 2));
		return inA.unreachable.length > 0;
	});
	t.is(inA.unreachable[0], 'b');
	const again = new LoopbackNode('b', addresses);
	await again.listen(b.port);
	const collected = new Collected();
	again.transport.listen(1, collected.inbox);
	await until('it is so', () => {
		a.transport.send(1, heartbeat('a', 'b', 3));
		return collected.messages.length > 0;
	});
	a.close();
	again.close();
});

test('a queue that is full drops appends first, and stays within its bound', async (t) => {
	const addresses = new Map<string, string>();
	const a = new LoopbackNode('a', addresses, { queueBytesMax: 4096 });
	const b = new LoopbackNode('b', addresses);
	await b.listen();
	const inB = new Collected();
	b.transport.listen(1, inB.inbox);
	const data = new Uint8Array(1000);
	const entries = [{ term: 1, index: 1, kind: 'command', data } as const];
	for (let at = 0; at < 20; at++) {
		a.transport.send(1, {
			kind: 'append',
			from: 'a',
			to: 'b',
			term: 1,
			previousIndex: 0,
			previousTerm: 0,
			commit: 0,
			entries,
		});
		a.transport.send(1, heartbeat('a', 'b', at));
	}
	await until('it is so', () => inB.messages.filter(({ kind }) => kind === 'heartbeat').length === 20);
	t.true(a.transport.counters.messagesDropped >= 15);
	t.true(inB.messages.filter(({ kind }) => kind === 'append').length <= 4);
	a.close();
	b.close();
});

const membership = { voters: ['a', 'b'], outgoing: [], learners: [], learnersNext: [] };
const announcement: MessageOf<'snapshot'> = {
	kind: 'snapshot',
	from: 'a',
	to: 'b',
	term: 3,
	meta: { index: 9, term: 2, membership },
};

async function reader(storage: MemoryStorage, bytes: Uint8Array): Promise<SnapshotReader> {
	const writer = storage.create(1, announcement.meta);
	await new Promise<void>((resolve, reject) => writer.write(bytes, resolve, reject));
	await new Promise<void>((resolve, reject) => writer.finish(resolve, reject));
	const opened = storage.open(1, announcement.meta);
	if (opened === undefined) throw new Error('no snapshot');
	return opened;
}

test('a snapshot goes on where its stream broke off', async (t) => {
	const { a, b, inB } = await pair();
	const bytes = Buffer.alloc(3_000_000, 'snapshot');
	const source = await reader(new MemoryStorage(realClock), bytes);
	const target = new MemoryStorage(realClock);
	const writer = target.receive(1, source);
	let failures = 1;
	let written = 0;
	inB.writer = {
		get length() {
			return writer.length;
		},
		write: (piece, done, failed) => {
			written += piece.length;
			if (failures > 0 && writer.length > 1_000_000) {
				failures--;
				failed(new Error('a hiccup'));
			} else writer.write(piece, done, failed);
		},
		finish: (done, failed) => writer.finish(done, failed),
		abandon: () => writer.abandon(),
	};
	const ok = await new Promise<boolean>((resolve) => a.transport.sendSnapshot(1, announcement, source, resolve));
	t.true(ok);
	t.is(inB.snapshots, 1);
	t.true(written < bytes.length + 600_000, `${written} bytes were written for ${bytes.length}`);
	t.is(target.open(1, announcement.meta)?.totalBytes, bytes.length);
	a.close();
	b.close();
});

test('a snapshot nobody wants is given up', async (t) => {
	const addresses = new Map<string, string>();
	const a = new LoopbackNode('a', addresses, { snapshotAttemptsMax: 2 });
	const b = new LoopbackNode('b', addresses);
	await b.listen();
	const inB = new Collected();
	b.transport.listen(1, inB.inbox);
	const source = await reader(new MemoryStorage(realClock), Buffer.alloc(1000));
	t.false(await new Promise<boolean>((resolve) => a.transport.sendSnapshot(1, announcement, source, resolve)));
	t.is(inB.snapshots, 0);
	a.close();
	b.close();
});

test('three members over gRPC elect, commit and read', async (t) => {
	const addresses = new Map<string, string>();
	const ids = ['a', 'b', 'c'];
	const nodes = ids.map((id) => new LoopbackNode(id, addresses));
	await Promise.all(nodes.map((node) => node.listen()));
	const machines = ids.map(() => new LogMachine());
	const groups = nodes.map((node, at) => {
		const id = node.id;
		const storage = new MemoryStorage(realClock, foundedGroup(ids));
		return new RaftGroup({
			group: 1,
			id,
			clock: realClock,
			random: new SeededRandom(at),
			log: storage,
			snapshots: storage,
			transport: node.transport,
			stateMachine: machines[at] ?? new LogMachine(),
			recovered: storage.recovered,
			addressOf: (peer) => addresses.get(peer),
		});
	});
	const writes = groups.flatMap((group) =>
		Array.from({ length: 100 }, (_, at) => group.propose(Buffer.from(`${group.id} ${at}`), 10_000)),
	);
	const results = await Promise.all(writes);
	t.is(new Set(results.map((result) => Buffer.from(result).toString())).size, 300);
	for (const [at, group] of groups.entries()) {
		await group.readBarrier(10_000);
		t.is(machines[at]?.commands.length, 300);
	}
	await Promise.all(groups.map((group) => group.close()));
	for (const node of nodes) node.close();
});
