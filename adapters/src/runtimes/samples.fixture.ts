// Owns sample bodies of runtimes of which no licensed capture was found: TGI, llama.cpp, TensorRT-LLM behind Triton and by itself, and TensorFlow
// Serving. They were written for these tests from the projects' descriptions of their metrics, not taken from running servers.

/** Text Generation Inference after `served` requests of 100 prompt tokens and 20 output tokens. */
export function tgiSample(served: number, queued: number, batch: number): string {
	return `# TYPE tgi_queue_size gauge
tgi_queue_size ${queued}
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size ${batch}
# TYPE tgi_request_count counter
tgi_request_count ${served + 2}
# TYPE tgi_request_failure counter
tgi_request_failure{err="overloaded"} ${served / 10}
# TYPE tgi_request_input_length histogram
tgi_request_input_length_bucket{le="128"} ${served}
tgi_request_input_length_bucket{le="+Inf"} ${served}
tgi_request_input_length_sum ${served * 100}
tgi_request_input_length_count ${served}
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_sum ${served * 20}
tgi_request_generated_tokens_count ${served}
# TYPE tgi_request_duration histogram
tgi_request_duration_bucket{le="0.5"} ${served / 2}
tgi_request_duration_bucket{le="1"} ${served}
tgi_request_duration_bucket{le="+Inf"} ${served}
tgi_request_duration_sum ${served * 0.5}
tgi_request_duration_count ${served}
# TYPE tgi_request_queue_duration histogram
tgi_request_queue_duration_bucket{le="+Inf"} ${served}
tgi_request_queue_duration_sum ${served * 0.04}
tgi_request_queue_duration_count ${served}
# TYPE tgi_request_mean_time_per_token_duration histogram
tgi_request_mean_time_per_token_duration_bucket{le="0.02"} ${served}
tgi_request_mean_time_per_token_duration_bucket{le="+Inf"} ${served}
tgi_request_mean_time_per_token_duration_sum ${served * 0.02}
tgi_request_mean_time_per_token_duration_count ${served}
# TYPE tgi_batch_inference_duration histogram
tgi_batch_inference_duration_sum{method="prefill"} ${served * 0.08}
tgi_batch_inference_duration_count{method="prefill"} ${served}
tgi_batch_inference_duration_sum{method="decode"} ${served * 0.4}
tgi_batch_inference_duration_count{method="decode"} ${served * 20}
`;
}

/** Triton with the TensorRT-LLM backend. */
export function tritonTrtllmSample(served: number): string {
	const model = 'model="tensorrt_llm",version="1"';
	return `nv_inference_request_success{${model}} ${served}
nv_inference_request_failure{${model},reason="OTHER"} ${served / 4}
nv_inference_request_failure{${model},reason="REJECTED"} 0
nv_inference_count{${model}} ${served}
nv_inference_request_duration_us{${model}} ${served * 250_000}
nv_inference_queue_duration_us{${model}} ${served * 1000}
nv_inference_pending_request_count{${model}} 2
nv_trt_llm_request_metrics{${model},request_type="active"} 12
nv_trt_llm_request_metrics{${model},request_type="max"} 64
nv_trt_llm_request_metrics{${model},request_type="scheduled"} 9
nv_trt_llm_request_metrics{${model},request_type="context"} 1
nv_trt_llm_request_metrics{${model},request_type="waiting"} 3
nv_trt_llm_kv_cache_block_metrics{${model},kv_cache_block_type="used"} 25
nv_trt_llm_kv_cache_block_metrics{${model},kv_cache_block_type="free"} 75
nv_trt_llm_kv_cache_block_metrics{${model},kv_cache_block_type="max"} 100
nv_trt_llm_kv_cache_block_metrics{${model},kv_cache_block_type="tokens_per"} 64
nv_trt_llm_kv_cache_block_metrics{${model},kv_cache_block_type="fraction"} 0.25
nv_trt_llm_runtime_memory_metrics{${model},memory_type="gpu"} 123456789
nv_cpu_utilization 0.5
`;
}

/** trtllm-serve. */
export const trtllmSample = `trtllm_num_requests_running{model_name="llama",engine_type="trtllm"} 7
trtllm_num_requests_waiting{model_name="llama",engine_type="trtllm"} 4
trtllm_kv_cache_utilization{model_name="llama",engine_type="trtllm"} 0.4
trtllm_kv_cache_tokens_per_block{model_name="llama",engine_type="trtllm"} 32
trtllm_kv_cache_max_blocks{model_name="llama",engine_type="trtllm"} 1000
trtllm_kv_cache_hit_rate{model_name="llama",engine_type="trtllm"} 0.75
`;

/** TensorFlow Serving; of one request in five the status is an error. */
export function tfservingSample(served: number): string {
	return `# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="resnet",status="OK"} ${served * 0.8}
:tensorflow:serving:request_count{model_name="resnet",status="INTERNAL"} ${served * 0.1}
:tensorflow:serving:request_count{model_name="resnet",status="INVALID_ARGUMENT"} ${served * 0.1}
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="resnet",API="predict",entrypoint="GRPC",le="10000"} ${served}
:tensorflow:serving:request_latency_bucket{model_name="resnet",API="predict",entrypoint="GRPC",le="+Inf"} ${served}
:tensorflow:serving:request_latency_sum{model_name="resnet",API="predict",entrypoint="GRPC"} ${served * 8000}
:tensorflow:serving:request_latency_count{model_name="resnet",API="predict",entrypoint="GRPC"} ${served}
# TYPE :tensorflow:serving:batching_session:queuing_latency histogram
:tensorflow:serving:batching_session:queuing_latency_bucket{model_name="resnet",le="+Inf"} ${served}
:tensorflow:serving:batching_session:queuing_latency_sum{model_name="resnet"} ${served * 2000}
:tensorflow:serving:batching_session:queuing_latency_count{model_name="resnet"} ${served}
# TYPE :tensorflow:core:graph_runs counter
:tensorflow:core:graph_runs{} 17
`;
}

/** llama.cpp's server with `--metrics`. */
export function llamacppSample(predicted: number): string {
	return `# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total ${predicted * 4}
llamacpp:prompt_seconds_total ${predicted / 100}
llamacpp:tokens_predicted_total ${predicted}
llamacpp:tokens_predicted_seconds_total ${predicted / 50}
llamacpp:prompt_tokens_cached_total ${predicted * 4}
llamacpp:n_decode_total ${predicted}
llamacpp:requests_processing 2
llamacpp:requests_deferred 5
`;
}

/** `/slots` of llama.cpp: four sequences of 4,096 tokens, one busy in the older form, one in the newer. */
export const slotsSample = JSON.stringify([
	{ id: 0, n_ctx: 4096, is_processing: true, n_past: 1024, prompt: 'private' },
	{ id: 1, n_ctx: 4096, is_processing: true, n_prompt_tokens: 1000, next_token: [{ n_decoded: 24, n_remain: 5 }] },
	{ id: 2, n_ctx: 4096, is_processing: false, n_prompt_tokens: 900 },
	{ id: 3, n_ctx: 4096, is_processing: false },
]);
