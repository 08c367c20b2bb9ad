// Owns `infermesh check`: whether this machine and its configuration are fit to run a mesh.
import { availableParallelism } from 'node:os';
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import { shippedNames } from '../project/prepare.js';
import { act, type Cli, withExample, withJson } from './command.js';
import { CONFIG_FILE, loadFor } from './config.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print } from './output.js';

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

export function addCheckCommand(program: Command, cli: Cli): void {
	withExample(
		withJson(
			program.command('check').description('whether this machine and its configuration are fit to run a mesh'),
		).option('--config <file>', `configuration file (default: ${CONFIG_FILE} if there is one)`),
		'infermesh check --config node.yaml',
	).action(
		act(cli, (context, options: OutputOptions & { readonly config?: string }) => {
			const items = [
				checkNode(),
				checkPlatform(),
				checkCores(),
				checkMigration(context),
				checkShipped(),
				checkConfig(context, options.config),
			];
			print(context, options, { items }, () =>
				items
					.map(
						(item) =>
							`${item.status.padEnd(4)}  ${item.name}: ${item.detail}\n${item.hint === '' ? '' : `      hint: ${item.hint}\n`}`,
					)
					.join(''),
			);
			return items.some((item) => item.status === 'fail') ? EXIT_FAILED : EXIT_OK;
		}),
	);
}
