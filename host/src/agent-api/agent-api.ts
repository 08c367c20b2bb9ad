// Owns what the agent's port offers to operators and other programs: the Agent service, gRPC's health and reflection. Who the callers are the port has
// checked; what they may do is decided here; what is done is MeshOperations', as over HTTP.
import type { SecureServer } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import { AgentService } from '@infermesh/proto/grpc/agent/v1/agent';
import { TelemetryService } from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import { HealthService } from '@infermesh/proto/standard/health/v1/health';
import { ServerReflectionService } from '@infermesh/proto/standard/reflection/v1/reflection';
import { ServerReflectionService as OlderReflectionService } from '@infermesh/proto/standard/reflection/v1alpha/reflection';
import type { AdminToken } from '../admin/auth.js';
import { adminErrors } from '../admin/errors.js';
import type { Readiness } from '../admin/schemas.js';
import type { MeshOperations } from '../mesh/operations.js';
import type { StreamBounds } from '../mesh/stream-bounds.js';
import { ReportLedger } from '../reports/ledger.js';
import type { ReceiverOptions } from '../reports/receiver.js';
import { createTelemetryService } from '../reports/service.js';
import type { ReportSinks } from '../reports/sinks.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import { type AgentSelf, createAgentService } from './agent-service.js';
import { type CallerRules, Callers } from './callers.js';
import { createHealthService } from './health.js';
import { createReflectionService } from './reflection.js';
import { OpenStreams } from './streams.js';

export interface AgentApiPorts {
	readonly mesh: MeshOperations;
	readonly self: AgentSelf;
	readonly readiness: () => Promise<Readiness>;
	/** The tokens of the admin API: they open here what they open there. */
	readonly tokens: readonly AdminToken[];
	readonly callers: CallerRules;
	readonly clock: Clock;
	readonly log: Log;
	readonly metrics: Pick<MeshMetrics, 'agentCalled' | 'report' | 'reportsDropped'>;
	/** Shared with the admin API. */
	readonly bounds: StreamBounds;
	/** What comes of reports, and in which bounds they come. */
	readonly reports: { readonly sinks: ReportSinks; readonly options: ReceiverOptions; readonly streamsMax: number };
}

export interface AgentApi {
	/** Ends open streams by IM_AGENT_STOPPING, so that their readers go on at another node. */
	close(): void;
}

export function addAgentApi(
	server: Pick<SecureServer, 'addClientService' | 'peerOf' | 'services'>,
	ports: AgentApiPorts,
): AgentApi {
	const { mesh, self, readiness, tokens, clock, log, metrics, bounds, reports } = ports;
	const toError = (error: unknown): MeshError => {
		if (error instanceof MeshError) return error;
		log.error({ error: error instanceof Error ? error.stack : String(error) }, 'agent call failed');
		return new MeshError(adminErrors, 'IM_ADMIN_INTERNAL', undefined, { hint: 'The log has the cause.' });
	};
	const services = (): readonly string[] => server.services;
	const callers = new Callers(server, tokens, ports.callers);
	const streams = new OpenStreams({ toError, bounds, callerOf: (call) => callers.uriOf(call) });
	const reflection = createReflectionService({ services, streams, toError });
	const called = (method: string, result: string): void => metrics.agentCalled(method, result);
	const agent = createAgentService({ mesh, self, readiness, clock, callers, streams, toError, called });
	const telemetry = createTelemetryService({
		mayReport: (call) => callers.mayReport(call),
		streams,
		ledger: new ReportLedger(reports.streamsMax),
		sinks: reports.sinks,
		options: reports.options,
		clock,
		metrics,
		toError,
		called,
	});
	server.addClientService(AgentService, { ...agent });
	server.addClientService(TelemetryService, { ...telemetry });
	server.addClientService(HealthService, { ...createHealthService({ readiness, services, clock, streams, toError }) });
	server.addClientService(ServerReflectionService, { ...reflection });
	server.addClientService(OlderReflectionService, { ...reflection });
	return { close: () => streams.close() };
}
