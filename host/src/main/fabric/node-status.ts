// Owns asking a node for what it says of itself, and reading its clock on the way.
import { Metadata } from '@grpc/grpc-js';
import type { Clock } from '@infermesh/proto';
import { type StatusReply } from '@infermesh/proto/grpc/agent/v1/agent';
import { AgentClient } from '@infermesh/proto/grpc/agent/v1/agent-client';
import type { NodeStatus } from '../fabric.js';
import type { NodeCalls } from './node-calls.js';

const TIMEOUT_MS = 2000;

/** Rejects with IM_TRANSPORT_* and IM_TOPOLOGY_UNREACHABLE. */
export async function askStatus(calls: NodeCalls, nodeId: string, clock: Clock): Promise<NodeStatus> {
	const askedMs = clock.nowMs();
	const reply = await calls.call<AgentClient, StatusReply>(nodeId, AgentClient, (client, done) =>
		client.getStatus({}, new Metadata(), { deadline: clock.wallMs() + TIMEOUT_MS }, done),
	);
	return toNodeStatus(reply, clock.nowMs() - askedMs, clock.wallMs());
}

/** The node read its clock somewhere in the round trip, which has just ended; half of it is the most that can be wrong. */
export function toNodeStatus(reply: StatusReply, roundTripMs: number, nowWallMs: number): NodeStatus {
	const { version, quorum, leader, notReady, degraded, alive } = reply;
	return {
		version,
		quorum,
		leader,
		notReady,
		degraded,
		alive,
		skewMs: Number(reply.timeMs) - (nowWallMs - roundTripMs / 2),
		skewErrorMs: roundTripMs / 2,
		certificate: { beginsMs: Number(reply.certificateBeginsMs), expiresMs: Number(reply.certificateExpiresMs) },
	};
}
