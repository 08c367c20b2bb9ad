// The Agent API seen by another gRPC implementation in another language, which verifies the node by its trust domain and learns the messages from it.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { infermesh, startNodes } from '../support/mesh-nodes.js';
import { program, run, temporaryFolder } from '../support/programs.js';

const client = fileURLToPath(new URL('../../../test/external/agent-client.py', import.meta.url));

interface Seen {
	readonly services: readonly string[];
	readonly nodes: readonly { readonly name: string; readonly present: boolean }[];
	readonly begin: number;
	readonly policy: number;
	readonly event: readonly [id: string, change: string, revision: number];
	readonly conflict: readonly [status: string, code: string];
	readonly unknown: readonly [status: string, code: string];
	readonly health: string;
}

test('gRPC’s C core verifies the node, finds the services by reflection, administers and follows', async (t) => {
	const python = program('python3', 'python3-grpcio');
	const [node] = await startNodes(t, [{}]);
	if (node === undefined) throw new Error('no node');
	const out = path.join(temporaryFolder(t), 'ann');
	const issued = await infermesh('ca', 'client', 'ann', '--config', node.file, '--out', out);
	t.is(issued.code, 0, issued.err);
	const { code, output } = await run(python, [client, node.agent, out, 'infermesh.local']);
	t.is(code, 0, `${output} (python3 wants python3-grpcio)`);
	const seen = JSON.parse(output) as Seen;
	t.true(seen.services.includes('infermesh.agent.v1.Agent'));
	t.like(seen.nodes[0], { name: 'node-1', present: true });
	t.true(seen.begin < seen.policy);
	t.deepEqual(seen.event, ['placement/python', 'put', seen.policy]);
	t.deepEqual(seen.conflict, ['ABORTED', 'IM_RECORD_CONFLICT']);
	t.deepEqual(seen.unknown, ['NOT_FOUND', 'IM_NODE_UNKNOWN']);
	// Without a target it is not ready: NOT_SERVING.
	t.is(seen.health, '0802');

	const stranger = await run(python, [client, node.agent, out, 'another.mesh']);
	t.not(stranger.code, 0, 'a node of another trust domain than the one expected is not spoken to');
	t.regex(stranger.output, /UNAVAILABLE/);
});
