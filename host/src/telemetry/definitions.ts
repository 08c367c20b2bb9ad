// Owns the one table of metrics: names, labels, bounds and meanings. The shared-memory layout (block.ts), the text at /metrics
// (exposition.ts) and docs/metrics.md all come from here. Labels follow the mesh's label schema; nothing per request is a label.

export type MetricKind = 'counter' | 'gauge' | 'histogram';

export interface MetricDefinition {
	/** As exported; counters end in `_total`, units come last. */
	readonly name: string;
	readonly kind: MetricKind;
	readonly help: string;
	readonly labels: readonly string[];
	/** Label sets kept per thread; the rest is added up in one series whose labels all read `other`. */
	readonly seriesMax: number;
	/** Upper bounds of a histogram's buckets, ascending, without +Inf. */
	readonly buckets?: readonly number[];
	/** `collected` metrics are read from the mesh's state when `/metrics` is asked for; they take no room in blocks. */
	readonly source: 'block' | 'collected';
}

/** Powers of `factor` from `first`, `count` of them, to three significant digits. */
function geometric(first: number, factor: number, count: number): readonly number[] {
	return Array.from({ length: count }, (_, i) => Number((first * factor ** i).toPrecision(3)));
}

/** 1 ms to 131 s, doubling: first token and whole requests. */
const requestSeconds = geometric(0.001, 2, 18);
/** 1 ms to 4.1 s, by √2 where engines live: time per output token. */
const tokenSeconds = geometric(0.001, Math.SQRT2, 25);
/** 125 ns to 8.2 ms, by √2: the cost of one decision. */
const decisionSeconds = geometric(1.25e-7, Math.SQRT2, 33);
/** 128 to 16.8 M, doubling. */
const fuel = geometric(128, 2, 18);

const MODELS = 128;
const STRATEGIES = 64;
const TARGETS = 1024;
const CELLS = 64;

const liveMembers = 'Members that are alive or suspected, this node included.';
const localHealth = 'Lifeguard local health multiplier; 0 = sound.';
const gossipEvents = 'What the protocol did and refused: `acks_forged` and `claims_forged` are attacks.';
const gossipStalled = 'For how long this node stood still, and accused nobody.';
const gossipRefused = 'Packets and exchanges of gossip refused, by cause.';

function counter(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}_total`, kind: 'counter', help, labels, seriesMax, source: 'block' };
}

function gauge(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}`, kind: 'gauge', help, labels, seriesMax, source: 'block' };
}

function collected(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}`, kind: 'gauge', help, labels, seriesMax, source: 'collected' };
}

function collectedCounter(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}_total`, kind: 'counter', help, labels, seriesMax, source: 'collected' };
}

function histogram(
	name: string,
	labels: readonly string[],
	seriesMax: number,
	buckets: readonly number[],
	help: string,
): MetricDefinition {
	return { name: `infermesh_${name}`, kind: 'histogram', help, labels, seriesMax, buckets, source: 'block' };
}

/** Series of one metric of collectives, links or stores. */
const REPORTED = 2048;

const perGpu = ['node', 'gpu_uuid', 'mig_profile'] as const;
/** Experiments kept. */
const EXPERIMENTS = 64;
/** Series of one metric of devices; a node of eight devices cut in seven has 64. */
const GPUS = 1024;
const perShadow = ['strategy', 'model'] as const;
const perTarget = ['target', 'model', 'node', 'zone'] as const;

