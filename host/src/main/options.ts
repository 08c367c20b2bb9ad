// Owns the mapping from the one configuration to the options of each room. Names and units change here and nowhere else.
import path from 'node:path';
import type { Compiler } from '@infermesh/adapters';
import type { AdminToken } from '../admin/auth.js';
import type { MeshConfig, TargetConfig } from '../config/schema.js';
import type { NamePolicy } from '../fleet/directory.js';
import type { TargetSpec } from '../fleet/registry.js';
import type { TokenizerSource } from '../prefix/tokens/protocol.js';
import type { TokenClientOptions } from '../prefix/tokens/token-client.js';
import type { TokenServiceOptions } from '../prefix/tokens/token-service.js';
import type { HashMode } from '../recorder/entries.js';
import { writerDefaults } from '../recorder/writer.js';
import type { LimitOptions } from '../router/admission/target-limits.js';
import type { HedgeOptions } from '../router/hedge/options.js';
import type { RouterOptionsInput } from '../router/options.js';
import type { UpstreamTls } from '../router/tls.js';
import type { GpuSignalsOptions } from '../signals/gpu-signals.js';
import { defaultRules, type Rule } from '../signals/rules.js';
import type { NativeLimits } from '../strategy/native/code.js';
import type { RoomOptions } from '../strategy/registry/judge.js';
import type { FuelBudget } from '../strategy/runtime/instance.js';
import { INSTANCES_MAX } from '../strategy/runtime/plan.js';
import type { QuarantineOptions } from '../strategy/runtime/quarantine.js';
import type { GpuSource, LooksStart } from './looks/protocol.js';
import type { RecorderOptions } from './recorder-part.js';
import type { TargetServiceOptions } from './target-service.js';

/** Whether a data plane runs on this node: an edge is a router near users. */
export function routes({ roles }: Pick<MeshConfig, 'roles'>): boolean {
	return roles.includes('router') || roles.includes('edge');
}

/** Without what is in files: certificates are read by tls-files.ts. */
export function routerOptions({ data, health, models, outlier }: MeshConfig): RouterOptionsInput {
	return {
		bodyBytesMax: data.body_max_bytes,
		headerBytesMax: data.header_max_bytes,
		headerCountMax: data.header_count_max,
		headersTimeoutMs: data.headers_timeout_ms,
		requestTimeoutMs: data.request_timeout_ms,
		keepAliveTimeoutMs: data.keep_alive_timeout_ms,
		clientWriteTimeoutMs: data.client_write_timeout_ms,
		connectionsMax: data.connections_max,
		inflightMax: data.inflight_max,
		saturatedRetryAfterS: data.saturated_retry_after_s,
		webSocket: {
			connectionsMax: data.websocket.connections_max,
			messageBytesMax: data.websocket.message_max_bytes,
			fragmentsMax: data.websocket.fragments_max,
			requestsMax: data.websocket.requests_max,
			sendBufferBytesMax: data.websocket.send_buffer_max_bytes,
			pingPeriodMs: data.websocket.ping_period_ms,
			pingsMax: data.websocket.pings_max,
			closeTimeoutMs: data.websocket.close_timeout_ms,
			compression: data.websocket.compression,
			origins: data.websocket.origins,
			pipePaths: data.websocket.pipe_paths,
		},
		http2: {
			streamsMax: data.http2.streams_max,
			windowBytes: data.http2.window_bytes,
			connectionWindowBytes: data.http2.connection_window_bytes,
			sessionMemoryMib: data.http2.session_memory_mib,
			resetBurst: data.http2.reset_burst,
			resetRatePerS: data.http2.reset_rate_per_s,
			invalidFramesMax: data.http2.invalid_frames_max,
			connectionAgeMaxMs: data.http2.connection_age_max_ms,
		},
		scoring: { admissionsMax: data.scoring.admissions_max, admissionTtlMs: data.scoring.admission_ttl_ms },
		grpc: {
			deny: data.grpc.deny,
			inflatedBytesMax: data.grpc.inflated_max_bytes,
			replayBytesMax: data.grpc.replay_max_bytes,
			sessionsMax: data.grpc.sessions_max,
			streamsMax: data.grpc.streams_max,
			sessionAgeMaxMs: data.grpc.session_age_max_ms,
			pingPeriodMs: data.grpc.ping_period_ms,
			pingTimeoutMs: data.grpc.ping_timeout_ms,
			windowBytes: data.grpc.window_bytes,
		},
		avoidUnreachable: outlier.unreachable_ms > 0,
		failOpen: health.fail_open,
		upstream: {
			connectTimeoutMs: data.upstream.connect_timeout_ms,
			firstByteTimeoutMs: data.upstream.first_byte_timeout_ms,
			idleTimeoutMs: data.upstream.idle_timeout_ms,
			keepAliveTimeoutMs: data.upstream.keep_alive_timeout_ms,
			connectionsMax: data.upstream.connections_max,
		},
		retry: {
			attemptsMax: data.retry.attempts_max,
			budgetRatio: data.retry.budget_ratio,
			budgetBurst: data.retry.budget_burst,
			backoffMs: data.retry.backoff_ms,
			backoffMsMax: data.retry.backoff_max_ms,
		},
		hedge: { ...hedgeOptions(data.hedge), models: hedgedModels(models.hedging) },
		admission: {
			enabled: data.flow.enabled,
			requestsMax: data.flow.requests_max,
			bytesMax: data.flow.bytes_max,
			tenantShare: data.flow.tenant_share,
			waitMaxMs: data.flow.wait_max_ms,
			agedMs: data.flow.starved_after_ms,
			dueMs: data.flow.due_ms,
			outputWeight: data.flow.output_weight,
			leaseWaitMs: data.quota.wait_ms,
			aheadGap: Math.max(1, Math.ceil(data.flow.target_queue_max / 2)),
			outrankedGap: Math.max(1, data.flow.target_queue_max),
		},
		hold: { requestsMax: data.hold.requests_max, waitMaxMs: data.hold.wait_max_ms },
	};
}

