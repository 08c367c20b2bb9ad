// Owns the Prometheus text of connections between nodes and of the distances between them.
import type { TransportCounters } from '@infermesh/fabric';
import type { TopologyView } from '../fabric.js';

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

export function transportMetrics(counters: TransportCounters): string {
	const { accepted, connected, anonymous, revokedClosed, expiredClosed, refused, failed } = counters.snapshot();
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
		'# HELP infermesh_transport_refused_total Peers refused who came, by code.\n# TYPE infermesh_transport_refused_total counter\n',
		by('infermesh_transport_refused_total', refused),
		'# HELP infermesh_transport_failed_total Peers refused or unreachable who were called, by code.\n# TYPE infermesh_transport_failed_total counter\n',
		by('infermesh_transport_failed_total', failed),
	].join('');
}
