// Owns how messages, entries and writes read in a transcript: one short line each, with the field's words.
import { decodeMembership } from '../membership-codec.js';
import type { Entry, Membership, Message } from '../messages.js';
import type { PersistBatch } from '../ready.js';

export function describeMembership(membership: Membership): string {
	const { voters, outgoing, learners, learnersNext } = membership;
	const parts = [`(${voters.join(' ')})`];
	if (outgoing.length > 0) parts.push(`&& (${outgoing.join(' ')})`);
	if (learners.length > 0) parts.push(`learners (${learners.join(' ')})`);
	if (learnersNext.length > 0) parts.push(`learners next (${learnersNext.join(' ')})`);
	return parts.join(' ');
}

/** `index/term what`. */
export function describeEntry(entry: Entry): string {
	const at = `${entry.index}/${entry.term}`;
	if (entry.kind === 'noop') return `${at} no-op`;
	if (entry.kind === 'config') return `${at} ${describeMembership(decodeMembership(entry.data))}`;
	const text = Buffer.from(entry.data).toString();
	return `${at} ${text.length > 24 ? `${text.length} bytes` : text}`;
}

export function describeEntries(entries: readonly Entry[]): string {
	return `[${entries.map(describeEntry).join(', ')}]`;
}

function describeBody(message: Message): string {
	switch (message.kind) {
		case 'append': {
			const { previousIndex, previousTerm, entries, commit } = message;
			return `append after ${previousIndex}/${previousTerm} ${describeEntries(entries)} commit ${commit}`;
		}
		case 'appendReply':
			return message.rejected
				? `refuses append after ${message.index}, hint ${message.hintIndex}/${message.hintTerm}`
				: `holds ${message.index}`;
		case 'heartbeat':
			return `heartbeat commit ${message.commit}${message.readRound === 0 ? '' : ` read round ${message.readRound}`}`;
		case 'heartbeatReply':
			return `heartbeat reply${message.readRound === 0 ? '' : ` read round ${message.readRound}`}`;
		case 'preVote':
		case 'vote': {
			const kind = message.kind === 'vote' ? 'asks vote' : 'asks pre-vote';
			return `${kind}, log ends ${message.lastIndex}/${message.lastTerm}${message.transfer ? ', transfer' : ''}`;
		}
		case 'preVoteReply':
		case 'voteReply': {
			const kind = message.kind === 'voteReply' ? 'vote' : 'pre-vote';
			return `${message.granted ? 'grants' : 'denies'} ${kind}`;
		}
		case 'snapshot':
			return `snapshot ${message.meta.index}/${message.meta.term} ${describeMembership(message.meta.membership)}`;
		case 'timeoutNow':
			return 'time out now';
		case 'propose':
			return `forwards ${message.data.map((data) => Buffer.from(data).toString()).join(', ')}`;
		case 'readIndex':
			return `asks to read, context ${message.context}`;
		case 'readIndexReply':
			return `may read at ${message.index}, context ${message.context}`;
	}
	return '';
}

export function describeMessage(message: Message): string {
	return `${message.from} → ${message.to} (term ${message.term}) ${describeBody(message)}`;
}

export function describeWrite(id: string, batch: PersistBatch): string {
	const parts: string[] = [];
	if (batch.snapshot !== undefined) parts.push(`snapshot ${batch.snapshot.index}/${batch.snapshot.term}`);
	if (batch.entries.length > 0) parts.push(describeEntries(batch.entries));
	if (batch.hardState !== undefined) {
		const { term, votedFor, commit } = batch.hardState;
		parts.push(`term ${term} vote ${votedFor ?? 'none'} commit ${commit}`);
	}
	return `${id} writes #${batch.token}: ${parts.length === 0 ? 'nothing, in turn' : parts.join(', ')}`;
}
