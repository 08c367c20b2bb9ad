// Owns the record by which adapters report what collectives, their ranks and the links under them do. As in deltas.ts, a field that is absent was not
// seen, which is not the same as zero; units stand last in a name.

/** Where a report comes from. */
export const commSources = [
	'nccl_inspector',
	'nccl_ras',
	'nccl_log',
	'flight_recorder',
	'ucx',
	'ucc',
	'network_ports',
] as const;
export type CommSource = (typeof commSources)[number];

/** One kind of collective of one communicator in one class of message sizes, over the interval. */
export interface CollectiveStat {
	/** Id or name of the communicator; '' = not told. */
	readonly communicator: string;
	/** `AllReduce`, `Send`, …, as the library calls it. */
	readonly collective: string;
	/** Class of message sizes: `4-5GB` where the library says so, else the power of two at or below (`64KiB`). */
	readonly bucketId: string;
	/** `RING`, `TREE`, … and `LL`, `SIMPLE`, …, where known. */
	readonly algorithm?: string;
	readonly protocol?: string;
	readonly rank?: number;
	readonly gpu?: string;
	readonly ranks?: number;
	readonly nodes?: number;
	/** Operations seen in the interval. */
	readonly count?: number;
	/** Bytes of their messages, added up. */
	readonly bytes?: number;
	readonly durationUsMean?: number;
	readonly durationUsMax?: number;
	/** Bytes of the message by the time of the operation, mean. */
	readonly algorithmBytesPerSec?: number;
	/** The same, corrected for what the algorithm moves over the wires: comparable with the speed of a link. */
	readonly busBytesPerSec?: number;
}

export const communicatorStates = ['running', 'initialising', 'finalising', 'aborted', 'unknown'] as const;
export type CommunicatorState = (typeof communicatorStates)[number];

/** How one communicator stands. */
export interface CommunicatorStat {
	readonly communicator: string;
	readonly state: CommunicatorState;
	readonly ranks?: number;
	readonly nodes?: number;
	/** Ranks that did not answer. */
	readonly ranksMissing?: number;
	/** Operations launched by the rank that is furthest behind, and by the one furthest ahead. */
	readonly operationsMin?: number;
	readonly operationsMax?: number;
	/** Errors the library names: `MISMATCH`, `INCOMPLETE`, …. */
	readonly errors?: readonly string[];
}

/**
 * What is wrong with a rank. `late`: it has not come to an operation others are in. `stuck`: it is in an operation others have left. `behind`: it has
 * launched fewer operations, which passes by itself when counts go on. `slow`: others wait for it again and again.
 */
export const rankTroubles = ['late', 'stuck', 'behind', 'slow', 'missing', 'dead', 'failed'] as const;
export type RankTrouble = (typeof rankTroubles)[number];

export interface RankFinding {
	readonly communicator: string;
	readonly rank: number;
	readonly trouble: RankTrouble;
	readonly node?: string;
	readonly gpu?: string;
	/** The operation it is about: name and sequence number. */
	readonly operation?: string;
	/** How sure: the share of operations it was seen in, 0 to 1. */
	readonly share?: number;
}

export const linkLayers = ['infiniband', 'roce', 'ethernet', 'transport', 'unknown'] as const;
export type LinkLayer = (typeof linkLayers)[number];

/** One port of a network device (`transport`: what a library counts of its own interface). Rates are over the interval. */
export interface LinkStat {
	readonly device: string;
	readonly port: number;
	readonly layer: LinkLayer;
	readonly up?: boolean;
	readonly speedBitsPerSec?: number;
	readonly sentBytesPerSec?: number;
	readonly receivedBytesPerSec?: number;
	/** The busier direction by the speed of the link, 0 to 1. */
	readonly utilisation?: number;
	/** Ticks in which there was data to send and no credit to send it, a second. A tick's length is the device's own. */
	readonly waitTicksPerSec?: number;
	/** Congestion notification packets (RoCE). */
	readonly congestionSentPerSec?: number;
	readonly congestionHandledPerSec?: number;
	readonly congestionMarkedPerSec?: number;
	/** Pause frames, all priorities, sent and received. */
	readonly pausesPerSec?: number;
	readonly outOfOrderPerSec?: number;
	/** Transport retries and timeouts. */
	readonly retriesPerSec?: number;
	/** Errors on the wire: symbols, checksums, integrity. */
	readonly errorsPerSec?: number;
	readonly dropsPerSec?: number;
	/** Times the link went down in the interval. */
	readonly downs?: number;
}

/** A way on which two ranks of a communicator talk, or their place in a ring or tree. */
export interface CommPath {
	readonly kind: 'ring' | 'tree' | 'channel';
	readonly channel: number;
	readonly rank: number;
	readonly from: number;
	readonly to: readonly number[];
	/** `NET/IB/0`, `SHM/direct/direct`, … of a channel. */
	readonly via?: string;
}

export interface CommStatsDelta {
	/** When it was observed, in the observer's monotonic clock, ms. */
	readonly observedAtMs: number;
	readonly source: CommSource;
	/** Node it was observed on. */
	readonly node?: string;
	readonly jobId?: string;
	/** Time between the looks that rates and counts come from, ms. Absent on a first look. */
	readonly intervalMs?: number;
	/** Counters began anew between the two looks. */
	readonly restarted?: boolean;
	readonly collectives: readonly CollectiveStat[];
	readonly communicators: readonly CommunicatorStat[];
	readonly ranks: readonly RankFinding[];
	readonly links: readonly LinkStat[];
	readonly paths: readonly CommPath[];
	/** Warnings of the library in the interval, newest last, bounded; `warningsCount` is how many there were. */
	readonly warnings: readonly string[];
	readonly warningsCount?: number;
	/** What should have been there and could not be read, and why. Empty when all is well. */
	readonly unread: readonly string[];
}

/** Bounds of the lists in a CommStatsDelta, and of one string in them. What is over a bound is noted in `unread`. */
export const commBounds = Object.freeze({
	collectivesMax: 256,
	communicatorsMax: 256,
	ranksMax: 256,
	linksMax: 128,
	pathsMax: 512,
	warningsMax: 16,
	errorsMax: 8,
	branchesMax: 4,
	unreadMax: 32,
	textCharsMax: 200,
	nameCharsMax: 128,
});
