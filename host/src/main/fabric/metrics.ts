// Owns the Prometheus text of connections between nodes, of the distances between them, and of this node's part in consensus.
import type { EtcdMemberHealth, TransportCounts } from '@infermesh/fabric';
import type { MeshError } from '@infermesh/proto';
import type { CellView } from '../../cells/book.js';
import type { ExchangeFigures } from '../../cells/exchange.js';
import type { TopologyView } from '../fabric.js';
import type { GroupState } from './consensus-protocol.js';
import type { GossipFigures } from './gossip-protocol.js';

export function cellMetrics(
	cells: readonly CellView[],
	{ exchanges, pulls, failed, refused }: ExchangeFigures,
): string {
	const gauge = (name: string, help: string, value: (cell: CellView) => number): string =>
		[
			`# HELP infermesh_cell_${name} ${help}\n# TYPE infermesh_cell_${name} gauge\n`,
			...cells.map((cell) => `infermesh_cell_${name}{cell="${cell.summary.cell}"} ${value(cell)}\n`),
		].join('');
	const models = (of: (model: CellView['summary']['models'][number]) => number) => (cell: CellView) =>
		cell.summary.models.reduce((sum, model) => sum + of(model), 0);
	return [
		gauge('summary_age_seconds', 'Age of what another cell last told of itself.', ({ ageMs }) => ageMs / 1000),
		gauge('stale', '1 = nothing is sent to the cell because its summary is too old.', ({ stale }) => Number(stale)),
		gauge(
			'targets_healthy',
			'Healthy targets of another cell, over its models.',
			models(({ healthy }) => healthy),
		),
		gauge(
			'load',
			'Requests waiting and running in another cell, over its models.',
			models(({ load }) => load),
		),
		'# HELP infermesh_cell_calls_total Calls for summaries of other cells.\n# TYPE infermesh_cell_calls_total counter\n',
		`infermesh_cell_calls_total{to="gateway"} ${exchanges}\n`,
		`infermesh_cell_calls_total{to="own"} ${pulls}\n`,
		'# HELP infermesh_cell_calls_failed_total Calls for summaries that failed.\n# TYPE infermesh_cell_calls_failed_total counter\n',
		`infermesh_cell_calls_failed_total ${failed}\n`,
		'# HELP infermesh_cell_summaries_refused_total Summaries that were malformed, too many, or of a name that another cell has.\n# TYPE infermesh_cell_summaries_refused_total counter\n',
		`infermesh_cell_summaries_refused_total ${refused}\n`,
	].join('');
}

/** The nodes of this cell, and the gateways of all cells. */
export type GossipPool = 'gossip' | 'wan_gossip';

export function gossipMetrics(figures: GossipFigures, pool: GossipPool): string {
	const line = (name: string, value: number, labels = ''): string => `infermesh_${pool}_${name}${labels} ${value}\n`;
	const head = (name: string, type: string, help: string): string =>
		`# HELP infermesh_${pool}_${name} ${help}\n# TYPE infermesh_${pool}_${name} ${type}\n`;
	const { stallMs, ...events } = figures.counts;
	return [
		head('live_members', 'gauge', 'Members that are alive or suspected, this node included.'),
		line('live_members', figures.liveMembers),
		head('local_health', 'gauge', 'Lifeguard local health multiplier; 0 = sound.'),
		line('local_health', figures.healthScore),
		head('packets_total', 'counter', 'Datagrams.'),
		line('packets_total', figures.packetsSent, '{direction="out"}'),
		line('packets_total', figures.packetsReceived, '{direction="in"}'),
		head('bytes_total', 'counter', 'Bytes of datagrams.'),
		line('bytes_total', figures.bytesSent, '{direction="out"}'),
		line('bytes_total', figures.bytesReceived, '{direction="in"}'),
		head('refused_total', 'counter', 'Packets and exchanges refused, by cause.'),
		...Object.entries(figures.refused).map(([cause, count]) => line('refused_total', count, `{cause="${cause}"}`)),
		head(
			'events_total',
			'counter',
			'What the protocol did and refused: `acks_forged` and `claims_forged` are attacks.',
		),
		...Object.entries(events).map(([name, count]) => line('events_total', count, `{event="${snakeCase(name)}"}`)),
		head('stall_seconds_total', 'counter', 'For how long this node stood still, and accused nobody.'),
		line('stall_seconds_total', stallMs / 1000),
	].join('');
}

