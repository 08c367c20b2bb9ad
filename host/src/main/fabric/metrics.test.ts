// What Prometheus is told of the fabric.
import { SwimCounters, TransportCounters } from '@infermesh/fabric';
import test from 'ava';
import { summaryOf } from '../../cells/testing.js';
import { renderMetrics } from '../../telemetry/exposition.js';
import {
	cellMetrics,
	consensusMetrics,
	etcdMetrics,
	gossipMetrics,
	topologyMetrics,
	transportMetrics,
} from './metrics.js';

const state = {
	clusterId: 'c',
	leader: 'me',
	role: 'leader',
	term: 7,
	commitIndex: 120,
	appliedIndex: 119,
	voters: ['me', 'you', 'they'],
	learners: [],
	syncP99Ms: 12,
	queuedBytes: 4096,
	diskFull: true,
	foreignRefused: 2,
};

const textOf = (of: typeof state | (Omit<typeof state, 'leader'> & { leader: undefined })): string =>
	renderMetrics([], consensusMetrics(of, 'me', undefined));

test('a coordinator tells its part in consensus', (t) => {
	const text = textOf(state);
	const value = (name: string): string | undefined =>
		new RegExp(`^infermesh_consensus_${name} (.+)$`, 'm').exec(text)?.[1];
	t.is(value('leader'), '1');
	t.is(value('has_leader'), '1');
	t.is(value('term'), '7');
	t.is(value('commit_index'), '120');
	t.is(value('applied_index'), '119');
	t.is(value('voters'), '3');
	t.is(value('log_sync_p99_seconds'), '0.012');
	t.is(value('log_queued_bytes'), '4096');
	t.is(value('disk_full'), '1');
	t.is(value('foreign_refused_total'), '2');
	t.is(value('member_ended'), '0');
	t.regex(textOf({ ...state, leader: 'you' }), /^infermesh_consensus_leader 0$/m);
	t.regex(textOf({ ...state, leader: undefined }), /^infermesh_consensus_has_leader 0$/m);
});

test('a node that is no coordinator tells nothing of it', (t) => {
	t.deepEqual(consensusMetrics(undefined, 'me', undefined), []);
});

test('other cells, pools of gossip, ways and connections are told under names of the one catalogue', (t) => {
	const counts = new TransportCounters();
	counts.connected = 3;
	const figures = {
		liveMembers: 3,
		healthScore: 1,
		packetsSent: 5,
		packetsReceived: 6,
		bytesSent: 7,
		bytesReceived: 8,
		refused: { replayed: 2 },
		counts: new SwimCounters(),
		transport: counts.snapshot(),
	};
	const asked = { exchanges: 4, pulls: 0, failed: 1, refused: 2, strangers: 3, foreign: 5 };
	const cell = { summary: summaryOf('west'), ageMs: 1500, stale: true, rttMs: undefined };
	const text = renderMetrics(
		[],
		[
			...cellMetrics([cell], asked, true),
			...gossipMetrics('gossip', figures),
			...gossipMetrics('wanGossip', { ...figures, liveMembers: 2 }),
			...topologyMetrics({ links: [], vector: [], heightS: 0, error: 0.5 }),
			...transportMetrics([figures.transport, figures.transport]),
			...etcdMetrics([{ address: 'etcd:2379', answers: true, hasLeader: false, noSpace: false }]),
		],
	);
	for (const line of [
		'infermesh_cell_summary_age_seconds{cell="west"} 1.5',
		'infermesh_cell_stale{cell="west"} 1',
		'infermesh_cell_targets_healthy{cell="west"} 2',
		'infermesh_cell_calls_total{to="gateway"} 4',
		'infermesh_cell_strangers_total 3',
		'infermesh_cell_foreign_quarantines_total 5',
		'infermesh_cell_pool_open 1',
		'infermesh_gossip_live_members 3',
		'infermesh_gossip_refused_total{cause="replayed"} 2',
		'infermesh_wan_gossip_live_members 2',
		'infermesh_wan_gossip_bytes_total{direction="in"} 8',
		'infermesh_topology_links{basis="measured"} 0',
		'infermesh_topology_error_ratio 0.5',
		'infermesh_transport_connections_total{side="made"} 6',
		'infermesh_etcd_member_up{member="etcd:2379"} 1',
	])
		t.true(text.includes(`\n${line}\n`), line);
	t.false(renderMetrics([], cellMetrics([], asked, undefined)).includes('pool_open'), 'a node that is no gateway');
	t.deepEqual(gossipMetrics('wanGossip', undefined), []);
});

test('gossip tells everything it counts: what was forged and what was dropped too', (t) => {
	const counts = Object.assign(new SwimCounters(), { acksForged: 3, pingsDropped: 5, stallMs: 1500 });
	const figures = {
		liveMembers: 4,
		healthScore: 1,
		packetsSent: 10,
		packetsReceived: 9,
		bytesSent: 1000,
		bytesReceived: 900,
		refused: { replayed: 2 },
		counts,
		transport: new TransportCounters().snapshot(),
	};
	const text = renderMetrics([], gossipMetrics('wanGossip', figures));
	t.regex(text, /^infermesh_wan_gossip_events_total\{event="acks_forged"\} 3$/m);
	t.regex(text, /^infermesh_wan_gossip_events_total\{event="pings_dropped"\} 5$/m);
	t.regex(text, /^infermesh_wan_gossip_stall_seconds_total 1.5$/m);
	t.regex(text, /^infermesh_wan_gossip_refused_total\{cause="replayed"\} 2$/m);
	t.is([...text.matchAll(/_events_total\{/g)].length, Object.keys(counts).length - 1, 'each of them');
});