export const metricDefinitions = Object.freeze({
	// The data plane, one block per worker.
	requests: counter(
		'requests',
		['model', 'revision', 'path', 'status', 'code'],
		512,
		'Requests answered, by HTTP status and error code (empty = none).',
	),
	requestDuration: histogram(
		'request_duration_seconds',
		['model', 'revision', 'path'],
		MODELS,
		requestSeconds,
		'Time from the request’s headers to the end of the answer.',
	),
	timeToFirstToken: histogram(
		'time_to_first_token_seconds',
		['model', 'revision'],
		MODELS,
		requestSeconds,
		'Time from dispatch to the first token, as the router saw it.',
	),
	timePerOutputToken: histogram(
		'time_per_output_token_seconds',
		['model', 'revision'],
		MODELS,
		tokenSeconds,
		'Mean time between the tokens of one answer, as the router saw it.',
	),
	requestsInFlight: gauge('requests_in_flight', [], 1, 'Requests now inside the router.'),
	attempts: counter(
		'attempts',
		['target', 'model', 'revision', 'runtime', 'outcome'],
		TARGETS,
		'Dispatches to a target, by what became of them.',
	),
	flowWaiting: gauge('flow_waiting_requests', ['band'], 8, 'Requests that wait at the router for room at a target.'),
	flowWait: histogram(
		'flow_wait_seconds',
		['band'],
		8,
		requestSeconds,
		'Time that requests which had to wait for room have waited.',
	),
	flowRefused: counter(
		'flow_refused',
		['reason', 'tenant'],
		512,
		'Requests not admitted: quota used up, queue full, deadline that could not be met, waited too long.',
	),
	quotaLimit: collected(
		'quota_limit',
		['tenant', 'quantity'],
		1024,
		'What the tenant’s quota allows over the whole mesh, in the units of its policy.',
	),
	quotaLeased: collected(
		'quota_leased',
		['tenant', 'quantity'],
		1024,
		'Of the quota, what this node holds and has not spent; negative = owed for answers longer than expected.',
	),
	recorderActive: collected('recorder_active', [], 1, '1 while this node records its decisions.'),
	recorderDecisions: collectedCounter('recorder_decisions', [], 1, 'Decisions written to recordings.'),
	recorderDropped: collectedCounter(
		'recorder_dropped',
		[],
		1,
		'Decisions that were not recorded because their worker’s ring was full.',
	),
	recorderBytes: collectedCounter('recorder_written_bytes', [], 1, 'Bytes written to recordings.'),
	quotaSpent: collectedCounter(
		'quota_spent',
		['tenant', 'quantity'],
		1024,
		'Spent of the quota through this node, settled by what requests have really taken.',
	),
	retries: counter(
		'retries',
		['model', 'reason'],
		256,
		'Requests tried again at another target before the first byte.',
	),
	prefills: counter(
		'prefills',
		['model', 'outcome'],
		256,
		'Prefills that a decode on another target follows, by what became of them; a pair whose prefill fails is decided again.',
	),
	hedges: counter(
		'hedges',
		['model', 'result'],
		512,
		'Copies of requests whose first token was late: `sent`, and `won` of these; not sent for want of room (`no_room`) or of budget (`no_budget`).',
	),
	hedgeWaste: counter(
		'hedge_wasted_tokens',
		['model', 'kind'],
		256,
		'Tokens that cancelled losers of hedges prefilled and decoded, estimated from above: prompts as far as the target’s prefill rate can have got.',
	),
	tokens: counter(
		'tokens',
		['model', 'revision', 'tenant', 'kind'],
		1024,
		'Tokens of answered requests: input, cached (part of input) and output.',
	),
	streamChunks: counter('stream_chunks', [], 1, 'Chunks passed on in streamed answers.'),
	http2Closed: counter(
		'http2_connections_closed',
		['reason'],
		8,
		'HTTP/2 connections of clients closed for what they did: resets or frames in floods, or frames that break the protocol.',
	),
	webSockets: gauge('websockets', ['kind'], 2, 'WebSockets of clients open now: `chat`, or `pipe` to a runtime.'),
	webSocketsClosed: counter(
		'websockets_closed',
		['kind', 'reason'],
		22,
		'WebSockets of clients that have ended, by why.',
	),
	webSocketsRefused: counter(
		'websockets_refused',
		['error'],
		16,
		'Handshakes answered with an error before they were routed.',
	),
	stageDuration: histogram(
		'stage_duration_seconds',
		['stage'],
		16,
		decisionSeconds,
		'Time in one stage of the pipeline, of a sample of requests.',
	),
	// What is known of prefixes, counted by the worker that decides.
	prefixLookups: counter('prefix_lookups', ['result'], 4, 'Prompts looked up in the prefix indexes: hit or miss.'),
	prefixHitTokens: counter(
		'prefix_hit_tokens',
		['source'],
		8,
		'Prompt tokens expected in the cache of the target a request went to, by what said so: approximate, speculative, precise.',
	),
	prefixCachedTokens: counter(
		'prefix_cached_tokens',
		['kind'],
		4,
		'Cached prompt tokens of answers whose engine reports them: predicted and reported.',
	),
	prefixErrorTokens: histogram(
		'prefix_error_tokens',
		['source'],
		8,
		geometric(16, 2, 15),
		'Difference between cached tokens predicted and reported by the engine, either way, by what predicted.',
	),
	prefixIndexPairs: gauge(
		'prefix_index_pairs',
		['index'],
		4,
		'Pairs of a block and a target that a worker remembers: sent (approximate) and speculative.',
	),
	prefixIndexEvictions: counter(
		'prefix_index_evictions',
		['index'],
		4,
		'Pairs given up because the target’s cache, or the index, has no room for more.',
	),
	tokenizations: counter(
		'tokenizations',
		['result'],
		8,
		'Prompts whose token ids were asked for: done, late (decided without), full, too_large, unsupported, failed, stale.',
	),
	tokenizeWait: histogram(
		'tokenize_wait_seconds',
		[],
		1,
		geometric(0.0001, 2, 14),
		'Time a request waited for its token ids, in vain or not.',
	),
	// KV events, counted by the thread that follows them.
	kvEvents: counter(
		'kv_events',
		['kind'],
		8,
		'KV events of engines, by kind; `unread` could not be read or are not known.',
	),
	kvEventLag: histogram(
		'kv_event_lag_seconds',
		[],
		1,
		geometric(0.0001, 2, 18),
		'From the time an engine gives its batch of events to when it was applied; clocks of both machines count.',
	),
	kvBatchesMissing: counter('kv_batches_missing', ['target'], TARGETS, 'Batches of events that did not come in turn.'),
	kvReplays: counter('kv_replays', ['target', 'result'], TARGETS, 'Replays asked for: done or failed.'),
	kvForgets: counter(
		'kv_forgets',
		['target', 'cause'],
		TARGETS,
		'Times all that was known of an engine was forgotten: restarted, lost, replay_failed, reconnected, unreadable.',
	),
	kvTargetsLive: gauge('kv_targets_live', [], 1, 'Targets of which all KV events are known.'),
	kvIndexBlocks: gauge('kv_index_blocks', [], 1, 'Blocks that engines have said they hold.'),
	kvIndexPositions: gauge('kv_index_positions', [], 1, 'Distinct prefixes published of them.'),
	kvBlocksLeftOut: counter(
		'kv_blocks_left_out',
		['cause'],
		8,
		'Blocks not indexed: no room for more blocks, no room in their bucket, or following a block that is not known.',
	),
	// Decisions, counted where they are made.
	decisions: counter(
		'decisions',
		['strategy'],
		STRATEGIES,
		'Decisions, by the strategy that answered (`name@version`), the fallback included.',
	),
	decisionDuration: histogram(
		'decision_duration_seconds',
		['strategy'],
		STRATEGIES,
		decisionSeconds,
		'Wall time of one decision, all in, by the strategy that was asked.',
	),
	decisionFuel: histogram(
		'decision_fuel',
		['strategy'],
		STRATEGIES,
		fuel,
		'Fuel of one decision; exact, the same on every machine.',
	),
	fallbacks: counter(
		'fallbacks',
		['strategy', 'cause'],
		512,
		'Decisions answered by the fallback in place of a strategy, by cause.',
	),
	strikes: counter(
		'strategy_strikes',
		['strategy', 'cause'],
		256,
		'Faults held against a strategy, by cause; never wall clock.',
	),
	shadows: counter(
		'shadow_decisions',
		['strategy', 'result'],
		256,
		'Live decisions while a shadow was staged: it agreed, differed, was at fault, or was not run (`skipped_cap`: its share of the core was used up; `skipped_busy`: one of its decisions still waited).',
	),
	shadowDuration: histogram(
		'shadow_decision_duration_seconds',
		['strategy'],
		STRATEGIES,
		decisionSeconds,
		'Time of one decision of a shadow, off the path of the request.',
	),
	shadowFuel: histogram('shadow_decision_fuel', ['strategy'], STRATEGIES, fuel, 'Fuel of one decision of a shadow.'),
	shadowFaults: counter('shadow_faults', ['strategy', 'cause'], 256, 'Faults of shadows, by cause.'),
	shadowAgreement: collected(
		'shadow_agreement_ratio',
		perShadow,
		STRATEGIES,
		'Share of a shadow’s runs that agreed with the live decision.',
	),
	shadowCpu: collected(
		'shadow_cpu_ratio',
		perShadow,
		STRATEGIES,
		'Share of one core a shadow used, in the worker that used most.',
	),
	shadowPredicted: collected(
		'shadow_predicted_seconds',
		[...perShadow, 'side'],
		STRATEGIES * 2,
		'Mean predicted time of a request by the common predictor: `live` or `shadow` choices.',
	),
	shadowVirtualWait: collected(
		'shadow_virtual_wait_seconds',
		[...perShadow, 'side'],
		STRATEGIES * 2,
		'Mean wait in the virtual queues of the herding check: `live` or `shadow` choices.',
	),
	shadowVirtualImbalance: collected(
		'shadow_virtual_imbalance_ratio',
		[...perShadow, 'side'],
		STRATEGIES * 2,
		'Largest in-flight count over the mean in the virtual queues: `live` or `shadow` choices.',
	),
	shadowHerding: collected(
		'shadow_herding',
		perShadow,
		STRATEGIES,
		'1 when the virtual queues say that the shadow herds.',
	),
	witnesses: counter(
		'witness_decisions',
		['strategy', 'result'],
		128,
		'Sampled decisions re-run on a fresh instance: agreed or differed.',
	),
	// The main thread.
	swaps: counter(
		'strategy_swaps',
		['strategy', 'kind'],
		256,
		'Changes of the deciding strategy: stage, rollback, unload, quarantine, release.',
	),
	quarantines: counter('strategy_quarantines', ['strategy'], STRATEGIES, 'Times a strategy was put in quarantine.'),
	admissions: counter('strategy_admissions', ['result'], 8, 'Strategy modules judged: admitted or refused.'),
	admissionDuration: histogram(
		'strategy_admission_seconds',
		[],
		1,
		geometric(0.01, 2, 12),
		'Time of one admission, its child process included.',
	),
	scrapes: counter(
		'scrapes',
		['target', 'result'],
		TARGETS,
		'Reads of a target’s metrics: ok, error, timeout, unreadable.',
	),
	scrapeDuration: histogram(
		'scrape_duration_seconds',
		[],
		1,
		geometric(0.001, 2, 13),
		'Time of one read of a target’s metrics.',
	),
	discoveryRounds: counter(
		'discovery_rounds',
		['source', 'result'],
		256,
		'Rounds over a source of targets: ok, or the code of what failed.',
	),
	discoveryTargets: gauge('discovery_targets', ['source'], 256, 'Targets that a source listed last.'),
	healthChecks: counter('health_checks', ['target', 'result'], TARGETS, 'Active health checks: ok or failed.'),
	ejections: counter('ejections', ['target'], TARGETS, 'Times a target was ejected for failing live requests.'),
	gpuLooks: counter(
		'gpu_source_looks',
		['source', 'result'],
		TARGETS,
		'Looks at sources of GPU state: ok, error, timeout, unreadable.',
	),
	gpuLookDuration: histogram(
		'gpu_source_look_duration_seconds',
		[],
		1,
		geometric(0.001, 2, 14),
		'Time of one look at a source of GPU state.',
	),
	gpuStandings: counter(
		'gpu_standing_changes',
		['gpu_uuid', 'standing'],
		TARGETS,
		'Times that what holds a GPU changed, by what became of it: sound, degraded, quarantined.',
	),
	tlsReloads: counter(
		'tls_reloads',
		['result'],
		2,
		'Times that changed certificates of the data plane were taken (ok), or could not be used (error).',
	),
	gpuHeldBack: counter(
		'gpu_quarantine_held_back',
		['target'],
		TARGETS,
		'Times that a target stayed in use because rules about GPUs would have taken out too much of its model.',
	),
	peerLoadFrames: counter(
		'peer_load_frames',
		['direction'],
		2,
		'Frames in which routers tell their load: sent, heard.',
	),
	peerLoadDelay: histogram(
		'peer_load_delay_seconds',
		[],
		1,
		geometric(0.001, 2, 13),
		'From the making of another router’s frame to its arrival, by the wall clocks of both: what these differ by shows in it.',
	),
	peerLoadGaps: counter(
		'peer_load_gaps',
		[],
		1,
		'Frames of other routers that did not come; the next full one heals it.',
	),
	peerLoadRefused: counter('peer_load_refused', ['code'], 4, 'Malformed frames of other routers.'),
	peerLoadLapsed: counter('peer_load_lapsed', [], 1, 'Times a router was silent for its lease and lost its share.'),
	agentCalls: counter(
		'agent_calls',
		['method', 'result'],
		256,
		'Calls of the Agent API over gRPC that have ended: ok, or the code of the refusal.',
	),
	agentStreams: gauge(
		'agent_streams',
		[],
		1,
		'Streams open at this node, over gRPC and HTTP: events, drains, health, reflection, snapshots.',
	),
	cellRowsRefused: counter(
		'cell_rows_refused',
		['code'],
		8,
		'Models of other cells that are not routed to because there is no room for a row, by code; each is counted once while that lasts.',
	),
	workerRestarts: counter('worker_restarts', [], 1, 'Data-plane workers that died and were replaced.'),
	loopLag: gauge(
		'event_loop_lag_seconds',
		['thread', 'stat'],
		256,
		'Event-loop delay over the last period, by thread: p50, p99 and max.',
	),
	// Read from the mesh's state at each scrape.
	fabricInTouch: collected(
		'fabric_in_touch',
		[],
		1,
		'0 while this node is cut off from gossip and routes by what it knows itself, else 1.',
	),
	fabricQuorum: collected(
		'fabric_quorum',
		[],
		1,
		'1 while the coordinators have a quorum as this node sees it, else 0.',
	),
	fabricNoSpace: collected(
		'fabric_no_space',
		[],
		1,
		'1 while replicated state has no space left and can be read only, else 0.',
	),
	compatLevel: collected(
		'compat_level',
		['of'],
		2,
		'Level of formats: the newest that this node speaks (`node`) and that of the mesh (`mesh`), which all its nodes write.',
	),
	nodeLifecycle: collected(
		'node_lifecycle',
		['node', 'state'],
		8192,
		'1 for what has been decided about each node of the mesh: active, cordoned, draining, drained or quarantined.',
	),
	// Gossip: of the nodes of this cell, and of the gateways of all cells.
	gossipLiveMembers: collected('gossip_live_members', [], 1, liveMembers),
	gossipLocalHealth: collected('gossip_local_health', [], 1, localHealth),
	gossipPackets: collectedCounter('gossip_packets', ['direction'], 2, 'Datagrams of gossip.'),
	gossipBytes: collectedCounter('gossip_bytes', ['direction'], 2, 'Bytes of datagrams of gossip.'),
	gossipRefused: collectedCounter('gossip_refused', ['cause'], 64, gossipRefused),
	gossipEvents: collectedCounter('gossip_events', ['event'], 64, gossipEvents),
	gossipStalled: collectedCounter('gossip_stall_seconds', [], 1, gossipStalled),
	wanGossipLiveMembers: collected('wan_gossip_live_members', [], 1, `${liveMembers} Of the pool of gateways.`),
	wanGossipLocalHealth: collected('wan_gossip_local_health', [], 1, `${localHealth} In the pool of gateways.`),
	wanGossipPackets: collectedCounter('wan_gossip_packets', ['direction'], 2, 'Datagrams of the pool of gateways.'),
	wanGossipBytes: collectedCounter('wan_gossip_bytes', ['direction'], 2, 'Bytes of datagrams of the pool of gateways.'),
	wanGossipRefused: collectedCounter('wan_gossip_refused', ['cause'], 64, `${gossipRefused} In the pool of gateways.`),
	wanGossipEvents: collectedCounter('wan_gossip_events', ['event'], 64, `${gossipEvents} In the pool of gateways.`),
	wanGossipStalled: collectedCounter('wan_gossip_stall_seconds', [], 1, `${gossipStalled} In the pool of gateways.`),
	topologyLinks: collected('topology_links', ['basis'], 4, 'Other nodes, by how the way to them is known.'),
	topologyError: collected('topology_error_ratio', [], 1, 'Expected relative error of this node’s coordinate.'),
	// Other routers.
	peerLoadAge: collected('peer_load_age_seconds', ['node'], 1024, 'Since another router was last heard of its load.'),
	peerLoadFollowers: collected('peer_load_followers', [], 1, 'Routers that follow the load of this one.'),
	targetInFlightElsewhere: collected(
		'target_in_flight_elsewhere',
		perTarget,
		16_384,
		'The part of the requests in flight at the target that other routers have.',
	),
	// Capacity.
	capacityDesired: collected('capacity_desired_replicas', ['model'], MODELS, 'Replicas advised for the model.'),
	capacityDemand: collected(
		'capacity_demand_rps',
		['model'],
		MODELS,
		'Requests a second of the model over the whole mesh.',
	),
	capacitySustainable: collected(
		'capacity_sustainable_rps',
		['model'],
		MODELS,
		'Requests a second of one replica with objectives met, as learned.',
	),
	capacityGood: collected('capacity_good_ratio', ['model'], MODELS, 'Share of requests that met their objectives.'),
	// Other cells.
	cellSummaryAge: collected(
		'cell_summary_age_seconds',
		['cell'],
		CELLS,
		'Age of what another cell last told of itself.',
	),
	cellStale: collected(
		'cell_stale',
		['cell'],
		CELLS,
		'1 = nothing is sent to the cell because its summary is too old.',
	),
	cellTargetsHealthy: collected(
		'cell_targets_healthy',
		['cell'],
		CELLS,
		'Healthy targets of another cell, over its models.',
	),
	cellLoad: collected('cell_load', ['cell'], CELLS, 'Requests waiting and running in another cell, over its models.'),
	cellCalls: collectedCounter(
		'cell_calls',
		['to'],
		2,
		'Calls for summaries: to gateways of other cells, to one of its own.',
	),
	cellCallsFailed: collectedCounter('cell_calls_failed', [], 1, 'Calls for summaries that failed.'),
	cellSummariesRefused: collectedCounter(
		'cell_summaries_refused',
		[],
		1,
		'Summaries that were malformed, too many, of a name that another cell has, or brought by a node that they are not of.',
	),
	cellStrangers: collectedCounter(
		'cell_strangers',
		[],
		1,
		'Calls of nodes that the pool of gateways does not have alive; nothing is taken from them. A few while a gateway comes in.',
	),
	cellForeignQuarantines: collectedCounter(
		'cell_foreign_quarantines',
		[],
		1,
		'Nodes that a summary called quarantined although they are another cell’s; that is not taken.',
	),
	cellPoolOpen: collected('cell_pool_open', [], 1, 'On a gateway: 1 while it is in the pool of gateways, else 0.'),
	// Connections between nodes.
	transportConnections: collectedCounter(
		'transport_connections',
		['side'],
		3,
		'Connections between nodes, by who made them.',
	),
	transportRevokedClosed: collectedCounter(
		'transport_revoked_closed',
		[],
		1,
		'Connections closed because their peer was revoked.',
	),
	transportExpiredClosed: collectedCounter(
		'transport_expired_closed',
		['peer'],
		2,
		'Connections closed because the certificate their peer had shown expired, by whether it was back with a newer one.',
	),
	transportQuicExchanges: collectedCounter(
		'transport_quic_exchanges',
		['outcome'],
		3,
		'Exchanges of a node with `fabric.transport: quic`: answered or asked over QUIC, or asked over TLS because QUIC was not answered.',
	),
	transportQuicDropped: collectedCounter(
		'transport_quic_dropped',
		[],
		1,
		'Datagrams of QUIC that belong to no connection.',
	),
	transportRefused: collectedCounter('transport_refused', ['code'], 64, 'Peers refused who came, by code.'),
	transportFailed: collectedCounter(
		'transport_failed',
		['code'],
		64,
		'Peers refused or unreachable who were called, by code.',
	),
	authorityExpires: collected(
		'authority_expires_seconds',
		['certificate'],
		2,
		'Until a certificate of the authority expires; the issuer is renewed at half of its year, the root in the last third of its ten.',
	),
	authorityMaintenanceFailed: collectedCounter(
		'authority_maintenance_failed',
		[],
		1,
		'Renewals within the authority that could not be made or stored; each is tried again within the hour.',
	),
	// A coordinator’s part in consensus, and etcd in its place.
	consensusLeader: collected('consensus_leader', [], 1, '1 on the coordinator that leads.'),
	consensusHasLeader: collected('consensus_has_leader', [], 1, '1 while this coordinator knows of a leader.'),
	consensusTerm: collected('consensus_term', [], 1, 'Raft term.'),
	consensusCommitIndex: collected('consensus_commit_index', [], 1, 'Highest entry known to be on a majority.'),
	consensusAppliedIndex: collected('consensus_applied_index', [], 1, 'Highest entry applied here.'),
	consensusVoters: collected('consensus_voters', [], 1, 'Coordinators that vote.'),
	consensusLogSync: collected('consensus_log_sync_p99_seconds', [], 1, 'Recent 99th percentile of a sync of the log.'),
	consensusLogQueued: collected('consensus_log_queued_bytes', [], 1, 'Bytes that wait for the disk.'),
	consensusDiskFull: collected('consensus_disk_full', [], 1, '1 while the log waits for room on its file system.'),
	consensusForeignRefused: collectedCounter(
		'consensus_foreign_refused',
		[],
		1,
		'Calls of members of another cluster: one that was restored or recovered since.',
	),
	consensusMemberEnded: collected('consensus_member_ended', [], 1, '1 once this node’s part has ended for good.'),
	etcdMemberUp: collected('etcd_member_up', ['member'], 64, '1 while the member answers.'),
	etcdMemberHasLeader: collected('etcd_member_has_leader', ['member'], 64, '1 while the member sees a leader.'),
	// What adapters report of collectives, networks and stores: the newest that is not stale, of each source.
	commReportAge: collected(
		'comm_report_age_seconds',
		['source', 'node', 'job_id'],
		512,
		'Age of the newest report of collectives or links from a source; stale ones too.',
	),
	commBusBandwidth: collected(
		'comm_bus_bytes_per_second',
		['node', 'job_id', 'collective', 'bucket_id'],
		REPORTED,
		'Bus bandwidth of collectives by class of message sizes, mean over communicators and ranks.',
	),
	commOperation: collected(
		'comm_operation_seconds',
		['node', 'job_id', 'collective', 'bucket_id'],
		REPORTED,
		'Mean time of a collective by class of message sizes.',
	),
	commRanksTroubled: collected(
		'comm_ranks_troubled',
		['job_id', 'trouble'],
		512,
		'Ranks that the newest reports call late, stuck, behind, slow, missing, dead or failed.',
	),
	linkUp: collected('link_up', ['node', 'device', 'port'], REPORTED, '1 while the link is up, else 0.'),
	linkSent: collected('link_sent_bytes_per_second', ['node', 'device', 'port'], REPORTED, 'Bytes sent over a link.'),
	linkReceived: collected(
		'link_received_bytes_per_second',
		['node', 'device', 'port'],
		REPORTED,
		'Bytes received over a link.',
	),
	linkUtilisation: collected(
		'link_utilisation_ratio',
		['node', 'device', 'port'],
		REPORTED,
		'The busier direction of a link by its speed.',
	),
	linkErrors: collected('link_errors_per_second', ['node', 'device', 'port'], REPORTED, 'Errors on the wire.'),
	linkDrops: collected('link_drops_per_second', ['node', 'device', 'port'], REPORTED, 'Packets dropped at a port.'),
	linkCongestion: collected(
		'link_congestion_per_second',
		['node', 'device', 'port'],
		REPORTED,
		'Congestion notifications of a port, the more of sent and handled.',
	),
	linkWait: collected(
		'link_wait_ticks_per_second',
		['node', 'device', 'port'],
		REPORTED,
		'Ticks of the device in which there was data and no credit to send it.',
	),
	checkpointDuration: collected(
		'checkpoint_duration_seconds',
		['node', 'job_id', 'store'],
		REPORTED,
		'Time to write a checkpoint, or a probe’s object, until it is durable; of several ranks the slowest.',
	),
	checkpointBytes: collected('checkpoint_bytes', ['node', 'job_id', 'store'], REPORTED, 'Bytes of one of them.'),
	checkpointStall: collected(
		'checkpoint_stall_seconds',
		['node', 'job_id', 'store'],
		REPORTED,
		'Of that time, what could only be waited.',
	),
	checkpointAge: collected(
		'checkpoint_age_seconds',
		['node', 'job_id', 'store'],
		REPORTED,
		'Since the newest checkpoint was written.',
	),
	datasetRead: collected(
		'dataset_read_bytes_per_second',
		['node', 'job_id', 'store'],
		REPORTED,
		'Bytes read of data sets, or by a probe, all ranks together.',
	),
	datasetReadDuration: collected(
		'dataset_read_duration_seconds',
		['node', 'job_id', 'store'],
		REPORTED,
		'Time of one read; of several ranks the slowest.',
	),
	datasetWait: collected(
		'dataset_wait_duration_seconds',
		['node', 'job_id', 'store'],
		REPORTED,
		'Until the first byte of a read, or a loader’s wait; of several ranks the longest.',
	),
	datasetQueue: collected(
		'dataset_queue_depth',
		['node', 'job_id', 'store'],
		REPORTED,
		'Reads that wait or are worked on, all ranks together.',
	),
	storeFailures: collected(
		'store_failures_ratio',
		['node', 'job_id', 'store'],
		REPORTED,
		'Failed share of the requests of the last interval.',
	),
	degradations: collected(
		'degradation',
		['rule', 'kind', 'node', 'job_id', 'subject'],
		256,
		'1 for each degradation of a link, rank or store that is in force.',
	),
	reports: counter('reports', ['kind', 'result'], 16, 'Reports of adapters over gRPC: taken, duplicate or refused.'),
	reportsDropped: counter('reports_dropped', ['kind'], 4, 'Reports that adapters say they had no room for.'),
	experimentState: collected(
		'experiment_state',
		['experiment', 'model', 'kind', 'state'],
		EXPERIMENTS,
		'1 for each experiment: running, ending, or how it ended (promote, rollback, end, stop).',
	),
	experimentPairs: collected('experiment_pairs', ['experiment', 'model'], EXPERIMENTS, 'Pairs of blocks judged.'),
	experimentDifference: collected(
		'experiment_difference_ratio',
		['experiment', 'model', 'bound'],
		EXPERIMENTS * 3,
		'Good share of the candidate less that of the baseline: mean, and bounds that hold at all times at once.',
	),
	experimentWinRate: collected(
		'experiment_win_rate_ratio',
		['experiment', 'model', 'bound'],
		EXPERIMENTS * 3,
		'Share of pairs of blocks in which the candidate was better by more than the margin, with its bounds.',
	),
	experimentEvidence: collected(
		'experiment_harm_evidence',
		['experiment', 'model'],
		EXPERIMENTS,
		'How many times a stake of 1 on harm by the candidate has grown; the alarm is at 1/alpha.',
	),
	experimentGood: collected(
		'experiment_good_ratio',
		['experiment', 'model', 'arm'],
		EXPERIMENTS * 2,
		'Share of requests that met their objectives, by arm.',
	),
	experimentHedgeWaste: collected(
		'experiment_hedge_waste_ratio',
		['experiment', 'model', 'arm'],
		EXPERIMENTS * 2,
		'Share of all tokens computed that losing copies computed, by arm.',
	),
	gpuComputeRatio: collected('gpu_compute_ratio', perGpu, GPUS, 'How busy the compute units are, smoothed.'),
	gpuMemoryRatio: collected(
		'gpu_memory_bandwidth_ratio',
		perGpu,
		GPUS,
		'How busy the memory’s bandwidth is, smoothed.',
	),
	gpuMemoryUsed: collected('gpu_memory_used_bytes', perGpu, GPUS, 'Device memory in use.'),
	gpuMemoryTotal: collected('gpu_memory_total_bytes', perGpu, GPUS, 'Device memory in all.'),
	gpuTemperature: collected('gpu_temperature_celsius', perGpu, GPUS, 'Core temperature.'),
	gpuPower: collected('gpu_power_watts', perGpu, GPUS, 'Power drawn, smoothed.'),
	gpuEccUncorrected: collected(
		'gpu_ecc_uncorrected_errors',
		perGpu,
		GPUS,
		'Uncorrected ECC errors since the driver was loaded.',
	),
	gpuXid: collected('gpu_xid_last', perGpu, GPUS, 'The last XID the driver wrote; 0 = none.'),
	gpuHealth: collected('gpu_health_ratio', perGpu, GPUS, 'Health score of a device: 1 = sound, 0 = quarantined.'),
	gpuReportAge: collected('gpu_report_age_seconds', perGpu, GPUS, 'Since a source last spoke of the device.'),
	gpuStanding: collected('gpu_standing', [...perGpu, 'standing'], GPUS, 'Always 1: sound, degraded or quarantined.'),
	gpuHeld: collected('gpu_rule_in_force', [...perGpu, 'rule'], GPUS, '1 for each rule that holds a device.'),
	buildInfo: collected('build_info', ['version', 'node_version'], 1, 'Always 1; the labels say what runs.'),
	targetInfo: collected(
		'target_info',
		['target', 'model', 'revision', 'quant', 'runtime', 'node', 'zone', 'region', 'role', 'gpu_uuid', 'mig_profile'],
		16_384,
		'Always 1; joins a target to the mesh’s labels.',
	),
	targetState: collected('target_state', ['target', 'state'], 16_384, '1 for the state a target is in.'),
	targetHealth: collected('target_health_ratio', perTarget, 16_384, 'Health score, 1 = sound, 0 = out.'),
	targetInFlight: collected('target_in_flight', perTarget, 16_384, 'Requests this mesh has at the target now.'),
	targetLoad: collected(
		'target_load',
		perTarget,
		16_384,
		'Waiting and running requests: last report, corrected by what was sent and ended since.',
	),
	targetQueueDepth: collected(
		'target_queue_depth',
		perTarget,
		16_384,
		'Requests waiting in the engine at the last report.',
	),
	targetRunning: collected('target_running', perTarget, 16_384, 'Requests running in the engine at the last report.'),
	targetKvUsage: collected(
		'target_kv_usage_ratio',
		perTarget,
		16_384,
		'Used share of the KV cache at the last report.',
	),
	targetTtft: collected(
		'target_ttft_seconds',
		perTarget,
		16_384,
		'Smoothed time to first token, as the router saw it.',
	),
	targetErrorRatio: collected('target_error_ratio', perTarget, 16_384, 'Smoothed failed share of recent requests.'),
	targetTelemetryAge: collected(
		'target_telemetry_age_seconds',
		perTarget,
		16_384,
		'Age of the last report from the runtime.',
	),
	strategyInfo: collected(
		'strategy_info',
		['strategy', 'digest', 'stage'],
		256,
		'Always 1; what is loaded and at which stage.',
	),
});

export type MetricKey = keyof typeof metricDefinitions;
