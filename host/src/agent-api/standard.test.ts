// gRPC's own services at the agent's port: health follows readiness, reflection describes what is there.
import { Metadata, status } from '@grpc/grpc-js';
import { embeddedFiles } from '@infermesh/proto/descriptors';
import { HealthCheckResponse_ServingStatus as Status } from '@infermesh/proto/standard/health/v1/health';
import { HealthClient } from '@infermesh/proto/standard/health/v1/health-client';
import {
	type ServerReflectionRequest,
	type ServerReflectionResponse,
} from '@infermesh/proto/standard/reflection/v1/reflection';
import { ServerReflectionClient } from '@infermesh/proto/standard/reflection/v1/reflection-client';
import { ServerReflectionClient as OlderReflectionClient } from '@infermesh/proto/standard/reflection/v1alpha/reflection-client';
import test from 'ava';
import { ask, meshChannel, Reader, refusal } from './grpc-testing.js';
import { openAgent, TRUST_DOMAIN } from './testing.js';

const AGENT = 'infermesh.agent.v1.Agent';

test('health is readiness, for the node and for each of its services', async (t) => {
	const agent = await openAgent(t);
	const client = new HealthClient(agent.address, agent.asNode, meshChannel(TRUST_DOMAIN));
	t.teardown(() => client.close());
	const check = (service: string) => ask(client.check.bind(client), { service });
	t.deepEqual(await check(''), { status: Status.SERVING });
	agent.readiness = { ready: false, reasons: ['draining'], degraded: [] };
	t.deepEqual(await check(''), { status: Status.NOT_SERVING });
	t.deepEqual(await check(AGENT), { status: Status.NOT_SERVING });
	t.deepEqual(await refusal(check('no.such.Service')), [status.NOT_FOUND, 'IM_AGENT_SERVICE_UNKNOWN']);
});

test('who watches health is told at once and after each change, once', async (t) => {
	const agent = await openAgent(t);
	const client = new HealthClient(agent.address, agent.asNode, meshChannel(TRUST_DOMAIN));
	t.teardown(() => client.close());
	const reader = new Reader(client.watch({ service: AGENT }));
	t.deepEqual(await reader.next(), { status: Status.SERVING });
	for (const ready of [false, true]) {
		agent.readiness = { ready, reasons: [], degraded: [] };
		const next = reader.next();
		const told = next.then(() => true);
		const turn = async (): Promise<boolean> => {
			agent.clock.advance(1000);
			return new Promise((resolve) => setImmediate(() => resolve(false)));
		};
		while (!(await Promise.race([told, turn()])));
		t.deepEqual(await next, { status: ready ? Status.SERVING : Status.NOT_SERVING });
	}
	reader.call.cancel();
	const unknown = new Reader(client.watch({ service: 'no.such.Service' }));
	t.deepEqual(await unknown.next(), { status: Status.SERVICE_UNKNOWN });
	unknown.call.cancel();
});

const nothing: ServerReflectionRequest = {
	host: '',
	fileByFilename: undefined,
	fileContainingSymbol: undefined,
	fileContainingExtension: undefined,
	allExtensionNumbersOfType: undefined,
	listServices: undefined,
};

for (const [version, Client] of [
	['v1', ServerReflectionClient],
	['v1alpha', OlderReflectionClient],
] as const)
	test(`reflection ${version} lists the services and has their files`, async (t) => {
		const agent = await openAgent(t);
		const client = new Client(agent.address, agent.asNode, meshChannel(TRUST_DOMAIN));
		t.teardown(() => client.close());
		const call = client.serverReflectionInfo(new Metadata());
		const answers = call[Symbol.asyncIterator]() as AsyncIterator<ServerReflectionResponse>;
		const answer = async (asked: Partial<ServerReflectionRequest>): Promise<ServerReflectionResponse> => {
			call.write({ ...nothing, ...asked });
			return (await answers.next()).value as ServerReflectionResponse;
		};
		t.deepEqual(
			(await answer({ listServices: '*' })).listServicesResponse?.service.map(({ name }) => name),
			[
				'grpc.health.v1.Health',
				'grpc.reflection.v1.ServerReflection',
				'grpc.reflection.v1alpha.ServerReflection',
				AGENT,
				'infermesh.telemetry.v1.Telemetry',
			],
		);
		const file = embeddedFiles.find(({ services }) => services.includes(AGENT));
		// The file itself, then what it imports, and what that imports.
		const needed = [file, ...(file?.dependencies ?? []).map((name) => embeddedFiles.find((one) => one.name === name))];
		const bytes = needed.map((one) => Buffer.from(one?.base64 ?? '', 'base64'));
		t.true(bytes[0]?.includes('SubscribeEvents'));
		for (const question of [
			{ fileContainingSymbol: AGENT },
			{ fileContainingSymbol: `${AGENT}.SubscribeEvents` },
			{ fileContainingSymbol: 'infermesh.agent.v1.Node.zone' },
			{ fileByFilename: 'infermesh/agent/v1/agent.proto' },
		]) {
			const { fileDescriptorResponse } = await answer(question);
			t.deepEqual(
				fileDescriptorResponse?.fileDescriptorProto.map((one) => Buffer.from(one)),
				bytes,
			);
		}
		for (const asked of [
			{ fileByFilename: 'no.proto' },
			{ fileContainingSymbol: 'x' },
			{ allExtensionNumbersOfType: 'x' },
		])
			t.is((await answer(asked)).errorResponse?.errorCode, status.NOT_FOUND);
		call.end();
		t.true((await answers.next()).done);
	});
