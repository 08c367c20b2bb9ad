// Owns the gauges of shadows: their reports as samples for /metrics.
import type { ShadowReport } from '../strategy/shadow/report.js';
import type { CollectedSample } from '../telemetry/exposition.js';

export function shadowSamples(reports: readonly ShadowReport[]): CollectedSample[] {
	return reports.flatMap(({ strategy, model, agreement, cpuShare, predicted, queues }): CollectedSample[] => {
		const labels = [strategy, model];
		const sides = [
			['live', predicted.liveMs, queues.live],
			['shadow', predicted.shadowMs, queues.shadow],
		] as const;
		return [
			{ metric: 'shadowAgreement', labels, value: agreement },
			{ metric: 'shadowCpu', labels, value: cpuShare },
			{ metric: 'shadowHerding', labels, value: queues.herding === 'yes' ? 1 : 0 },
			...sides.flatMap(([side, predictedMs, queue]): CollectedSample[] => [
				{ metric: 'shadowPredicted', labels: [...labels, side], value: predictedMs / 1000 },
				{ metric: 'shadowVirtualWait', labels: [...labels, side], value: queue.waitMeanMs / 1000 },
				{ metric: 'shadowVirtualImbalance', labels: [...labels, side], value: queue.imbalance },
			]),
		];
	});
}
