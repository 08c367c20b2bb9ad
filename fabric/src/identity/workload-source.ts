// Owns an identity that a SPIFFE Workload API gives out, SPIRE's agent for one: the stream is read for ever, each message replaces what was. What does
// not hold by the rules of X509-SVID is counted and passed over; the identity before it stays.
import { type ClientReadableStream, credentials, Metadata } from '@grpc/grpc-js';
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import { type X509SVID, type X509SVIDResponse } from '@infermesh/proto/spiffe/workload/workloadapi';
import { SpiffeWorkloadAPIClient } from '@infermesh/proto/spiffe/workload/workloadapi-client';
import { splitDerCertificates } from './certificate.js';
import { identityErrors } from './errors.js';
import { privateKeyFromDer } from './keys.js';
import { type Identity, IdentityHolder, type IdentitySource, makeIdentity } from './source.js';
import { nodeUuidOf, parseSpiffeId } from './spiffe-id.js';
import { CHAIN_LENGTH_MAX } from './svid.js';

/** Certificates in one bundle, identities in one message. */
export const workloadApiBounds = Object.freeze({ rootsMax: 32, svidsMax: 32, messageBytesMax: 1024 * 1024 });

export interface WorkloadApiOptions {
	/** The value of SPIFFE_ENDPOINT_SOCKET: `unix:///path` or `tcp://ADDRESS:PORT`. */
	readonly endpoint: string;
	readonly clock: Clock;
	readonly random: Random;
	/** Whether an identity that keeps the rules is one to be used here: throws why not. Of one message, those of nodes are asked about first. */
	readonly accept?: (identity: Identity) => void;
	/** Nothing in a message was usable, and the identity before stays: why the first one was not. */
	readonly onRefused?: (why: MeshError) => void;
	readonly retryMsMin?: number;
	readonly retryMsMax?: number;
}

export interface WorkloadApiHealth {
	readonly state: 'waiting' | 'fresh' | 'expired';
	readonly updates: number;
	/** Messages passed over because nothing in them was usable. */
	readonly refused: number;
	readonly reconnects: number;
	readonly lastError: MeshError | undefined;
}

export class WorkloadApiSource implements IdentitySource {
	readonly #options: WorkloadApiOptions;
	readonly #client: SpiffeWorkloadAPIClient;
	readonly #holder = new IdentityHolder();
	readonly #ready = Promise.withResolvers<Identity>();
	#stream: ClientReadableStream<X509SVIDResponse> | undefined;
	#retry: Timer | undefined;
	#closed = false;
	#failuresInRow = 0;
	#updates = 0;
	#refused = 0;
	#reconnects = 0;
	#lastError: MeshError | undefined;

