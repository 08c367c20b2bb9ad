// Owns the wiring of reports in meshd: what is known from them, where those from outside go, and the loopback port on which a lone node takes them (a
// member of a mesh takes them at its agent's port).
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { type Clock, MeshError } from '@infermesh/proto';
import { TelemetryService } from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import { ServerReflectionService } from '@infermesh/proto/standard/reflection/v1/reflection';
import { type AdminToken, askerOfToken, loopbackAsker } from '../admin/auth.js';
import { adminErrors } from '../admin/errors.js';
import type { AgentCall } from '../agent-api/callers.js';
import { createReflectionService } from '../agent-api/reflection.js';
import { OpenStreams } from '../agent-api/streams.js';
import type { MeshConfig } from '../config/schema.js';
import type { StreamBounds } from '../mesh/stream-bounds.js';
import { reportErrors } from '../reports/errors.js';
import { ReportLedger } from '../reports/ledger.js';
import type { ReceiverOptions } from '../reports/receiver.js';
import type { Reports, ReportsOptions } from '../reports/reports.js';
import { createTelemetryService, type TelemetryServiceParts } from '../reports/service.js';
import type { ReportSinks } from '../reports/sinks.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import { checkPort } from './port-check.js';
import type { TargetService } from './target-service.js';

/** Largest message of a report: bounded lists of bounded texts fit many times. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const STREAMS_PER_CONNECTION_MAX = 64;
const LOOPBACK = '127.0.0.1';

export function reportsOptions({ reports }: MeshConfig): ReportsOptions {
	return {
		originsMax: reports.origins_max,
		staleAfterMs: reports.stale_after_ms,
		forgetAfterMs: reports.forget_after_ms,
		clearAfterMs: reports.clear_after_ms,
		degradationsMax: reports.degradations_max,
		rules: {
			linkErrorsPerSec: reports.link_errors_per_s,
			linkDropsPerSec: reports.link_drops_per_s,
			linkCongestionPerSec: reports.link_congestion_per_s,
			looks: reports.raise_after_looks,
			storeFailureRatio: reports.store_failure_ratio,
			checkpointAgeMaxS: reports.checkpoint_age_max_s,
		},
	};
}

export const receiverOptions = ({ reports }: MeshConfig): ReceiverOptions => ({
	window: reports.window,
	ackEveryMs: reports.ack_every_ms,
});

/** Where reports of any adapter go, wherever it runs. `gpu` is that of fusion, where this node has one. */
export function reportSinks(
	targets: Pick<TargetService, 'report'>,
	reports: Reports,
	gpu?: ReportSinks['gpu'],
): ReportSinks {
	return {
		model: (target, delta, { ageMs }) => targets.report(target, delta, ageMs),
		gpu:
			gpu ??
			(() => {
				throw new MeshError(reportErrors, 'IM_REPORTS_KIND', 'this node has no use for states of GPUs');
			}),
		comm: (delta, origin) => reports.comm(delta, origin),
		io: (delta, origin) => reports.io(delta, origin),
	};
}

export interface LoopbackPorts extends Pick<TelemetryServiceParts, 'sinks' | 'options' | 'clock'> {
	readonly tokens: readonly AdminToken[];
	readonly bounds: StreamBounds;
	readonly log: Log;
	readonly metrics: Pick<MeshMetrics, 'agentCalled' | 'report' | 'reportsDropped'>;
	readonly streamsMax: number;
	readonly clock: Clock;
}

export interface LoopbackReports {
	/** `host:port`; undefined where the port could not be had. */
	readonly address: string | undefined;
	close(): void;
}

async function bind(server: Server, port: number): Promise<number> {
	// Told by the system's own error, which gRPC would write to the log itself.
	await checkPort(LOOPBACK, port);
	return new Promise((resolve, reject) => {
		server.bindAsync(`${LOOPBACK}:${port}`, ServerCredentials.createInsecure(), (error, at) =>
			error === null ? resolve(at) : reject(error),
		);
	});
}

/** Opens the port of a lone node. It is for development: a port that another has does not keep the node from starting. */
export async function openLoopbackReports(port: number, ports: LoopbackPorts): Promise<LoopbackReports> {
	const { tokens, bounds, log, metrics, clock, sinks, options } = ports;
	const toError = (error: unknown): MeshError => {
		if (error instanceof MeshError) return error;
		log.error({ error: error instanceof Error ? error.stack : String(error) }, 'a report failed');
		return new MeshError(adminErrors, 'IM_ADMIN_INTERNAL', undefined, { hint: 'The log has the cause.' });
	};
	const streams = new OpenStreams({ toError, bounds, callerOf: () => loopbackAsker.by });
	const server = new Server({
		'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
		'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION_MAX,
		'grpc.enable_channelz': 0,
	});
	/** As at the admin API: where there are tokens one is asked for, else being on this machine is enough. */
	const mayReport = ({ metadata }: AgentCall): string =>
		tokens.length === 0 ? loopbackAsker.by : askerOfToken(String(metadata.get('authorization')[0] ?? ''), tokens).by;
	const ledger = new ReportLedger(ports.streamsMax);
	const called = (method: string, result: string): void => metrics.agentCalled(method, result);
	const service = createTelemetryService({
		mayReport,
		streams,
		ledger,
		sinks,
		options,
		clock,
		metrics,
		toError,
		called,
	});
	server.addService(TelemetryService, { ...service });
	const services = (): readonly string[] => ['infermesh.telemetry.v1.Telemetry', 'grpc.reflection.v1.ServerReflection'];
	server.addService(ServerReflectionService, { ...createReflectionService({ services, streams, toError }) });
	const bound = await bind(server, port).catch((error: unknown) => {
		log.warn({ error: String(error) }, `adapters outside cannot report: port ${port} is not to be had`);
		return undefined;
	});
	return {
		address: bound === undefined ? undefined : `${LOOPBACK}:${bound}`,
		close: () => {
			streams.close();
			server.forceShutdown();
		},
	};
}
