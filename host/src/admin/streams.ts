// Owns the answers of the admin API that are streams: changes of the mesh as server-sent events, and the snapshot of replicated state. The pace is the
// caller's: nothing more is read than it takes.
import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import type { EventFeed } from '../mesh/event-feed.js';
import type { EventBatch, MeshEvent } from '../mesh/events.js';
import type { MeshControl } from './control.js';
import { eventsQuerySchema } from './mesh-schemas.js';

export interface StreamRoute {
	readonly path: string;
	readonly summary: string;
	readonly query: TSchema | undefined;
	readonly contentType: string;
	/** Rejects before the first byte where the stream cannot begin. `signal` aborts when the caller is gone. */
	readonly open: (control: MeshControl, request: FastifyRequest, signal: AbortSignal) => Promise<Readable>;
}

/** One event in the text form of server-sent events. Its id is the revision, on the last event of a revision only: who resumes misses none. */
function eventText({ more, ...event }: MeshEvent): string {
	const id = more ? '' : `id: ${event.revision}\n`;
	return `${id}event: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
}

function batchText({ events, revision }: EventBatch): string {
	return events.length === 0 ? `: at ${revision}\n\n` : events.map(eventText).join('');
}

async function* eventStream(events: EventFeed, after: number, signal: AbortSignal): AsyncGenerator<string> {
	// Something at once, so that the caller has its headers before the first change.
	yield ': following\n\n';
	try {
		for await (const batch of events.follow(after, signal)) yield batchText(batch);
	} catch (error) {
		// The status has gone out: what ends the stream is told as its last event.
		const { code = 'IM_ADMIN_INTERNAL', message = '' } = (error ?? {}) as { code?: string; message?: string };
		yield `event: error\ndata: ${JSON.stringify({ code, message })}\n\n`;
	}
}

/** `Last-Event-ID` is what a client that reconnects sends, and says more than the address it began with. */
function afterOf(request: FastifyRequest): number {
	const last = request.headers['last-event-id'];
	const { after } = request.query as { readonly after?: string };
	return typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : Number(after ?? 0);
}

/** Begins a stream: what refuses it does so before a byte is sent. Whoever goes away, at whatever point, ends the making of its pieces. */
async function begun(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Readable> {
	const iterator = pieces[Symbol.asyncIterator]();
	// What reads the rest may never have been asked for anything, and would not pass its end on: the pieces are ended themselves.
	signal.addEventListener('abort', () => void iterator.return?.().catch(() => undefined));
	const first = await iterator.next();
	const rest = async function* (): AsyncGenerator<Uint8Array> {
		if (first.done === true) return;
		yield first.value;
		yield* { [Symbol.asyncIterator]: () => iterator };
	};
	return Readable.from(rest(), { objectMode: false });
}

export const streamRoutes: readonly StreamRoute[] = [
	{
		path: '/api/v1/events',
		summary:
			'Changes of the mesh in the order of their revisions, as server-sent events; resumable with Last-Event-ID.',
		query: eventsQuerySchema,
		contentType: 'text/event-stream',
		open: async ({ mesh }, request, signal) => {
			const after = afterOf(request);
			await mesh.events.check(after);
			return Readable.from(eventStream(mesh.events, after, signal), { objectMode: false });
		},
	},
	{
		path: '/api/v1/snapshot',
		summary: 'The whole replicated state, as `infermesh snapshot save` keeps it.',
		query: undefined,
		contentType: 'application/octet-stream',
		open: ({ mesh }, { asker }, signal) => begun(mesh.saveSnapshot(asker), signal),
	},
];
