// Owns the cutting of a stream into server-sent events, comments included: they are the sign of life of a stream with nothing to tell.
import { MeshError } from '@infermesh/proto';
import { cliErrors } from './errors.js';

export interface SentEvent {
	readonly id: string | undefined;
	readonly event: string | undefined;
	readonly data: string | undefined;
	readonly comment: string | undefined;
}

/** Longest event that is taken: a record of the mesh is smaller. */
const EVENT_CHARACTERS_MAX = 4 * 1024 * 1024;

function parse(block: string): SentEvent {
	const fields: { id?: string; event?: string; data?: string; comment?: string } = {};
	for (const line of block.split('\n')) {
		const colon = line.indexOf(':');
		const name = colon === 0 ? 'comment' : line.slice(0, colon);
		const value = line.slice(colon + 1).replace(/^ /, '');
		if (name === 'data') fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
		else if (name === 'id' || name === 'event' || name === 'comment') fields[name] = value;
	}
	return { id: fields.id, event: fields.event, data: fields.data, comment: fields.comment };
}

/** IM_CLI_STREAM when one is too long. */
export async function* sentEvents(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent, void, undefined> {
	const decoder = new TextDecoder();
	let rest = '';
	for await (const piece of pieces) {
		const blocks = (rest + decoder.decode(piece, { stream: true })).split('\n\n');
		rest = blocks.pop() ?? '';
		if (rest.length > EVENT_CHARACTERS_MAX)
			throw new MeshError(cliErrors, 'IM_CLI_STREAM', `an event has more than ${EVENT_CHARACTERS_MAX} characters`);
		for (const block of blocks) yield parse(block);
	}
}
