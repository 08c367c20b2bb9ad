// Owns finding the mesh: the service by which a node tells where its coordinators and gossip members are, and the asking of it at the nodes to join,
// for ever, until one answers.
import { Metadata, type ServerUnaryCall, type ServiceError, type sendUnaryData } from '@grpc/grpc-js';
import { type Address, meshErrorOf, nodeCredentials, type TransportContext, transportErrors } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';
import { type DiscoverReply, type DiscoverRequest } from '@infermesh/proto/grpc/agent/v1/agent';
import { CoordinationClient } from '@infermesh/proto/grpc/agent/v1/agent-client';

const HANDSHAKE_TIMEOUT_MS = 3000;
const CALL_TIMEOUT_MS = 5000;
const RETRY_MS = 500;
const RETRY_MAX_MS = 10_000;

/** The handler of `Coordination.Discover`. */
export function discoverHandler(tell: () => DiscoverReply) {
	return (_call: ServerUnaryCall<DiscoverRequest, DiscoverReply>, reply: sendUnaryData<DiscoverReply>): void =>
		reply(null, tell());
}

async function askOnce(at: Address, context: TransportContext): Promise<DiscoverReply> {
	const client = new CoordinationClient(at, nodeCredentials(context, { timeoutMs: HANDSHAKE_TIMEOUT_MS }), {
		'grpc.enable_http_proxy': 0,
		'grpc.service_config_disable_resolution': 1,
	});
	try {
		return await new Promise<DiscoverReply>((resolve, reject) =>
			client.discover(
				{},
				new Metadata(),
				{ deadline: context.clock.wallMs() + CALL_TIMEOUT_MS },
				(error: ServiceError | null, answer: DiscoverReply) =>
					error === null ? resolve(answer) : reject(meshErrorOf(error, transportErrors)),
			),
		);
	} finally {
		client.close();
	}
}

/** Asks the nodes in turn until one knows the mesh, or `ended` says to stop. */
export async function discover(
	at: readonly Address[],
	context: TransportContext,
	clock: Clock,
	log: (message: string, error: unknown) => void,
	ended: () => boolean,
): Promise<DiscoverReply | undefined> {
	for (let attempt = 0; !ended(); attempt++) {
		const address = at[attempt % at.length] as Address;
		try {
			const found = await askOnce(address, context);
			if (found.clusterId !== '') return found;
		} catch (error) {
			if (attempt < 3 || attempt % 10 === 0) log(`asking ${address} for the mesh`, error);
		}
		const delayMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(attempt, 10));
		await new Promise<void>((resolve) => void clock.after(delayMs, resolve));
	}
	return undefined;
}
