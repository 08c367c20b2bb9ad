// Owns `infermesh members`, `topology` and `raft`: what the fabric of a running mesh knows.
import { bandwidthBounds } from '@infermesh/fabric';
import type { Command } from 'commander';
import type {
	CellRow,
	MemberRow,
	PairsRow,
	ProbeRow,
	RaftRow,
	TopologyLinkRow,
	TopologyRow,
} from '../admin/mesh-schemas.js';
import { type Recovery, recoverGroup } from '../main/fabric/offline.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withJson, withMesh } from './command.js';
import { CONFIG_FILE, loadFor } from './config.js';
import type { CliContext } from './context.js';
import { type Column, type OutputOptions, print, printItems, renderTable, showMs, showTime } from './output.js';
import { duration, whole } from './values.js';

const memberColumns: readonly Column<MemberRow>[] = [
	{ title: 'NAME', value: (member) => `${member.name}${member.self ? ' (asked)' : ''}` },
	{ title: 'STATE', value: (member) => member.state },
	{ title: 'SINCE', value: (member) => showTime(member.sinceMs) },
	{ title: 'INCARNATION', value: (member) => String(member.incarnation), right: true },
	{ title: 'ADDRESS', value: (member) => member.address || '-' },
	{ title: 'ACCUSED BY', value: (member) => member.accusers.join(',') || '-' },
	{ title: 'ID', value: (member) => member.id },
];

interface CellLine {
	readonly cell: CellRow;
	readonly model: CellRow['models'][number] | undefined;
}

const cellColumns: readonly Column<CellLine>[] = [
	{ title: 'CELL', value: ({ cell }) => `${cell.cell}${cell.own ? ' (this one)' : ''}` },
	{ title: 'STATE', value: ({ cell }) => (cell.ageMs === null ? 'unknown' : cell.stale ? 'STALE' : 'fresh') },
	{ title: 'AGE', value: ({ cell }) => shown(cell.ageMs, showMs), right: true },
	{ title: 'RTT', value: ({ cell }) => shown(cell.rttMs, showMs), right: true },
	{ title: 'MODEL', value: ({ model }) => model?.model ?? '-' },
	{ title: 'HEALTHY', value: ({ model }) => (model ? `${model.healthy}/${model.targets}` : '-'), right: true },
	{ title: 'LOAD', value: ({ model }) => (model ? showLoad(model) : '-'), right: true },
	{ title: 'QUEUE', value: ({ model }) => (model ? model.queue.toFixed(0) : '-'), right: true },
	{ title: 'TTFT', value: ({ model }) => (model ? showMs(model.ttftMs) : '-'), right: true },
	{ title: 'P95', value: ({ model }) => (model ? showMs(model.ttftP95Ms) : '-'), right: true },
	{ title: 'REGION', value: ({ cell, model }) => (model?.region ?? '') || cell.region || '-' },
	{ title: 'GATEWAYS', value: ({ cell }) => cell.gateways.map(showGateway).join(',') || '-' },
];

const showLoad = ({ load, capacity }: { readonly load: number; readonly capacity: number }): string =>
	capacity > 0 ? `${load.toFixed(0)}/${capacity}` : load.toFixed(0);
const showGateway = ({ name, state }: CellRow['gateways'][number]): string =>
	state === 'alive' ? name : `${name} (${state})`;

const shown = (value: number | null, show: (value: number) => string): string => (value === null ? '-' : show(value));
const showBandwidth = (bytesPerS: number): string => `${(bytesPerS / 1e6).toFixed(1)} MB/s`;

const linkColumns: readonly Column<TopologyLinkRow>[] = [
	{ title: 'TO', value: (link) => link.name },
	{ title: 'ZONE', value: (link) => link.zone ?? '-' },
	{ title: 'REGION', value: (link) => link.region ?? '-' },
	{ title: 'CLASS', value: (link) => link.linkClass },
	{ title: 'REACH', value: (link) => link.reach },
	// What was measured of a node that does not answer is no distance to it now.
	{ title: 'RTT', value: (link) => (link.reach === 'unreachable' ? '-' : shown(link.rttMs, showMs)), right: true },
	{ title: 'BASIS', value: (link) => link.basis },
	{ title: 'AGE', value: (link) => shown(link.ageMs, showMs), right: true },
	{ title: 'ERROR', value: (link) => shown(link.error, (error) => `${Math.round(error * 100)} %`), right: true },
	{ title: 'BANDWIDTH', value: (link) => shown(link.bandwidthBytesPerS, showBandwidth), right: true },
];

