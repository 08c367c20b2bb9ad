// Owns the adapters of runtimes and GPUs by name, for running them outside a node.
import type { ModelStateDelta } from '@infermesh/proto';
import type { GpuAdapter } from '../gpus/adapter.js';
import { gpuBounds } from '../gpus/adapter.js';
import { nvidiaSmiArguments } from '../gpus/nvidia-smi.js';
import { gpuAdapters, gpuTools } from '../gpus/sources.js';
import { runtimeNames } from '../runtimes/adapter.js';
import { isRuntimeName } from '../runtimes/detect.js';
import { RuntimeReader } from '../runtimes/reader.js';
import { type AdapterContext, type AdapterKind, fetchPage, metricsPage, utf8 } from './kind.js';

const HTTP = ['http:', 'https:'] as const;
const TOOL_TIMEOUT_MS = 20_000;
const nothing = (): void => undefined;

const runtime: AdapterKind<'model'> = {
	name: 'runtime',
	stream: 'model',
	summary: `An inference runtime’s metrics: ${runtimeNames.join(', ')}`,
	periodMs: 1000,
	settings: [
		{ name: 'url', description: 'http://host:port of the runtime, or its metrics page.', required: true },
		{ name: 'runtime', description: 'Its name; default: told by what it answers.' },
		{ name: 'target', description: 'Id of the target in the mesh; default: host:port of the URL.' },
	],
	open: (settings, { effects }) => {
		const given = settings.url('url', HTTP);
		const page = metricsPage(given);
		const name = settings.optional('runtime');
		const reader = new RuntimeReader({
			hints: true,
			...(name !== undefined && isRuntimeName(name) ? { runtime: name } : {}),
		});
		const target = settings.optional('target') ?? given.host;
		const ask = async (path: string): Promise<void> => {
			const url = new URL(path, given).href;
			const answer = await effects
				.http({ method: 'GET', url, timeoutMs: 2000, bodyMaxBytes: 1024 * 1024 })
				.catch(() => undefined);
			if (answer === undefined) return;
			reader.answer({ path, status: answer.status, body: utf8(answer.body) }, effects.clock.nowMs());
		};
		const look = async () => {
			for (const path of reader.due(effects.clock.nowMs())) await ask(path);
			const body = await fetchPage(effects, page).catch((error: unknown) => error as Error);
			const nowMs = effects.clock.nowMs();
			const delta: ModelStateDelta | undefined =
				body instanceof Error ? reader.readCompanions(nowMs) : reader.accept(body, nowMs);
			if (delta === undefined) throw body;
			return [{ key: target, target, delta }];
		};
		return Promise.resolve({ look, close: nothing });
	},
};

type GpuKind = AdapterKind<'gpu'>;

function readDevices(adapter: GpuAdapter, text: string | Uint8Array, { effects, node }: AdapterContext) {
	const { devices, unread } = adapter.read(text, { atMs: effects.clock.nowMs(), node });
	if (devices.length === 0) throw new Error(unread.join('; ') || 'no device');
	return devices.map((delta) => ({ key: delta.gpuUuid, target: '', delta }));
}

function page(adapter: GpuAdapter, summary: string): GpuKind {
	return {
		name: adapter.kind,
		stream: 'gpu',
		summary,
		periodMs: 5000,
		settings: [{ name: 'url', description: 'Its metrics page.', required: true }],
		open: (settings, context) => {
			const url = settings.url('url', HTTP);
			const look = async () => readDevices(adapter, await fetchPage(context.effects, url), context);
			return Promise.resolve({ look, close: nothing });
		},
	};
}

function tool(adapter: GpuAdapter, summary: string, command: string, args: readonly string[]): GpuKind {
	return {
		name: adapter.kind,
		stream: 'gpu',
		summary,
		periodMs: 10_000,
		settings: [{ name: 'command', description: 'The program.', default: command }],
		open: (settings, context) => {
			const limits = { timeoutMs: TOOL_TIMEOUT_MS, bytesMax: gpuBounds.textBytesMax };
			const look = async () =>
				readDevices(adapter, await context.effects.run(settings.text('command'), args, limits), context);
			return Promise.resolve({ look, close: nothing });
		},
	};
}

const tools = (['nvidia_smi_xml', 'rocm_smi', 'amd_smi'] as const).map((kind) => {
	const { command, args } = gpuTools[kind] ?? { command: kind, args: [] };
	return tool(gpuAdapters[kind], `GPUs by \`${command} ${args.join(' ')}\``, command, args);
});

export const targetKinds: readonly (AdapterKind<'model'> | GpuKind)[] = [
	runtime,
	page(gpuAdapters.dcgm, 'GPUs by NVIDIA’s DCGM exporter'),
	page(gpuAdapters.amd_exporter, 'GPUs by AMD’s device metrics exporter'),
	tool(gpuAdapters.nvidia_smi, 'GPUs by nvidia-smi’s table', 'nvidia-smi', nvidiaSmiArguments()),
	...tools,
];
