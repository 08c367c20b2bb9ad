// What Prometheus is told of a coordinator.
import test from 'ava';
import { consensusMetrics } from './metrics.js';

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