type HedgeConfig = MeshConfig['data']['hedge'];

function hedgeOptions(hedge: HedgeConfig): HedgeOptions {
	return {
		copies: hedge.copies,
		copiesMax: hedge.copies_max,
		delayMs: hedge.delay_ms,
		delayQuantile: hedge.delay_quantile,
		delayMsMin: hedge.delay_min_ms,
		budgetRatio: hedge.budget_ratio,
		budgetTokensMax: hedge.budget_tokens_max,
		queueMax: hedge.queue_max,
		kvUsageMax: hedge.kv_usage_max,
	};
}

/** Only what is said of a model differs from the rest. */
function hedgedModels(models: MeshConfig['models']['hedging']): Record<string, Partial<HedgeOptions>> {
	return Object.fromEntries(
		Object.entries(models).map(([model, { copies, copies_max, delay_ms, delay_quantile, budget_ratio }]) => [
			model,
			{
				...(copies === undefined ? {} : { copies }),
				...(copies_max === undefined ? {} : { copiesMax: copies_max }),
				...(delay_ms === undefined ? {} : { delayMs: delay_ms }),
				...(delay_quantile === undefined ? {} : { delayQuantile: delay_quantile }),
				...(budget_ratio === undefined ? {} : { budgetRatio: budget_ratio }),
			},
		]),
	);
}

/** What targets take at once. */
export function limitOptions({ data }: MeshConfig): LimitOptions {
	return { queueMax: data.flow.target_queue_max, requestsMax: data.flow.target_requests_max };
}

/** Who may call the admin API, and change something over the agent's. */
export function adminTokensOf({ admin }: MeshConfig): readonly AdminToken[] {
	const named = admin.tokens.flatMap(({ name, token }) => (token === undefined ? [] : [{ name, token }]));
	return admin.token === undefined ? named : [{ name: 'admin', token: admin.token }, ...named];
}

/** Where and how decisions are recorded. */
export function recorderOptions({ recorder, state_dir }: MeshConfig): RecorderOptions {
	return {
		dir: path.resolve(recorder.dir === '' ? path.join(state_dir, 'recordings') : recorder.dir),
		sample: recorder.sample,
		hashes: recorder.hashes as HashMode,
		modules: recorder.modules,
		ringBytes: recorder.ring_bytes,
		drainMs: recorder.drain_ms,
		writer: {
			...writerDefaults,
			fileBytesMax: recorder.file_max_bytes,
			totalBytesMax: recorder.total_max_bytes,
			filesMax: recorder.files_max,
			ageMsMax: recorder.age_max_s * 1000,
		},
	};
}

