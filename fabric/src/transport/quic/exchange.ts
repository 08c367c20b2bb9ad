// Owns exchanges over QUIC: one connection to a peer is kept, and each exchange is a stream of it, a frame each way. Same contract as over TLS
// (exchange-contract-test-support.ts), bounds and refusals by the same names.
import { MeshError, type Random } from '@infermesh/proto';
import type {
	Address,
	Answer,
	DatagramPort,
	ExchangeOptions,
	ExchangePort,
	OnExchange,
} from '../../effects/packets.js';
import { formatAddress, parseAddress } from '../address.js';
import { transportErrors } from '../errors.js';
import { FrameReader, frame } from '../frames.js';
import type { TransportContext } from '../peer.js';
import type { Quiche } from './binding.js';
import type { QuicConnection } from './connection.js';
import { QuicEndpoint } from './endpoint.js';
import { type QuicLinkLimits, QuicLinks, quicLinkLimits } from './links.js';
import { type QuicLimits, quicLimits } from './settings.js';
import type { QuicStream } from './stream.js';
import { type OwnUdpPort, openUdpPort } from './udp-port.js';

export interface QuicExchangeOptions {
	readonly requestBytesMax: number;
	/** From the first byte of a question to the last byte of its answer, at the answering side. */
	readonly answerTimeoutMs: number;
	/** Exchanges answered at once. */
	readonly answersMax: number;
	/** A peer from which nothing at all comes for this long after a question is taken for gone, though its connection seemed open. */
	readonly silenceMs: number;
	/** Where a socket is bound when nothing listens and none is shared: the address of the caller. */
	readonly callFrom: Address;
	readonly limits: Partial<QuicLimits>;
	readonly links: Partial<QuicLinkLimits>;
}

export const quicExchangeDefaults: QuicExchangeOptions = Object.freeze({
	requestBytesMax: 16 * 1024 * 1024,
	answerTimeoutMs: 10_000,
	answersMax: 64,
	silenceMs: 1000,
	callFrom: '0.0.0.0:0',
	limits: {},
	links: {},
});

export class QuicExchange implements ExchangePort {
	readonly datagrams: QuicEndpoint;
	readonly #context: TransportContext;
	readonly #options: QuicExchangeOptions;
	readonly #links: QuicLinks;
	#own: Promise<OwnUdpPort> | undefined;
	#answering = 0;
	#closed = false;

	/** `quiche` comes from `loadQuiche`. */
	constructor(quiche: Quiche, context: TransportContext, random: Random, options: Partial<QuicExchangeOptions> = {}) {
		this.#context = context;
		this.#options = { ...quicExchangeDefaults, ...options };
		const limits = { ...quicLimits, ...this.#options.limits };
		this.datagrams = new QuicEndpoint(quiche, context, limits);
		this.#links = new QuicLinks(this.datagrams, context, random, { ...quicLinkLimits, ...this.#options.links });
	}

	/** Answers on the socket that is shared, or on one of its own. Rejects with IM_TRANSPORT_BIND when that cannot be bound. */
	async listen(at: Address, onExchange: OnExchange): Promise<Address> {
		// Without a certificate to show no port opens.
		this.#context.identity.current();
		const { host, port } = await this.#port(at);
		this.datagrams.accept((connection, { nodeUuid }) => {
			connection.on('stream', (stream) => this.#answer(connection, stream, nodeUuid, onExchange));
		});
		return formatAddress(host, port);
	}

	async exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer> {
		const { clock } = this.#context;
		const endMs = clock.nowMs() + options.timeoutMs;
		await this.#ready();
		return this.#links.use(to, options, async (connection, { nodeUuid: node }) => {
			const leftMs = Math.max(0, endMs - clock.nowMs());
			const bytes = await this.#ask(connection, request, { ...options, timeoutMs: leftMs });
			this.#context.counters.quic.asked++;
			return { bytes, node };
		});
	}

	/** Makes sure that there is a connection to `to`. Rejects as `exchange` does before it has asked. */
	async reach(to: Address, options: Pick<ExchangeOptions, 'timeoutMs' | 'expectedNode'>): Promise<void> {
		await this.#ready();
		await this.#links.use(to, options, async () => undefined);
	}

