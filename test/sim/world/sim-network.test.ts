// Links, partitions, streams and exchanges of the simulated network, and that its faults do fire.
import test from 'ava';
import { calmWeather, type Weather } from './link.js';
import { SimNetwork } from './sim-network.js';
import { AddressBook, SimPackets } from './sim-packets.js';
import { SimStream } from './sim-stream.js';
import { SimWorld } from './sim-world.js';

const second = 1_000_000;

function pair(seed: number, weather: Partial<Weather> = {}) {
	const world = new SimWorld({ seed });
	const network = new SimNetwork(world, { ...calmWeather, ...weather });
	const [a, b] = [world.addHost('a'), world.addHost('b')];
	for (const host of [a, b]) {
		host.installs(() => undefined);
		host.boot();
	}
	return { world, network, a, b };
}

test('packets are lost, repeated and overtaken at about the rates asked for', async (t) => {
	const { world, network, a, b } = pair(3, {
		lossRate: 0.2,
		duplicateRate: 0.1,
		reorderRate: 0.1,
		reorderMaxUs: 50_000,
	});
	const seen: number[] = [];
	for (let at = 0; at < 1000; at++) {
		world.schedule(at * 1000, 'x', () =>
			network.packet({ from: a, to: b, bytes: 100, digest: at, describe: () => '', deliver: () => seen.push(at) }),
		);
	}
	await world.run(5 * second);
	t.true(Math.abs(new Set(seen).size - 800) < 60, `${new Set(seen).size} arrived`);
	t.true(Math.abs(seen.length - 880) < 70, `${seen.length} arrivals`);
	t.true(seen.filter((value, at) => at > 0 && value < (seen[at - 1] ?? 0)).length > 20, 'some were overtaken');
	t.is(world.counters.get('packets lost') + new Set(seen).size, 1000);
});

test('a cut one way lets the other way pass', async (t) => {
	const { world, network, a, b } = pair(3);
	network.cut('one way', [a], [b]);
	const seen: string[] = [];
	const send = (from: typeof a, to: typeof a): void =>
		network.packet({ from, to, bytes: 1, digest: 0, describe: () => '', deliver: () => seen.push(to.name) });
	send(a, b);
	send(b, a);
	await world.run(second);
	t.deepEqual(seen, ['a']);
	network.mend('one way');
	send(a, b);
	await world.run(2 * second);
	t.deepEqual(seen, ['a', 'b']);
});

test('a stream keeps its order through loss, reordering and a short cut', async (t) => {
	const { world, network, a, b } = pair(4, { lossRate: 0.2, reorderRate: 0.3, reorderMaxUs: 100_000 });
	const stream = new SimStream(network, a, b, () => t.fail('it need not break'));
	const seen: number[] = [];
	for (let at = 0; at < 300; at++) {
		const message = { bytes: 10, digest: at, describe: () => '', deliver: () => seen.push(at) };
		world.schedule(at * 2000, 'x', () => stream.send(message));
	}
	world.schedule(100_000, 'x', () => network.cut('short', [a], [b]));
	world.schedule(800_000, 'x', () => network.mend('short'));
	await world.run(20 * second);
	t.deepEqual(
		seen,
		Array.from({ length: 300 }, (_, at) => at),
	);
	t.true(world.counters.get('messages held by a cut') > 0);
});

test('a stream to a process that died breaks, and a later message opens another', async (t) => {
	const { world, network, a, b } = pair(4);
	let broken = 0;
	const stream = new SimStream(network, a, b, () => broken++);
	const seen: string[] = [];
	const send = (text: string): void =>
		stream.send({ bytes: 10, digest: 0, describe: () => text, deliver: () => seen.push(text) });
	send('one');
	await world.run(second);
	b.crash();
	send('lost');
	await world.run(5 * second);
	b.boot();
	send('two');
	await world.run(6 * second);
	t.deepEqual(seen, ['one', 'two']);
	t.is(broken, 1);
});

test('an exchange answers, is refused where nobody listens, and times out behind a cut', async (t) => {
	const { world, network, a, b } = pair(6);
	const book = new AddressBook();
	const [ours, theirs] = [new SimPackets(network, book, a, 'a:1'), new SimPackets(network, book, b, 'b:1')];
	const onPacket = (): void => undefined;
	await theirs.listen({ onPacket, onExchange: (_from, request) => Promise.resolve(request.toReversed()) });
	const outcomes: string[] = [];
	const ask = (to: string, answerMaxBytes: number): void => {
		const options = { timeoutMs: 300, answerMaxBytes };
		ours.exchange(to, Uint8Array.of(1, 2, 3), options).then(
			({ bytes }) => outcomes.push(bytes.join()),
			(error: Error) => outcomes.push(error.message),
		);
	};
	world.schedule(0, 'x', () => ask('b:1', 10));
	world.schedule(10_000, 'x', () => ask('b:1', 2));
	world.schedule(20_000, 'x', () => ask('nobody:1', 10));
	world.schedule(30_000, 'x', () => network.cut('cut', [b], [a]));
	world.schedule(40_000, 'x', () => ask('b:1', 10));
	await world.run(second);
	t.deepEqual(outcomes, [
		'3,2,1',
		'exchange with b:1: the answer is too big',
		'exchange with nobody:1: refused',
		'exchange with b:1: timed out',
	]);
});

test('the same seed gives the same trace, another one another', async (t) => {
	const run = async (seed: number): Promise<string> => {
		const { world, network, a, b } = pair(seed, { lossRate: 0.1, latencyMeanUs: 5000 });
		for (const host of [a, b]) {
			const to = host === a ? b : a;
			const send = (): void =>
				network.packet({ from: host, to, bytes: 1, digest: 7, describe: () => '', deliver: () => undefined });
			host.clock.every(10, send);
		}
		await world.run(second);
		return world.trace.hash;
	};
	t.is(await run(1), await run(1));
	t.not(await run(1), await run(2));
});
