// Owns the counters of prefixes in a worker: `PrefixMetrics` over a metrics block. All series are opened at the start, so a request costs
// a few additions.
import type { PrefixMetrics } from '../prefix/metrics.js';
import type { TokenClientPorts, TokenResult } from '../prefix/tokens/token-client.js';
import { prefixSources } from '../router/ports.js';
import type { MetricsBlock, Series } from './block.js';

export function createPrefixMetrics(block: MetricsBlock): PrefixMetrics {
	const hit = block.counter('prefixLookups', 'hit');
	const miss = block.counter('prefixLookups', 'miss');
	const tokens = prefixSources.map((source) => block.counter('prefixHitTokens', source));
	const errors = prefixSources.map((source) => block.histogram('prefixErrorTokens', source));
	const predicted = block.counter('prefixCachedTokens', 'predicted');
	const reported = block.counter('prefixCachedTokens', 'reported');
	const indexes = ['sent', 'speculative'].map((index) => ({
		pairs: block.gauge('prefixIndexPairs', index),
		evictions: block.counter('prefixIndexEvictions', index),
		evicted: 0,
	}));
	return {
		lookedUp(hits) {
			let tokens = 0;
			for (let at = 0; at < hits.count; at++) tokens |= hits.tokens[at] as number;
			(tokens > 0 ? hit : miss).add(1);
		},
		credited: (source, count) => tokens[prefixSources.indexOf(source)]?.add(count),
		reported(predictedTokens, source, reportedTokens) {
			predicted.add(predictedTokens);
			reported.add(reportedTokens);
			errors[prefixSources.indexOf(source)]?.observe(Math.abs(predictedTokens - reportedTokens));
		},
		sized(index, pairs, evictions) {
			const at = indexes[index];
			if (at === undefined) return;
			at.pairs.set(pairs);
			at.evictions.add(evictions - at.evicted);
			at.evicted = evictions;
		},
	};
}

/** The counters of waiting for token ids. */
export function createTokenMetrics(block: MetricsBlock): TokenClientPorts['metrics'] {
	const results = new Map<TokenResult, Series>();
	const waited = block.histogram('tokenizeWait');
	return {
		tokenized(result, waitedMs) {
			let series = results.get(result);
			if (series === undefined) results.set(result, (series = block.counter('tokenizations', result)));
			series.add(1);
			waited.observe(waitedMs / 1000);
		},
	};
}