const pairColumns: readonly Column<PairsRow['pairs'][number]>[] = [
	{ title: 'FROM', value: (pair) => pair.fromName },
	...linkColumns,
];

const raftColumns: readonly Column<RaftRow['members'][number]>[] = [
	{ title: 'MEMBER', value: (member) => member.name },
	{ title: 'ROLE', value: (member) => (member.leader ? `${member.role}, leader` : member.role) },
	{ title: 'MATCH', value: (member) => (member.matchIndex === null ? '-' : String(member.matchIndex)), right: true },
	{ title: 'ADDRESS', value: (member) => member.address || '-' },
	{ title: 'ID', value: (member) => member.id },
];

function renderTopology({ links, error }: TopologyRow): string {
	if (links.length === 0) return 'no other node is known\n';
	return `${renderTable(links, linkColumns)}expected error of estimates: ${Math.round(error * 100)} %\n`;
}

function renderPairs({ pairs, unanswered, truncated }: PairsRow): string {
	const table = pairs.length === 0 ? 'no pairs are known\n' : renderTable(pairs, pairColumns);
	const silent = unanswered.map(({ name, error }) => `${name} could not be asked: ${error}\n`);
	return `${table}${silent.join('')}${truncated ? 'there are more pairs than are shown\n' : ''}`;
}

async function topology(context: CliContext, options: MeshOptions & { readonly all?: boolean }): Promise<void> {
	const client = new AdminClient(context, options);
	if (options.all === true) {
		const pairs = await client.get<PairsRow>('/topology/pairs');
		print(context, options, pairs, () => renderPairs(pairs));
		return;
	}
	const links = await client.get<TopologyRow>('/topology');
	print(context, options, links, () => renderTopology(links));
}

type ProbeOptions = MeshOptions & { readonly bytes?: number; readonly timeout?: number };

async function probe(context: CliContext, from: string, to: string, options: ProbeOptions): Promise<void> {
	const body = {
		from,
		to,
		...(options.bytes === undefined ? {} : { bytesMax: options.bytes }),
		...(options.timeout === undefined ? {} : { durationMsMax: options.timeout }),
	};
	const row = await new AdminClient(context, options).post<ProbeRow>('/topology/probe', body);
	const what = `${showBandwidth(row.bandwidthBytesPerS)} (${row.bytes} bytes in ${showMs(row.durationMs)})`;
	print(context, options, row, () => `${row.from} → ${row.to}: ${what}\n`);
}

function renderRaft(raft: RaftRow): string {
	const quorum = raft.quorum ? 'yes' : 'NO: reads are stale, writes are refused, the data plane goes on';
	const lines = [
		`engine    ${raft.engine}, cluster ${raft.clusterId}`,
		`leader    ${raft.leaderName ?? 'none'}, term ${raft.term}`,
		`quorum    ${quorum}`,
		`revision  ${raft.revision}, history from ${raft.compactedRevision}`,
		...(raft.noSpace ? ['space     NONE LEFT: writes are refused'] : []),
	];
	const table = raft.members.length === 0 ? '' : renderTable(raft.members, raftColumns);
	return `${lines.join('\n')}\n${table}`;
}

async function transfer(context: CliContext, options: MeshOptions & { readonly to?: string }): Promise<void> {
	const body = options.to === undefined ? {} : { to: options.to };
	const raft = await new AdminClient(context, options).post<RaftRow>('/raft/transfer', body);
	print(context, options, raft, () => `leader: ${raft.leaderName ?? 'none yet'}, term ${raft.term}\n`);
}

