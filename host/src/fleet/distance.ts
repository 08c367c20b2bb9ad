// Owns the columns of one row that say how far its target is: the fabric's word on the way to the target's node, and health checks where the fabric
// has none. Small movements stay out of the table: a row that changes is copied by every worker.
import type { LinkEstimate } from '@infermesh/fabric';
import {
	COLUMN_BANDWIDTH_MBPS,
	COLUMN_LINK_CLASS,
	COLUMN_RTT_AT_MS,
	COLUMN_RTT_BASIS,
	COLUMN_RTT_MS,
	LinkClass,
	RttBasis,
} from '@infermesh/sdk';
import type { FleetTableWriter } from './table.js';

/** A health check's round trip below this says more of the engine's own handling than of the network: it counts as near. */
const CHECK_NOISE_MS = 5;
/** A coordinate less sure than this says nothing yet. */
const ESTIMATE_ERROR_MAX = 0.5;
/** Round trips and bandwidths are written anew when they have moved by this share, round trips also by RTT_STEP_MS. */
const STEP_RATIO = 0.1;
const RTT_STEP_MS = 0.25;
/** The time of a measurement is written when it has moved by this. */
const AT_STEP_MS = 5000;

interface Distance {
	readonly basis: number;
	readonly rttMs: number;
	/** Undefined when nothing is known. */
	readonly atMs: number | undefined;
}

const nothing: Distance = { basis: RttBasis.unknown, rttMs: 0, atMs: undefined };

export class DistanceColumns {
	readonly #table: FleetTableWriter;
	readonly #row: number;
	#checks = 0;
	#check = nothing;
	#link = nothing;
	#atMs: number | undefined;

	constructor(table: FleetTableWriter, row: number) {
		this.#table = table;
		this.#row = row;
	}

	/** A good health check took `rttMs`. */
	checked(rttMs: number, nowMs: number): void {
		// The first good check opens a connection and finds everything cold: its time says nothing of the distance.
		if (this.#checks++ === 0) return;
		// A check's round trip includes the engine's own handling; the least of recent ones, slowly forgotten, is nearest to the network's.
		const least = this.#check.atMs === undefined ? rttMs : Math.min(rttMs, this.#check.rttMs * 1.02);
		this.#check = { basis: RttBasis.checked, rttMs: least, atMs: nowMs };
		this.#write();
	}

	/** The fabric's word on the way to the target's node. */
	linked({ basis, rttMs, ageMs, error, linkClass, bandwidthBytesPerS }: LinkEstimate, nowMs: number): void {
		const known = rttMs !== undefined && ageMs !== undefined && (error ?? 0) <= ESTIMATE_ERROR_MAX;
		if (basis === 'unreachable') this.#link = { ...nothing, basis: RttBasis.unreachable };
		else this.#link = known ? { basis: RttBasis[basis], rttMs, atMs: nowMs - ageMs } : nothing;
		this.#table.setU32(COLUMN_LINK_CLASS, this.#row, LinkClass[linkClass]);
		const bandwidth = (bandwidthBytesPerS ?? 0) / 1e6;
		if (moved(this.#table.getF32(COLUMN_BANDWIDTH_MBPS, this.#row), bandwidth, 0))
			this.#table.setF32(COLUMN_BANDWIDTH_MBPS, this.#row, bandwidth);
		this.#write();
	}

	#write(): void {
		const { basis, rttMs, atMs } = this.#chosen();
		const row = this.#row;
		const anew = this.#table.getU32(COLUMN_RTT_BASIS, row) !== basis;
		if (anew || moved(this.#table.getF32(COLUMN_RTT_MS, row), rttMs, RTT_STEP_MS))
			this.#table.setF32(COLUMN_RTT_MS, row, rttMs);
		this.#table.setU32(COLUMN_RTT_BASIS, row, basis);
		if (!anew && atMs !== undefined && this.#atMs !== undefined && atMs - this.#atMs < AT_STEP_MS) return;
		this.#atMs = atMs;
		this.#table.setU32(COLUMN_RTT_AT_MS, row, Math.floor(atMs ?? 0) % 0x1_0000_0000);
	}

	/** Where the node does not answer this one, or the fabric knows nothing of it, health checks are what is left: engines answer them all the same. */
	#chosen(): Distance {
		if (this.#link.atMs !== undefined) return this.#link;
		const { rttMs, atMs, basis } = this.#check;
		const near = rttMs < CHECK_NOISE_MS ? 0 : Math.round(rttMs);
		return { basis: this.#link.basis === RttBasis.unreachable ? RttBasis.unreachable : basis, rttMs: near, atMs };
	}
}

function moved(from: number, to: number, step: number): boolean {
	const by = Math.abs(to - from);
	return by > Math.max(step, from * STEP_RATIO) || (to === 0 && from !== 0);
}
