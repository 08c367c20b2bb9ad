// Owns an off-policy estimate from paths: recordings read, the strategy found and compiled, progress told. What runs in the child process of a replay.
import { parseSlo } from '../../load/slo.js';
import { prepareStrategy } from '../../project/prepare.js';
import { readRecordingFiles, recordingPaths } from '../recording.js';
import { evaluateOffPolicy, type OffPolicyReport } from './evaluate.js';

export interface OffPolicyTask {
	/** Files and folders. */
	readonly paths: readonly string[];
	/** Folder, `.wasm` or `.so` file, or shipped name. */
	readonly against: string;
	/** Objectives of a request, as `ttft<5s,tpot<100ms`. */
	readonly slo: string;
	/** Unsigned 32-bit. */
	readonly seed: number;
	readonly version: string;
}

/** Throws IM_RECORDING_*, IM_THRESHOLD_*, IM_PROJECT_*, IM_MANIFEST_* and IM_BUILD_*. */
export async function runOffPolicy(
	task: OffPolicyTask,
	progress: (decisions: number) => void,
): Promise<OffPolicyReport> {
	const { paths, against, slo, seed, version } = task;
	const objectives = parseSlo(slo);
	const files = readRecordingFiles(recordingPaths(paths));
	const { module } = await prepareStrategy(against);
	return evaluateOffPolicy({ files, against: module, slo: objectives, sloText: slo, seed, version, progress });
}
