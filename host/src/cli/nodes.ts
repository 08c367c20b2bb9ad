// Owns `infermesh nodes`: the nodes of a mesh and what is decided about them. A drain is waited for and shown.
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { DrainRow, Listed, NodeRow } from '../admin/mesh-schemas.js';
import { meshErrors } from '../mesh/errors.js';
import type { NodeAction } from '../mesh/nodes.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type Column, print, printListing, showTime } from './output.js';
import { pause } from './pause.js';
import { duration } from './values.js';

const columns: readonly Column<NodeRow>[] = [
	{ title: 'NAME', value: (node) => node.name },
	{ title: 'STATE', value: (node) => node.state },
	{ title: 'HEALTH', value: (node) => node.health },
	{ title: 'PRESENT', value: (node) => (node.present ? 'yes' : 'no') },
	{ title: 'ZONE', value: (node) => node.record?.zone ?? '-' },
	{ title: 'ROLES', value: (node) => node.record?.roles.join(',') ?? '-' },
	{ title: 'VERSION', value: (node) => node.record?.version ?? '-' },
	{ title: 'ADMIN', value: (node) => node.record?.addresses.admin ?? '-' },
	{ title: 'REASON', value: (node) => node.reason || '-' },
];

/** A drain is asked about this often. */
const POLL_MS = 500;
const DRAIN_TIMEOUT_MS = 300_000;

const pathOf = (node: string): string => `/nodes/${encodeURIComponent(node)}`;

function render(node: NodeRow): string {
	const { record } = node;
	const lines = [
		`${node.name}  ${node.id}`,
		`  state     ${node.state}${node.reason === '' ? '' : `: ${node.reason}`}`,
		...(node.changedBy === null ? [] : [`  decided   by ${node.changedBy}, ${showTime(node.changedAtMs)}`]),
		`  health    ${node.health}, ${node.present ? 'in touch with the coordinators' : 'its own record is gone'}`,
	];
	if (record !== null)
		lines.push(
			`  place     zone ${record.zone}, region ${record.region}`,
			`  roles     ${record.roles.join(', ')}`,
			`  version   ${record.version}, started ${showTime(record.startedAtMs)}`,
			...Object.entries(record.addresses).map(([what, address]) => `  ${what.padEnd(8)}  ${address}`),
		);
	return `${lines.join('\n')}\n`;
}

type DecideOptions = MeshOptions & { readonly reason?: string };

function decide(context: CliContext, action: NodeAction, node: string, options: DecideOptions): Promise<NodeRow> {
	const body = options.reason === undefined ? {} : { reason: options.reason };
	return new AdminClient(context, options).post<NodeRow>(`${pathOf(node)}/${action}`, body);
}

/** `7 in flight: node-1 4, node-2 3; node-3 has not answered`. */
function progressText({ name, present, routers, inFlight }: DrainRow): string {
	const busy = routers.flatMap((router) => (router.inFlight ? [`${router.name} ${router.inFlight}`] : []));
	const silent = routers.filter((router) => router.inFlight === null).map((router) => router.name);
	const away = present ? '' : '; the node is away and cannot declare its drain over';
	const waiting =
		silent.length === 0 ? '' : `; ${silent.join(', ')} ${silent.length === 1 ? 'has' : 'have'} not answered`;
	return `${name}: ${inFlight} in flight${busy.length === 0 ? '' : `: ${busy.join(', ')}`}${waiting}${away}`;
}

async function drain(
	context: CliContext,
	name: string,
	options: DecideOptions & { readonly timeout: number },
): Promise<number> {
	const client = new AdminClient(context, options);
	await decide(context, 'drain', name, options);
	const deadlineMs = context.clock.nowMs() + options.timeout;
	let shown = '';
	for (;;) {
		const progress = await client.get<DrainRow>(`${pathOf(name)}/drain`);
		if (progress.state === 'drained') {
			print(context, options, progress, () => `${progress.name} is drained\n`);
			return EXIT_OK;
		}
		if (progress.state !== 'draining')
			throw new MeshError(meshErrors, 'IM_NODE_STATE', `${progress.name} has been made ${progress.state} meanwhile`);
		const text = progressText(progress);
		if (text !== shown) context.stderr.write(`${text}\n`);
		shown = text;
		if (context.signal.aborted) {
			context.stderr.write('no longer waited for; the drain goes on\n');
			return EXIT_FAILED;
		}
		const leftMs = deadlineMs - context.clock.nowMs();
		if (leftMs <= 0) throw new MeshError(meshErrors, 'IM_NODE_DRAIN_TIMEOUT', text);
		await pause(context, Math.min(POLL_MS, leftMs));
	}
}

const decisions: readonly (readonly [Exclude<NodeAction, 'drain'>, string, string])[] = [
	['cordon', 'place nothing new on a node; what it serves goes on', 'is cordoned'],
	['uncordon', 'undo a cordon or a drain', 'is active'],
	['quarantine', 'take a node that is not to be trusted out of everything', 'is quarantined'],
	['release', 'lift a quarantine', 'is active'],
];

export function addNodeCommands(program: Command, cli: Cli): void {
	const nodes = program.command('nodes').description('nodes of a mesh: list, drain, cordon, quarantine');
	const withNode = (name: string, description: string): Command =>
		withMesh(nodes.command(name).description(description).argument('<node>', 'name or UUID'));
	withExample(
		withMesh(nodes.command('list').description('all nodes that are there or known')),
		'infermesh nodes list',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const list = await new AdminClient(context, options).get<Listed<NodeRow>>('/nodes');
			printListing(context, options, list, columns, 'no nodes');
		}),
	);
	withExample(withNode('show', 'one node'), 'infermesh nodes show node-2').action(
		act(cli, async (context, name: string, options: MeshOptions) => {
			const node = await new AdminClient(context, options).get<NodeRow>(pathOf(name));
			print(context, options, node, () => render(node));
		}),
	);
	withExample(
		withNode('drain', 'send a node nothing new, let what is open finish, hand leadership over; waits until it is done')
			.option('--timeout <duration>', 'give up waiting after this; the drain goes on', duration, DRAIN_TIMEOUT_MS)
			.option('--reason <text>', 'for those who see it later'),
		'infermesh nodes drain node-2 --timeout 5m --reason "new kernel"',
	).action(act(cli, drain));
	for (const [action, description, done] of decisions)
		withExample(
			withNode(action, description).option('--reason <text>', 'for those who see it later'),
			`infermesh nodes ${action} node-2`,
		).action(
			act(cli, async (context, name: string, options: DecideOptions) => {
				const node = await decide(context, action, name, options);
				print(context, options, node, () => `${node.name} ${done}\n`);
			}),
		);
	withExample(
		withNode('remove', 'forget a node that is gone for good, with its targets and its vote'),
		'infermesh nodes remove node-2',
	).action(
		act(cli, async (context, name: string, options: MeshOptions) => {
			const node = await new AdminClient(context, options).delete<NodeRow>(pathOf(name));
			print(context, options, node, () => `${node.name} is forgotten\n`);
		}),
	);
}
