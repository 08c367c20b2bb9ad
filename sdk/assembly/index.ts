// The AssemblyScript SDK: `import { begin, rankLowest, scratch } from 'infermesh'`. No allocation anywhere; see each file for its part.
export * from './abi';
export { begin, header, init, output, request, rowCapacity, rowCount, configAddress } from './frame';
export { columnAddress, F32Column, scratch, U32Column } from './columns';
export { eligibleWord, isEligible, laneMask, nextEligible, nthEligible } from './eligibility';
export { hash64, mix32, random32, randomBelow, randomFloat, rendezvous } from './random';
export { exp32, log32 } from './math';
export {
	decline,
	fetchFrom,
	hedge,
	hold,
	prefillOn,
	putFactor,
	putRanked,
	rankedCount,
	rankedRow,
	rankedScore,
	reject,
	route,
	setFactorCount,
} from './output';
export {
	allowed,
	BLOCK_ROWS,
	blockMinima,
	maskCosts,
	NEVER,
	padBlockMinima,
	putBlockMinimum,
	rankLowest,
	selectLowest,
	smallestLane,
} from './ranking';
export {
	addNormalised,
	addWeighted,
	creditHits,
	fillCosts,
	findHit,
	hasLora,
	highestOf,
	hit,
	hitCount,
	loraRows,
	lowestOf,
	tierShare,
} from './scoring';
export { outcome, putStateF32, putStateU32, stateEpoch, stateF32, stateU32 } from './state';
export { logF32, logLine, logText, logU32 } from './log';
export { assignRank, link, place, planOutput, planRequest, rankRow } from './training';