function snakeCase(name: string): string {
	return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function topologyMetrics({ links, error }: TopologyView): string {
	const counts = new Map<string, number>(
		['measured', 'estimated', 'unreachable', 'unknown'].map((basis) => [basis, 0]),
	);
	for (const { estimate } of links) counts.set(estimate.basis, (counts.get(estimate.basis) ?? 0) + 1);
	return [
		'# HELP infermesh_topology_links Other nodes, by how the way to them is known.\n# TYPE infermesh_topology_links gauge\n',
		...[...counts].map(([basis, count]) => `infermesh_topology_links{basis="${basis}"} ${count}\n`),
		'# HELP infermesh_topology_error_ratio Expected relative error of this node’s coordinate.\n# TYPE infermesh_topology_error_ratio gauge\n',
		`infermesh_topology_error_ratio ${error}\n`,
	].join('');
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

export function transportMetrics(threads: readonly TransportCounts[]): string {
	const { accepted, connected, anonymous, revokedClosed, expiredClosed, quic, refused, failed } = sumOf(threads);
	const by = (name: string, counts: Readonly<Partial<Record<string, number>>>): string =>
		Object.entries(counts)
			.map(([code, count]) => `${name}{code="${code}"} ${count}\n`)
			.join('');
	return [
		'# HELP infermesh_transport_connections_total Connections between nodes, by who made them.\n# TYPE infermesh_transport_connections_total counter\n',
		`infermesh_transport_connections_total{side="accepted"} ${accepted}\n`,
		`infermesh_transport_connections_total{side="made"} ${connected}\n`,
		`infermesh_transport_connections_total{side="joining"} ${anonymous}\n`,
		'# HELP infermesh_transport_revoked_closed_total Connections closed because their peer was revoked.\n# TYPE infermesh_transport_revoked_closed_total counter\n',
		`infermesh_transport_revoked_closed_total ${revokedClosed}\n`,
		'# HELP infermesh_transport_expired_closed_total Connections closed because the certificate their peer had shown expired, by whether it was back with a newer one.\n# TYPE infermesh_transport_expired_closed_total counter\n',
		`infermesh_transport_expired_closed_total{peer="renewed"} ${expiredClosed.renewed}\n`,
		`infermesh_transport_expired_closed_total{peer="lapsed"} ${expiredClosed.lapsed}\n`,
		'# HELP infermesh_transport_quic_exchanges_total Exchanges of a node with `fabric.transport: quic`: answered or asked over QUIC, or asked over TLS because QUIC was not answered.\n# TYPE infermesh_transport_quic_exchanges_total counter\n',
		`infermesh_transport_quic_exchanges_total{outcome="answered"} ${quic.answered}\n`,
		`infermesh_transport_quic_exchanges_total{outcome="asked"} ${quic.asked}\n`,
		`infermesh_transport_quic_exchanges_total{outcome="fell_back"} ${quic.fellBack}\n`,
		'# HELP infermesh_transport_quic_dropped_total Datagrams of QUIC that belong to no connection.\n# TYPE infermesh_transport_quic_dropped_total counter\n',
		`infermesh_transport_quic_dropped_total ${quic.dropped}\n`,
		'# HELP infermesh_transport_refused_total Peers refused who came, by code.\n# TYPE infermesh_transport_refused_total counter\n',
		by('infermesh_transport_refused_total', refused),
		'# HELP infermesh_transport_failed_total Peers refused or unreachable who were called, by code.\n# TYPE infermesh_transport_failed_total counter\n',
		by('infermesh_transport_failed_total', failed),
	].join('');
}

/** Empty on a node that is no coordinator, or whose part has not spoken yet. */
export function consensusMetrics(state: GroupState | undefined, nodeId: string, ended: MeshError | undefined): string {
	if (state === undefined) return '';
	const samples: readonly (readonly [name: string, type: 'gauge' | 'counter', help: string, value: number])[] = [
		['leader', 'gauge', '1 on the coordinator that leads.', Number(state.leader === nodeId)],
		['has_leader', 'gauge', '1 while this coordinator knows of a leader.', Number(state.leader !== undefined)],
		['term', 'gauge', 'Raft term.', state.term],
		['commit_index', 'gauge', 'Highest entry known to be on a majority.', state.commitIndex],
		['applied_index', 'gauge', 'Highest entry applied here.', state.appliedIndex],
		['voters', 'gauge', 'Coordinators that vote.', state.voters.length],
		['log_sync_p99_seconds', 'gauge', 'Recent 99th percentile of a sync of the log.', state.syncP99Ms / 1000],
		['log_queued_bytes', 'gauge', 'Bytes that wait for the disk.', state.queuedBytes],
		['disk_full', 'gauge', '1 while the log waits for room on its file system.', Number(state.diskFull)],
		[
			'foreign_refused_total',
			'counter',
			'Calls of members of another cluster: one that was restored or recovered since.',
			state.foreignRefused,
		],
		['member_ended', 'gauge', '1 once this node’s part has ended for good.', Number(ended !== undefined)],
	];
	return samples
		.map(([name, type, help, value]) => {
			const full = `infermesh_consensus_${name}`;
			return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${full} ${value}\n`;
		})
		.join('');
}

/** Members of an etcd cluster as each answered last. */
export function etcdMetrics(members: readonly EtcdMemberHealth[]): string {
	return [
		'# HELP infermesh_etcd_member_up 1 while the member answers.\n# TYPE infermesh_etcd_member_up gauge\n',
		...members.map(({ address, answers }) => `infermesh_etcd_member_up{member="${address}"} ${Number(answers)}\n`),
		'# HELP infermesh_etcd_member_has_leader 1 while the member sees a leader.\n# TYPE infermesh_etcd_member_has_leader gauge\n',
		...members.map(
			({ address, hasLeader }) => `infermesh_etcd_member_has_leader{member="${address}"} ${Number(hasLeader)}\n`,
		),
	].join('');
}
