// The thread of the relay: between the nodes of a run, so that what the run does itself never delays what nodes say to each other.
import type { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { SeededRandom } from '@infermesh/proto';
import { realClock } from '../../support/real-clock.js';
import { calm, type LinkCounts, Links, linkCounts } from './link.js';
import type { AllCounts, FromRelay, RelayCall, RelayStart } from './protocol.js';
import { ownerOf } from './socket-owner.js';
import { TcpRelay } from './tcp-relay.js';
import { UdpRelay } from './udp-relay.js';

const port = parentPort;
if (port === null) throw new Error('relay-thread.ts runs in a worker thread only');
const send = (message: FromRelay): void => port.postMessage(message);
const { nodes, seed, ownAddresses } = workerData as RelayStart;
const links = new Links(nodes.length, new SeededRandom(seed));
let pids: readonly number[] = nodes.map(() => 0);

function callerOf({ remoteAddress = '', remotePort = 0 }: Socket): number | undefined {
	if (ownAddresses) {
		const at = nodes.findIndex(({ host }) => host === remoteAddress);
		return at === -1 ? undefined : at;
	}
	const running = pids.filter((pid) => pid > 0);
	const owner = ownerOf(remoteAddress, remotePort, running);
	return owner === undefined ? undefined : pids.indexOf(owner);
}

const relays = nodes.map(({ host, front, ports }, to) =>
	Object.values(ports).map(
		(number) =>
			new TcpRelay({
				to,
				front: { host: front, port: number },
				back: { host, port: number },
				links,
				clock: realClock,
				frontOf: (node) => nodes[node]?.front ?? '',
				callerOf,
			}),
	),
);
const datagrams = new UdpRelay(
	nodes.map(({ host, front, ports }) => ({
		front: { host: front, port: ports.gossip },
		back: { host, port: ports.gossip },
	})),
	links,
	realClock,
);

function countsOf(from: number, to: number): LinkCounts {
	const counts = links.between(from, to)?.counts;
	return (counts === undefined ? Object.fromEntries(linkCounts.map((name) => [name, 0])) : { ...counts }) as LinkCounts;
}

function carryOut(call: RelayCall): AllCounts | undefined {
	switch (call.call) {
		case 'rules':
			for (const { from, to } of call.ways) {
				const link = links.between(from, to);
				if (link !== undefined) link.rules = { ...calm, ...call.rules };
			}
			return undefined;
		case 'reset':
			for (const { from, to } of call.ways) for (const relay of relays[to] ?? []) relay.reset(from);
			return undefined;
		case 'halfOpen':
			for (const { from, to } of call.ways) for (const relay of relays[to] ?? []) relay.halfOpen(from);
			return undefined;
		case 'pids':
			pids = call.pids;
			return undefined;
		case 'counts':
			return nodes.map((_, from) => nodes.map((__, to) => countsOf(from, to)));
		case 'close':
			for (const relay of relays.flat()) relay.close();
			datagrams.close();
			process.exit(0);
			break;
	}
}

try {
	for (const relay of relays.flat()) await relay.listen();
	await datagrams.listen();
	port.on('message', ({ number, call }: { readonly number: number; readonly call: RelayCall }) => {
		const counts = carryOut(call);
		send({ kind: 'answer', number, ...(counts === undefined ? {} : { counts }) });
	});
	send({ kind: 'ready' });
} catch (error) {
	send({ kind: 'refused', message: error instanceof Error ? error.message : String(error) });
}
