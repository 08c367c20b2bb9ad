export {
	type CollectiveStat,
	type CommPath,
	type CommSource,
	type CommStatsDelta,
	type CommunicatorStat,
	type CommunicatorState,
	commBounds,
	commSources,
	communicatorStates,
	type LinkLayer,
	type LinkStat,
	linkLayers,
	type RankFinding,
	type RankTrouble,
	rankTroubles,
} from './comm-stats.js';
export {
	deltaBounds,
	type GpuStateDelta,
	type ModelStateDelta,
	type RankState,
	throttleBits,
	type XidCount,
} from './deltas.js';
export type { Clock, Random, Timer } from './effects.js';
export {
	defineErrors,
	type ErrorCatalogue,
	type ErrorCode,
	type ErrorEntry,
	type GrpcStatus,
	MeshError,
	type MeshErrorOptions,
} from './errors.js';
export {
	type CheckpointStat,
	type DatasetStat,
	type IoSource,
	type IoStateDelta,
	ioBounds,
	ioSources,
} from './io-state.js';
export { SeededRandom } from './random.js';