export function fuelBudget({ strategy }: MeshConfig): FuelBudget {
	return { base: strategy.base_fuel, perTarget: strategy.fuel_per_target, stackSlotsMax: strategy.stack_max_slots };
}

/** With what, and where, addon and sandbox are built. */
export function nativeCompiler({ strategy: { native } }: MeshConfig): Partial<Compiler> {
	return { command: native.compiler, ...(native.build_dir === '' ? {} : { into: path.resolve(native.build_dir) }) };
}

/** Limits of native code on this node. */
export function nativeLimits({ strategy: { native } }: MeshConfig): NativeLimits {
	return {
		spinUs: native.spin_us,
		deadlineUs: native.deadline_us,
		graceUs: native.grace_us,
		memoryBytes: native.memory_mib * 1024 * 1024,
		startMs: native.start_ms,
		restartMs: native.restart_ms,
		restartMaxMs: native.restart_max_ms,
	};
}

export function roomOptions({ strategy }: MeshConfig): RoomOptions {
	return { loadedMax: strategy.loaded_max, instancesMax: INSTANCES_MAX, instancesPerPool: 1 + strategy.spares };
}

export function quarantineOptions({ strategy }: MeshConfig): QuarantineOptions {
	return {
		strikesMax: strategy.strikes_max,
		windowMs: strategy.strike_window_ms,
		firstMs: strategy.quarantine_ms,
		longestMs: strategy.quarantine_max_ms,
		forgiveMs: strategy.forgive_ms,
	};
}

/** What stands for other cells takes at most one of so many of the table's rows and of the models. */
export const REMOTE_SHARE = 4;

export function targetServiceOptions(config: MeshConfig): TargetServiceOptions {
	const { fleet, health, outlier, scrape } = config;
	return {
		fusion: {
			healthyAfter: health.healthy_after,
			unhealthyAfter: health.unhealthy_after,
			consecutiveFailures: outlier.consecutive_failures,
			errorRatio: outlier.error_ratio,
			requestsMin: outlier.requests_min,
			windowMs: outlier.window_ms,
			ejectionMs: outlier.ejection_ms,
			ejectionMaxMs: outlier.ejection_max_ms,
			unreachableMs: outlier.unreachable_ms,
			trialRequests: outlier.trial_requests,
			trialSuccesses: outlier.trial_successes,
			slowStartMs: fleet.slow_start_ms,
			staleAfterMs: fleet.stale_after_ms,
			smoothingMs: fleet.smoothing_ms,
			ejectedMaxRatio: outlier.ejected_max_ratio,
		},
		askTimeoutMs: scrape.timeout_ms,
		policy: namePolicy(config),
		remoteModelsMax: Math.floor(fleet.models_max / REMOTE_SHARE),
		publishMs: fleet.publish_ms,
		refreshMs: 200,
		refreshIdleMs: 1000,
	};
}

/** What was seen goes to the agent at most this often: below the period in which it publishes. */
const LOOKS_BATCH_MS = 10;

/** As the schema has checked: its enums are texts to the compiler. */
export function gpuSources({ gpu }: Pick<MeshConfig, 'gpu'>): readonly GpuSource[] {
	return gpu.sources as readonly GpuSource[];
}

/** What the looking thread is started with. */
export function looksStart(
	{ scrape, health, gpu, node }: MeshConfig,
	seed: readonly [number, number],
	tls: UpstreamTls,
): LooksStart {
	return {
		seed,
		tls,
		poller: {
			scrapePeriodMs: scrape.period_ms,
			scrapeTimeoutMs: scrape.timeout_ms,
			bodyMaxBytes: scrape.body_max_bytes,
			checkPeriodMs: health.period_ms,
			checkTimeoutMs: health.timeout_ms,
			concurrencyMax: scrape.concurrency_max,
		},
		gpus: {
			sources: gpuSources({ gpu }),
			node: node.id,
			periodMs: gpu.period_ms,
			timeoutMs: gpu.timeout_ms,
			bodyMaxBytes: scrape.body_max_bytes,
		},
		batchMs: LOOKS_BATCH_MS,
	};
}