	/** Connections to others. */
	get links(): number {
		return this.#links.count;
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#links.close();
		this.datagrams.close();
		// One that could not be bound has nothing to close; whoever wanted it has been told.
		const own = await this.#own?.catch(() => undefined);
		await own?.close();
	}

	async #ready(): Promise<void> {
		if (this.#closed) throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		await this.#port(this.#options.callFrom);
	}

	async #port(at: Address): Promise<DatagramPort> {
		if (this.datagrams.port !== undefined) return this.datagrams.port;
		this.#own ??= openUdpPort(parseAddress(at), (from, datagram) => {
			if (!this.datagrams.take(from, datagram)) this.#context.counters.quic.dropped++;
		});
		const own = await this.#own;
		this.datagrams.attach(own);
		return own;
	}

	#ask(connection: QuicConnection, request: Uint8Array, options: ExchangeOptions): Promise<Uint8Array> {
		const { clock } = this.#context;
		const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
		const stream = connection.open();
		const heard = connection.received;
		const fail = (error: unknown): void => {
			stream.reset();
			reject(error);
		};
		const lookForSilence = (): void => {
			if (connection.received > heard || connection.destroyed) return;
			fail(new MeshError(transportErrors, 'IM_TRANSPORT_UNREACHABLE', 'the peer of an open connection is silent'));
			connection.destroy();
		};
		// After a standstill of this process timers come before what waits at the socket, and that is read first.
		const silence = clock.after(Math.min(this.#options.silenceMs, options.timeoutMs), () => {
			setImmediate(lookForSilence);
		});
		const timer = clock.after(options.timeoutMs, () =>
			fail(new MeshError(transportErrors, 'IM_TRANSPORT_TIMEOUT', `no answer within ${options.timeoutMs} ms`)),
		);
		readWhole(stream, options.answerMaxBytes).then(resolve, fail);
		stream.finish(frame(request));
		return promise.finally(() => {
			silence.cancel();
			timer.cancel();
		});
	}

	#answer(connection: QuicConnection, stream: QuicStream, node: string, onExchange: OnExchange): void {
		const { counters, clock } = this.#context;
		if (this.#answering >= this.#options.answersMax) {
			counters.refuse('IM_TRANSPORT_CONNECTIONS_MAX');
			return stream.reset();
		}
		this.#answering++;
		const timer = clock.after(this.#options.answerTimeoutMs, () => {
			counters.refuse('IM_TRANSPORT_TIMEOUT');
			stream.reset();
		});
		stream.whenOver(() => {
			this.#answering--;
			timer.cancel();
		});
		const from = formatAddress(connection.remote.host, connection.remote.port);
		void this.#answerOn(stream, (request) => onExchange(from, request, node));
	}

	async #answerOn(stream: QuicStream, answer: (request: Uint8Array) => Promise<Uint8Array>): Promise<void> {
		const { counters } = this.#context;
		try {
			const bytes = frame(await answer(await readWhole(stream, this.#options.requestBytesMax)));
			if (!stream.over) counters.quic.answered++;
			stream.finish(bytes);
		} catch (error) {
			if (error instanceof MeshError && error.code === 'IM_TRANSPORT_MESSAGE_TOO_LARGE')
				counters.refuse('IM_TRANSPORT_MESSAGE_TOO_LARGE');
			stream.reset();
		}
	}
}

/** Reads a stream that is one frame. Rejects with what a frame is refused for, and IM_TRANSPORT_CLOSED when the stream breaks off. */
function readWhole(stream: QuicStream, bodyBytesMax: number): Promise<Uint8Array> {
	const reader = new FrameReader(bodyBytesMax);
	const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
	let refused = false;
	const broken = (): void => reject(new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED'));
	stream.listen({
		received: (bytes) => {
			if (refused) return;
			try {
				reader.push(bytes);
			} catch (error) {
				refused = true;
				reject(error);
			}
		},
		ended: () => (reader.complete ? resolve(reader.body()) : broken()),
		aborted: broken,
	});
	return promise;
}
