// Owns the counters of decisions, kept by the worker that decides: who answered, how long it took, how much fuel it burned, why the
// fallback stepped in, strikes, and what shadows and witnesses found. Whether strikes lead to quarantine is the strategy host's.
import type { DecisionMetrics } from '../strategy/runtime/decision.js';
import { type FallbackCause, strikeCauses } from '../strategy/runtime/decision.js';
import type { HistogramSeries, MetricsBlock, Series } from './block.js';

export interface DecisionMetricsOptions {
	/** `name@version` of a loaded version. */
	readonly label: (versionId: number) => string;
	/** `name@version` of the built-in fallback. */
	readonly fallbackLabel: string;
	/** versionId under which decisions without a strategy are counted. */
	readonly fallbackVersion: number;
}

interface VersionSeries {
	readonly label: string;
	readonly answered: Series;
	readonly duration: HistogramSeries;
	readonly fuel: HistogramSeries;
	readonly fallbacks: Map<FallbackCause, Series>;
	readonly strikes: Map<FallbackCause, Series>;
}

/** Versions whose series are kept at hand; the oldest is dropped (its numbers stay in the block). */
const VERSIONS_KEPT_MAX = 64;

export function createDecisionMetrics(block: MetricsBlock, options: DecisionMetricsOptions): DecisionMetrics {
	const versions = new Map<number, VersionSeries>();
	const fallbackAnswered = block.counter('decisions', options.fallbackLabel);
	const open = (versionId: number): VersionSeries => {
		const label = versionId === options.fallbackVersion ? options.fallbackLabel : options.label(versionId);
		const series = {
			label,
			answered: block.counter('decisions', label),
			duration: block.histogram('decisionDuration', label),
			fuel: block.histogram('decisionFuel', label),
			fallbacks: new Map(),
			strikes: new Map(),
		};
		if (versions.size >= VERSIONS_KEPT_MAX) versions.delete(versions.keys().next().value ?? versionId);
		versions.set(versionId, series);
		return series;
	};
	const causeSeries = (at: VersionSeries, kept: 'fallbacks' | 'strikes', cause: FallbackCause): Series => {
		let series = at[kept].get(cause);
		if (series === undefined) at[kept].set(cause, (series = block.counter(kept, at.label, cause)));
		return series;
	};
	return {
		decided(versionId, cause, durationNs, fuel) {
			const at = versions.get(versionId) ?? open(versionId);
			at.duration.observe(durationNs / 1e9);
			if (fuel > 0) at.fuel.observe(fuel);
			if (cause === 'none') {
				at.answered.add(1);
				return;
			}
			fallbackAnswered.add(1);
			causeSeries(at, 'fallbacks', cause).add(1);
			if (strikeCauses.has(cause)) causeSeries(at, 'strikes', cause).add(1);
		},
		shadowed(versionId, agreed, cause, durationNs, fuel) {
			const { label } = versions.get(versionId) ?? open(versionId);
			const result = cause === 'none' ? (agreed ? 'agreed' : 'differed') : 'fault';
			block.counter('shadows', label, result).add(1);
			block.histogram('shadowDuration', label).observe(durationNs / 1e9);
			if (fuel > 0) block.histogram('shadowFuel', label).observe(fuel);
			if (cause !== 'none') block.counter('shadowFaults', label, cause).add(1);
		},
		shadowSkipped(versionId, why) {
			const { label } = versions.get(versionId) ?? open(versionId);
			block.counter('shadows', label, `skipped_${why}`).add(1);
		},
		witnessed(versionId, agreed) {
			const { label } = versions.get(versionId) ?? open(versionId);
			block.counter('witnesses', label, agreed ? 'agreed' : 'differed').add(1);
		},
	};
}
