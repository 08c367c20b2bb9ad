// Owns what follows from a verdict: go on, promote, roll back or end, by a rule that was fixed before.
import type { Trip } from './guardrail-rules.js';

/** `win`: only a win promotes. `not-worse`: equivalence does too. `never`: people decide. */
export const promotionRules = ['win', 'not-worse', 'never'] as const;
export type PromotionRule = (typeof promotionRules)[number];

/**
 * `win`, `loss`, `equivalent`: of the confidence sequence. `harm`: of the e-process. `no-harm`: a canary or split has had its requests and time without.
 * `budget`: the pairs are used up.
 */
export type TrialVerdict = 'undecided' | 'win' | 'loss' | 'equivalent' | 'budget' | 'harm' | 'no-harm';

export interface NextStep {
	/** `rollback` and `end` both leave the baseline in charge; a rollback is at once, and says that the candidate harms. */
	readonly action: 'continue' | 'promote' | 'rollback' | 'end';
	/** One sentence for people. */
	readonly reason: string;
}

/** What to do now. A tripped guardrail goes before every verdict. */
export function nextStep(rule: PromotionRule, verdict: TrialVerdict, trip: Trip | undefined): NextStep {
	if (trip !== undefined) return { action: 'rollback', reason: `guardrail ${trip.rule}: ${trip.reason}` };
	switch (verdict) {
		case 'undecided':
			return { action: 'continue', reason: 'the interval allows no verdict yet' };
		case 'win':
			return rule === 'never'
				? { action: 'end', reason: 'the candidate is better; promotion is left to people' }
				: { action: 'promote', reason: 'the candidate is better than the baseline by more than the margin' };
		case 'equivalent':
			return rule === 'not-worse'
				? {
						action: 'promote',
						reason: 'the candidate is within the margin of the baseline, and the rule asks for no more',
					}
				: { action: 'end', reason: 'the candidate is within the margin of the baseline' };
		case 'loss':
			return { action: 'rollback', reason: 'the candidate is worse than the baseline' };
		case 'harm':
			return { action: 'rollback', reason: 'the candidate has more bad outcomes than the baseline' };
		case 'no-harm':
			return {
				action: 'end',
				reason:
					'no harm was seen in the requests and the time that were asked for; whether it is better, only a switchback tells',
			};
		case 'budget':
			return { action: 'end', reason: 'the budget of blocks is used up without a verdict' };
	}
}
