// Owns `infermesh policy`: placements, quotas, objectives and routes of a running mesh, read, written and compared.
import { isDeepStrictEqual } from 'node:util';
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import type { Listed, PolicyRow } from '../admin/mesh-schemas.js';
import { type PolicyKind, policyKinds } from '../records/kinds.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED, EXIT_OK } from './errors.js';
import { type Column, print, printListing } from './output.js';
import { type PolicySource, readPolicy } from './policy-file.js';
import { whole } from './values.js';

const columns: readonly Column<PolicyRow>[] = [
	{ title: 'KIND', value: (policy) => policy.kind },
	{ title: 'NAME', value: (policy) => policy.name },
	{ title: 'REVISION', value: (policy) => String(policy.revision), right: true },
	{ title: 'VALUE', value: (policy) => JSON.stringify(policy.value) },
];

function kindOf(text: string): PolicyKind {
	const kind = policyKinds.find((one) => one === text);
	if (kind !== undefined) return kind;
	const meant = didYouMean(text, policyKinds) || `; one of ${policyKinds.join(', ')}`;
	throw new MeshError(cliErrors, 'IM_CLI_USAGE', `no kind of policy is called ${text}${meant}`);
}

const pathOf = (kind: string, name: string): string => `/policies/${kind}/${encodeURIComponent(name)}`;

/** The policy as it stands; undefined when there is none. */
async function present(client: AdminClient, kind: PolicyKind, name: string): Promise<PolicyRow | undefined> {
	try {
		return await client.get<PolicyRow>(pathOf(kind, name));
	} catch (error) {
		if (error instanceof MeshError && error.code === 'IM_RECORD_UNKNOWN') return undefined;
		throw error;
	}
}

interface FieldChange {
	readonly field: string;
	/** Undefined = not there. */
	readonly before: unknown;
	readonly after: unknown;
}

function changesBetween(before: unknown, after: unknown): FieldChange[] {
	const [old, next] = [before, after].map((value) => (value ?? {}) as Readonly<Record<string, unknown>>);
	return [...new Set([...Object.keys(old ?? {}), ...Object.keys(next ?? {})])]
		.sort()
		.map((field) => ({ field, before: old?.[field], after: next?.[field] }))
		.filter(({ before, after }) => !isDeepStrictEqual(before, after));
}

function changeText({ field, before, after }: FieldChange): string {
	const line = (sign: string, value: unknown): string =>
		value === undefined ? '' : `${sign} ${field}: ${JSON.stringify(value)}\n`;
	return line('-', before) + line('+', after);
}

type SourceOptions = MeshOptions & PolicySource;

async function set(
	context: CliContext,
	kindText: string,
	name: string,
	options: SourceOptions & { readonly ifRevision?: number },
): Promise<void> {
	const kind = kindOf(kindText);
	const value = await readPolicy(context, kind, options);
	const { ifRevision } = options;
	const policy = await new AdminClient(context, options).put<PolicyRow>(pathOf(kind, name), {
		value,
		...(ifRevision === undefined ? {} : { ifRevision }),
	});
	print(context, options, policy, () => `${kind} ${name} is set, revision ${policy.revision}\n`);
}

async function diff(context: CliContext, kindText: string, name: string, options: SourceOptions): Promise<number> {
	const kind = kindOf(kindText);
	const wanted = await readPolicy(context, kind, options);
	const before = await present(new AdminClient(context, options), kind, name);
	const changes = changesBetween(before?.value, wanted);
	const different = before === undefined || changes.length > 0;
	print(context, options, { kind, name, different, revision: before?.revision ?? 0, changes }, () => {
		if (!different) return `${kind} ${name} is as given\n`;
		return `${before === undefined ? `${kind} ${name} is not there; it would be made\n` : ''}${changes.map(changeText).join('')}`;
	});
	return different ? EXIT_FAILED : EXIT_OK;
}

async function remove(context: CliContext, kindText: string, name: string, options: MeshOptions): Promise<number> {
	const kind = kindOf(kindText);
	const { existed } = await new AdminClient(context, options).delete<{ existed: boolean }>(pathOf(kind, name));
	print(context, options, { kind, name, existed }, () =>
		existed ? `${kind} ${name} is deleted\n` : `there was no ${kind} ${name}\n`,
	);
	return EXIT_OK;
}

export function addPolicyCommands(program: Command, cli: Cli): void {
	const policy = program.command('policy').description('placements, quotas, objectives and routes of a running mesh');
	const KINDS = policyKinds.join(', ');
	const withName = (name: string, description: string): Command =>
		withMesh(
			policy.command(name).description(description).argument('<kind>', KINDS).argument('<name>', 'name of the policy'),
		);
	const withSource = (command: Command): Command =>
		command
			.option('--file <file>', 'YAML or JSON; `-` = standard input')
			.option('--value <text>', 'the policy itself, as YAML or JSON');
	withExample(
		withMesh(policy.command('list').description('all policies, or those of one kind').argument('[kind]', KINDS)),
		'infermesh policy list placement',
	).action(
		act(cli, async (context, kind: string | undefined, options: MeshOptions) => {
			const query = kind === undefined ? '' : `?kind=${kindOf(kind)}`;
			const list = await new AdminClient(context, options).get<Listed<PolicyRow>>(`/policies${query}`);
			printListing(context, options, list, columns, 'no policies');
		}),
	);
	withExample(
		withName('get', 'one policy as YAML, fit for `policy set --file`'),
		'infermesh policy get placement eu-only',
	).action(
		act(cli, async (context, kind: string, name: string, options: MeshOptions) => {
			const found = await new AdminClient(context, options).get<PolicyRow>(pathOf(kindOf(kind), name));
			print(context, options, found, () => stringify(found.value));
		}),
	);
	withExample(
		withSource(withName('set', 'make or change a policy')).option(
			'--if-revision <number>',
			'only if it still has this revision; 0 = only if there is none',
			whole(0),
		),
		`infermesh policy set placement eu-only --value '{models: ["llama-*"], regions: [eu-1]}'`,
		'infermesh policy set route gpt-4o --file route.yaml',
	).action(act(cli, set));
	withExample(
		withSource(withName('diff', 'what `policy set` would change; exit 1 when there is a difference')),
		'infermesh policy diff placement eu-only --file eu-only.yaml',
	).action(act(cli, diff));
	withExample(withName('delete', 'delete a policy'), 'infermesh policy delete placement eu-only').action(
		act(cli, remove),
	);
}
