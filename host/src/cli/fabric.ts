// Owns `infermesh members`, `topology` and `raft`: what the fabric of a running mesh knows.
import type { Command } from 'commander';
import type { MemberRow, RaftRow, TopologyRow } from '../admin/mesh-schemas.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { type Column, print, printItems, renderTable, showMs, showTime } from './output.js';

const memberColumns: readonly Column<MemberRow>[] = [
	{ title: 'NAME', value: (member) => `${member.name}${member.self ? ' (asked)' : ''}` },
	{ title: 'STATE', value: (member) => member.state },
	{ title: 'SINCE', value: (member) => showTime(member.sinceMs) },
	{ title: 'INCARNATION', value: (member) => String(member.incarnation), right: true },
	{ title: 'ADDRESS', value: (member) => member.address || '-' },
	{ title: 'ACCUSED BY', value: (member) => member.accusers.join(',') || '-' },
	{ title: 'ID', value: (member) => member.id },
];

const linkColumns: readonly Column<TopologyRow['links'][number]>[] = [
	{ title: 'TO', value: (link) => link.name },
	{ title: 'RTT', value: (link) => (link.rttMs === null ? '-' : showMs(link.rttMs)), right: true },
	{ title: 'BASIS', value: (link) => link.basis },
	{ title: 'AGE', value: (link) => (link.ageMs === null ? '-' : showMs(link.ageMs)), right: true },
	{ title: 'CLASS', value: (link) => link.linkClass },
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
	withExample(
		withMesh(program.command('topology').description('distances from the node that is asked')),
		'infermesh topology --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const topology = await new AdminClient(context, options).get<TopologyRow>('/topology');
			print(context, options, topology, () => renderTopology(topology));
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
}
