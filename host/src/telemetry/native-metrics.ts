// Owns the counters of native strategies in one thread: sandboxes alive, why they ended, how long calls take, what the allowance for a busy machine was
// used for.
import { type NativeEvents, sandboxEnds } from '../strategy/native/events.js';
import type { HistogramSeries, MetricsBlock, Series } from './block.js';

/** Versions whose series are kept at hand; the oldest is dropped (its numbers stay in the block). */
const VERSIONS_KEPT_MAX = 64;

interface VersionSeries {
	readonly label: string;
	readonly alive: Series;
	readonly handOver: HistogramSeries;
}

/** `label`: `name@version` of a loaded version. */
export function createNativeMetrics(block: MetricsBlock, label: (versionId: number) => string): NativeEvents {
	const versions = new Map<number, VersionSeries>();
	const open = (versionId: number): VersionSeries => {
		const name = label(versionId);
		const series = {
			label: name,
			alive: block.gauge('nativeSandboxes', name),
			handOver: block.histogram('nativeHandOver', name),
		};
		// There from the first sandbox on, so that a rate over them sees the first failure.
		for (const why of sandboxEnds) if (why !== 'closed') block.counter('nativeRestarts', name, why).add(0);
		if (versions.size >= VERSIONS_KEPT_MAX) versions.delete(versions.keys().next().value ?? versionId);
		versions.set(versionId, series);
		return series;
	};
	const of = (versionId: number): VersionSeries => versions.get(versionId) ?? open(versionId);
	return {
		started: (versionId) => of(versionId).alive.add(1),
		ended(versionId, why) {
			const series = of(versionId);
			series.alive.add(-1);
			if (why !== 'closed') block.counter('nativeRestarts', series.label, why).add(1);
		},
		answered: (versionId, ns) => of(versionId).handOver.observe(ns / 1e9),
		allowed: (versionId, what) => block.counter('nativeAllowances', of(versionId).label, what).add(1),
	};
}
