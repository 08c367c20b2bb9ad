// The relay with real sockets: this process is the node that calls, told apart from strangers by the kernel; another address is the node that is called.
import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import process from 'node:process';
import test, { type ExecutionContext } from 'ava';
import { eventually } from '../../support/mesh.js';
import { Relay } from './relay.js';

const ports = { agent: 8082, raft: 8083, gossip: 8946 } as const;
const there = { from: 0, to: 1 } as const;
const back = { from: 1, to: 0 } as const;

interface Rig {
	readonly relay: Relay;
	/** Addresses: real ones, and fronts. */
	readonly hosts: readonly [string, string];
	readonly fronts: readonly [string, string];
	/** What reached node 1, as text. */
	readonly received: string[];
	/** Sockets of node 1. */
	readonly accepted: Socket[];
	readonly dial: () => Promise<Socket>;
}

async function rig(t: ExecutionContext): Promise<Rig> {
	const [network = 0, run = 0] = randomBytes(2);
	const address = (last: number): string => `127.${16 + (network % 224)}.${run}.${last}`;
	const [hosts, fronts] = [[address(1), address(2)] as const, [address(101), address(102)] as const];
	const [received, accepted]: [string[], Socket[]] = [[], []];
	const server = createServer((socket) => {
		accepted.push(socket);
		socket.on('data', (bytes) => received.push(bytes.toString()));
		socket.on('error', () => undefined);
	});
	await new Promise<void>((resolve) => void server.listen(ports.raft, hosts[1], resolve));
	const relay = await Relay.open({
		nodes: hosts.map((host, at) => ({ host, front: fronts[at] ?? '', ports })),
		seed: 1,
		ownAddresses: false,
	});
	await relay.processes([process.pid, 0]);
	const dialled: Socket[] = [];
	t.teardown(async () => {
		for (const socket of [...dialled, ...accepted]) socket.destroy();
		server.close();
		await relay.close();
	});
	const dial = async (): Promise<Socket> => {
		const socket = connect(ports.raft, fronts[1]);
		socket.on('error', () => undefined);
		dialled.push(socket);
		await once(socket, 'connect');
		return socket;
	};
	return { relay, hosts, fronts, received, accepted, dial };
}

test('bytes pass, and the called node sees the front of the caller', async (t) => {
	const { dial, received, accepted, fronts, relay } = await rig(t);
	const socket = await dial();
	socket.write('hello');
	await eventually('it arrives', () => received.join('') === 'hello');
	t.is(accepted[0]?.remoteAddress, fronts[0]);
	accepted[0]?.write('answer');
	t.is(String((await once(socket, 'data'))[0]), 'answer');
	t.deepEqual(await relay.counts([there, back], 'passed'), [1, 1]);
});

test('bytes wait while a way is cut, the other way goes on, and all of them come when it is mended', async (t) => {
	const { dial, received, accepted, relay } = await rig(t);
	const socket = await dial();
	socket.write('one ');
	await eventually('it arrives', () => received.join('') === 'one ');
	await relay.rules([there], { cut: true });
	socket.write('two ');
	socket.write('three');
	await eventually('they are held', async () => (await relay.counts([there], 'cut'))[0] !== 0);
	accepted[0]?.write('meanwhile');
	t.is(String((await once(socket, 'data'))[0]), 'meanwhile');
	t.is(received.join(''), 'one ');
	await relay.heal();
	await eventually('they arrive', () => received.join('') === 'one two three');
});

test('a connection made while a way is cut is there when it is mended', async (t) => {
	const { dial, received, accepted, relay } = await rig(t);
	await relay.rules([back], { cut: true });
	const socket = await dial();
	socket.write('early');
	await eventually('it was cut', async () => (await relay.counts([back], 'cut'))[0] !== 0);
	t.is(accepted.length, 0);
	await relay.heal();
	await eventually('it arrives', () => received.join('') === 'early');
});

test('a reset breaks both ends, half-open only the far one', async (t) => {
	const { dial, accepted, relay } = await rig(t);
	const [first, second] = [await dial(), await dial()];
	for (const socket of [first, second]) socket.write('x');
	await eventually('both are there', () => accepted.length === 2);
	await relay.halfOpen([there]);
	await eventually('the far ends are gone', () => accepted.every(({ destroyed }) => destroyed));
	second.write('nobody hears this');
	t.false(first.destroyed || second.destroyed);
	t.deepEqual(await relay.counts([there], 'halfOpened'), [2]);
	await relay.reset([there]);
	await eventually('the near ends are gone', () => first.destroyed && second.destroyed);
	t.deepEqual(await relay.counts([there], 'reset'), [2]);
});

test('datagrams come from the front of their sender, twice or never by the rules', async (t) => {
	const { relay, hosts, fronts } = await rig(t);
	const [one, two] = [createSocket('udp4'), createSocket('udp4')];
	t.teardown(() => {
		one.close();
		two.close();
	});
	await new Promise<void>((resolve) => one.bind(ports.gossip, hosts[0], resolve));
	await new Promise<void>((resolve) => two.bind(ports.gossip, hosts[1], resolve));
	const got: { readonly text: string; readonly from: RemoteInfo }[] = [];
	two.on('message', (bytes, from) => got.push({ text: bytes.toString(), from }));
	one.send('a', ports.gossip, fronts[1]);
	await eventually('it arrives', () => got.length === 1);
	t.is(got[0]?.from.address, fronts[0]);
	await relay.rules([there], { duplicate: 1 });
	one.send('b', ports.gossip, fronts[1]);
	await eventually('it arrives twice', () => got.length === 3);
	await relay.rules([there], { cut: true });
	one.send('c', ports.gossip, fronts[1]);
	await eventually('it is gone', async () => (await relay.counts([there], 'cut'))[0] === 1);
	await relay.heal();
	one.send('d', ports.gossip, fronts[1]);
	await eventually('the next arrives', () => got.length === 4);
	t.deepEqual(
		got.map(({ text }) => text),
		['a', 'b', 'b', 'd'],
	);
});
