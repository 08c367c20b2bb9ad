// Owns what all stages of one router share: ports, options, and the scratch records that are filled anew for each decision. Made once.
import { createPrefixHits, HITS_GIVEN_MAX } from '../prefix/hits.js';
import { Decision, emptyFeatures, type PrefixHits, type RequestFeatures } from '../strategy/runtime/decision.js';
import { Admission } from './admission/admission.js';
import type { AdmissionPorts } from './admission/ports.js';
import { Hedging } from './hedge/hedging.js';
import { HoldQueue } from './hold-queue.js';
import { IdGenerator } from './ids.js';
import { LongStrings } from './long-strings.js';
import { type RouterOptions, type RouterOptionsInput, resolveRouterOptions } from './options.js';
import type {
	Caller,
	PipelineStage,
	PromptTokens,
	RequestLog,
	RequestTracer,
	RouterMetrics,
	RouterPorts,
	WebSocketMetrics,
} from './ports.js';
import { pipelineStages } from './ports.js';
import { BYTES_PER_TOKEN, PromptBuffer } from './prompt-buffer.js';
import { ResponseIds } from './response-ids.js';
import { RetryBudget } from './retry-budget.js';
import type { RoutedRequest } from './routed-request.js';
import { type StreamBounds, Upstreams } from './upstream/upstreams.js';

/** Who a connection last proved to be, and with what. */
export interface Proof {
	readonly credentials: string;
	readonly caller: Caller;
}

export interface RouterEnv {
	readonly options: RouterOptions;
	readonly ports: Required<Omit<RouterPorts, 'responseKey'>>;
	readonly ids: IdGenerator;
	readonly upstreams: Upstreams;
	readonly retries: RetryBudget;
	readonly hedging: Hedging;
	readonly holds: HoldQueue<RoutedRequest>;
	readonly admission: Admission;
	readonly decision: Decision;
	readonly features: RequestFeatures;
	readonly hits: PrefixHits;
	readonly prompt: PromptBuffer;
	/** Of the body last read. */
	readonly longs: LongStrings;
	/** Whose prompt the buffer holds. */
	promptOf: RoutedRequest | undefined;
	/** Output tokens to expect, learned per pool index. */
	readonly tokensOutMean: Map<number, number>;
	readonly proofs: WeakMap<object, Proof>;
	/** Connections that this router has told to go, for their age or for doing nothing: whoever had one is still there. */
	readonly dismissed: WeakSet<object>;
	readonly responseIds: ResponseIds;
	/** Bytes of request bodies held now. */
	bodyBytes: number;
	requests: number;
	closing: boolean;
}

const ignore = (): void => undefined;
const noMetrics: RouterMetrics = {
	requestStarted: ignore,
	requestEnded: ignore,
	attempt: ignore,
	retry: ignore,
	hedge: ignore,
	prefill: ignore,
	hedgeWaste: ignore,
	tokens: ignore,
	streamChunks: ignore,
	http2Closed: ignore,
	admissionEnded: ignore,
	stage: ignore,
};
const noWebSockets: WebSocketMetrics = { opened: ignore, closed: ignore, refused: ignore };
const noTokens: PromptTokens = { ask: () => false };
const noTracer: RequestTracer = {
	start: (_method, _path, traceparent) => ({ traceparent, set: ignore, event: ignore, end: ignore }),
};
const noAdmission: AdmissionPorts = {
	hasRoom: () => true,
	quotas: undefined,
	metrics: { refused: ignore, queued: ignore, waited: ignore, turn: ignore },
};
const noLog: RequestLog = { info: ignore, warn: ignore, error: ignore };

export function createEnv(input: RouterOptionsInput, ports: RouterPorts): RouterEnv {
	const options = resolveRouterOptions(input);
	const admission = ports.admission ?? noAdmission;
	const longs = new LongStrings(ports.random, Math.ceil(options.promptBytesMax / BYTES_PER_TOKEN));
	return {
		options,
		ports: {
			tokens: noTokens,
			metrics: noMetrics,
			webSockets: noWebSockets,
			tracer: noTracer,
			log: noLog,
			...ports,
			admission,
		},
		ids: new IdGenerator(ports.clock, ports.random),
		upstreams: new Upstreams(options.upstream, streamBounds(options), ports.clock),
		retries: new RetryBudget(options.retry, ports.clock.nowMs()),
		hedging: new Hedging(options.hedge),
		holds: new HoldQueue(options.hold),
		admission: new Admission(options.admission, admission, ports.clock),
		decision: new Decision(),
		features: emptyFeatures(),
		hits: createPrefixHits(HITS_GIVEN_MAX),
		prompt: new PromptBuffer(options.promptBytesMax, longs),
		longs,
		promptOf: undefined,
		tokensOutMean: new Map(),
		proofs: new WeakMap(),
		dismissed: new WeakSet(),
		responseIds: new ResponseIds(ports.responseKey),
		bodyBytes: 0,
		requests: 0,
		closing: false,
	};
}

/** HTTP/2 to targets has one set of bounds, whatever it carries. */
function streamBounds({ grpc }: RouterOptions): StreamBounds {
	const { sessionsMax, streamsMax, sessionAgeMaxMs, pingPeriodMs, pingTimeoutMs, windowBytes } = grpc;
	return { sessionsMax, streamsMax, ageMaxMs: sessionAgeMaxMs, pingPeriodMs, pingTimeoutMs, windowBytes };
}

const stageIndex = new Map(pipelineStages.map((stage, index) => [stage, index]));

/** Notes that a stage of a sampled request has ended. */
export function stageEnded(env: RouterEnv, request: RoutedRequest, stage: PipelineStage): void {
	if (!request.sampled) return;
	const now = env.ports.clock.nowMs();
	env.ports.metrics.stage(stageIndex.get(stage) as number, Math.round((now - request.stageAtMs) * 1e6));
	request.stageAtMs = now;
}
