// Owns the choice between the transports of exchanges. The library of QUIC is loaded by who chooses QUIC, and by nobody else.
import type { Random } from '@infermesh/proto';
import type { ExchangePort } from '../effects/packets.js';
import { TlsExchange } from './exchange.js';
import type { TransportContext } from './peer.js';
import { loadQuiche } from './quic/binding.js';
import { QuicExchange } from './quic/exchange.js';
import { QuicFirstExchange } from './quic/quic-first.js';

/** `quic` asks over QUIC first and over TLS where that is not answered, and answers both. */
export type ExchangeTransport = 'tls' | 'quic';

/** Throws IM_TRANSPORT_QUIC_MISSING. */
export function checkTransport(transport: ExchangeTransport): void {
	if (transport === 'quic') loadQuiche();
}

/** Throws IM_TRANSPORT_QUIC_MISSING. */
export function openExchange(
	transport: ExchangeTransport,
	context: TransportContext,
	random: Random,
	options: { readonly requestBytesMax: number },
): ExchangePort {
	const tls = new TlsExchange(context, options);
	if (transport === 'tls') return tls;
	return new QuicFirstExchange(new QuicExchange(loadQuiche(), context, random, options), tls, context);
}
