// Owns what nodes ask each other of distances: each tells its own links, measures bandwidth when asked to, and takes the bytes of such measurements.
import { Metadata, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import {
	type BandwidthAsk,
	BandwidthProber,
	BandwidthSink,
	grpcErrorOf,
	type LinkClass,
	type LinkEstimate,
	topologyErrors,
} from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import {
	type GetLinksReply,
	type GetLinksRequest,
	type Link,
	type Measurement,
	type MeasureRequest,
	type TopologyServer,
} from '@infermesh/proto/grpc/topology/v1/topology';
import { TopologyClient } from '@infermesh/proto/grpc/topology/v1/topology-client';
import type { TopologyView } from '../fabric.js';
import type { NodeCalls } from './node-calls.js';

export interface TopologyPartPorts {
	readonly clock: Clock;
	readonly nodeId: string;
	readonly view: () => TopologyView;
	readonly calls: NodeCalls;
	/** A transfer to a node has shown what the link carries. */
	readonly transferred: (nodeId: string, measured: Measurement) => void;
}

const LINKS_TIMEOUT_MS = 2000;
/** A measurement asked of another node may take this much longer than the sending itself. */
const MEASURE_GRACE_MS = 10_000;

const bases = ['measured', 'estimated', 'unreachable', 'unknown'] as const;
const reaches = ['reached', 'unreachable', 'untried'] as const;
const classes: readonly LinkClass[] = ['same_node', 'same_zone', 'same_region', 'wan'];

export class TopologyPart {
	readonly #ports: TopologyPartPorts;
	readonly #prober: BandwidthProber;
	readonly #sink: BandwidthSink;

	constructor(ports: TopologyPartPorts) {
		this.#ports = ports;
		this.#prober = new BandwidthProber(ports.clock);
		this.#sink = new BandwidthSink(ports.clock);
	}

	/** The handlers of the service, for the agent's port. */
	handlers(): TopologyServer {
		return {
			getLinks: (_call: ServerUnaryCall<GetLinksRequest, GetLinksReply>, reply: sendUnaryData<GetLinksReply>) =>
				reply(null, toReply(this.#ports.view())),
			measure: (call: ServerUnaryCall<MeasureRequest, Measurement>, reply: sendUnaryData<Measurement>) => {
				const { nodeId, bytesMax, durationMsMax } = call.request;
				this.#measureFromHere(nodeId, { bytesMax, durationMsMax }).then(
					(measured) => reply(null, measured),
					(error: unknown) => reply(grpcErrorOf(error)),
				);
			},
			receive: this.#sink.receive,
		};
	}

	/** The links of any node, asked there. Rejects with IM_TRANSPORT_* and IM_TOPOLOGY_UNREACHABLE. */
	async linksOf(nodeId: string): Promise<TopologyView> {
		if (nodeId === this.#ports.nodeId) return this.#ports.view();
		return fromReply(
			await this.#ports.calls.call<TopologyClient, GetLinksReply>(nodeId, TopologyClient, (client, done) =>
				client.getLinks({}, new Metadata(), { deadline: this.#ports.clock.wallMs() + LINKS_TIMEOUT_MS }, done),
			),
		);
	}

	/** Bandwidth from one node to another. Rejects with IM_TOPOLOGY_*. */
	async measure(from: string, to: string, ask: BandwidthAsk): Promise<Measurement> {
		if (from === to) throw new MeshError(topologyErrors, 'IM_TOPOLOGY_PROBE_SELF');
		if (from === this.#ports.nodeId) return this.#measureFromHere(to, ask);
		const deadline = this.#ports.clock.wallMs() + ask.durationMsMax + MEASURE_GRACE_MS;
		return this.#ports.calls.call<TopologyClient, Measurement>(from, TopologyClient, (client, done) =>
			client.measure({ nodeId: to, ...ask }, new Metadata(), { deadline }, done),
		);
	}

	async #measureFromHere(to: string, ask: BandwidthAsk): Promise<Measurement> {
		const lease = this.#ports.calls.lease(to);
		try {
			const measured = await this.#prober.measure(lease.client(TopologyClient), ask);
			this.#ports.transferred(to, measured);
			return measured;
		} finally {
			lease.release();
		}
	}
}

function toReply({ links, vector, heightS, error }: TopologyView): GetLinksReply {
	return {
		links: links.map(({ nodeId, estimate }) => ({ nodeId, ...estimate })),
		vector: [...vector],
		heightS,
		error,
	};
}

function fromReply({ links, vector, heightS, error }: GetLinksReply): TopologyView {
	return { links: links.map((link) => ({ nodeId: link.nodeId, estimate: estimateOf(link) })), vector, heightS, error };
}

/** What an older or newer node says in words not known here counts as not known. */
function estimateOf({ basis, reach, linkClass, rttMs, ageMs, error, bandwidthBytesPerS }: Link): LinkEstimate {
	return {
		basis: bases.find((one) => one === basis) ?? 'unknown',
		reach: reaches.find((one) => one === reach) ?? 'untried',
		linkClass: classes.find((one) => one === linkClass) ?? 'wan',
		rttMs,
		ageMs,
		error,
		bandwidthBytesPerS,
	};
}