interface RecoverOptions extends OutputOptions {
	readonly config?: string;
	readonly yes?: boolean;
}

function recover(context: CliContext, options: RecoverOptions): void {
	const { config } = loadFor(context, options.config);
	const done = recoverGroup(config, { dryRun: options.yes !== true });
	print(context, options, done, () => renderRecovery(done));
}

function renderRecovery(done: Recovery): string {
	const { lastIndex, lastTerm, commitIndex, term, lost, clusterId, aside } = done;
	const missed =
		term > lastTerm
			? `; the others may have decided in terms ${lastTerm + 1} to ${term} without this node`
			: '; what the others had after it is lost';
	const lines = [
		`kept      up to index ${lastIndex} of term ${lastTerm}, revision ${done.revision}${missed}`,
		`          ${lastIndex - commitIndex} of its entries were not known to be committed; they are kept`,
		`given up  ${lost.map(({ name, id }) => (name === id ? id : `${name} (${id})`)).join(', ') || 'nobody'}`,
		...(clusterId === undefined
			? [
					`cluster   ${done.from}`,
					'dry run: nothing was changed. Be sure that the others are gone for good, then say --yes.',
				]
			: [
					`cluster   ${clusterId} (was ${done.from}); members of the old one are refused`,
					`put aside ${aside}`,
					'next: start this node, then let new coordinators join',
				]),
	];
	return `${lines.join('\n')}\n`;
}

export function addFabricCommands(program: Command, cli: Cli): void {
	withExample(
		withMesh(program.command('members').description('who is alive, suspected, failed or has left, by gossip')),
		'infermesh members',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: MemberRow[] }>('/members');
			printItems(context, options, items, memberColumns, 'no members');
		}),
	);
	const distances = program.command('topology').description('distances between nodes, and whether each can be reached');
	withExample(
		withMesh(
			distances.command('show', { isDefault: true }).description('distances from the node that is asked'),
		).option('--all', 'between all nodes, each asked for its own'),
		'infermesh topology show --all --json',
	).action(act(cli, topology));
	withExample(
		withMesh(distances.command('probe').description('measure the bandwidth from one node to another'))
			.argument('<from>', 'name or UUID')
			.argument('<to>', 'name or UUID')
			.option('--bytes <n>', 'bytes to send', whole(65_536, bandwidthBounds.bytesMax))
			.option('--timeout <duration>', 'stop sending after this', duration),
		'infermesh topology probe node-1 node-2',
	).action(act(cli, probe));
	const cells = program.command('cells').description('this cell and the others');
	withExample(
		withMesh(cells.command('list').description('what each cell serves, how old that is, and who speaks for it')),
		'infermesh cells list',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: CellRow[] }>('/cells');
			const lines = items.flatMap((cell): CellLine[] =>
				(cell.models.length === 0 ? [undefined] : cell.models).map((model) => ({ cell, model })),
			);
			print(context, options, { items }, () =>
				lines.length === 0 ? 'this node is alone\n' : renderTable(lines, cellColumns),
			);
		}),
	);
	const raft = program.command('raft').description('consensus of the coordinators');
	withExample(
		withMesh(raft.command('status').description('leader, term, members, quorum')),
		'infermesh raft status',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const status = await new AdminClient(context, options).get<RaftRow>('/raft');
			print(context, options, status, () => renderRaft(status));
		}),
	);
	withExample(
		withMesh(raft.command('transfer').description('hand leadership over; ask a coordinator')).option(
			'--to <node>',
			'name or UUID of a voter (default: the most suitable one)',
		),
		'infermesh raft transfer --to node-2',
	).action(act(cli, transfer));
	withExample(
		withJson(
			raft
				.command('recover')
				.description(
					'for a quorum that is lost for good: make a coordinator that survived the only one; it must not run',
				),
		)
			.option('--config <file>', `configuration file of that node (default: ${CONFIG_FILE} if there is one)`)
			.option('--yes', 'do it; without it, say what would be done and lost'),
		'infermesh raft recover --config node-1.yaml --yes',
	).action(act(cli, recover));
}
