// Owns the records by which adapters report what they saw of a target: one type per kind of source, fields all optional.
// Adapters fill them, fusion turns them into columns and judges their age. No smoothing, no default and no guess happens
// here: a field that is absent was not seen, which is not the same as zero.
// Units stand last in a name; a name without one is a count or a ratio as its comment says.

/** What one look at an inference runtime told: a scrape of its metrics, or a load report on a response. */
export interface ModelStateDelta {
	/** When it was observed, in the observer's monotonic clock, ms. */
	readonly observedAtMs: number;
	/** Time between the two looks that rates, ratios of increases and percentiles come from, ms. Absent on a first look. */
	readonly intervalMs?: number;
	/** The runtime restarted between the two looks: its counters began anew and its caches are empty. */
	readonly restarted?: boolean;

	/** The runtime that was seen, by the name its adapter has. */
	readonly runtime?: string;
	/** Its version, where it says. */
	readonly runtimeVersion?: string;

	/** Requests waiting in the engine, all data-parallel engines of the process together. */
	readonly queueDepth?: number;
	/** Requests in execution batches, all engines together. */
	readonly running?: number;
	/** Most sequences the engine runs at once. */
	readonly maxSequences?: number;

	/** Used share of the KV cache, 0 to 1; of several engines the fullest. */
	readonly kvUsage?: number;
	/** KV blocks of all engines. */
	readonly kvBlocksTotal?: number;
	/** Tokens a KV block holds. */
	readonly kvBlockTokens?: number;
	/** KV blocks a new request could take: free, or cached and evictable. */
	readonly kvBlocksFree?: number;

	/** Prompt tokens computed (not taken from a cache, where the runtime tells) a second, over the interval, idle time included. */
	readonly prefillTokensPerSec?: number;
	/** Output tokens a second over the interval, idle time included. */
	readonly decodeTokensPerSec?: number;
	/** Prompt tokens since the runtime started, cached ones included. */
	readonly promptTokensTotal?: number;
	/** Output tokens since the runtime started. */
	readonly generationTokensTotal?: number;

	/** Mean time to first token of the requests that got theirs in the interval, ms. Absent when there were none. */
	readonly ttftMsMean?: number;
	/** 95th percentile of the same, interpolated in the runtime's own buckets; the last finite bound where it lies beyond, ms. */
	readonly ttftMsP95?: number;
	/** Mean time between output tokens in the interval, ms. Absent when there were none. */
	readonly tpotMsMean?: number;
	/** 95th percentile of the same, as for `ttftMsP95`, ms. */
	readonly tpotMsP95?: number;

	/** Mean time a request that ended in the interval took in the runtime, waiting included, ms. Absent when none ended. */
	readonly requestMsMean?: number;
	/** 95th percentile of the same, as for `ttftMsP95`, ms. */
	readonly requestMsP95?: number;
	/** Mean time a request waited in the runtime before work on it began, over the interval, ms. */
	readonly queueMsMean?: number;
	/** Requests that ended a second, over the interval, failed ones included. */
	readonly requestsPerSec?: number;
	/** Use of the whole server as it judges itself, 0 to 1: ORCA's application utilization, or its CPU utilization where there is none. */
	readonly utilization?: number;

	/** Share of prompt tokens found in the prefix cache in the interval, 0 to 1. Absent when nothing was asked for. */
	readonly prefixHitRatio?: number;
	/** Running requests pushed back for want of KV blocks, a second, over the interval. */
	readonly preemptionsPerSec?: number;
	/** Share of the requests that ended in the interval which ended in an error of the engine, 0 to 1. Absent when none ended. */
	readonly errorRatio?: number;

	/** LoRA adapters running or waiting, at most `deltaBounds.lorasMax`. */
	readonly loras?: readonly string[];
	/** Model names the runtime reports under, at most `deltaBounds.modelsMax`. */
	readonly models?: readonly string[];
	/** The engine sleeps (weights offloaded or dropped) and must be woken before it can serve. */
	readonly sleeping?: boolean;
	/** The runtime itself says whether it takes requests (readiness probes of the Open Inference Protocol, `/health` of llama.cpp). */
	readonly ready?: boolean;
	/** The same by data-parallel rank, ascending, where the process has several and tells them apart; at most `deltaBounds.ranksMax`. */
	readonly ranks?: readonly RankState[];

	/** What should have been there and could not be read, and why; at most `deltaBounds.unreadMax` entries. Empty when all is well. */
	readonly unread: readonly string[];
}

/** One data-parallel rank of a runtime; the fields mean what they mean of the whole. */
export interface RankState {
	readonly rank: number;
	readonly queueDepth?: number;
	readonly running?: number;
	readonly kvUsage?: number;
	readonly kvBlocksTotal?: number;
	readonly kvBlocksFree?: number;
}

/**
 * What one look at a GPU told: a whole device, or a MIG slice or partition of one. Totals count since the driver was loaded or the device was
 * reset, unless their name says otherwise; fusion makes rates of them.
 */
