// Owns `infermesh adapter`: which adapters there are, what one would report, and running one outside meshd.
import { type AdapterKind, adapterKinds, lookFailed } from '@infermesh/adapters';
import type { Command } from 'commander';
import { type AdapterOptions, openFromOptions } from './adapter-options.js';
import { signalRows } from './adapter-rows.js';
import { type RunOptions, runAdapter } from './adapter-run.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED } from './errors.js';
import { type Column, type OutputOptions, print, printItems, renderTable } from './output.js';
import { collect, duration, whole } from './values.js';

interface ProbeOptions extends AdapterOptions {
	readonly looks: number;
	readonly wait: number;
}

const rowColumns: readonly Column<ReturnType<typeof signalRows>[number]>[] = [
	{ title: 'SIGNAL', value: ({ signal }) => signal },
	{ title: 'VALUE', value: ({ value }) => shown(value), right: true },
	{ title: 'UNIT', value: ({ unit }) => unit },
	{ title: 'GOES TO', value: ({ goesTo }) => goesTo },
	{
		title: 'LABELS',
		value: ({ labels }) =>
			Object.entries(labels)
				.map(([name, value]) => `${name}=${value}`)
				.join(' '),
	},
];

function shown(value: number | boolean | string): string {
	if (typeof value === 'string') return value.slice(0, 60);
	return typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(6) : String(value);
}

async function probe(context: CliContext, kindOrUrl: string, options: ProbeOptions): Promise<number | undefined> {
	const { kind, adapter } = await openFromOptions(context, kindOrUrl, options);
	try {
		let looks = await adapter.look();
		for (let more = 1; more < options.looks && !context.signal.aborted; more++) {
			await new Promise<void>((resolve) => void context.clock.after(options.wait, resolve));
			looks = await adapter.look();
		}
		const rows = looks.flatMap(({ target, delta }) => signalRows(kind.stream, target, delta));
		const unread = looks.flatMap(({ delta }) => delta.unread);
		print(context, options, { kind: kind.name, stream: kind.stream, items: rows, unread }, () => {
			const notes = unread.map((text) => `not read: ${text}\n`).join('');
			return (rows.length === 0 ? 'nothing to report\n' : renderTable(rows, rowColumns)) + notes;
		});
		return rows.length === 0 ? EXIT_FAILED : undefined;
	} catch (error) {
		throw lookFailed(kind.name, error);
	} finally {
		adapter.close();
	}
}

const kindColumns: readonly Column<Omit<AdapterKind, 'open'>>[] = [
	{ title: 'KIND', value: ({ name }) => name },
	{ title: 'REPORTS', value: ({ stream }) => stream },
	{
		title: 'SETTINGS',
		value: ({ settings }) => settings.map(({ name, required }) => (required === true ? `${name}*` : name)).join(' '),
	},
	{ title: 'WHAT', value: ({ summary }) => summary },
];

function withAdapter(command: Command): Command {
	return withJson(
		command
			.argument('<kind>', 'kind of adapter, or a URL: http(s)://, s3://, gs://, file://, ras://')
			.option('--set <name=value>', 'a setting of the adapter, repeatable; env:NAME and file:PATH as values', collect)
			.option('--node <name>', 'node it runs on, a label')
			.option('--job <id>', 'job it watches over, a label'),
	);
}

export function addAdapterCommands(program: Command, cli: Cli): void {
	const adapter = program
		.command('adapter')
		.description('what is read of runtimes, GPUs, collectives, networks and stores');
	withExample(
		withJson(
			adapter.command('kinds').description('adapters that can be opened by name, with their settings (* = required)'),
		),
		'infermesh adapter kinds --json',
	).action(
		act(cli, (context, options: OutputOptions) => {
			const items = adapterKinds.map(({ name, stream, summary, settings, periodMs }) => ({
				name,
				stream,
				summary,
				settings,
				periodMs,
			}));
			printItems(context, options, items, kindColumns, '');
		}),
	);
	withExample(
		withAdapter(adapter.command('probe').description('show what an adapter would report; nothing is sent'))
			.option('--looks <number>', 'looks to take; rates need two', whole(1, 100), 2)
			.option('--wait <duration>', 'between two looks', duration, 1000),
		'infermesh adapter probe http://10.0.0.5:8000',
		'infermesh adapter probe network_ports --set rdma=true',
		'infermesh adapter probe s3://checkpoints/run-7 --set endpoint=http://minio:9000 --looks 1 --json',
	).action(act(cli, (context, kind: string, options: ProbeOptions) => probe(context, kind, options)));
	withExample(
		withAdapter(
			adapter
				.command('run')
				.description('run an adapter outside meshd, until interrupted; it reports to an agent over gRPC'),
		)
			.requiredOption('--agent <address>', 'host:port of the agent’s gRPC (8082)')
			.option('--token <token>', 'admin token (default: INFERMESH_TOKEN)')
			.option('--ca <file>', 'roots of the mesh, PEM; without it the connection is not encrypted, for loopback')
			.option('--cert <file>', 'certificate to show, PEM')
			.option('--key <file>', 'its key, PEM')
			.option('--authority <name>', 'name the agent’s certificate is for', 'infermesh.local')
			.option('--period <duration>', 'between two looks (default: that of the kind)', duration)
			.option('--looks <number>', 'end after so many looks, once all are acknowledged', whole(1)),
		'infermesh adapter run nccl_ras --agent 127.0.0.1:8082 --job train-7',
		'infermesh adapter run network_ports --agent node-1:8082 --ca bundle.pem --cert ann.pem --key ann.key',
	).action(act(cli, (context, kind: string, options: RunOptions) => runAdapter(context, kind, options)));
}
