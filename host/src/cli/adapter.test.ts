// `infermesh adapter` in process, against a real port of a lone node and real files.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../main/clock.js';
import { openLoopbackReports } from '../main/report-part.js';
import { StreamBounds } from '../mesh/stream-bounds.js';
import { testReports } from '../reports/testing.js';
import { createMetricsBuffer, MetricsBlock } from '../telemetry/block.js';
import { createLog } from '../telemetry/logger.js';
import { createMeshMetrics } from '../telemetry/mesh-metrics.js';
import { type Ran, run } from './testing.js';

function folder(t: ExecutionContext): string {
	const made = mkdtempSync(path.join(tmpdir(), 'infermesh-adapter-'));
	t.teardown(() => rmSync(made, { recursive: true, force: true }));
	return made;
}

/** A root with one network device that is up. */
function sysfs(t: ExecutionContext): string {
	const root = folder(t);
	const net = path.join(root, 'sys/class/net/eth7/statistics');
	mkdirSync(net, { recursive: true });
	writeFileSync(path.join(net, '../operstate'), 'up\n');
	writeFileSync(path.join(net, '../speed'), '1000\n');
	for (const name of ['tx_bytes', 'rx_bytes']) writeFileSync(path.join(net, name), '5000\n');
	return root;
}

async function agent(t: ExecutionContext) {
	const reports = testReports(systemClock);
	const targets: [string, number | undefined][] = [];
	const metrics = createMeshMetrics(new MetricsBlock(createMetricsBuffer()));
	const port = await openLoopbackReports(0, {
		tokens: [{ name: 'ann', token: 's3cret' }],
		bounds: new StreamBounds(() => undefined),
		log: createLog({ level: 'silent', wallMs: () => 0 }),
		metrics,
		streamsMax: 16,
		clock: systemClock,
		options: { window: 8, ackEveryMs: 1 },
		sinks: {
			model: (target, { queueDepth }) => void targets.push([target, queueDepth]),
			gpu: () => undefined,
			comm: (delta, origin) => reports.comm(delta, origin),
			io: (delta, origin) => reports.io(delta, origin),
		},
	});
	t.teardown(() => port.close());
	return { address: port.address ?? '', reports, targets };
}

/** Not interrupted. */
const going = (argv: readonly string[], options: Parameters<typeof run>[1] = {}): Promise<Ran> =>
	run(['adapter', ...argv], { signal: new AbortController().signal, ...options });

test('kinds are listed with their settings, and wrong ones are usage errors', async (t) => {
	const { json } = await going(['kinds', '--json']);
	const { items } = json as { items: { name: string }[] };
	const names = new Set(items.map(({ name }) => name));
	for (const name of ['runtime', 'dcgm', 'nccl_ras', 'network_ports', 's3', 'file']) t.true(names.has(name), name);
	const unknown = await going(['probe', 'tea']);
	t.deepEqual([unknown.code, /IM_ADAPTER_UNKNOWN/.test(unknown.err)], [2, true]);
	const missing = await going(['probe', 'nccl_log']);
	t.deepEqual([missing.code, /nccl_log: path must be given/.test(missing.err)], [2, true]);
	const wrong = await going(['probe', 'file:///tmp', '--set', 'sugar=2']);
	t.deepEqual([wrong.code, /file: sugar is no setting of it/.test(wrong.err)], [2, true]);
});

test('a probe shows values, units, labels, where they go, and what was not read', async (t) => {
	const root = sysfs(t);
	writeFileSync(path.join(root, 'sys/class/net/eth7/statistics/rx_dropped'), 'x\n');
	const args = ['probe', 'network_ports', '--set', `root=${root}`, '--wait', '1ms', '--node', 'n7'];
	const { json, code } = await going([...args, '--json']);
	const { items, unread } = json as { items: { signal: string }[]; unread: string[] };
	t.is(code, 0);
	t.deepEqual(
		items.find(({ signal }) => signal === 'links.sentBytesPerSec'),
		{
			signal: 'links.sentBytesPerSec',
			value: 0,
			unit: 'bytes/s',
			labels: { node: 'n7', device: 'eth7', port: 1, layer: 'ethernet' },
			goesTo: 'infermesh_link_sent_bytes_per_second',
		} as never,
	);
	t.deepEqual(unread, ['eth7 rx_dropped: not a number']);
	const { out } = await going(args);
	t.regex(out, /SIGNAL +VALUE +UNIT +GOES TO +LABELS/);
	t.regex(out, /not read: eth7 rx_dropped/);
});

