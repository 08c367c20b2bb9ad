// Owns `infermesh quota`: how the quotas of tenants stand at a router. They are set by `infermesh policy set quota`.
import type { Command } from 'commander';
import type { QuotaRow } from '../admin/quota-routes.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { type Column, print, printItems, renderTable } from './output.js';

type Quantity = QuotaRow['quantities'][number];

const columns: readonly Column<QuotaRow>[] = [
	{ title: 'TENANT', value: (quota) => quota.tenant },
	{ title: 'WEIGHT', value: (quota) => String(quota.weight), right: true },
	{ title: 'PRIORITY', value: (quota) => String(quota.priority), right: true },
	{
		title: 'LEFT OF LIMIT',
		value: ({ quantities }) =>
			quantities.map((one) => `${one.quantity} ${one.left + Math.max(0, one.leased)}/${one.limit}`).join(', '),
	},
	{ title: 'WAITING', value: (quota) => String(quota.waiting), right: true },
	{ title: 'REFUSED', value: (quota) => String(quota.refused), right: true },
];

const quantityColumns: readonly Column<Quantity>[] = [
	{ title: 'QUANTITY', value: (one) => one.quantity },
	{ title: 'LIMIT', value: (one) => String(one.limit), right: true },
	{ title: 'LEFT IN THE MESH', value: (one) => String(one.left), right: true },
	{ title: 'HELD HERE', value: (one) => String(one.leased), right: true },
	{ title: 'SPENT HERE', value: (one) => String(one.spent), right: true },
];

function showText(quota: QuotaRow): string {
	const { tenant, weight, priority, quantities, holders, waiting, refused } = quota;
	const head = `tenant ${tenant}: weight ${weight}, priority ${priority}, ${waiting} waiting, ${refused} refused\n`;
	const held = holders
		.map(({ node, slots, self }) => `${slots} places are held by ${self ? 'this node' : node}\n`)
		.join('');
	return head + (quantities.length === 0 ? 'nothing is limited\n' : renderTable(quantities, quantityColumns)) + held;
}

export function addQuotaCommands(program: Command, cli: Cli): void {
	const quota = program.command('quota').description('quotas of tenants as they stand at a router');
	withExample(
		withMesh(quota.command('list').description('all tenants that have a quota')),
		'infermesh quota list',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: QuotaRow[] }>('/quotas');
			printItems(context, options, items, columns, 'no quotas; `infermesh policy set quota NAME` makes one');
		}),
	);
	withExample(
		withMesh(
			quota
				.command('show')
				.description('one tenant: limits, what is left, leased and spent, who holds its concurrency')
				.argument('<tenant>', 'name of the tenant'),
		),
		'infermesh quota show acme --json',
	).action(
		act(cli, async (context, tenant: string, options: MeshOptions) => {
			const found = await new AdminClient(context, options).get<QuotaRow>(`/quotas/${encodeURIComponent(tenant)}`);
			print(context, options, found, () => showText(found));
		}),
	);
}
