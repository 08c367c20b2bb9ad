// Owns the ways an exchange with an upstream fails below HTTP semantics, as the attempt names them to clients and metrics.

/**
 * `invalid`: the request cannot be put in HTTP form. `connect`: no connection. `reset`: the connection ended with nothing of the response
 * received. `cut`: it ended inside the response. `protocol`: what came is no HTTP response, or one beyond the bounds. `saturated`: as many
 * connections to the origin as may be are in use. `internal`: whoever was told of the response failed.
 */
export type UpstreamFaultKind = 'invalid' | 'connect' | 'reset' | 'cut' | 'protocol' | 'saturated' | 'internal';

export class UpstreamFault extends Error {
	override readonly name = 'UpstreamFault';
	readonly kind: UpstreamFaultKind;

	constructor(kind: UpstreamFaultKind, message: string, options?: ErrorOptions) {
		super(message, options);
		this.kind = kind;
	}
}
