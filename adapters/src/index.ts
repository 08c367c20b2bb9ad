export type { CommPlace } from './comm/draft.js';
export { judgeFlightDumps, type RankDump, readFlightDump } from './comm/flight-recorder.js';
export { InspectorReader } from './comm/inspector.js';
export { readInspectorText } from './comm/inspector-text.js';
export { NcclLogReader } from './comm/nccl-log.js';
export { PortReader } from './comm/port-counters.js';
export { SysfsPorts } from './comm/port-sysfs.js';
export { readEthtool, readRdma } from './comm/port-text.js';
export { askRas, type RasOptions, rasDefaults, readRas } from './comm/ras.js';
export { FolderTail, tailLimitDefaults } from './comm/tail.js';
export { UccLogReader } from './comm/ucc.js';
export { UcxReader } from './comm/ucx.js';
export { type Dialect, dialect, type ErrorShape, type PromptField } from './dialects/dialect.js';
export { type RouteMatch, RouteMatcher } from './dialects/matcher.js';
export { passThrough, realtime } from './dialects/openai.js';
export { byName, isIdsName, isPromptName } from './dialects/prompt-names.js';
export { type DialectRoute, dialectRoutes, type OwnAnswer } from './dialects/routes.js';
export { torchserve } from './dialects/runtimes.js';
export {
	addonArgs,
	builtPath,
	CompileFailure,
	type Compiler,
	compileOnce,
	type NativePart,
} from './effects/compile-once.js';
export { buildNvmlAddon, NvmlLibrary } from './effects/nvml.js';
export type {
	AdapterEffects,
	AdapterFiles,
	ConnectLines,
	FilePiece,
	HttpAnswer,
	HttpAsk,
	HttpCall,
	LineConnection,
	ListenDatagrams,
	RunProgram,
} from './effects/ports.js';
export { systemEffects } from './effects/system.js';
export { adapterErrors } from './errors.js';
export {
	type GpuAdapter,
	type GpuLook,
	type GpuReading,
	type GpuSourceKind,
	gpuBounds,
	gpuSourceKinds,
} from './gpus/adapter.js';
export { nvidiaSmiArguments, unknownSmiField } from './gpus/nvidia-smi.js';
export { gpuAdapters, gpuTools } from './gpus/sources.js';
export { FileStore } from './io/file-store.js';
export { GcsStore } from './io/gcs-store.js';
export { type ProbeOptions, probeDefaults, StoreProbe } from './io/probe.js';
export { S3Store } from './io/s3-store.js';
export { type S3Credentials, signV4 } from './io/sigv4.js';
export type { ObjectStore } from './io/store.js';
export { StoreMetricsReader } from './io/store-metrics.js';
export { TrainingMetricsReader, trainingMetricNames } from './io/training-metrics.js';
export {
	type AdapterContext,
	type AdapterKind,
	type AdapterSetting,
	type Look,
	lookFailed,
	type OpenAdapter,
} from './kinds/kind.js';
export { adapterKind, adapterKinds, detectAdapter, openAdapter } from './kinds/kinds.js';
export {
	type BlockNames,
	type BlocksRemoved,
	type BlocksStored,
	decodeKvEvents,
	type KvEvent,
	type KvEventBatch,
	KvTier,
} from './kv-events/events.js';
export { decodeMsgpack, encodeMsgpack, MsgpackError, type MsgpackValue } from './kv-events/msgpack.js';
export {
	type KvEndpoint,
	KvEventSource,
	type KvSourceEvents,
	type KvSourceOptions,
	kvSourceDefaults,
	parseKvEndpoint,
} from './kv-events/source.js';
export { orcaBounds, parseOrcaHeader } from './orca.js';
export { MetricsParser, parseMetrics } from './prometheus/parser.js';
export {
	labelOf,
	type MetricSamples,
	type MetricsLimits,
	type MetricsProblem,
	metricsLimitDefaults,
	type ProblemKind,
	type Sample,
} from './prometheus/samples.js';
export { LabelCache, SeriesMemory } from './prometheus/series-memory.js';
export { WantedNames } from './prometheus/wanted-names.js';
export {
	type Answer,
	type Companion,
	type RuntimeAdapter,
	type RuntimeName,
	runtimeNames,
	type Scrape,
} from './runtimes/adapter.js';
export {
	detectEndpoint,
	detectRuntime,
	endpointHintPaths,
	isRuntimeName,
	runtimeAdapters,
} from './runtimes/detect.js';
export { RuntimeReader, type RuntimeReaderOptions } from './runtimes/reader.js';
export { sglangAdapter } from './runtimes/sglang.js';
export { vllmAdapter } from './runtimes/vllm.js';
export { Outbox } from './stream/outbox.js';
export {
	type ReportCall,
	ReportStream,
	type ReportStreamOptions,
	reportStreamDefaults,
	type WireReport,
} from './stream/report-stream.js';
export { type DeltaOf, fromWire, type ReportKind, reportKinds, toWire, type WireState } from './stream/wire.js';
export { encodeMessage, ZmtpFault, type ZmtpLimits, ZmtpPeer, zmtpLimitDefaults } from './zmtp/frames.js';
