// Owns `infermesh events`: changes of the mesh as they happened, and as they happen. A stream that breaks is taken up again after the last revision seen.
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { EventRow, RaftRow } from '../admin/mesh-schemas.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors } from './errors.js';
import { type SentEvent, sentEvents } from './sent-events.js';
import { whole } from './values.js';

type EventsOptions = MeshOptions & { readonly follow?: boolean; readonly after?: number };

/** Between a break and the next try. */
const RETRY_MS = 1000;

function line({ revision, kind, id, change, value }: EventRow): string {
	const what = change === 'put' && value !== null ? ` ${JSON.stringify(value)}` : '';
	return `${revision}  ${kind} ${change} ${id}${what}\n`;
}

function eventOf({ event, data }: SentEvent): EventRow | undefined {
	if (data === undefined) return undefined;
	const parsed = JSON.parse(data) as EventRow & { readonly code?: string; readonly message?: string };
	if (event !== 'error') return parsed;
	throw new MeshError(cliErrors, 'IM_CLI_STREAM', `${parsed.code ?? ''}: ${parsed.message ?? ''}`);
}

/** The revision a sign of life or the last event of a revision stands at; undefined of anything else. */
function revisionOf(sent: SentEvent): number | undefined {
	const revision = sent.id ?? /^at (\d+)$/.exec(sent.comment ?? '')?.[1];
	return revision === undefined ? undefined : Number(revision);
}

async function past(context: CliContext, options: EventsOptions): Promise<void> {
	const client = new AdminClient(context, options);
	const { compactedRevision, revision } = await client.get<RaftRow>('/raft');
	const after = options.after ?? Math.max(1, compactedRevision);
	const items: EventRow[] = [];
	for await (const sent of sentEvents(client.stream(`/events?after=${after}`))) {
		const event = eventOf(sent);
		if (event !== undefined && options.json === true) items.push(event);
		else if (event !== undefined) context.stdout.write(line(event));
		// Everything there was when it was asked for has been told.
		if ((revisionOf(sent) ?? 0) >= revision) break;
	}
	if (options.json === true) context.stdout.write(`${JSON.stringify({ items }, null, 2)}\n`);
}

async function follow(context: CliContext, options: EventsOptions): Promise<void> {
	const client = new AdminClient(context, options);
	const { signal } = context;
	let last = options.after ?? 0;
	let begun = false;
	while (!signal.aborted) {
		try {
			for await (const sent of sentEvents(client.stream(`/events?after=${last}`, { signal }))) {
				begun = true;
				const event = eventOf(sent);
				if (event !== undefined)
					context.stdout.write(options.json === true ? `${JSON.stringify(event)}\n` : line(event));
				last = revisionOf(sent) ?? last;
			}
		} catch (error) {
			if (signal.aborted) return;
			const broken = error instanceof MeshError && error.code === 'IM_CLI_UNREACHABLE';
			if (!broken || !begun) throw error;
			context.stderr.write(`the stream broke; going on after revision ${last}\n`);
		}
		if (!signal.aborted) await new Promise<void>((resolve) => void context.clock.after(RETRY_MS, resolve));
	}
}

export function addEventsCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(
			program
				.command('events')
				.description('changes of nodes, policies, targets, strategies, tenants, keys and degradations'),
		)
			.option('--follow', 'go on with what happens, until interrupted; with --json one document a line')
			.option('--after <revision>', 'only changes after it (default: all that are kept, with --follow none)', whole(1)),
		'infermesh events --follow',
		'infermesh events --after 1200 --json',
	).action(
		act(cli, (context, options: EventsOptions) =>
			options.follow === true ? follow(context, options) : past(context, options),
		),
	);
}
