// Owns calls to another node's agent by the node's UUID: where it is, over the channel all share, as a promise.
import type { Client, ServiceError } from '@grpc/grpc-js';
import {
	type Address,
	type ClientConstructor,
	meshErrorOf,
	type Peer,
	type PeerLease,
	topologyErrors,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';

export interface NodeCallsPorts {
	/** Where the agent of a node is; undefined for one that is away. */
	readonly agentOf: (nodeId: string) => Address | undefined;
	readonly acquire: (peer: Peer) => PeerLease;
}

export class NodeCalls {
	readonly #ports: NodeCallsPorts;

	constructor(ports: NodeCallsPorts) {
		this.#ports = ports;
	}

	/** To be released. Throws IM_TOPOLOGY_UNREACHABLE. */
	lease(nodeUuid: string): PeerLease {
		const address = this.#ports.agentOf(nodeUuid);
		if (address !== undefined) return this.#ports.acquire({ address, nodeUuid });
		throw new MeshError(topologyErrors, 'IM_TOPOLOGY_UNREACHABLE', `node ${nodeUuid} is not there`);
	}

	/** Rejects with IM_TRANSPORT_* and IM_TOPOLOGY_*. */
	async call<C extends Client, T>(
		nodeId: string,
		constructor: ClientConstructor<C>,
		start: (client: C, done: (error: ServiceError | null, reply: T) => void) => void,
	): Promise<T> {
		const lease = this.lease(nodeId);
		try {
			return await new Promise<T>((resolve, reject) =>
				start(lease.client(constructor), (error, reply) =>
					error === null ? resolve(reply) : reject(meshErrorOf(error, topologyErrors)),
				),
			);
		} finally {
			lease.release();
		}
	}
}
