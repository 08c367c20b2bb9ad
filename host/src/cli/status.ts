// Owns `infermesh status`: what runs, and its traffic since start.
import type { Command } from 'commander';
import type { MeshStatus } from '../admin/schemas.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { print } from './output.js';

function render(status: MeshStatus): string {
	const { traffic, targets, dataUrl } = status;
	const unwatched = targets.total - targets.watched;
	return [
		`InferMesh ${status.version} on ${status.node}, up ${Math.round(status.uptimeS)} s, ${status.workers} ${status.workers === 1 ? 'worker' : 'workers'}`,
		`  roles     ${status.roles.join(', ')}`,
		`  data      ${dataUrl ?? 'no router runs here'}`,
		`  admin     ${status.adminUrl}`,
		`  models    ${status.models.join(', ') || 'none'}`,
		`  targets   ${targets.serving} of ${targets.watched} serving${unwatched === 0 ? '' : `, ${unwatched} more not watched here`}`,
		`  strategy  ${status.activeStrategy}`,
		...Object.entries(status.modelStrategies ?? {}).map(([model, label]) => `            ${label} for ${model}`),
		`  requests  ${traffic.requestsTotal} (${traffic.failedTotal} failed), ${traffic.inFlight} in flight`,
		`  decisions ${traffic.decisionsTotal} (${traffic.fallbacksTotal} by the fallback, ${traffic.strikesTotal} strikes)`,
		'',
	].join('\n');
}

export function addStatusCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(program.command('status').description('what runs, and its traffic since start')),
		'infermesh status --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const status = await new AdminClient(context, options).get<MeshStatus>('/status');
			print(context, options, status, () => render(status));
		}),
	);
}
