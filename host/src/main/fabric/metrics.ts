// Owns what Prometheus is told of connections between nodes, of the distances between them, and of this node's part in consensus.
import type { EtcdMemberHealth, TransportCounts } from '@infermesh/fabric';
import type { MeshError } from '@infermesh/proto';
import type { CellView } from '../../cells/book.js';
import type { ExchangeFigures } from '../../cells/exchange.js';
import type { CollectedSample } from '../../telemetry/exposition.js';
import type { TopologyView } from '../fabric.js';
import type { GroupState } from './consensus-protocol.js';
import type { GossipFigures } from './gossip-protocol.js';

type Samples = readonly CollectedSample[];

const sample = (metric: CollectedSample['metric'], value: number, ...labels: readonly string[]): CollectedSample => ({
	metric,
	labels,
	value,
});

export function cellMetrics(
	cells: readonly CellView[],
	{ exchanges, pulls, failed, refused, strangers, foreign }: ExchangeFigures,
	/** Whether this gateway is in its pool; undefined on a node that is none. */
	poolOpen: boolean | undefined,
): Samples {
	return [
		...cells.flatMap(({ summary: { cell, models }, ageMs, stale }) => [
			sample('cellSummaryAge', ageMs / 1000, cell),
			sample('cellStale', Number(stale), cell),
			sample(
				'cellTargetsHealthy',
				models.reduce((sum, { healthy }) => sum + healthy, 0),
				cell,
			),
			sample(
				'cellLoad',
				models.reduce((sum, { load }) => sum + load, 0),
				cell,
			),
		]),
		sample('cellCalls', exchanges, 'gateway'),
		sample('cellCalls', pulls, 'own'),
		sample('cellCallsFailed', failed),
		sample('cellSummariesRefused', refused),
		sample('cellStrangers', strangers),
		sample('cellForeignQuarantines', foreign),
		...(poolOpen === undefined ? [] : [sample('cellPoolOpen', Number(poolOpen))]),
	];
}

/** The nodes of this cell, and the gateways of all cells. */
export type GossipPool = 'gossip' | 'wanGossip';

export function gossipMetrics(pool: GossipPool, figures: GossipFigures | undefined): Samples {
	if (figures === undefined) return [];
	const { stallMs, ...events } = figures.counts;
	return [
		sample(`${pool}LiveMembers`, figures.liveMembers),
		sample(`${pool}LocalHealth`, figures.healthScore),
		sample(`${pool}Packets`, figures.packetsSent, 'out'),
		sample(`${pool}Packets`, figures.packetsReceived, 'in'),
		sample(`${pool}Bytes`, figures.bytesSent, 'out'),
		sample(`${pool}Bytes`, figures.bytesReceived, 'in'),
		...Object.entries(figures.refused).map(([cause, count]) => sample(`${pool}Refused`, count, cause)),
		...Object.entries(events).map(([name, count]) => sample(`${pool}Events`, count, snakeCase(name))),
		sample(`${pool}Stalled`, stallMs / 1000),
	];
}

function snakeCase(name: string): string {
	return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function topologyMetrics({ links, error }: TopologyView): Samples {
	const counts = new Map<string, number>(
		['measured', 'estimated', 'unreachable', 'unknown'].map((basis) => [basis, 0]),
	);
	for (const { estimate } of links) counts.set(estimate.basis, (counts.get(estimate.basis) ?? 0) + 1);
	return [
		...[...counts].map(([basis, count]) => sample('topologyLinks', count, basis)),
		sample('topologyError', error),
	];
}

/** Adds up what is counted in several threads. */
function sumOf(all: readonly TransportCounts[]): TransportCounts {
	const sum = (pick: (counts: TransportCounts) => number): number => all.reduce((n, counts) => n + pick(counts), 0);
	const byCode = (pick: (counts: TransportCounts) => TransportCounts['refused']): TransportCounts['refused'] => {
		const codes = new Map<string, number>();
		for (const counts of all)
			for (const [code, count] of Object.entries(pick(counts))) codes.set(code, (codes.get(code) ?? 0) + count);
		return Object.fromEntries(codes);
	};
	return {
		accepted: sum((counts) => counts.accepted),
		connected: sum((counts) => counts.connected),
		anonymous: sum((counts) => counts.anonymous),
		revokedClosed: sum((counts) => counts.revokedClosed),
		expiredClosed: {
			renewed: sum((counts) => counts.expiredClosed.renewed),
			lapsed: sum((counts) => counts.expiredClosed.lapsed),
		},
		quic: {
			answered: sum((counts) => counts.quic.answered),
			asked: sum((counts) => counts.quic.asked),
			fellBack: sum((counts) => counts.quic.fellBack),
			dropped: sum((counts) => counts.quic.dropped),
		},
		refused: byCode((counts) => counts.refused),
		failed: byCode((counts) => counts.failed),
	};
}

export function transportMetrics(threads: readonly TransportCounts[]): Samples {
	const { accepted, connected, anonymous, revokedClosed, expiredClosed, quic, refused, failed } = sumOf(threads);
	const by = (metric: 'transportRefused' | 'transportFailed', counts: TransportCounts['refused']): Samples =>
		Object.entries(counts).map(([code, count]) => sample(metric, count, code));
	return [
		sample('transportConnections', accepted, 'accepted'),
		sample('transportConnections', connected, 'made'),
		sample('transportConnections', anonymous, 'joining'),
		sample('transportRevokedClosed', revokedClosed),
		sample('transportExpiredClosed', expiredClosed.renewed, 'renewed'),
		sample('transportExpiredClosed', expiredClosed.lapsed, 'lapsed'),
		sample('transportQuicExchanges', quic.answered, 'answered'),
		sample('transportQuicExchanges', quic.asked, 'asked'),
		sample('transportQuicExchanges', quic.fellBack, 'fell_back'),
		sample('transportQuicDropped', quic.dropped),
		...by('transportRefused', refused),
		...by('transportFailed', failed),
	];
}

/** Empty on a node that is no coordinator, or whose part has not spoken yet. */
export function consensusMetrics(state: GroupState | undefined, nodeId: string, ended: MeshError | undefined): Samples {
	if (state === undefined) return [];
	return [
		sample('consensusLeader', Number(state.leader === nodeId)),
		sample('consensusHasLeader', Number(state.leader !== undefined)),
		sample('consensusTerm', state.term),
		sample('consensusCommitIndex', state.commitIndex),
		sample('consensusAppliedIndex', state.appliedIndex),
		sample('consensusVoters', state.voters.length),
		sample('consensusLogSync', state.syncP99Ms / 1000),
		sample('consensusLogQueued', state.queuedBytes),
		sample('consensusDiskFull', Number(state.diskFull)),
		sample('consensusForeignRefused', state.foreignRefused),
		sample('consensusMemberEnded', Number(ended !== undefined)),
	];
}

/** Members of an etcd cluster as each answered last. */
export function etcdMetrics(members: readonly EtcdMemberHealth[]): Samples {
	return members.flatMap(({ address, answers, hasLeader }) => [
		sample('etcdMemberUp', Number(answers), address),
		sample('etcdMemberHasLeader', Number(hasLeader), address),
	]);
}
