// Owns `infermesh tenant` and `infermesh key`: tenants of a running mesh and the API keys that count for them.
import type { Command } from 'commander';
import type { KeyMadeRow, KeyRow, Listed, TenantRow } from '../admin/mesh-schemas.js';
import { type Grade, grades } from '../strategy/signing/grade.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { type Column, print, printListing, showTime } from './output.js';
import { duration, oneOf, whole } from './values.js';

const POLICY_MASK_MAX = 0xffff_ffff;

const tenantColumns: readonly Column<TenantRow>[] = [
	{ title: 'TENANT', value: (tenant) => tenant.name },
	{ title: 'NAME', value: (tenant) => tenant.displayName ?? '-' },
	{ title: 'POLICY MASK', value: (tenant) => String(tenant.policyMask), right: true },
	{ title: 'STRATEGIES', value: (tenant) => tenant.strategies ?? 'any' },
	{ title: 'REVISION', value: (tenant) => String(tenant.revision), right: true },
];

const keyColumns: readonly Column<KeyRow>[] = [
	{ title: 'KEY', value: (key) => key.id },
	{ title: 'TENANT', value: (key) => key.tenant },
	{ title: 'TRUSTED', value: (key) => (key.trusted ? 'yes' : 'no') },
	{ title: 'MADE', value: (key) => showTime(key.createdAtMs) },
	{ title: 'EXPIRES', value: (key) => (key.expiresAtMs === undefined ? 'never' : showTime(key.expiresAtMs)) },
];

type SetOptions = MeshOptions & {
	readonly displayName?: string;
	readonly policyMask: number;
	readonly strategies?: Grade;
	readonly ifRevision?: number;
};

async function setTenant(context: CliContext, name: string, options: SetOptions): Promise<void> {
	const { displayName, policyMask, strategies, ifRevision } = options;
	const tenant = await new AdminClient(context, options).put<TenantRow>(`/tenants/${encodeURIComponent(name)}`, {
		policyMask,
		...(displayName === undefined ? {} : { displayName }),
		...(strategies === undefined ? {} : { strategies }),
		...(ifRevision === undefined ? {} : { ifRevision }),
	});
	print(context, options, tenant, () => `tenant ${tenant.name} is set, revision ${tenant.revision}\n`);
}

type KeyOptions = MeshOptions & {
	readonly id: string;
	readonly tenant: string;
	readonly trusted?: boolean;
	readonly ttl?: number;
};

async function newKey(context: CliContext, options: KeyOptions): Promise<void> {
	const { id, tenant, trusted = false, ttl } = options;
	const made = await new AdminClient(context, options).post<KeyMadeRow>('/keys', {
		id,
		tenant,
		trusted,
		...(ttl === undefined ? {} : { expiresAtMs: Math.floor(context.clock.wallMs() + ttl) }),
	});
	const ends = made.expiresAtMs === undefined ? '' : `, until ${showTime(made.expiresAtMs)}`;
	print(
		context,
		options,
		made,
		() => `${made.key}\nkey ${made.id} of tenant ${made.tenant}${ends}; it is shown once and stored nowhere\n`,
	);
}

async function remove(
	context: CliContext,
	what: 'tenants' | 'keys',
	name: string,
	options: MeshOptions,
): Promise<void> {
	await new AdminClient(context, options).delete(`/${what}/${encodeURIComponent(name)}`);
	const done = { tenants: `tenant ${name} is deleted`, keys: `key ${name} is deleted; it opens nothing from now on` };
	print(context, options, { [what === 'keys' ? 'id' : 'name']: name, deleted: true }, () => `${done[what]}\n`);
}

export function addTenantCommands(program: Command, cli: Cli): void {
	const tenant = program.command('tenant').description('tenants of a running mesh');
	withExample(withMesh(tenant.command('list').description('all tenants')), 'infermesh tenant list').action(
		act(cli, async (context, options: MeshOptions) => {
			const tenants = await new AdminClient(context, options).get<Listed<TenantRow>>('/tenants');
			printListing(context, options, tenants, tenantColumns, 'no tenants but `default`');
		}),
	);
	withExample(
		withMesh(tenant.command('set').description('make or change a tenant').argument('<name>', 'name of the tenant'))
			.option('--display-name <text>', 'for people')
			.option('--policy-mask <number>', 'bits handed to strategies with the tenant', whole(0, POLICY_MASK_MAX), 0)
			.option(
				'--strategies <grade>',
				'least grade of strategies that may decide its requests: unsigned, signed or trusted',
				oneOf(...grades),
			)
			.option('--if-revision <number>', 'only if it still has this revision; 0 = only if there is none', whole(0)),
		'infermesh tenant set team-a --display-name "Team A"',
	).action(act(cli, setTenant));
	withExample(
		withMesh(
			tenant
				.command('delete')
				.description('delete a tenant that no key counts for')
				.argument('<name>', 'name of the tenant'),
		),
		'infermesh tenant delete team-a',
	).action(act(cli, (context, name: string, options: MeshOptions) => remove(context, 'tenants', name, options)));
}

export function addKeyCommands(program: Command, cli: Cli): void {
	const key = program.command('key').description('API keys of a running mesh’s data plane');
	withExample(
		withMesh(key.command('new').description('make a key; it is shown once'))
			.requiredOption('--id <id>', 'name of the key, shown in lists and logs')
			.option('--tenant <name>', 'tenant its requests count for', 'default')
			.option('--trusted', 'it may set priority, SLO and tenant by request headers')
			.option('--ttl <duration>', 'it opens nothing after this time (default: never ends)', duration),
		'infermesh key new --id team-a-ci --tenant team-a --ttl 24h',
	).action(act(cli, newKey));
	withExample(
		withMesh(key.command('list').description('keys made at run time, without the keys themselves')),
		'infermesh key list',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const keys = await new AdminClient(context, options).get<Listed<KeyRow>>('/keys');
			printListing(context, options, keys, keyColumns, 'no keys but those in configurations of nodes');
		}),
	);
	withExample(
		withMesh(key.command('delete').description('delete a key').argument('<id>', 'name of the key')),
		'infermesh key delete team-a-ci',
	).action(act(cli, (context, id: string, options: MeshOptions) => remove(context, 'keys', id, options)));
}
