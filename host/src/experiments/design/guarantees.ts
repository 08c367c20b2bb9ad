// Owns what each figure of a report does and does not promise, in words. One sentence each: a figure without its guarantee is not printed.

export const guarantees = {
	attainment:
		'Anytime-valid: whatever the traffic’s shape and however often one looks, the probability of a wrong win or loss is at most alpha, because the order within each pair was drawn at random. It covers clipped differences; effects that last longer than a block are understated.',
	matchedCells:
		'Anytime-valid: whatever the traffic’s shape and however often one looks, the probability of a wrong win or loss is at most alpha, because which cell of a pair has the candidate first was drawn at random in every pair of blocks; what both cells live through at a time cancels. It takes for granted that cells do not touch: that they have no node, engine or request in common is checked at the start, and while it runs that no request may cross; that clients do not choose their cell by how it serves them, and that engines do not share a GPU, is not. It covers clipped differences; effects that last longer than a block are understated.',
	winRate:
		'Share of pairs of blocks in which the candidate was better by more than the margin, with an anytime-valid interval for pairs like these; not the share of requests that got better.',
	permutation:
		'Sign-flip test of the pairs so far: exact for one look at a number of pairs chosen before; after many looks only the confidence sequence holds.',
	ttftP99: 'Secondary: bootstrap over pairs, approximate, for one look; below about 20 pairs too narrow.',
	regret:
		'Under the common predictor: what the chosen targets were expected to cost above the cheapest. It judges choices by a model, not by what happened.',
	decisionLatency:
		'Measured around every decision of both arms, in wall time of these machines, noise of neighbours included.',
	decisionTimeouts: 'Counted exactly: decisions that ran out of fuel and were answered by the fallback.',
	hedgeWaste: 'Counted exactly: tokens computed by losing copies over all tokens computed.',
	harm: 'Anytime-valid: a candidate that is no worse raises an alarm with probability at most alpha, over the whole canary, because each request was drawn by itself. It tells nothing of the size, nor of what the candidate does when it has all the traffic.',
	harmByBlock:
		'Anytime-valid: a candidate that is no worse raises an alarm with probability at most alpha, over the whole experiment, however requests of a session or tenant fail together, because they are drawn anew in each block and a block is one observation. It tells nothing of the size, nor of what the candidate does when it has all the traffic.',
	guardrails:
		'Hard rules without statistics: they stop what is plainly wrong, at the price of stopping a harmless candidate now and then.',
} as const;
export type GuaranteeName = keyof typeof guarantees;
