// Owns the names of known bugs that can be switched on, so that the simulation can prove it notices each of them. Empty outside the proof.

export const raftMutations = [
	'accept-append-without-previous-check',
	'acknowledge-overwritten',
	'change-while-pending',
	'commit-before-own-persist',
	'commit-old-term-by-counting',
	'forget-vote-on-restart',
	'heartbeat-commit-beyond-match',
	'ignore-outgoing-quorum',
	'learner-counts',
	'no-check-quorum',
	'no-leader-stickiness',
	'no-prevote',
	'read-before-own-term-commit',
	'reply-before-persist',
	'skip-joint',
	'stale-read-without-round',
	'stale-vote-reply-counted',
	'truncate-committed',
	'vote-twice',
	'vote-without-log-check',
] as const;

export type RaftMutation = (typeof raftMutations)[number];
