// The composition of a router's part in counting the load of all: it serves its own, follows the others', and writes what they tell into the shared
// counters, where every worker's decisions add it. A lone node has none of it.
import type { Clock, Random, Timer } from '@infermesh/proto';
import { PeerLoadService } from '@infermesh/proto/grpc/routing/v1/load';
import type { MeshConfig } from '../config/schema.js';
import { InflightReader, type InflightShared, REQUESTS } from '../fleet/inflight.js';
import { LoadBook } from '../peer-load/book.js';
import { RemoteShare } from '../peer-load/remote-share.js';
import type { NodeRecord } from '../records/kinds.js';
import type { CollectedSample } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import type { MeshFabric } from './fabric.js';
import { type FlowExchange, PEER_FLOWS_MAX } from './flow-exchange.js';
import { routes } from './options.js';
import { LoadFollowing } from './peer-load-following.js';
import { LoadServing } from './peer-load-serving.js';
import type { TargetService } from './target-service.js';

/** Targets known of one router, whatever the size of this node's own table. */
const PEER_TARGETS_MAX = 16_384;
const COUNT_MAX = 0x7fff_ffff;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5000;
/** A lease is looked at this often in its length. */
const LOOKS_PER_LEASE = 10;

export interface PeerLoadParts {
	readonly config: MeshConfig;
	readonly clock: Clock;
	readonly random: Random;
	readonly inflight: InflightShared;
	readonly fabric: MeshFabric;
	readonly targets: TargetService;
	/** Where the queues of this node's workers meet those of other routers. */
	readonly flows: FlowExchange;
	readonly nodes: () => { readonly revision: number; readonly all: readonly NodeRecord[] };
	/** Calls back when nodes came or went, until the returned function is called. */
	readonly onChange: (listener: () => void) => () => void;
	readonly metrics: MeshMetrics;
	readonly log: Log;
}

export class PeerLoad {
	readonly #clock: Clock;
	readonly #nodes: PeerLoadParts['nodes'];
	readonly #book: LoadBook;
	readonly #share: RemoteShare;
	readonly #serving: LoadServing;
	readonly #following: LoadFollowing;
	readonly #counters: InflightReader;
	readonly #targets: TargetService;
	readonly #flows: FlowExchange;
	readonly #lapse: () => void;
	readonly #lapseMs: number;
	#lapsing: Timer | undefined;
	readonly #stops: readonly (() => void)[];
	#ids: (string | undefined)[] = [];