test('a page of an exporter of GPUs is read as one, by its address alone', async (t) => {
	const pages: Record<string, string> = {
		'/metrics': 'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a",Hostname="n1"} 41\n',
		'/amd': 'gpu_package_power{gpu_id="0",gpu_uuid="AMD-a",hostname="n1"} 150\n',
	};
	const server = createServer((request, response) => {
		const page = pages[request.url ?? ''];
		if (page === undefined) response.writeHead(404).end();
		else response.end(page);
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
	const probed = async (address: string) => {
		const { json } = await going(['probe', address, '--looks', '1', '--json']);
		const { kind, stream, items } = json as {
			kind: string;
			stream: string;
			items: { signal: string; value: number }[];
		};
		return [kind, stream, items.find(({ signal }) => /temperatureC|powerW/.test(signal))?.value];
	};
	t.deepEqual(await probed(url), ['dcgm', 'gpu', 41]);
	t.deepEqual(await probed(`${url}/amd`), ['amd_exporter', 'gpu', 150]);
	const nothing = await going(['probe', `${url}/nothing`, '--looks', '1']);
	t.regex(nothing.err, /runtime: .*answered 404/, 'what is not there is still taken for a runtime');
});

test('a runtime is told by what it answers, and its columns are shown', async (t) => {
	const server = createServer((request, response) => {
		if (request.url === '/metrics')
			response.end('vllm:num_requests_running{model_name="m"} 3\nvllm:num_requests_waiting{model_name="m"} 2\n');
		else response.writeHead(404).end();
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
	const { json } = await going(['probe', url, '--looks', '1', '--json']);
	const { kind, items } = json as { kind: string; items: { signal: string; goesTo: string; value: number }[] };
	t.is(kind, 'runtime');
	t.like(
		items.find(({ signal }) => signal === 'queueDepth'),
		{ value: 2, goesTo: 'queue_depth' },
	);
	const { address, targets } = await agent(t);
	const args = ['run', url, '--agent', address, '--token', 's3cret', '--looks', '1', '--set', 'target=gpu-5', '--json'];
	const ran = await going(args);
	t.deepEqual([ran.code, targets], [0, [['gpu-5', 2]]]);
});

test('an adapter that runs outside reports, and says what became of it', async (t) => {
	const { address, reports } = await agent(t);
	const root = sysfs(t);
	const args = ['run', 'network_ports', '--set', `root=${root}`, '--node', 'n7', '--agent', address];
	const ran = await going([...args, '--looks', '3', '--period', '1ms', '--json'], {
		env: { INFERMESH_TOKEN: 's3cret' },
	});
	t.deepEqual(ran.json, {
		kind: 'network_ports',
		looks: 3,
		reports: 3,
		failures: 0,
		dropped: 0,
		refused: 0,
		unacknowledged: 0,
	});
	const [report] = reports.commReports();
	t.like(report, { adapter: 'network_ports', caller: 'token:ann' });
	t.is(report?.value.links[0]?.device, 'eth7');
});

test('a secret may come from the environment or a file, and a foreign agent is not spoken to in the clear', async (t) => {
	const files = { '/run/secret': 'from-file\n' };
	const s3 = ['probe', 's3://b/p', '--set', 'endpoint=http://127.0.0.1:1', '--looks', '1', '--json'];
	const refused = await going([...s3, '--set', 'secret_access_key=file:/run/secret'], {
		files,
		env: { AWS_ACCESS_KEY_ID: 'id' },
	});
	const { items } = refused.json as { items: { signal: string; value: unknown }[] };
	t.is(items.find(({ signal }) => signal === 'errors')?.value, 'ECONNREFUSED');
	t.false(refused.out.includes('from-file'));
	const clear = await going(['run', 'nccl_ras', '--agent', '10.1.2.3:8082', '--looks', '1']);
	t.deepEqual([clear.code, /--ca, --cert and --key are needed/.test(clear.err)], [2, true]);
});
