// Owns the list of known runtimes and telling them apart: by their metrics text, or by what they answer at an endpoint of theirs.

import { listOf, parseJson, recordOf, textOf } from '../json-values.js';
import { type Answer, type RuntimeAdapter, type RuntimeName, runtimeNames } from './adapter.js';
import { kserveAdapter } from './kserve.js';
import { llamacppAdapter } from './llamacpp.js';
import { ovmsAdapter, tfservingAdapter, torchserveAdapter } from './servers.js';
import { sglangAdapter } from './sglang.js';
import { tgiAdapter } from './tgi.js';
import { tritonAdapter, trtllmAdapter } from './triton.js';
import { vllmAdapter } from './vllm.js';

/** Of names and versions that servers tell. */
const TEXT_CHARS_MAX = 200;

/** The adapters of this package by runtime name. */
export const runtimeAdapters: Readonly<Record<RuntimeName, RuntimeAdapter>> = Object.freeze({
	vllm: vllmAdapter,
	sglang: sglangAdapter,
	tgi: tgiAdapter,
	triton: tritonAdapter,
	trtllm: trtllmAdapter,
	torchserve: torchserveAdapter,
	tfserving: tfservingAdapter,
	ovms: ovmsAdapter,
	llamacpp: llamacppAdapter,
	kserve: kserveAdapter,
});

/** Whether `name` is a runtime with an adapter. */
export function isRuntimeName(name: string): name is RuntimeName {
	return (runtimeNames as readonly string[]).includes(name);
}

/** The adapter of the runtime that wrote `metricsText`; `undefined` when it is none of those known. */
export function detectRuntime(metricsText: string): RuntimeAdapter | undefined {
	return Object.values(runtimeAdapters).find((adapter) => adapter.detect(metricsText));
}

interface EndpointHint {
	readonly path: string;
	readonly tell: (json: Readonly<Record<string, unknown>>) => RuntimeName | undefined;
}

/** Endpoints whose answers tell a runtime, in the order to ask. */
const hints: readonly EndpointHint[] = [
	{ path: '/v1/models', tell: ({ data }) => ownerOf(listOf(data)) },
	{ path: '/v2', tell: (json) => protocolServer(json) },
	{ path: '/info', tell: (json) => ('model_id' in json && 'max_concurrent_requests' in json ? 'tgi' : undefined) },
	{
		path: '/props',
		tell: (json) => ('default_generation_settings' in json && 'total_slots' in json ? 'llamacpp' : undefined),
	},
	{ path: '/get_model_info', tell: (json) => ('model_path' in json && 'is_generation' in json ? 'sglang' : undefined) },
];

/** Paths to ask of a target of unknown runtime, by GET, in order. */
export const endpointHintPaths: readonly string[] = Object.freeze(hints.map(({ path }) => path));

/** The runtime that gave `answer`, where it can be told. */
export function detectEndpoint({ path, status, body }: Answer): RuntimeName | undefined {
	const json = status === 200 ? recordOf(parseJson(body)) : undefined;
	return json === undefined ? undefined : hints.find((hint) => hint.path === path)?.tell(json);
}

function ownerOf(models: readonly unknown[]): RuntimeName | undefined {
	const owner = textOf(recordOf(models[0])?.['owned_by'], TEXT_CHARS_MAX)?.toLowerCase();
	return owner === 'vllm' || owner === 'sglang' || owner === 'llamacpp' ? owner : undefined;
}

function protocolServer(json: Readonly<Record<string, unknown>>): RuntimeName | undefined {
	const name = textOf(json['name'], TEXT_CHARS_MAX)?.toLowerCase();
	if (name === undefined) return undefined;
	if (name.includes('triton')) return 'triton';
	if (name.includes('openvino')) return 'ovms';
	return 'version' in json || 'extensions' in json ? 'kserve' : undefined;
}
