// Owns the metrics of what adapters report of collectives, networks and stores.
import { collected, counter } from './define.js';

/** Series of one metric of collectives, links or stores. */
const REPORTED = 2048;

export const reportMetrics = {
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
} as const;
