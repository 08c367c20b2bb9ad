// Owns the shape of the router's TLS material, as text in PEM: what it shows clients, and what it shows and asks of targets.

/** PEM of a certificate chain and its key. */
export interface TlsPair {
	readonly cert: string;
	readonly key: string;
}

/** What the data plane shows clients, if anything, and what it shows and asks of targets. */
export interface DataPlaneTls {
	readonly port: TlsPair | undefined;
	readonly upstream: UpstreamTls;
}

/** What is shown to targets, and what theirs are checked with. */
export interface UpstreamTls extends Partial<TlsPair> {
	readonly ca?: string;
}