	constructor(parts: PeerLoadParts) {
		const { clock, inflight, fabric, targets, metrics, log } = parts;
		const { load } = parts.config.fabric;
		this.#clock = clock;
		this.#nodes = parts.nodes;
		this.#targets = targets;
		this.#flows = parts.flows;
		this.#counters = new InflightReader(inflight);
		this.#book = new LoadBook({
			leaseMs: load.lease_ms,
			targetsMax: PEER_TARGETS_MAX,
			countMax: COUNT_MAX,
			flowsMax: PEER_FLOWS_MAX,
		});
		this.#share = new RemoteShare(inflight, this.#book, (id) =>
			targets.registry.has(id) ? targets.registry.get(id).row : undefined,
		);
		this.#serving = new LoadServing(
			{
				periodMs: load.period_ms,
				heartbeatMs: load.lease_ms / LOOKS_PER_LEASE,
				fullMs: load.full_ms,
				followersMax: load.peers_max,
			},
			{
				clock,
				counters: this.#counters,
				idOf: (row) => this.#ids[row],
				flows: parts.flows.own,
				sent: () => metrics.peerLoadFrame('sent'),
			},
		);
		this.#following = new LoadFollowing(
			{ peersMax: load.peers_max, retryMinMs: RETRY_MIN_MS, retryMaxMs: RETRY_MAX_MS },
			{
				clock,
				random: parts.random,
				book: this.#book,
				lease: (nodeId) => fabric.peer(nodeId),
				heard: (delayMs, gap) => {
					metrics.peerLoadHeard(delayMs, gap);
					this.#share.flush();
					this.#flows.fromPeers(this.#book.flows.takeChanged());
					metrics.flowsDropped(this.#book.flows.takeDropped());
				},
				refused: (nodeId, error) => {
					metrics.peerLoadRefused(error.code);
					log.warn(
						{ node: nodeId, error: error.message, code: error.code },
						'what a router tells of its load is refused',
					);
				},
			},
		);
		this.#lapseMs = load.lease_ms / LOOKS_PER_LEASE;
		this.#lapse = () => this.#lookAtLeases(metrics, log);
		let seen = -1;
		const follow = (): void => {
			const { revision, all } = parts.nodes();
			if (revision === seen) return;
			seen = revision;
			this.#following.follow(routersBut(fabric.nodeId, all));
			this.#keepLapsing();
		};
		this.#stops = [() => this.#lapsing?.cancel(), parts.onChange(follow)];
		fabric.server?.addService(PeerLoadService, { ...this.#serving.handlers() });
		this.rowsChanged();
		follow();
	}

	/** Targets came or went. */
	rowsChanged(): void {
		this.#ids = [];
		for (const { row, spec } of this.#targets.registry.records()) this.#ids[row] = spec.id;
		this.#share.rowsChanged();
		this.#serving.rowsChanged();
	}

	samples(): CollectedSample[] {
		const nowMs = this.#clock.nowMs();
		const names = new Map(this.#nodes().all.map(({ id, name }) => [id, name]));
		const ages = [...this.#following.peers].flatMap((id): CollectedSample[] => {
			const ageMs = this.#book.ageMs(id, nowMs);
			return ageMs === undefined ? [] : [{ metric: 'peerLoadAge', labels: [names.get(id) ?? id], value: ageMs / 1000 }];
		});
		const elsewhere = this.#targets.registry.records().map(
			({ spec, row }): CollectedSample => ({
				metric: 'targetInFlightElsewhere',
				labels: [spec.id, spec.models[0] ?? '', spec.node, spec.zone],
				value: this.#counters.remote(REQUESTS, row),
			}),
		);
		return [
			{ metric: 'peerLoadFollowers', labels: [], value: this.#serving.followers },
			{ metric: 'peerFlows', labels: ['own'], value: this.#flows.own.size },
			{ metric: 'peerFlows', labels: ['elsewhere'], value: this.#book.flows.size },
			...ages,
			...elsewhere,
		];
	}

	close(): void {
		for (const stop of this.#stops) stop();
		this.#following.close();
		this.#serving.close();
	}

	/** Leases are looked at while there is a router to hear of, or one whose lease may still lapse. */
	#keepLapsing(): void {
		const wanted = this.#following.size > 0 || this.#book.size > 0;
		if (wanted) this.#lapsing ??= this.#clock.every(this.#lapseMs, this.#lapse, { unref: true });
		else {
			this.#lapsing?.cancel();
			this.#lapsing = undefined;
		}
	}

	#lookAtLeases(metrics: MeshMetrics, log: Log): void {
		const nowMs = this.#clock.nowMs();
		const lapsed = this.#book.lapse(nowMs);
		this.#share.setPeers(this.#book.heard(nowMs));
		this.#book.forgetSilent(nowMs, new Set(this.#following.peers));
		this.#keepLapsing();
		if (lapsed === 0) return;
		metrics.peerLoadLapsed(lapsed);
		log.info({ routers: lapsed }, 'routers are silent: what they had in flight and waiting no longer counts');
		this.#share.flush();
		this.#flows.fromPeers(this.#book.flows.takeChanged());
	}
}

function routersBut(self: string, nodes: readonly NodeRecord[]): string[] {
	return nodes.filter((node) => node.id !== self && routes(node)).map(({ id }) => id);
}
