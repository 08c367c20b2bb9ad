// Owns the counters of KV events, kept by the thread that follows them. Series of a target are looked up at each gap or replay: they are
// rare; those of every batch are kept.
import type { KvReaderMetrics } from '../prefix/precise/kv-reader.js';
import type { MetricsBlock } from './block.js';

export function createKvMetrics(block: MetricsBlock): Omit<KvReaderMetrics, 'broken'> {
	const stored = block.counter('kvEvents', 'stored');
	const removed = block.counter('kvEvents', 'removed');
	const cleared = block.counter('kvEvents', 'cleared');
	const unread = block.counter('kvEvents', 'unread');
	const lag = block.histogram('kvEventLag');
	const live = block.gauge('kvTargetsLive');
	const blocks = block.gauge('kvIndexBlocks');
	const positions = block.gauge('kvIndexPositions');
	const lost = (['room', 'bucket', 'orphan'] as const).map((cause) => ({
		series: block.counter('kvBlocksLeftOut', cause),
		seen: 0,
	}));
	const upTo = (at: number, total: number): void => {
		const one = lost[at];
		if (one === undefined || total === one.seen) return;
		one.series.add(total - one.seen);
		one.seen = total;
	};
	return {
		batch(batch, lagS) {
			for (const { kind } of batch.events) (kind === 'stored' ? stored : kind === 'removed' ? removed : cleared).add(1);
			if (batch.unread > 0) unread.add(batch.unread);
			if (batch.atS > 0) lag.observe(lagS);
		},
		gap: (target, missing) => block.counter('kvBatchesMissing', target).add(missing),
		replayed: (target, result) => block.counter('kvReplays', target, result).add(1),
		forgot: (target, cause) => block.counter('kvForgets', target, cause).add(1),
		live: (targets) => live.set(targets),
		sized(index) {
			blocks.set(index.blocks);
			positions.set(index.positions);
			upTo(0, index.refused);
			upTo(1, index.unpublished);
			upTo(2, index.orphans);
		},
	};
}
