// Owns the data plane's counters: `RouterMetrics` over a metrics block. Series are looked up once per pool, target and outcome and then
// kept, so a request costs a few additions. Paths outside the served set share one label, so no client can make series.
import { dialectRoutes } from '@infermesh/adapters';
import { grpcMethods, OTHER_METHOD } from '../router/grpc/methods.js';
import {
	admissionEnds,
	type HedgeResult,
	http2CloseReasons,
	type ModelPool,
	type OutcomeStatusName,
	type RouterMetrics,
	type UpstreamTarget,
} from '../router/ports.js';
import { webSocketDefaults } from '../router/websocket/options.js';
import type { HistogramSeries, MetricsBlock, Series } from './block.js';

/** Paths that are labels of their own: those of the dialects and pipes, and gRPC methods that are known; the other methods share one. */
export const labelledPaths: ReadonlySet<string> = new Set([
	...dialectRoutes.map(({ path }) => path),
	...webSocketDefaults.pipePaths,
	...grpcMethods.keys(),
	OTHER_METHOD,
]);
const OTHER_PATH = 'other';

interface PathSeries {
	readonly duration: HistogramSeries;
	/** By `status code`. */
	readonly answers: Map<string, Series>;
	readonly ok: Series;
}

interface PoolSeries {
	readonly paths: Map<string, PathSeries>;
	readonly ttft: HistogramSeries;
	readonly tpot: HistogramSeries;
	readonly retries: Map<string, Series>;
	readonly hedges: Map<HedgeResult, Series>;
	readonly prefills: Map<OutcomeStatusName, Series>;
	/** Prefilled and decoded; opened by the first loser. */
	waste: readonly [Series, Series] | undefined;
	/** Three per tenant: input, output, cached. */
	readonly tokens: Map<number, readonly [Series, Series, Series]>;
}

/** Answers kept per path: statuses and codes are few, but a target may invent statuses. */
const ANSWERS_MAX = 256;

export interface RouterMetricsOptions {
	/** Name of an interned tenant id. */
	readonly tenantName: (tenantId: number) => string;
	/** Names of the pipeline's stages, by index. */
	readonly stages: readonly string[];
}

