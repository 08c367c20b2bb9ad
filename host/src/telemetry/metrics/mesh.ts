// Owns the metrics of the mesh as a whole, collected from its state: fabric, gossip, topology, capacity advice, cells, identities, consensus and etcd.
import { collected, collectedCounter, MODELS, perTarget } from './define.js';

const CELLS = 64;
const liveMembers = 'Members that are alive or suspected, this node included.';
const localHealth = 'Lifeguard local health multiplier; 0 = sound.';
const gossipEvents = 'What the protocol did and refused: `acks_forged` and `claims_forged` are attacks.';
const gossipStalled = 'For how long this node stood still, and accused nobody.';
const gossipRefused = 'Packets and exchanges of gossip refused, by cause.';

export const meshStateMetrics = {
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
} as const;
