export type { LoadResult, MeshStatus, StrategyView, TargetView } from './admin/schemas.js';
export { type Answered, CellExchange, type CellPeer, type Gateway } from './cells/exchange.js';
export { type SummarisedTarget, summarise } from './cells/summary.js';
export { loadConfig } from './config/load.js';
export type { FaultSettings } from './engine/server/faults.js';
export type { EngineOptions } from './engine/server/options.js';
export { type EngineHandle, startEngine } from './engine/server/start-engine.js';
export { designDefaults, type ExperimentDesign, makeDesign } from './experiments/design/design.js';
export { forecastExperiment } from './experiments/design/forecast.js';
export { type GuardrailRule, guardrailDefaults, guardrailRules } from './experiments/design/guardrail-rules.js';
export type { GuardrailSample, TargetLoad } from './experiments/design/guardrail-sample.js';
export { Guardrails } from './experiments/design/guardrails.js';
export { armOfBlock } from './experiments/design/schedule.js';
export { attainmentOf, type ClosedBlock, SwitchbackTrial } from './experiments/design/switchback-trial.js';
export type { ExperimentView } from './experiments/view.js';
export type { ExperimentDocument } from './experiments/views.js';
export { FleetFusion } from './fleet/fusion.js';
export { createInflight, InflightReader } from './fleet/inflight.js';
export { NameTable } from './fleet/interner.js';
export { openPolicy } from './fleet/placement.js';
export { type TargetRecord, TargetRegistry, type TargetSpec } from './fleet/registry.js';
export { createFleetTable, FleetTableWriter } from './fleet/table.js';
export type { LoadResult as LoadRunResult } from './load/result.js';
export { runLoad } from './load/run.js';
export { openTraceFile } from './load/trace/import.js';
export { syntheticTrace } from './load/trace/synthetic.js';
export type { TraceSource } from './load/trace/types.js';
export { AdmissionService, admissionServiceDefaults } from './main/admission-service.js';
export { systemClock, systemRandom } from './main/clock.js';
export { LookingThread } from './main/looks/looks.js';
export { type MeshHandle, startMesh } from './main/meshd.js';
export { type SpawnWorker, spawnWorker } from './main/worker-group.js';
export { type RoutersRigOptions, type RoutersRigResult, runRouters } from './peer-load/rig.js';
export { createPrefixHits, HITS_GIVEN_MAX } from './prefix/hits.js';
export { KvIndex } from './prefix/precise/kv-index.js';
export { createKvTable, KvTableWriter } from './prefix/precise/shared-table.js';
export { createPrefixIndex, type WorkerPrefixIndex } from './prefix/prefix-index.js';
export { FileTokenizer } from './prefix/tokens/file-tokenizer.js';
export { SegmentCache } from './prefix/tokens/segment-cache.js';
export { openStrategy, type PreparedStrategy, prepareSource, prepareStrategy } from './project/prepare.js';
export {
	candidatesOf,
	type RecordedCandidate,
	type RecordedDecision,
	type RecordedOutcome,
} from './recorder/decision.js';
export { type RecordingFileBytes, type RecordingIssue, RecordingReader } from './recorder/reader.js';
export {
	type LoadedDecision,
	type LoadedRecording,
	loadRecording,
	readRecordingFiles,
	recordingPaths,
} from './recorder/recording.js';
export { Redaction } from './recorder/redaction.js';
export { createRing, RingReader } from './recorder/ring.js';
export { DecisionTap } from './recorder/tap.js';
export { RecordingWriter, writerDefaults } from './recorder/writer.js';
export type { ModelPool } from './router/ports.js';
export type { RequestRows, SimulationResult } from './simulator/result.js';
export { type SimulatePorts, simulate } from './simulator/simulate.js';
export type { AssignmentSpec, SimulationSpec, Workload } from './simulator/spec.js';
export { type BettingOptions, BettingSequence, type BettingState, bettingDefaults } from './statistics/betting.js';
export { binomialUpper, clopperPearson } from './statistics/binomial.js';
export { bootstrapInterval } from './statistics/bootstrap.js';
export { type Interval, judgeMargin, type MarginVerdict } from './statistics/interval.js';
export { mean, variance } from './statistics/moments.js';
export { estimateOffPolicy, type LoggedDecision, supportOf } from './statistics/off-policy.js';
export { quantile, quantileOfSorted } from './statistics/quantile.js';
export { signFlipTest } from './statistics/sign-flip.js';
export { admissionDigest, admitModule, INSTRUMENTER_VERSION, instrumentProfile } from './strategy/admission/admit.js';
export { calibrationDefaults } from './strategy/admission/calibrate.js';
export { type WasmInstance, wasmEngine } from './strategy/admission/engine.js';
export { type AdmissionCode, admissionErrors } from './strategy/admission/errors.js';
export {
	type AdmissionResult,
	type AdmitOptions,
	type AdmittedModule,
	admitDefaults,
	type ProfiledModule,
	type Refusal,
	type TrapSymbols,
} from './strategy/admission/result.js';
export { mapTrap, type TrapCause, type TrapPlace, trapCause } from './strategy/admission/trap.js';
export { blankReport, type Inspection } from './strategy/admission/try-out.js';
export type { NativeCode } from './strategy/native/code.js';
export { buildNativeEngine } from './strategy/native/engine.js';
export { openNative } from './strategy/native/executor.js';
export type { Admit } from './strategy/registry/ports.js';
export { deciderDefaults, WorkerDecider } from './strategy/runtime/decider.js';
export {
	Decision,
	type DecisionMetrics,
	type DecisionRecorder,
	type FallbackCause,
	fallbackCauses,
	type PrefixHits,
	type RequestFeatures,
	type StrikeReport,
} from './strategy/runtime/decision.js';
export type { Executor } from './strategy/runtime/executor.js';
export type { ExplainedDecision } from './strategy/runtime/explain-ring.js';
export { fuelDefaults, StrategyInstance, type StrategyModule } from './strategy/runtime/instance.js';
export { CONTROL_BYTES, emptyPlan, GENERATION_WORD, type RoutingPlan } from './strategy/runtime/plan.js';
export { readOutput } from './strategy/runtime/read-output.js';
export { createRig, type Rig } from './strategy/runtime/rig.js';
export { writeHits, writeRequest } from './strategy/runtime/write-request.js';
export { createMetricsBuffer, MetricsBlock } from './telemetry/block.js';
export { createDecisionMetrics } from './telemetry/decision-metrics.js';
export { createLog, type Log } from './telemetry/logger.js';
