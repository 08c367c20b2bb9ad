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
export { SeededRandom } from './random.js';
