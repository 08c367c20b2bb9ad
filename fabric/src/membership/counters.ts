// Owns the counts of what the core did and refused, for metrics. They only rise.

export class SwimCounters {
	probes = 0;
	probesFailed = 0;
	indirectProbes = 0;
	/** Probes that only the stream answered. */
	streamProbesAnswered = 0;
	nacksReceived = 0;
	/** Acks not signed by the member that was probed. */
	acksForged = 0;
	/** Pings not answered because this second's signatures were used up. */
	pingsDropped = 0;
	relaysRefused = 0;
	suspicions = 0;
	confirmations = 0;
	deaths = 0;
	refutations = 0;
	/** Own accusations withheld because this node had stood still. */
	stalls = 0;
	stallMs = 0;
	claimsStale = 0;
	/** Accusations of members that are not known. */
	claimsUnknown = 0;
	claimsForged = 0;
	claimsBusy = 0;
	/** Set aside until a credential comes. */
	claimsWaiting = 0;
	/** Incarnations leaping further than a life can. */
	claimsLeaping = 0;
	membersRefused = 0;
	staleAnswers = 0;
	broadcastsOversized = 0;
	userMessages = 0;
	userDuplicates = 0;
	exchanges = 0;
	exchangesFailed = 0;
	exchangesRefused = 0;
	/** Anti-entropy exchanges that found both sides equal. */
	digestsEqual = 0;
	seedAttempts = 0;
	/** Messages addressed to another node, or answers to no question. */
	misdirected = 0;
}
