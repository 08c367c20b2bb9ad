// Nodes whose gossip connects over QUIC: a mesh of processes, one of which changes its transport while the others run; and a node that lacks the library.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { eventually } from '../support/mesh.js';
import { type MeshNode, prepareNodes, startNodes } from '../support/mesh-nodes.js';

type Outcome = 'answered' | 'asked' | 'fell_back';

async function metric(node: MeshNode, sample: string): Promise<number> {
	const text = await (await fetch(`${node.admin}/metrics`)).text();
	const line = text.split('\n').find((one) => one.startsWith(`${sample} `));
	return Number(line?.slice(sample.length + 1) ?? Number.NaN);
}

const exchanges = (node: MeshNode, outcome: Outcome): Promise<number> =>
	metric(node, `infermesh_transport_quic_exchanges_total{outcome="${outcome}"}`);

const soon = { withinMs: 60_000, everyMs: 100 };

test.serial(
	'three nodes mesh over QUIC; one that was started with TLS is of them, and changes by a restart',
	async (t) => {
		t.timeout(300_000);
		const quic = { fabric: { transport: 'quic' } };
		const nodes = await startNodes(t, [quic, quic, {}]);
		const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
		const allSeen = (): Promise<void> =>
			eventually(
				'each sees three',
				async () => {
					const seen = await Promise.all(nodes.map((node) => metric(node, 'infermesh_gossip_live_members')));
					return seen.every((count) => count === 3);
				},
				soon,
			);
		await allSeen();
		await eventually('the second asked over QUIC', async () => (await exchanges(second, 'asked')) > 0, soon);
		await eventually('the first answered over QUIC', async () => (await exchanges(first, 'answered')) > 0, soon);
		t.is((await exchanges(third, 'asked')) + (await exchanges(third, 'answered')), 0, 'the third has TLS alone');

		t.is(await third.end('SIGTERM'), 0);
		third.configure(quic);
		await third.start();
		await allSeen();
		await eventually('the third asks over QUIC now', async () => (await exchanges(third, 'asked')) > 0, soon);
	},
);

test.serial(
	'a node that is told to use QUIC and has no library for it does not start, and says what to do',
	async (t) => {
		t.timeout(120_000);
		const [node] = (await prepareNodes(t, [{ fabric: { transport: 'quic' } }])) as [MeshNode];
		const absent = `
		import { Module } from 'node:module';
		const find = Module._resolveFilename;
		Module._resolveFilename = (name, ...rest) => find(name.startsWith('@infisical/') ? name + '-absent' : name, ...rest);`;
		const command = fileURLToPath(new URL('../../../host/dist/src/cli/main.js', import.meta.url));
		const without = `data:text/javascript,${encodeURIComponent(absent)}`;
		const child = spawn(process.execPath, ['--import', without, command, 'agent', '--config', node.file]);
		let said = '';
		for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
		const [code] = (await once(child, 'close')) as [number | null];
		t.not(code, 0);
		t.regex(said, /IM_TRANSPORT_QUIC_MISSING/);
		t.regex(said, /fabric\.transport/);
	},
);