/** Rules of the configuration replace those of their name among the default ones. */
export function gpuSignalsOptions({ gpu, fleet }: MeshConfig): GpuSignalsOptions {
	const own = gpu.rules.map(
		({ enter_after_ms, clear_after_ms, ...rule }): Rule => ({
			...(rule as Pick<Rule, 'name' | 'fact' | 'then' | 'release'>),
			enterAfterMs: enter_after_ms,
			clearAfterMs: clear_after_ms,
		}),
	);
	const names = new Set(own.map(({ name }) => name));
	return {
		rules: [...(gpu.default_rules ? defaultRules : []).filter(({ name }) => !names.has(name)), ...own],
		staleAfterMs: gpu.stale_after_ms,
		forgetAfterMs: gpu.forget_after_ms,
		smoothingMs: fleet.smoothing_ms,
		devicesMax: gpu.devices_max,
	};
}

export function namePolicy({ models }: MeshConfig): NamePolicy {
	return { aliases: models.aliases, revisions: models.revisions, fallbacks: models.fallbacks };
}

/** A target as configured, with everything left out filled in from this node. */
export function targetSpec(target: TargetConfig, { node }: MeshConfig): TargetSpec {
	const url = target.url.replace(/\/+$/, '').replace(/\/v1$/, '');
	const host = URL.canParse(url) ? new URL(url) : undefined;
	return {
		id: target.id ?? host?.host ?? url,
		url,
		models: target.models,
		runtime: target.runtime,
		apiKey: target.api_key,
		...(target.http === 'http/1.1' ? {} : { http: target.http as NonNullable<TargetSpec['http']> }),
		grpc: target.grpc,
		upstreamModel: target.upstream_model,
		...(target.bootstrap_port === undefined ? {} : { bootstrapPort: target.bootstrap_port }),
		...(target.fetches_prefixes ? { fetchesPrefixes: true } : {}),
		...(target.data_parallel_rank === undefined ? {} : { dataParallelRank: target.data_parallel_rank }),
		revision: target.revision,
		quant: target.quant,
		weight: target.weight,
		role: target.role as TargetSpec['role'],
		node: target.node ?? host?.hostname ?? '',
		zone: target.zone ?? node.zone,
		region: target.region ?? node.region,
		costPerHour: target.cost_per_hour,
		...(target.gpus.length === 0 ? {} : { gpus: target.gpus, gpuShare: target.gpu_share }),
		metricsPath: target.metrics_path,
		healthPath: target.health_path,
		...(target.kv_events.length === 0 ? {} : { kvEvents: target.kv_events }),
	};
}

function tokenizersOf({ models }: MeshConfig): Readonly<Record<string, TokenizerSource>> {
	return Object.fromEntries(
		Object.entries(models.tokenizers).map(([model, { kind, path }]) => [
			model,
			kind === 'file' && path !== undefined ? { kind: 'file', path } : { kind: 'engine' },
		]),
	);
}

export function tokenClientOptions(config: MeshConfig): TokenClientOptions {
	const { wait_ms, open_max, body_max_bytes } = config.data.tokenizer;
	return { tokenizers: tokenizersOf(config), waitMs: wait_ms, openMax: open_max, bodyBytesMax: body_max_bytes };
}

/** An id takes a dozen bytes of JSON at most, and every token a byte of the body at least. */
const ANSWER_BYTES_PER_BYTE = 12;

export function tokenServiceOptions(config: MeshConfig): TokenServiceOptions {
	const { cache_max_bytes, engine_timeout_ms, engine_calls_max, body_max_bytes } = config.data.tokenizer;
	return {
		tokenizers: tokenizersOf(config),
		cacheBytesMax: cache_max_bytes,
		engineTimeoutMs: engine_timeout_ms,
		engineCallsMax: engine_calls_max,
		answerBytesMax: ANSWER_BYTES_PER_BYTE * body_max_bytes,
	};
}
