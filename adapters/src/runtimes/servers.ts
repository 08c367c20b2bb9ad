// Owns the descriptions of the servers of models that are no language models: TorchServe (metrics on port 8082), TensorFlow Serving (REST port,
// with a monitoring configuration) and OpenVINO Model Server (REST port, with `--metrics_enable`). They speak of requests and µs, not of tokens.
import { kserveCompanion } from './kserve.js';
import { MappedAdapter } from './mapped-adapter.js';
import { plainRules, type RuntimeMapping } from './mapping.js';

const inferences = { name: 'ts_inference_requests_total' };

const torchserve: RuntimeMapping = {
	...plainRules,
	runtime: 'torchserve',
	prefixes: [''],
	knownBy: ['ts_inference_requests_total', 'ts_queue_latency_microseconds', 'WorkerThreadTime', 'WorkerLoadTime'],
	modelsFrom: ['ts_inference_requests_total'],
	// No gauge of waiting or running requests exists: load is what this mesh has in flight. QueueTime is the wait of the last job, in ms.
	gauges: [
		{ signal: 'queueMsMean', anyOf: ['QueueTime'], fold: 'max', range: 'count', use: 'fallback' },
		{ signal: 'utilization', anyOf: ['CPUUtilization'], fold: 'max', range: 'ratio', scale: 0.01, use: 'optional' },
	],
	rates: [{ signal: 'requestsPerSec', anyOf: [{ plus: [inferences] }] }],
	ratios: [
		{
			signal: 'requestMsMean',
			scale: 0.001,
			anyOf: [{ part: [{ name: 'ts_inference_latency_microseconds' }], whole: [inferences] }],
		},
		{
			signal: 'queueMsMean',
			scale: 0.001,
			anyOf: [{ part: [{ name: 'ts_queue_latency_microseconds' }], whole: [inferences] }],
		},
		// Answers 4xx are the client's fault and no error of the engine.
		{
			signal: 'errorRatio',
			anyOf: [
				{
					part: [{ name: 'Requests5XX' }],
					whole: [{ name: 'Requests2XX' }, { name: 'Requests4XX' }, { name: 'Requests5XX' }],
				},
			],
		},
	],
	derivedFrom: ['WorkerLoadTime'],
	// One series a worker, and a worker serves one request or batch at a time.
	derive(view, draft) {
		const workers = view.series('WorkerLoadTime').length;
		if (workers > 0) draft.count('maxSequences', workers);
	},
};

export const torchserveAdapter = new MappedAdapter(torchserve);

const counted = { name: 'request_count' };

const tfserving: RuntimeMapping = {
	...plainRules,
	runtime: 'tfserving',
	prefixes: [':tensorflow:serving:'],
	knownBy: [':tensorflow:serving:', ':tensorflow:core:', ':tensorflow:cc:'],
	modelsFrom: ['request_count', 'request_latency_count'],
	gauges: [],
	rates: [{ signal: 'requestsPerSec', anyOf: [{ plus: [counted] }] }],
	ratios: [
		// Statuses are names of gRPC codes; whatever is not OK counts, the client's faults aside.
		{
			signal: 'errorRatio',
			anyOf: [
				{
					part: ['INTERNAL', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'UNKNOWN', 'DEADLINE_EXCEEDED', 'ABORTED'].map(
						(status) => ({ name: 'request_count', where: { status } }),
					),
					whole: [counted],
				},
			],
		},
	],
	histograms: [
		{ meanMs: 'requestMsMean', p95Ms: 'requestMsP95', unitMs: 0.001, anyOf: ['request_latency'] },
		{ meanMs: 'queueMsMean', unitMs: 0.001, anyOf: ['batching_session:queuing_latency'] },
	],
};

export const tfservingAdapter = new MappedAdapter(tfserving);

/** Calls that ask for an inference; others (readiness, metadata, status) are cheap and say nothing of load. */
const inferenceCalls = [
	'ModelInfer',
	'ModelInferStream',
	'Predict',
	'ChatCompletions',
	'Completions',
	'Embeddings',
	'Rerank',
	'Unary',
	'Stream',
];
const calls = (name: string): { name: string; where: Record<string, string> }[] =>
	inferenceCalls.map((method) => ({ name, where: { method } }));

const ovms: RuntimeMapping = {
	...plainRules,
	runtime: 'ovms',
	prefixes: ['ovms_'],
	modelLabel: 'name',
	modelsFrom: ['requests_success', 'current_requests'],
	gauges: [
		// Requests in the server, less those that hold an inference request, wait for one. Graphs count by themselves.
		{
			signal: 'queueDepth',
			anyOf: ['current_requests'],
			minus: [['infer_req_active']],
			fold: 'sum',
			range: 'count',
			use: 'optional',
		},
		{
			signal: 'running',
			anyOf: ['infer_req_active', 'current_graphs'],
			plus: [['current_graphs']],
			fold: 'sum',
			range: 'count',
			use: 'optional',
		},
		{ signal: 'maxSequences', anyOf: ['infer_req_queue_size'], fold: 'sum', range: 'count', use: 'optional' },
	],
	rates: [{ signal: 'requestsPerSec', anyOf: [{ plus: [...calls('requests_success'), ...calls('requests_fail')] }] }],
	ratios: [
		{
			signal: 'errorRatio',
			anyOf: [{ part: calls('requests_fail'), whole: [...calls('requests_success'), ...calls('requests_fail')] }],
		},
	],
	histograms: [
		{
			meanMs: 'requestMsMean',
			p95Ms: 'requestMsP95',
			unitMs: 0.001,
			anyOf: ['request_time_us'],
		},
		{ meanMs: 'queueMsMean', unitMs: 0.001, anyOf: ['wait_for_infer_req_time_us'] },
	],
};

export const ovmsAdapter = new MappedAdapter(ovms, [kserveCompanion]);
