// Owns `infermesh gpu`: the GPUs a node hears of, and an operator's word on one.
import type { Command } from 'commander';
import type { GpuRow } from '../admin/gpu-routes.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { type Column, print, printItems, showMs, showNumber } from './output.js';

const orDash = (value: number | null, unit: string): string => (value === null ? '-' : `${showNumber(value)}${unit}`);
const percent = (value: number | null): string => orDash(value === null ? null : value * 100, '%');

const columns: readonly Column<GpuRow>[] = [
	{ title: 'GPU', value: (gpu) => gpu.id },
	{ title: 'NODE', value: (gpu) => gpu.node },
	{ title: 'STANDING', value: (gpu) => (gpu.stale ? `${gpu.standing} (stale)` : gpu.standing) },
	{ title: 'HELD BY', value: (gpu) => gpu.rules.map(({ rule }) => rule).join(',') || '-' },
	{
		title: 'TARGETS',
		value: ({ targets, heldBack }) =>
			targets.map((id) => (heldBack.includes(id) ? `${id} (in use)` : id)).join(',') || '-',
	},
	{ title: 'BUSY', value: (gpu) => percent(gpu.computeRatio), right: true },
	{ title: 'MEMORY', value: (gpu) => orDash(gpu.vramUsedMib, ' MiB'), right: true },
	{ title: 'TEMP', value: (gpu) => orDash(gpu.temperatureC, ' °C'), right: true },
	{ title: 'POWER', value: (gpu) => orDash(gpu.powerW, ' W'), right: true },
	{ title: 'AGE', value: (gpu) => showMs(gpu.ageMs), right: true },
	{ title: 'PRODUCT', value: (gpu) => (gpu.migProfile === '' ? gpu.product : `${gpu.product} ${gpu.migProfile}`) },
];

export function addGpuCommands(program: Command, cli: Cli): void {
	const gpu = program.command('gpu').description('GPUs a node hears of, and their quarantine');
	withExample(
		withMesh(gpu.command('list').description('all devices and slices with their standing')),
		'infermesh gpu list --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: GpuRow[] }>('/gpus');
			printItems(
				context,
				options,
				items,
				columns,
				'no GPU is heard of here; `gpu.sources` of the configuration says where to look',
			);
		}),
	);
	for (const [action, description] of [
		['quarantine', 'take a device out by hand; its targets get no requests from this node'],
		['release', 'let a device go, whatever holds it; what holds it now counts again once it has been away'],
	] as const)
		withExample(
			withMesh(gpu.command(action).description(description).argument('<uuid>', 'UUID of the device or slice')),
			`infermesh gpu ${action} GPU-1d2c3b4a`,
		).action(
			act(cli, async (context, uuid: string, options: MeshOptions) => {
				const path = `/gpus/${encodeURIComponent(uuid)}/${action}`;
				const row = await new AdminClient(context, options).post<GpuRow>(path);
				print(context, options, row, () => `${row.id} is ${row.standing}\n`);
			}),
		);
}