	/** Begins to read at once. Throws IM_IDENTITY_WORKLOAD_API for an endpoint of another form. */
	constructor(options: WorkloadApiOptions) {
		this.#options = options;
		this.#client = new SpiffeWorkloadAPIClient(targetOf(options.endpoint), credentials.createInsecure(), {
			'grpc.max_receive_message_length': workloadApiBounds.messageBytesMax,
			'grpc.enable_http_proxy': 0,
			'grpc.service_config_disable_resolution': 1,
		});
		this.#open();
	}

	current(): Identity {
		return this.#holder.current();
	}

	onChange(listener: (identity: Identity) => void): () => void {
		return this.#holder.onChange(listener);
	}

	/** Resolves with the first identity; never rejects, the agent may come up later. */
	async ready(): Promise<Identity> {
		return this.#ready.promise;
	}

	health(): WorkloadApiHealth {
		const expired = this.#holder.ready && this.current().svid.notAfterMs < this.#options.clock.wallMs();
		const held = expired ? 'expired' : 'fresh';
		return {
			state: this.#holder.ready ? held : 'waiting',
			updates: this.#updates,
			refused: this.#refused,
			reconnects: this.#reconnects,
			lastError: this.#lastError,
		};
	}

	close(): void {
		this.#closed = true;
		this.#retry?.cancel();
		this.#stream?.cancel();
		this.#client.close();
	}

	#open(): void {
		// The header keeps requests out that a workload was tricked into sending (SPIFFE_Workload_Endpoint.md 4).
		const metadata = new Metadata({ waitForReady: false });
		metadata.set('workload.spiffe.io', 'true');
		const stream = this.#client.fetchX509Svid({}, metadata);
		this.#stream = stream;
		stream.on('data', (message: X509SVIDResponse) => this.#take(message));
		stream.on('error', (cause) => {
			if (!this.#closed) this.#lastError = fault(cause.message, cause);
		});
		stream.once('status', () => this.#again());
	}

	#take(message: X509SVIDResponse): void {
		this.#failuresInRow = 0;
		const svids = message.svids.slice(0, workloadApiBounds.svidsMax);
		const refusals: MeshError[] = [];
		// Several registrations of one workload come in one message, in no order that means anything.
		for (const svid of [...svids.filter((one) => isNode(one)), ...svids.filter((one) => !isNode(one))])
			try {
				const identity = this.#identityOf(svid);
				this.#options.accept?.(identity);
				this.#updates++;
				this.#lastError = undefined;
				this.#holder.set(identity);
				this.#ready.resolve(identity);
				return;
			} catch (cause) {
				refusals.push(cause instanceof MeshError ? cause : fault('an identity cannot be read', cause));
			}
		const refusal = refusals[0] ?? fault('the answer holds no identity');
		this.#refused++;
		this.#lastError = refusal;
		this.#options.onRefused?.(refusal);
	}

	#identityOf(chosen: X509SVID): Identity {
		const id = parseSpiffeId(chosen.spiffeId);
		if (id === undefined) throw fault('the answer holds no SPIFFE id');
		const chain = splitDerCertificates(chosen.x509Svid, CHAIN_LENGTH_MAX);
		const roots = splitDerCertificates(chosen.bundle, workloadApiBounds.rootsMax);
		if (chain === undefined || roots === undefined) throw fault('certificates of the answer cannot be read');
		const privateKey = privateKeyFromDer(chosen.x509SvidKey);
		const bundle = { trustDomain: id.trustDomain, roots };
		const identity = makeIdentity(chain, privateKey, bundle, this.#options.clock.wallMs());
		if (identity.svid.id.uri !== id.uri) throw fault('certificate and SPIFFE id of the answer differ');
		return identity;
	}

	#again(): void {
		if (this.#closed) return;
		this.#reconnects++;
		const { clock, random, retryMsMin = 500, retryMsMax = 30_000 } = this.#options;
		const fullMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(this.#failuresInRow, 30));
		this.#failuresInRow++;
		this.#retry = clock.after(fullMs * (0.5 + 0.5 * random.nextFloat()), () => this.#open(), { unref: true });
	}
}

function isNode(svid: X509SVID): boolean {
	const id = parseSpiffeId(svid.spiffeId);
	return id !== undefined && nodeUuidOf(id) !== undefined;
}

/** SPIFFE_Workload_Endpoint.md 4: `unix:` with an absolute path, or `tcp:` with an IP address and a port. */
function targetOf(endpoint: string): string {
	const unix = /^unix:(?:\/\/)?(\/[^?#]+)$/.exec(endpoint)?.[1];
	if (unix !== undefined) return `unix:${unix}`;
	const tcp = /^tcp:\/\/((?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5})$/.exec(endpoint)?.[1];
	if (tcp !== undefined) return tcp;
	throw fault('the endpoint is neither unix:///path nor tcp://ADDRESS:PORT');
}

function fault(message: string, cause?: unknown): MeshError {
	return new MeshError(identityErrors, 'IM_IDENTITY_WORKLOAD_API', message, cause === undefined ? {} : { cause });
}
