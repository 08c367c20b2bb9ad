// Owns the metrics of the fleet as it stands, collected from its state: devices, targets, strategies, and what runs here.
import { collected, perTarget } from './define.js';

const perGpu = ['node', 'gpu_uuid', 'mig_profile'] as const;
/** Series of one metric of devices; a node of eight devices cut in seven has 64. */
const GPUS = 1024;

export const fleetMetrics = {
	gpuComputeRatio: collected('gpu_compute_ratio', perGpu, GPUS, 'How busy the compute units are, smoothed.'),
	gpuMemoryRatio: collected(
		'gpu_memory_bandwidth_ratio',
		perGpu,
		GPUS,
		'How busy the memory’s bandwidth is, smoothed.',
	),
	gpuMemoryUsed: collected('gpu_memory_used_bytes', perGpu, GPUS, 'Device memory in use.'),
	gpuMemoryTotal: collected('gpu_memory_total_bytes', perGpu, GPUS, 'Device memory in all.'),
	gpuTemperature: collected('gpu_temperature_celsius', perGpu, GPUS, 'Core temperature.'),
	gpuPower: collected('gpu_power_watts', perGpu, GPUS, 'Power drawn, smoothed.'),
	gpuEccUncorrected: collected(
		'gpu_ecc_uncorrected_errors',
		perGpu,
		GPUS,
		'Uncorrected ECC errors since the driver was loaded.',
	),
	gpuXid: collected('gpu_xid_last', perGpu, GPUS, 'The last XID the driver wrote; 0 = none.'),
	gpuHealth: collected('gpu_health_ratio', perGpu, GPUS, 'Health score of a device: 1 = sound, 0 = quarantined.'),
	gpuReportAge: collected('gpu_report_age_seconds', perGpu, GPUS, 'Since a source last spoke of the device.'),
	gpuStanding: collected('gpu_standing', [...perGpu, 'standing'], GPUS, 'Always 1: sound, degraded or quarantined.'),
	gpuHeld: collected('gpu_rule_in_force', [...perGpu, 'rule'], GPUS, '1 for each rule that holds a device.'),
	buildInfo: collected('build_info', ['version', 'node_version'], 1, 'Always 1; the labels say what runs.'),
	targetInfo: collected(
		'target_info',
		['target', 'model', 'revision', 'quant', 'runtime', 'node', 'zone', 'region', 'role', 'gpu_uuid', 'mig_profile'],
		16_384,
		'Always 1; joins a target to the mesh’s labels.',
	),
	targetState: collected('target_state', ['target', 'state'], 16_384, '1 for the state a target is in.'),
	targetHealth: collected('target_health_ratio', perTarget, 16_384, 'Health score, 1 = sound, 0 = out.'),
	targetInFlight: collected('target_in_flight', perTarget, 16_384, 'Requests this mesh has at the target now.'),
	targetLoad: collected(
		'target_load',
		perTarget,
		16_384,
		'Waiting and running requests: last report, corrected by what was sent and ended since.',
	),
	targetQueueDepth: collected(
		'target_queue_depth',
		perTarget,
		16_384,
		'Requests waiting in the engine at the last report.',
	),
	targetRunning: collected('target_running', perTarget, 16_384, 'Requests running in the engine at the last report.'),
	targetKvUsage: collected(
		'target_kv_usage_ratio',
		perTarget,
		16_384,
		'Used share of the KV cache at the last report.',
	),
	targetTtft: collected(
		'target_ttft_seconds',
		perTarget,
		16_384,
		'Smoothed time to first token, as the router saw it.',
	),
	targetErrorRatio: collected('target_error_ratio', perTarget, 16_384, 'Smoothed failed share of recent requests.'),
	targetTelemetryAge: collected(
		'target_telemetry_age_seconds',
		perTarget,
		16_384,
		'Age of the last report from the runtime.',
	),
	strategyInfo: collected(
		'strategy_info',
		['strategy', 'digest', 'stage', 'runs'],
		256,
		'Always 1; what is loaded, at which stage, and how it runs: wasm, process or inline.',
	),
} as const;
