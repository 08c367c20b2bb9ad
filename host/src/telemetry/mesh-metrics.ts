// Owns the counters of the main thread: swaps, quarantines, admissions, scrapes, health checks, ejections. Rare events, so series are
// looked up at each.
import type { MetricsBlock } from './block.js';

export type SwapKind = 'stage' | 'rollback' | 'unload' | 'quarantine' | 'release';
export type ScrapeResult = 'ok' | 'error' | 'timeout' | 'unreadable';

/** Whose certificates they are. */
export type TlsUser = 'data' | 'admin';

export interface MeshMetrics {
	/** `strategy` is `name@version`. */
	swapped(strategy: string, kind: SwapKind): void;
	quarantined(strategy: string): void;
	admitted(result: 'admitted' | 'refused', durationMs: number): void;
	scraped(target: string, result: ScrapeResult, durationMs: number): void;
	healthChecked(target: string, ok: boolean): void;
	ejected(target: string): void;
	gpuLooked(source: string, result: ScrapeResult, durationMs: number): void;
	gpuStanding(uuid: string, standing: string): void;
	/** A target stays in use that rules would take out. */
	gpuHeldBack(target: string): void;
	tlsReloaded(of: TlsUser, result: 'ok' | 'error'): void;
	workerRestarted(): void;
	cellRowsRefused(code: string): void;
	/** `result`: ok, or the code of the refusal. */
	agentCalled(method: string, result: string): void;
	agentStreams(open: number): void;
	/** A report of an adapter over gRPC: taken, duplicate or refused. */
	report(kind: string, result: string): void;
	reportsDropped(kind: string, count: number): void;
	peerLoadFrame(direction: 'sent' | 'heard'): void;
	/** `delayMs`: since it was made, by the wall clocks of both routers; `gap`: frames before it did not come. */
	peerLoadHeard(delayMs: number, gap: boolean): void;
	peerLoadRefused(code: string): void;
	peerLoadLapsed(routers: number): void;
	/** Flows of waiting requests that other routers are not told of, for want of room. */
	flowsDropped(flows: number): void;
	/** A round over a source of targets. `result`: ok, or the code of what failed. */
	round(source: string, result: string): void;
	/** What a source of targets listed last. */
	listed(source: string, targets: number): void;
}

export function createMeshMetrics(block: MetricsBlock): MeshMetrics {
	const scrapeDuration = block.histogram('scrapeDuration');
	const gpuLookDuration = block.histogram('gpuLookDuration');
	const sent = block.counter('peerLoadFrames', 'sent');
	const heard = block.counter('peerLoadFrames', 'heard');
	const peerLoadDelay = block.histogram('peerLoadDelay');
	const agentStreams = block.gauge('agentStreams');
	const admissionDuration = block.histogram('admissionDuration');
	return {
		swapped: (strategy, kind) => block.counter('swaps', strategy, kind).add(1),
		quarantined: (strategy) => block.counter('quarantines', strategy).add(1),
		admitted(result, durationMs) {
			block.counter('admissions', result).add(1);
			admissionDuration.observe(durationMs / 1000);
		},
		scraped(target, result, durationMs) {
			block.counter('scrapes', target, result).add(1);
			scrapeDuration.observe(durationMs / 1000);
		},
		healthChecked: (target, ok) => block.counter('healthChecks', target, ok ? 'ok' : 'failed').add(1),
		gpuLooked(source, result, durationMs) {
			block.counter('gpuLooks', source, result).add(1);
			gpuLookDuration.observe(durationMs / 1000);
		},
		gpuStanding: (uuid, standing) => block.counter('gpuStandings', uuid, standing).add(1),
		tlsReloaded: (of, result) => block.counter('tlsReloads', of, result).add(1),
		gpuHeldBack: (target) => block.counter('gpuHeldBack', target).add(1),
		ejected: (target) => block.counter('ejections', target).add(1),
		agentCalled: (method, result) => block.counter('agentCalls', method, result).add(1),
		agentStreams: (open) => agentStreams.set(open),
		report: (kind, result) => block.counter('reports', kind, result).add(1),
		reportsDropped: (kind, count) => block.counter('reportsDropped', kind).add(count),
		peerLoadFrame: (direction) => (direction === 'sent' ? sent : heard).add(1),
		peerLoadHeard(delayMs, gap) {
			heard.add(1);
			peerLoadDelay.observe(delayMs / 1000);
			if (gap) block.counter('peerLoadGaps').add(1);
		},
		peerLoadRefused: (code) => block.counter('peerLoadRefused', code).add(1),
		round: (source, result) => block.counter('discoveryRounds', source, result).add(1),
		listed: (source, count) => block.gauge('discoveryTargets', source).set(count),
		flowsDropped: (flows) => {
			if (flows > 0) block.counter('peerFlowsDropped').add(flows);
		},
		peerLoadLapsed: (routers) => block.counter('peerLoadLapsed').add(routers),
		cellRowsRefused: (code) => block.counter('cellRowsRefused', code).add(1),
		workerRestarted: () => block.counter('workerRestarts').add(1),
	};
}
