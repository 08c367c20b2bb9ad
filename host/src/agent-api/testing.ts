// Owns an agent's port for tests: real mTLS between a real authority's certificates, the API over a mesh of one node, and clients as any program would
// make them. Test support only.
import type { ChannelCredentials } from '@grpc/grpc-js';
import {
	CertificateAuthority,
	generateNodeKey,
	IdentityHolder,
	makeIdentity,
	pemOfCertificate,
	RevocationList,
	SecureServer,
	SessionRegistry,
	TransportCounters,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import { AgentClient } from '@infermesh/proto/grpc/agent/v1/agent-client';
import type { ExecutionContext } from 'ava';
import type { Readiness } from '../admin/schemas.js';
import { HandClock } from '../fleet/testing.js';
import { systemClock } from '../main/clock.js';
import { StreamBounds, type StreamLimits } from '../mesh/stream-bounds.js';
import { type LonelyMesh, type LonelyMeshOptions, lonelyMesh, SELF } from '../mesh/testing.js';
import { reportErrors } from '../reports/errors.js';
import type { Reports } from '../reports/reports.js';
import { testReports } from '../reports/testing.js';
import { createMetricsBuffer, MetricsBlock } from '../telemetry/block.js';
import { renderMetrics } from '../telemetry/exposition.js';
import { createLog } from '../telemetry/logger.js';
import { createMeshMetrics } from '../telemetry/mesh-metrics.js';
import { type AgentApi, addAgentApi } from './agent-api.js';
import type { CallerRules } from './callers.js';
import { meshChannel, meshCredentials } from './grpc-testing.js';

export const TRUST_DOMAIN = 'mesh.test';
export const TOKEN = 'token-of-ann';
const OTHER_NODE = '99999999-9999-4999-8999-999999999999';

export interface TestAgent {
	readonly mesh: LonelyMesh;
	readonly reports: Reports;
	readonly api: AgentApi;
	readonly address: string;
	/** Of the API: what is periodic happens as it is turned. */
	readonly clock: HandClock;
	/** The text a scrape gets. */
	metrics(): string;
	readiness: Readiness;
	/** Certificates of `/client/bob` and of another node. */
	readonly asClient: ChannelCredentials;
	readonly asNode: ChannelCredentials;
	/** Closed with the test. */
	client(credentials: ChannelCredentials): AgentClient;
}

const pem = (certificates: readonly Uint8Array[]): Buffer => Buffer.from(certificates.map(pemOfCertificate).join(''));

export async function openAgent(
	t: ExecutionContext,
	options: LonelyMeshOptions & {
		readonly streams?: Partial<StreamLimits>;
		readonly callers?: Partial<CallerRules>;
	} = {},
): Promise<TestAgent> {
	const nowMs = systemClock.wallMs();
	const authority = await CertificateAuthority.create(TRUST_DOMAIN, nowMs);
	const [own, bob, other] = await Promise.all([generateNodeKey(), generateNodeKey(), generateNodeKey()]);
	const identity = makeIdentity(
		await authority.issueNode(SELF, own.publicKey, nowMs),
		own.privateKey,
		authority.bundle,
		nowMs,
	);
	const show = (chain: readonly Uint8Array[], keys: typeof bob): ChannelCredentials =>
		meshCredentials(
			pem(authority.bundle.roots),
			Buffer.from(keys.privateKey.export({ format: 'pem', type: 'pkcs8' })),
			pem(chain),
		);
	const revocations = new RevocationList();
	const counters = new TransportCounters();
	const server = new SecureServer({
		identity: new IdentityHolder(identity),
		revocations,
		counters,
		clock: systemClock,
		sessions: new SessionRegistry(revocations, counters, systemClock),
	});
	const mesh = lonelyMesh(options);
	const reports = testReports(systemClock);
	const refuse = (): never => {
		throw new MeshError(reportErrors, 'IM_REPORTS_KIND');
	};
	const clock = new HandClock();
	const metrics = createMetricsBuffer();
	const meshMetrics = createMeshMetrics(new MetricsBlock(metrics));
	const made = {
		mesh,
		reports,
		clock,
		readiness: { ready: true, reasons: [], degraded: [] } as Readiness,
		asClient: show(await authority.issueClient('bob', bob.publicKey, nowMs), bob),
		asNode: show(await authority.issueNode(OTHER_NODE, other.publicKey, nowMs), other),
	};
	const api = addAgentApi(server, {
		mesh: mesh.operations,
		self: {
			nodeId: SELF,
			name: 'one',
			version: '0.1.0',
			roles: ['router', 'coordinator'],
			certificate: () => ({ beginsMs: identity.svid.leaf.notBeforeMs, expiresMs: identity.svid.notAfterMs }),
		},
		readiness: () => Promise.resolve(made.readiness),
		tokens: [{ name: 'ann', token: TOKEN }],
		callers: { admins: [], readers: [], clientsChange: true, ...options.callers },
		clock,
		log: createLog({ level: 'silent', wallMs: () => 0 }),
		metrics: meshMetrics,
		reports: {
			sinks: {
				model: refuse,
				gpu: refuse,
				comm: (delta, from) => reports.comm(delta, from),
				io: (delta, from) => reports.io(delta, from),
			},
			options: { window: 64, ackEveryMs: 1 },
			streamsMax: 16,
		},
		bounds: new StreamBounds((open) => meshMetrics.agentStreams(open), options.streams),
	});
	const address = await server.listen('127.0.0.1:0');
	const clients: { close(): void }[] = [];
	t.teardown(async () => {
		for (const client of clients) client.close();
		await server.close();
		await mesh.engine.close();
	});
	return Object.assign(made, {
		metrics: (): string => renderMetrics([metrics]),
		api,
		address,
		client: (who: ChannelCredentials) => {
			const client = new AgentClient(address, who, meshChannel(TRUST_DOMAIN));
			clients.push(client);
			return client;
		},
	});
}
