// Owns gRPC's own health service: a node serves while /readyz says ready, and every service it has with it. Who watches is told each change, at the
// latest one period after it.
import type { handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';
import { grpcErrorOf } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import {
	type HealthCheckRequest,
	type HealthCheckResponse,
	type HealthServer,
	HealthCheckResponse_ServingStatus as Status,
} from '@infermesh/proto/standard/health/v1/health';
import type { Readiness } from '../admin/schemas.js';
import { agentApiErrors } from './errors.js';
import type { OpenStreams } from './streams.js';

const PERIOD_MS = 1000;

export interface HealthParts {
	readonly readiness: () => Promise<Readiness>;
	/** Full names of the services this node has. */
	readonly services: () => readonly string[];
	readonly clock: Clock;
	readonly streams: OpenStreams;
	readonly toError: (error: unknown) => MeshError;
}

export function createHealthService({ readiness, services, clock, streams, toError }: HealthParts): HealthServer {
	const known = (service: string): boolean => service === '' || services().includes(service);
	const serving = async (): Promise<Status> => ((await readiness()).ready ? Status.SERVING : Status.NOT_SERVING);
	/** Asked once a period, however many watch. */
	let latest: { readonly atMs: number; readonly status: Promise<Status> } | undefined;
	const servingLately = (): Promise<Status> => {
		const nowMs = clock.nowMs();
		if (latest === undefined || nowMs - latest.atMs >= PERIOD_MS) latest = { atMs: nowMs, status: serving() };
		return latest.status;
	};
	async function* watch(service: string, signal: AbortSignal): AsyncGenerator<HealthCheckResponse> {
		for (let told: Status | undefined; !signal.aborted; await passed(clock, signal)) {
			const status = known(service) ? await servingLately() : Status.SERVICE_UNKNOWN;
			if (status !== told) yield { status };
			told = status;
		}
	}
	const check: handleUnaryCall<HealthCheckRequest, HealthCheckResponse> = (call, reply) => {
		const { service } = call.request;
		if (!known(service))
			return reply(grpcErrorOf(new MeshError(agentApiErrors, 'IM_AGENT_SERVICE_UNKNOWN', service.slice(0, 200))));
		serving().then(
			(status) => reply(null, { status }),
			(error: unknown) => reply(grpcErrorOf(toError(error))),
		);
	};
	const watching: handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (call) =>
		void streams.send(call, (signal) => watch(call.request.service, signal));
	return { check, watch: watching };
}

/** Resolves after one period, or at once when the signal aborts. */
async function passed(clock: Clock, signal: AbortSignal): Promise<void> {
	const { promise, resolve } = Promise.withResolvers<void>();
	const timer = clock.after(PERIOD_MS, resolve, { unref: true });
	const stop = (): void => resolve();
	signal.addEventListener('abort', stop, { once: true });
	await promise;
	timer.cancel();
	signal.removeEventListener('abort', stop);
}
