// Owns a replay from paths: recordings read, strategies found and compiled, progress told. What runs in the child process; a test may run it in its own.
import { MeshError } from '@infermesh/proto';
import { prepareSource, prepareStrategy } from '../../project/prepare.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { recorderErrors } from '../errors.js';
import { readRecordingFiles, recordingPaths } from '../recording.js';
import { Replay } from './replay.js';
import type { ReplayReport } from './report.js';

export interface ReplayRequest {
	/** Files and folders. */
	readonly paths: readonly string[];
	/** Strategies to compare with: folders, `.wasm` or `.so` files, or shipped names. */
	readonly against: readonly string[];
	/** Modules of strategies that decided, where the recording does not hold them. */
	readonly given: readonly string[];
	readonly differencesMax: number;
	readonly version: string;
}

/** Throws IM_RECORDING_*, IM_PROJECT_*, IM_MANIFEST_* and IM_BUILD_*. */
export async function runReplay(request: ReplayRequest, progress: (decisions: number) => void): Promise<ReplayReport> {
	const files = readRecordingFiles(recordingPaths(request.paths));
	const given: StrategyModule[] = [];
	for (const where of request.given) given.push((await prepareStrategy(where)).module);
	const against: StrategyModule[] = [];
	for (const where of request.against) against.push((await prepareStrategy(where)).module);
	const replay = new Replay(
		files,
		{ differencesMax: request.differencesMax, version: request.version },
		{
			given,
			against,
			progress,
			prepare: (wasm, label) => prepareSource({ where: label, dir: undefined, wasm, sourceMap: undefined }).module,
		},
	);
	const report = replay.run();
	const missing = report.strategies.find(({ module, decisions }) => module === 'missing' && decisions > 0);
	if (missing !== undefined && report.identity.checked === 0 && against.length === 0)
		throw new MeshError(recorderErrors, 'IM_REPLAY_STRATEGY', `${missing.label}: ${missing.problem}`);
	return report;
}
