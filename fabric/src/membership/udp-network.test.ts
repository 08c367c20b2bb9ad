import { connect } from 'node:net';
import test from 'ava';
import { realClock } from '../identity/identity-test-support.js';
import { until } from './membership-test-support.js';
import { lengthFraming } from './mesh-codec/framing.js';
import { TcpExchange, type TcpExchangeLimits } from './tcp-exchange.js';
import { UdpNetwork } from './udp-network.js';

const framing = lengthFraming(10_000);

async function network(
	limits: Partial<TcpExchangeLimits> = {},
	answer = (request: Uint8Array) => Promise.resolve(request),
) {
	const exchanges = new TcpExchange({ clock: realClock, framing, requestMaxBytes: 10_000, limits });
	const made = new UdpNetwork({ bind: '127.0.0.1:0', exchanges });
	const packets: { readonly from: string; readonly bytes: number[] }[] = [];
	const address = await made.listen({
		onPacket: (from, packet) => packets.push({ from, bytes: [...packet] }),
		onExchange: (_from, request) => answer(request),
	});
	return { made, exchanges, packets, address };
}

test('datagrams and exchanges share one port', async (t) => {
	const [a, b] = [await network(), await network()];
	a.made.send(b.address, Uint8Array.of(1, 2, 3));
	await until('the datagram', () => b.packets.length === 1);
	t.deepEqual(b.packets, [{ from: a.address, bytes: [1, 2, 3] }]);
	const big = new Uint8Array(9_000).fill(7);
	const answer = await a.made.exchange(b.address, big, { timeoutMs: 2_000, answerMaxBytes: 10_000 });
	t.deepEqual(answer, { bytes: big, node: undefined });
	await Promise.all([a.made.close(), b.made.close()]);
});

test('what was sent before the end is still delivered', async (t) => {
	const [a, b] = [await network(), await network()];
	for (let i = 0; i < 20; i++) a.made.send(b.address, Uint8Array.of(i));
	await a.made.close();
	await until('all twenty', () => b.packets.length === 20);
	t.notThrows(() => a.made.send(b.address, Uint8Array.of(1)), 'a closed one says nothing');
	await b.made.close();
});

test('an exchange fails by name: refused, closed, silent, too long, too big', async (t) => {
	const silent = await network({}, () => new Promise(() => {}));
	const closing = await network({}, () => Promise.reject(new Error('no')));
	const echo = await network();
	const options = { timeoutMs: 200, answerMaxBytes: 10_000 };
	const failure = { code: 'IM_MEMBERSHIP_EXCHANGE' };
	await t.throwsAsync(echo.made.exchange(silent.address, Uint8Array.of(1), options), failure);
	await t.throwsAsync(echo.made.exchange(closing.address, Uint8Array.of(1), options), failure);
	await t.throwsAsync(
		silent.made.exchange(echo.address, new Uint8Array(500), { timeoutMs: 2_000, answerMaxBytes: 100 }),
		failure,
	);
	await t.throwsAsync(
		silent.made.exchange(echo.address, new Uint8Array(20_000), { timeoutMs: 2_000, answerMaxBytes: 10_000 }),
		failure,
	);
	await closing.made.close();
	await t.throwsAsync(echo.made.exchange(closing.address, Uint8Array.of(1), options), failure);
	await t.throwsAsync(echo.made.exchange('nonsense', Uint8Array.of(1), options), { code: 'IM_MEMBERSHIP_ADDRESS' });
	await Promise.all([silent.made.close(), echo.made.close()]);
});

test('connections are bounded in number and time', async (t) => {
	const { made, exchanges, address } = await network({ connectionsMax: 3, connectionTimeoutMs: 300 });
	const port = Number(address.split(':')[1]);
	let closed = 0;
	const idle = Array.from({ length: 6 }, () =>
		connect(port, '127.0.0.1')
			.on('close', () => closed++)
			.on('error', () => {}),
	);
	await until('half of them are turned away', () => exchanges.connectionsRefused === 3);
	await until('the silent ones are closed', () => closed === 6, 5_000);
	t.is(idle.length, 6);
	const { bytes } = await made.exchange(address, Uint8Array.of(5), { timeoutMs: 1_000, answerMaxBytes: 100 });
	t.deepEqual([...bytes], [5]);
	await made.close();
});

test('a port that is taken is an error that names it', async (t) => {
	const a = await network();
	const exchanges = new TcpExchange({ clock: realClock, framing, requestMaxBytes: 100 });
	const b = new UdpNetwork({ bind: a.address, exchanges });
	const error = await t.throwsAsync(
		b.listen({ onPacket: () => {}, onExchange: (_, request) => Promise.resolve(request) }),
		{
			code: 'IM_MEMBERSHIP_BIND',
		},
	);
	t.is((error as { where?: string }).where, a.address);
	await a.made.close();
});
