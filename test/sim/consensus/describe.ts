// Owns how Raft's messages and entries read in a trace.
import type { Entry, Membership, Message } from '@infermesh/fabric';

export function describeMembership({ voters, outgoing, learners }: Membership): string {
	const joint = outgoing.length > 0 ? ` from ${outgoing.join()}` : '';
	return `voters ${voters.join()}${joint}${learners.length > 0 ? ` learners ${learners.join()}` : ''}`;
}

function describeEntries(entries: readonly Entry[]): string {
	const [first, last] = [entries[0], entries.at(-1)];
	if (first === undefined || last === undefined) return 'nothing';
	return first === last ? `${first.index}/${first.term}` : `${first.index}/${first.term}…${last.index}/${last.term}`;
}

function details(message: Message): string {
	switch (message.kind) {
		case 'append':
			return `${describeEntries(message.entries)} after ${message.previousIndex}/${message.previousTerm} commit ${message.commit}`;
		case 'appendReply':
			return message.rejected
				? `no to ${message.index}, try ${message.hintIndex}/${message.hintTerm}`
				: `has ${message.index}`;
		case 'heartbeat':
			return `commit ${message.commit} round ${message.readRound}`;
		case 'heartbeatReply':
			return `round ${message.readRound}`;
		case 'preVote':
		case 'vote':
			return `log ends ${message.lastIndex}/${message.lastTerm}${message.transfer ? ' (transfer)' : ''}`;
		case 'preVoteReply':
		case 'voteReply':
			return message.granted ? 'granted' : 'refused';
		case 'snapshot':
			return `at ${message.meta.index}/${message.meta.term}`;
		case 'propose':
			return `${message.data.length} commands`;
		case 'readIndex':
			return `context ${message.context}`;
		case 'readIndexReply':
			return `context ${message.context} index ${message.index}`;
		case 'timeoutNow':
			return '';
		default:
			return '';
	}
}

export function describeMessage(message: Message): string {
	return `${message.kind} t${message.term} ${details(message)}`;
}
