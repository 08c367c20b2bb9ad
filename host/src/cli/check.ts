// Owns `infermesh check`: whether this machine and its configuration are fit to run a mesh, and what a mesh that answers says of itself.
import { availableParallelism } from 'node:os';
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { CheckRow } from '../admin/mesh-schemas.js';
import { shippedNames } from '../project/prepare.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { CONFIG_FILE, loadFor } from './config.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type Column, print, renderTable, showTime } from './output.js';

export interface Finding {
	readonly name: string;
	readonly status: 'ok' | 'warn' | 'fail';
	readonly detail: string;
	readonly hint: string;
}

const NODE_MAJOR_MIN = 24;
const MIGRATE_FILE = '/proc/sys/net/ipv4/tcp_migrate_req';

function checkNode(): Finding {
	const fits = Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN;
	const hint = fits ? '' : `Node ${NODE_MAJOR_MIN} is pinned in package.json; run through npm or host/bin`;
	return { name: 'node', status: fits ? 'ok' : 'fail', detail: process.version, hint };
}

function checkPlatform(): Finding {
	const fits = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
	const hint = fits ? '' : 'Linux on x64 or arm64 is what is tested';
	return { name: 'platform', status: fits ? 'ok' : 'warn', detail: `${process.platform} ${process.arch}`, hint };
}

function checkCores(): Finding {
	const cores = availableParallelism();
	const hint = cores < 2 ? 'workers, agent and engines share one core; figures will be poor' : '';
	return { name: 'cores', status: cores < 2 ? 'warn' : 'ok', detail: String(cores), hint };
}

function checkMigration(context: CliContext): Finding {
	let value = 'unknown';
	try {
		value = context.readText(MIGRATE_FILE).trim();
	} catch {
		// Not Linux, or an old kernel: nothing to say.
	}
	const hint =
		value === '0'
			? 'a worker that dies resets the connections queued for it; `sysctl -w net.ipv4.tcp_migrate_req=1` hands them on'
			: '';
	return { name: 'tcp_migrate_req', status: value === '0' ? 'warn' : 'ok', detail: value, hint };
}

function checkConfig(context: CliContext, file: string | undefined): Finding {
	try {
		const loaded = loadFor(context, file);
		return { name: 'config', status: 'ok', detail: loaded.file ?? `defaults (no ${CONFIG_FILE})`, hint: '' };
	} catch (error) {
		if (!(error instanceof MeshError)) throw error;
		const where = error.where === undefined ? '' : `${error.where}: `;
		return { name: 'config', status: 'fail', detail: `${error.code}: ${where}${error.message}`, hint: error.hint };
	}
}

function checkShipped(): Finding {
	const names = shippedNames();
	const fits = names.length > 0;
	const hint = fits ? '' : 'build the mesh: `npm run build`';
	return { name: 'strategies', status: fits ? 'ok' : 'fail', detail: names.join(', ') || 'none ship', hint };
}

interface CheckOptions extends MeshOptions {
	readonly config?: string;
}

const nodeColumns: readonly Column<CheckRow['nodes'][number]>[] = [
	{ title: 'NODE', value: (node) => node.name },
	{ title: 'STATE', value: (node) => node.state },
	{ title: 'GOSSIP', value: (node) => node.health },
	{ title: 'REGISTERED', value: (node) => (node.present ? 'yes' : 'no') },
	{ title: 'SEES', value: (node) => (node.sees === null ? '-' : String(node.sees)), right: true },
	{ title: 'VERSION', value: (node) => node.version ?? '-' },
	{ title: 'CLOCK', value: (node) => (node.skewMs === null ? '-' : `${Math.round(node.skewMs)} ms`), right: true },
	{ title: 'CERTIFICATE UNTIL', value: (node) => showTime(node.certificateExpiresMs) },
];

/** What a mesh that answers says of itself. That none answers is wrong only where one was named. */
async function checkMesh(
	context: CliContext,
	options: CheckOptions,
): Promise<{ readonly items: readonly Finding[]; readonly nodes: CheckRow['nodes'] }> {
	const client = new AdminClient(context, options);
	try {
		const { findings, nodes } = await client.get<CheckRow>('/check');
		return { items: findings.map((finding) => Object.assign({}, finding, { name: `mesh ${finding.name}` })), nodes };
	} catch (error) {
		if (!(error instanceof MeshError)) throw error;
		const named = options.admin !== undefined || (context.env['INFERMESH_ADMIN'] ?? '') !== '';
		const none = error.code === 'IM_CLI_UNREACHABLE' && !named;
		const detail = none ? `none answers at ${client.url}` : `${error.code}: ${error.message}`;
		const item: Finding = { name: 'mesh', status: none ? 'ok' : 'fail', detail, hint: none ? '' : error.hint };
		return { items: [item], nodes: [] };
	}
}

function render(items: readonly Finding[], nodes: CheckRow['nodes']): string {
	const lines = items.map(
		({ status, name, detail, hint }) =>
			`${status.padEnd(4)}  ${name}: ${detail}\n${hint === '' ? '' : `      hint: ${hint}\n`}`,
	);
	return lines.join('') + (nodes.length === 0 ? '' : `\n${renderTable(nodes, nodeColumns)}`);
}

async function check(context: CliContext, options: CheckOptions): Promise<number> {
	const mesh = await checkMesh(context, options);
	const items = [
		checkNode(),
		checkPlatform(),
		checkCores(),
		checkMigration(context),
		checkShipped(),
		checkConfig(context, options.config),
		...mesh.items,
	];
	print(context, options, { items, nodes: mesh.nodes }, () => render(items, mesh.nodes));
	return items.some(({ status }) => status === 'fail') ? EXIT_FAILED : EXIT_OK;
}

export function addCheckCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(
			program
				.command('check')
				.description(
					'whether this machine and its configuration are fit to run a mesh, and whether the mesh that answers is well',
				),
		).option('--config <file>', `configuration file (default: ${CONFIG_FILE} if there is one)`),
		'infermesh check --config node.yaml',
		'infermesh check --admin http://10.0.0.1:8081 --json',
	).action(act(cli, check));
}