export interface GpuStateDelta {
	/** When it was observed, in the observer's monotonic clock, ms. */
	readonly observedAtMs: number;
	/**
	 * Which device: the driver's UUID (`GPU-…`, or `MIG-…` of a slice whose source tells it). A slice known only by its place in the device is
	 * `GPU-…/gi/7`; a device known only by its place in the node is `node/N/index/I`.
	 */
	readonly gpuUuid: string;
	/** Of a slice: the device it is part of. */
	readonly parentUuid?: string;
	/** Number of the device in its node, as its vendor's tools count. */
	readonly index?: number;
	/** PCI bus id, in lower case, domain included. */
	readonly pciBusId?: string;
	/** Product name. */
	readonly product?: string;
	readonly vendor?: 'nvidia' | 'amd';
	readonly driverVersion?: string;
	/** Host name, as the source wrote it. */
	readonly node?: string;

	/** Profile of a MIG slice (`1g.10gb`) or mode of a partition (`CPX`); absent of a whole device. */
	readonly migProfile?: string;
	/** Number of the MIG GPU instance or partition in its device. */
	readonly migInstance?: number;
	/** Share of the device's compute this slice has, 0 to 1; absent of a whole device. */
	readonly shareRatio?: number;

	/** Device memory in all, MiB. */
	readonly vramTotalMib?: number;
	/** Device memory in use, what the driver reserves not counted, MiB. */
	readonly vramUsedMib?: number;
	/** How busy the compute units are, 0 to 1: the share of them at work where it is known, else the share of time with any at work. */
	readonly computeRatio?: number;
	/** How busy the memory's bandwidth is, 0 to 1. */
	readonly memoryRatio?: number;
	/** How busy the tensor (matrix) units are, 0 to 1. */
	readonly tensorRatio?: number;

	/** Core temperature (hotspot or junction where it is known, for AMD), °C. */
	readonly temperatureC?: number;
	/** Temperature of the device memory, °C. */
	readonly memoryTemperatureC?: number;
	/** Core temperature at which the device slows itself down, °C. */
	readonly slowdownTemperatureC?: number;
	readonly powerW?: number;
	/** Power limit in force, W. */
	readonly powerLimitW?: number;
	/** Energy used in all, J. */
	readonly energyJTotal?: number;
	readonly coreClockMhz?: number;
	readonly memoryClockMhz?: number;
	/** Clock event reasons in force, by `throttleBits`; 0 = none. */
	readonly throttle?: number;

	/** Corrected ECC errors. */
	readonly eccCorrectedTotal?: number;
	/** Uncorrected ECC errors. */
	readonly eccUncorrectedTotal?: number;
	/** Uncorrected ECC errors in the device's whole life. */
	readonly eccUncorrectedLifeTotal?: number;
	/** Rows of memory remapped because of uncorrected errors, in the device's whole life. */
	readonly remappedRowsUncorrected?: number;
	/** Rows wait to be remapped, or pages to be retired, at the next reset. */
	readonly remapPending?: boolean;
	/** A row could not be remapped: the device must be replaced. */
	readonly remapFailed?: boolean;
	/** The last XID the driver wrote, whenever that was; 0 = none. */
	readonly xidLast?: number;
	/** XIDs that came in the time the source looks back on, each with how often; at most `deltaBounds.xidsMax`. */
	readonly xids?: readonly XidCount[];
	/** The vendor's own verdict. */
	readonly healthy?: boolean;
	/** What the driver asks for, in its own words, lower case (`reset`, `reboot`, `drain and reset`); absent or `none` = nothing. */
	readonly recoveryAction?: string;

	readonly pcieReplaysTotal?: number;
	readonly pcieRxBytesPerSec?: number;
	readonly pcieTxBytesPerSec?: number;
	readonly pcieLinkGen?: number;
	/** Most the link could do at this moment's device and slot. */
	readonly pcieLinkGenMax?: number;
	readonly pcieLinkWidth?: number;
	readonly pcieLinkWidthMax?: number;
	/** Errors of all the device's links to other devices (NVLink: CRC, replay and recovery; XGMI likewise). */
	readonly linkErrorsTotal?: number;
	/** Links to other devices that are down although the device has them. */
	readonly linksDown?: number;
	/** State of the NVLink fabric as the driver sees it: false = degraded or not joined. */
	readonly fabricHealthy?: boolean;

	/** Processes that use the device. */
	readonly processes?: number;

	/** As in `ModelStateDelta`. */
	readonly unread: readonly string[];
}

/** How often an XID was seen. */
export interface XidCount {
	readonly xid: number;
	readonly count: number;
}

/**
 * Bits of `GpuStateDelta.throttle` and of the column `throttle`: the driver's clock event reasons as NVML numbers them. AMD's violations are put
 * under the reason that means the same.
 */
export const throttleBits = Object.freeze({
	gpuIdle: 0x1,
	applicationClocks: 0x2,
	softwarePowerCap: 0x4,
	hardwareSlowdown: 0x8,
	syncBoost: 0x10,
	softwareThermal: 0x20,
	hardwareThermal: 0x40,
	hardwarePowerBrake: 0x80,
	displayClocks: 0x100,
});

/** Bounds of the lists in a delta, and of one string in them. */
export const deltaBounds = Object.freeze({
	unreadMax: 32,
	unreadCharsMax: 200,
	modelsMax: 64,
	lorasMax: 256,
	ranksMax: 256,
	xidsMax: 32,
});
