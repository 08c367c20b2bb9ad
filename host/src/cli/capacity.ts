// Owns `infermesh capacity`: how many replicas each model should have, and why.
import type { Command } from 'commander';
import type { CapacityRow } from '../admin/capacity-routes.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { type Column, printItems, showNumber } from './output.js';

const unless = (value: number | null, show: (value: number) => string): string => (value === null ? '-' : show(value));

const columns: readonly Column<CapacityRow>[] = [
	{ title: 'MODEL', value: ({ model }) => model },
	{ title: 'READY', value: ({ ready }) => showNumber(ready), right: true },
	{ title: 'DESIRED', value: ({ desired }) => showNumber(desired), right: true },
	{ title: 'REASON', value: ({ reason }) => reason },
	{ title: 'DEMAND/S', value: ({ demandPerS }) => showNumber(demandPerS, 1), right: true },
	{
		title: 'SUSTAINED/S',
		value: ({ sustainablePerS }) => unless(sustainablePerS, (value) => showNumber(value, 2)),
		right: true,
	},
	{
		title: 'GOOD',
		value: ({ goodRatio }) => unless(goodRatio, (value) => `${showNumber(value * 100, 1)}%`),
		right: true,
	},
	{ title: 'DRAIN FIRST', value: ({ drainFirst }) => drainFirst.join(',') || '-' },
];

export function addCapacityCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(program.command('capacity').description('replicas each model should have, by what its requests need')),
		'infermesh capacity --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: CapacityRow[] }>('/capacity');
			printItems(context, options, items, columns, 'no advice yet: the first comes a window after the first target');
		}),
	);
}