export function createRouterMetrics(block: MetricsBlock, options: RouterMetricsOptions): RouterMetrics {
	const pools = new WeakMap<ModelPool, PoolSeries>();
	const attempts = new WeakMap<UpstreamTarget, Map<OutcomeStatusName, Series>>();
	const unrouted = new Map<string, PathSeries>();
	const inFlight = block.gauge('requestsInFlight');
	const chunks = block.counter('streamChunks');
	const http2Closed = new Map(http2CloseReasons.map((reason) => [reason, block.counter('http2Closed', reason)]));
	const admissions = new Map(admissionEnds.map((how) => [how, block.counter('scoringAdmissions', how)]));
	const stages = options.stages.map((stage) => block.histogram('stageDuration', stage));

	const seriesOf = (pool: ModelPool): PoolSeries => {
		let found = pools.get(pool);
		if (found === undefined) pools.set(pool, (found = openPool(block, pool.model, pool.revision ?? '')));
		return found;
	};
	const attemptOf = (pool: ModelPool, target: UpstreamTarget, status: OutcomeStatusName): Series => {
		let outcomes = attempts.get(target);
		if (outcomes === undefined) attempts.set(target, (outcomes = new Map()));
		let series = outcomes.get(status);
		if (series === undefined) {
			series = block.counter('attempts', target.id, pool.model, pool.revision ?? '', target.runtime, status);
			outcomes.set(status, series);
		}
		return series;
	};
	return {
		requestStarted: () => inFlight.add(1),
		requestEnded(pool, path, status, errorCode, durationMs) {
			inFlight.add(-1);
			const names = pool === undefined ? ['', ''] : [pool.model, pool.revision ?? ''];
			const at = pathOf(block, pool === undefined ? unrouted : seriesOf(pool).paths, names, path);
			if (status === 200 && errorCode === undefined) at.ok.add(1);
			else answerOf(block, at, names, path, status, errorCode ?? '').add(1);
			at.duration.observe(durationMs / 1000);
		},
		attempt(pool, target, status, ttftMs, tpotMs) {
			attemptOf(pool, target, status).add(1);
			const series = seriesOf(pool);
			if (ttftMs > 0) series.ttft.observe(ttftMs / 1000);
			if (tpotMs > 0) series.tpot.observe(tpotMs / 1000);
		},
		retry(pool, reason) {
			const { retries } = seriesOf(pool);
			let series = retries.get(reason);
			if (series === undefined) {
				series = block.counter('retries', pool.model, reason);
				if (retries.size < ANSWERS_MAX) retries.set(reason, series);
			}
			series.add(1);
		},
		prefill(pool, target, status) {
			attemptOf(pool, target, status).add(1);
			const { prefills } = seriesOf(pool);
			let series = prefills.get(status);
			if (series === undefined) prefills.set(status, (series = block.counter('prefills', pool.model, status)));
			series.add(1);
		},
		hedge(pool, result) {
			const { hedges } = seriesOf(pool);
			let series = hedges.get(result);
			if (series === undefined) hedges.set(result, (series = block.counter('hedges', pool.model, result)));
			series.add(1);
		},
		hedgeWaste(pool, prefillTokens, decodeTokens) {
			const found = seriesOf(pool);
			found.waste ??= [
				block.counter('hedgeWaste', pool.model, 'prefill'),
				block.counter('hedgeWaste', pool.model, 'decode'),
			];
			found.waste[0].add(prefillTokens);
			found.waste[1].add(decodeTokens);
		},
		tokens(pool, tenantId, tokensIn, tokensOut, tokensCached) {
			const { tokens } = seriesOf(pool);
			let kinds = tokens.get(tenantId);
			if (kinds === undefined) {
				const labels = [pool.model, pool.revision ?? '', options.tenantName(tenantId)];
				kinds = [
					block.counter('tokens', ...labels, 'input'),
					block.counter('tokens', ...labels, 'output'),
					block.counter('tokens', ...labels, 'cached'),
				];
				tokens.set(tenantId, kinds);
			}
			kinds[0].add(tokensIn);
			kinds[1].add(tokensOut);
			kinds[2].add(tokensCached);
		},
		streamChunks: (count) => chunks.add(count),
		http2Closed: (reason) => http2Closed.get(reason)?.add(1),
		admissionEnded: (how) => admissions.get(how)?.add(1),
		stage: (stage, durationNs) => stages[stage]?.observe(durationNs / 1e9),
	};
}

function openPool(block: MetricsBlock, model: string, revision: string): PoolSeries {
	return {
		paths: new Map(),
		ttft: block.histogram('timeToFirstToken', model, revision),
		tpot: block.histogram('timePerOutputToken', model, revision),
		retries: new Map(),
		hedges: new Map(),
		prefills: new Map(),
		waste: undefined,
		tokens: new Map(),
	};
}

function pathOf(
	block: MetricsBlock,
	paths: Map<string, PathSeries>,
	names: readonly string[],
	path: string,
): PathSeries {
	const label = labelledPaths.has(path) ? path : OTHER_PATH;
	let found = paths.get(label);
	if (found === undefined) {
		found = {
			duration: block.histogram('requestDuration', ...names, label),
			answers: new Map(),
			ok: block.counter('requests', ...names, label, '200', ''),
		};
		paths.set(label, found);
	}
	return found;
}

function answerOf(
	block: MetricsBlock,
	at: PathSeries,
	names: readonly string[],
	path: string,
	status: number,
	code: string,
): Series {
	const key = `${status} ${code}`;
	let series = at.answers.get(key);
	if (series === undefined) {
		const label = labelledPaths.has(path) ? path : OTHER_PATH;
		series = block.counter('requests', ...names, label, String(status), code);
		if (at.answers.size < ANSWERS_MAX) at.answers.set(key, series);
	}
	return series;
}
