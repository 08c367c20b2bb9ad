// Owns what counts as degraded of links, ranks and stores: rules over one report each, with their thresholds from the configuration.
import type { CommStatsDelta, IoStateDelta, LinkStat, RankFinding } from '@infermesh/proto';
import type { Subject, Verdict } from './degradations.js';

export interface RuleOptions {
	readonly linkErrorsPerSec: number;
	readonly linkDropsPerSec: number;
	readonly linkCongestionPerSec: number;
	/** Bad looks in a row before a rate or a slow rank counts. */
	readonly looks: number;
	/** Failed share of the requests of one look. */
	readonly storeFailureRatio: number;
	/** 0 = not judged. */
	readonly checkpointAgeMaxS: number;
}

/** Below this share of its threshold a rate is good again. */
const GOOD_BELOW = 0.5;

function judged(value: number, threshold: number): Verdict['standing'] {
	if (value >= threshold) return 'bad';
	return value < threshold * GOOD_BELOW ? 'good' : 'between';
}

/** `wasUp`: whether a link was ever seen up. A port that nothing is plugged into is down, and not degraded. */
export function commVerdicts(
	delta: CommStatsDelta,
	options: RuleOptions,
	wasUp: (link: LinkStat) => boolean,
): readonly Verdict[] {
	const verdicts: Verdict[] = [];
	const place = { node: delta.node ?? '', jobId: delta.jobId ?? '' };
	for (const link of delta.links) verdicts.push(...linkVerdicts(link, { ...place, jobId: '' }, options, wasUp(link)));
	for (const finding of delta.ranks) verdicts.push(rankVerdict(finding, place, options));
	return verdicts;
}

type Place = Pick<Subject, 'node' | 'jobId'>;

function* linkVerdicts(link: LinkStat, place: Place, options: RuleOptions, wasUp: boolean): Generator<Verdict> {
	const subject: Subject = { kind: 'link', ...place, name: `${link.device}/${link.port}` };
	const { looks } = options;
	const rate = (rule: string, value: number | undefined, threshold: number, detail: string): Verdict[] =>
		value === undefined || threshold === 0
			? []
			: [
					{
						rule,
						subject,
						standing: judged(value, threshold),
						raiseAfter: looks,
						value,
						threshold,
						detail,
						absentIsGood: false,
					},
				];
	const downs = link.downs ?? 0;
	const down = link.up === false && wasUp;
	if (link.up !== undefined || link.downs !== undefined)
		yield {
			rule: 'link_down',
			subject,
			standing: down || downs > 0 ? 'bad' : 'good',
			raiseAfter: 1,
			value: Math.max(downs, down ? 1 : 0),
			threshold: 1,
			detail: down ? 'down' : `went down ${downs} times`,
			absentIsGood: false,
		};
	yield* rate('link_errors', link.errorsPerSec, options.linkErrorsPerSec, 'errors/s');
	yield* rate('link_drops', link.dropsPerSec, options.linkDropsPerSec, 'drops/s');
	const marks = [link.congestionSentPerSec, link.congestionHandledPerSec].filter((value) => value !== undefined);
	const congestion = marks.length === 0 ? undefined : Math.max(...marks);
	yield* rate('link_congestion', congestion, options.linkCongestionPerSec, 'congestion notifications/s');
}

/** Ranks that are gone count at once; those that are slow, late or stuck when they still are at the next look. Behind is normal while counts go on. */
const ruleOf: Readonly<Record<RankFinding['trouble'], { readonly rule: string; readonly atOnce: boolean }>> = {
	dead: { rule: 'rank_gone', atOnce: true },
	missing: { rule: 'rank_gone', atOnce: false },
	failed: { rule: 'rank_failed', atOnce: true },
	late: { rule: 'rank_late', atOnce: false },
	stuck: { rule: 'rank_late', atOnce: false },
	slow: { rule: 'rank_slow', atOnce: false },
	behind: { rule: 'rank_behind', atOnce: false },
};

function rankVerdict(finding: RankFinding, place: Place, { looks }: RuleOptions): Verdict {
	const { rule, atOnce } = ruleOf[finding.trouble];
	const name = `${finding.communicator} rank ${finding.rank}`;
	// The operation stands in the name of a rank that is behind: as long as counts go on, each look is about another one.
	const at = finding.trouble === 'behind' ? ` at ${finding.operation ?? ''}` : '';
	return {
		rule,
		subject: { kind: 'rank', jobId: place.jobId, node: finding.node ?? place.node, name: name + at },
		standing: 'bad',
		raiseAfter: atOnce ? 1 : looks,
		value: finding.share ?? 1,
		threshold: 0,
		detail: `${finding.trouble}${finding.operation === undefined ? '' : `: ${finding.operation}`}`,
		absentIsGood: true,
	};
}

export function ioVerdicts(delta: IoStateDelta, options: RuleOptions): readonly Verdict[] {
	const subject: Subject = {
		kind: 'store',
		node: delta.node ?? '',
		jobId: delta.jobId ?? '',
		name: delta.store,
	};
	const verdicts: Verdict[] = [];
	const add = (rule: string, value: number, threshold: number, detail: string): void =>
		void verdicts.push({
			rule,
			subject,
			standing: judged(value, threshold),
			raiseAfter: options.looks,
			value,
			threshold,
			detail,
			absentIsGood: false,
		});
	const { requests, failures, errors } = delta;
	if (requests !== undefined && requests > 0 && failures !== undefined && options.storeFailureRatio > 0)
		add('store_failures', failures / requests, options.storeFailureRatio, `failed share: ${errors.join(', ')}`.trim());
	const ageS = delta.checkpoint?.ageS;
	if (ageS !== undefined && options.checkpointAgeMaxS > 0)
		add('checkpoint_age', ageS, options.checkpointAgeMaxS, 's since the newest checkpoint');
	return verdicts;
}
