// Owns what the admin API shows of reports: collectives and links, stores, degradations; each with its age.
import type { Static } from 'typebox';
import { type AdminRoute, route } from '../admin/route.js';
import { items } from '../admin/schemas.js';
import { Type } from '../schema/type.js';
import type { Degradation } from './degradations.js';
import type { Aged } from './latest-book.js';

const describe = (description: string) => ({ description });
const open = { additionalProperties: true } as const;

const origin = {
	source: Type.String(describe('What was read: `nccl_ras`, `network_ports`, `s3`, ….')),
	node: Type.String(describe('Where; empty = not told.')),
	jobId: Type.String(describe('Empty = not told.')),
	adapter: Type.String(describe('What reports it; `local` = an adapter of this node.')),
	caller: Type.String(describe('Who sent it.')),
	ageMs: Type.Number(),
	stale: Type.Boolean(),
};
const list = (description: string) => Type.Array(Type.Object({}, open), describe(description));

const commRowSchema = Type.Object(
	{
		...origin,
		collectives: list('Kinds of collectives by communicator, rank and class of sizes.'),
		communicators: list('How communicators stand.'),
		ranks: list('Ranks that are late, stuck, behind, slow, missing, dead or failed.'),
		links: list('Ports of network devices.'),
		paths: list('Rings, trees and channels.'),
		warnings: Type.Array(Type.String()),
		unread: Type.Array(Type.String(), describe('What could not be read, and why.')),
	},
	open,
);
const ioRowSchema = Type.Object(
	{
		...origin,
		store: Type.String(),
		probed: Type.Boolean(describe('Measured by requests of the adapter’s own.')),
		errors: Type.Array(Type.String()),
		unread: Type.Array(Type.String()),
	},
	open,
);

export const degradationRowSchema = Type.Object({
	rule: Type.String(),
	kind: Type.Enum(['link', 'rank', 'store']),
	node: Type.String(),
	jobId: Type.String(),
	subject: Type.String(),
	sinceMs: Type.Integer(describe('Since the Unix epoch.')),
	value: Type.Number(),
	threshold: Type.Number(),
	detail: Type.String(),
});
export type DegradationRow = Static<typeof degradationRowSchema>;

export function degradationRow({ subject, ...same }: Degradation): DegradationRow {
	const { kind, node, jobId, name } = subject;
	return { ...same, kind, node, jobId, subject: name };
}

interface Placed {
	readonly node?: string;
	readonly jobId?: string;
	readonly observedAtMs: number;
}

function row<T extends Placed>({ value, observedAtMs: _at, ...aged }: Aged<T>): object {
	const { observedAtMs: _own, ...rest } = value;
	return { node: '', jobId: '', ...rest, ...aged };
}

export const reportRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/comm', 'The newest report of collectives and links from each source, node and job.', {
		response: items(commRowSchema),
		run: (control) => ({ items: control.reports.commReports().map(row) }),
	}),
	route('GET', '/api/v1/io', 'The newest report of each store.', {
		response: items(ioRowSchema),
		run: (control) => ({ items: control.reports.ioReports().map(row) }),
	}),
	route('GET', '/api/v1/degradations', 'Degradations of links, ranks and stores that this node sees in force.', {
		response: items(degradationRowSchema),
		run: (control) => ({ items: control.reports.degradations().map(degradationRow) }),
	}),
];
