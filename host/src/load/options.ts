// Owns the options of a load run: their meaning, defaults and ranges. Leaves flags and files to the command line.
import { MeshError } from '@infermesh/proto';
import { loadErrors } from './errors.js';
import { checkLoadThresholds } from './metrics.js';
import { parseSlo, type Slo } from './slo.js';
import { parseThresholds, type Threshold } from './threshold.js';

export interface LoadOptions {
	/** Base URL of an OpenAI-compatible server, with or without `/v1`: `--url`. */
	readonly url: string;
	/** The `model` of every request: `--model`. */
	readonly model: string;
	/** `--endpoint`. Default `chat`. */
	readonly endpoint?: 'chat' | 'completions';
	/** Streamed answers; without, only E2E is measured: `--no-stream`. Default true. */
	readonly stream?: boolean;
	/** Sent as a bearer token: `--api-key`. */
	readonly apiKey?: string;
	/** Further request headers: `--header NAME=VALUE`. */
	readonly headers?: Readonly<Record<string, string>>;
	/** Header that carries a request's session, where the workload has sessions. Default `x-session-id`. */
	readonly sessionHeader?: string;
	/** Merged into every body, for example `{"ignore_eos": true}` to make an engine generate the asked length: `--body JSON`. */
	readonly extraBody?: Readonly<Record<string, unknown>>;
	/** Factor on the workload's clock, 0.001..10,000: 2 sends twice as fast: `--speed`. Default 1. */
	readonly speed?: number;
	/** Requests after which no more are sent: `--requests`. Default: the whole workload. */
	readonly requests?: number;
	/** Milliseconds after which no more are sent; what is under way still ends: `--duration`. Default: the whole workload. */
	readonly durationMs?: number;
	/** Requests under way beyond which due ones are dropped and counted, 1..65,536: `--max-in-flight`. Default 1,024. */
	readonly maxInFlight?: number;
	/** Closed loop: this many under way, arrival times ignored, 1..65,536: `--concurrency`. Default: open loop. */
	readonly concurrency?: number;
	/** A request that is not over by then fails as `timeout`: `--timeout`. Default 600,000. */
	readonly requestTimeoutMs?: number;
	/** Default 10,000. */
	readonly connectTimeoutMs?: number;
	/** Objective of a request for goodput: `--slo`. Default `ttft<5s,tpot<100ms`; empty for none. */
	readonly slo?: string;
	/** `--threshold`, repeatable, each a list: `ttft.p99<2s`, `fail.rate<=0`, `goodput>=99%`. */
	readonly thresholds?: readonly string[];
	/** Seed of the prompts' text, unsigned 32-bit: `--seed`. Default 1. */
	readonly seed?: number;
	/** Between progress snapshots. Default 1,000. */
	readonly progressPeriodMs?: number;
	/** Failed connections, with nothing else ever succeeding, after which the run stops as unreachable. Default 20. */
	readonly connectFailuresMax?: number;
}

/** Options with every default in place. Infinity stands for no limit. */
export interface ResolvedLoadOptions {
	readonly url: string;
	readonly origin: string;
	readonly path: string;
	readonly model: string;
	readonly endpoint: 'chat' | 'completions';
	readonly stream: boolean;
	readonly apiKey: string | undefined;
	readonly headers: Readonly<Record<string, string>>;
	readonly sessionHeader: string;
	readonly extraBody: Readonly<Record<string, unknown>>;
	readonly speed: number;
	readonly requests: number;
	readonly durationMs: number;
	readonly maxInFlight: number;
	readonly concurrency: number | undefined;
	readonly requestTimeoutMs: number;
	readonly connectTimeoutMs: number;
	readonly slo: { readonly text: string; readonly clauses: Slo } | undefined;
	readonly thresholds: readonly Threshold[];
	readonly seed: number;
	readonly progressPeriodMs: number;
	readonly connectFailuresMax: number;
}

const IN_FLIGHT_MAX = 65_536;
const DAY_MS = 86_400_000;
export const SLO_DEFAULT = 'ttft<5s,tpot<100ms';

/** Checks options and fills in defaults. Throws IM_LOAD_OPTION and the IM_THRESHOLD_* errors. */
export function resolveLoadOptions(options: LoadOptions): ResolvedLoadOptions {
	const endpoint = options.endpoint ?? 'chat';
	const slo = options.slo ?? SLO_DEFAULT;
	const thresholds = (options.thresholds ?? []).flatMap(parseThresholds);
	checkLoadThresholds(thresholds, slo !== '');
	if (options.model === '') throw optionError('model', 'must not be empty', undefined);
	return {
		...resolveUrl(options.url, endpoint),
		model: options.model,
		endpoint,
		stream: options.stream ?? true,
		apiKey: options.apiKey,
		headers: options.headers ?? {},
		sessionHeader: options.sessionHeader ?? 'x-session-id',
		extraBody: options.extraBody ?? {},
		speed: inRange('speed', options.speed ?? 1, 0.001, 10_000),
		requests: wholeInRange('requests', options.requests ?? Number.POSITIVE_INFINITY, 1),
		durationMs: inRange('durationMs', options.durationMs ?? Number.POSITIVE_INFINITY, 1),
		maxInFlight: wholeInRange('maxInFlight', options.maxInFlight ?? 1024, 1, IN_FLIGHT_MAX),
		concurrency:
			options.concurrency === undefined
				? undefined
				: wholeInRange('concurrency', options.concurrency, 1, IN_FLIGHT_MAX),
		requestTimeoutMs: inRange('requestTimeoutMs', options.requestTimeoutMs ?? 600_000, 1, DAY_MS),
		connectTimeoutMs: inRange('connectTimeoutMs', options.connectTimeoutMs ?? 10_000, 1, DAY_MS),
		slo: slo === '' ? undefined : { text: slo, clauses: parseSlo(slo) },
		thresholds,
		seed: wholeInRange('seed', options.seed ?? 1, 0, 0xffff_ffff),
		progressPeriodMs: inRange('progressPeriodMs', options.progressPeriodMs ?? 1000, 10, DAY_MS),
		connectFailuresMax: wholeInRange('connectFailuresMax', options.connectFailuresMax ?? 20, 1),
	};
}

const PATHS = { chat: '/v1/chat/completions', completions: '/v1/completions' } as const;

function resolveUrl(text: string, endpoint: 'chat' | 'completions'): { url: string; origin: string; path: string } {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url === undefined || !/^https?:$/.test(url.protocol))
		throw optionError('url', 'must be an http or https URL such as http://127.0.0.1:8080', text);
	if (url.username !== '' || url.password !== '')
		throw optionError('url', 'must not hold credentials; use apiKey', undefined);
	const base = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
	return { url: url.origin + base, origin: url.origin, path: base + PATHS[endpoint] };
}

function inRange(name: string, value: number, min: number, max = Number.POSITIVE_INFINITY): number {
	if (value >= min && value <= max) return value;
	throw optionError(
		name,
		max === Number.POSITIVE_INFINITY ? `must be at least ${min}` : `must be from ${min} to ${max}`,
		value,
	);
}

function wholeInRange(name: string, value: number, min: number, max = Number.POSITIVE_INFINITY): number {
	if (!Number.isInteger(value) && value !== Number.POSITIVE_INFINITY)
		throw optionError(name, 'must be a whole number', value);
	return inRange(name, value, min, max);
}

function optionError(name: string, must: string, value: unknown): MeshError {
	const found = value === undefined ? '' : `; found ${JSON.stringify(value) ?? 'nothing'}`;
	return new MeshError(loadErrors, 'IM_LOAD_OPTION', `${name} ${must}${found}`, { where: name });
}
