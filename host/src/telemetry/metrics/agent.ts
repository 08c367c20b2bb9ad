// Owns the metrics of the agent’s own work: looks at targets and GPUs, discovery, what routers tell each other, calls of its APIs, certificates, event loops.
import { counter, gauge, geometric, histogram, TARGETS } from './define.js';

export const agentMetrics = {
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
		['of', 'result'],
		4,
		'Times that changed certificates of the data plane (data) or the admin API (admin) were taken (ok), or could not be used (error).',
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
} as const;
