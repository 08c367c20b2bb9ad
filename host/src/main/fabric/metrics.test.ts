// What Prometheus is told of a coordinator, and of gossip.
import { SwimCounters, TransportCounters } from '@infermesh/fabric';
import test from 'ava';
import { consensusMetrics, gossipMetrics } from './metrics.js';

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

test('a coordinator tells its part in consensus', (t) => {
	const text = consensusMetrics(state, 'me', undefined);
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
	t.regex(consensusMetrics({ ...state, leader: 'you' }, 'me', undefined), /^infermesh_consensus_leader 0$/m);
	t.regex(consensusMetrics({ ...state, leader: undefined }, 'me', undefined), /^infermesh_consensus_has_leader 0$/m);
});

test('a node that is no coordinator tells nothing of it', (t) => {
	t.is(consensusMetrics(undefined, 'me', undefined), '');
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
	const text = gossipMetrics(figures, 'wan_gossip');
	t.regex(text, /^infermesh_wan_gossip_events_total\{event="acks_forged"\} 3$/m);
	t.regex(text, /^infermesh_wan_gossip_events_total\{event="pings_dropped"\} 5$/m);
	t.regex(text, /^infermesh_wan_gossip_stall_seconds_total 1.5$/m);
	t.regex(text, /^infermesh_wan_gossip_refused_total\{cause="replayed"\} 2$/m);
	t.is([...text.matchAll(/_events_total\{/g)].length, Object.keys(counts).length - 1, 'each of them');
});
