// Owns the list of known runtimes and telling them apart by their metrics text.
import type { RuntimeAdapter, RuntimeName } from './adapter.js';
import { sglangAdapter } from './sglang.js';
import { vllmAdapter } from './vllm.js';

/** The adapters of this package by runtime name. */
export const runtimeAdapters: Readonly<Record<RuntimeName, RuntimeAdapter>> = Object.freeze({
	vllm: vllmAdapter,
	sglang: sglangAdapter,
});

/** The adapter of the runtime that wrote `metricsText`; `undefined` when it is none of those known. */
export function detectRuntime(metricsText: string): RuntimeAdapter | undefined {
	return Object.values(runtimeAdapters).find((adapter) => adapter.detect(metricsText));
}
