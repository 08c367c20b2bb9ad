// Owns what is known of the distance from this node to each other one: measured round trips with their age, estimates from coordinates, and whether
// the peer can be reached at all. An estimate never stands in for reachability. Bandwidth is what transfers have shown. Pure: time is an argument.
import { type Coordinate, distanceS } from './coordinate.js';

export type LinkClass = 'same_node' | 'same_zone' | 'same_region' | 'wan';

export interface Place {
	readonly zone: string;
	readonly region: string;
}

/** How far two places are apart by what they are called. */
export function linkClassOf(from: Place, to: Place | undefined): LinkClass {
	if (to?.region !== from.region) return 'wan';
	return to.zone === from.zone ? 'same_zone' : 'same_region';
}

export interface LinkEstimate {
	/** `measured`: by this node, recently. `estimated`: by coordinates, or measured long ago. `unreachable`: the last attempts failed. */
	readonly basis: 'measured' | 'estimated' | 'unreachable' | 'unknown';
	/** Whether this node itself gets through to the peer, which coordinates never say. `untried`: it has not been tried yet. */
	readonly reach: 'reached' | 'unreachable' | 'untried';
	/** Undefined when nothing is known. */
	readonly rttMs: number | undefined;
	/** Of the measurement, or of the coordinate behind the estimate. */
	readonly ageMs: number | undefined;
	/** Expected relative error of an estimate by coordinates. */
	readonly error: number | undefined;
	/** Bytes a second, as transfers have shown; undefined = none seen. */
	readonly bandwidthBytesPerS: number | undefined;
	readonly linkClass: LinkClass;
}

export interface LinkOptions {
	/** A measurement is `measured` this long. */
	readonly freshMs: number;
	/** Time constant of the smoothed round trip. */
	readonly smoothingMs: number;
	/** Failures in a row after which a peer counts as unreachable. */
	readonly failuresMax: number;
	readonly linksMax: number;
}

export const linkDefaults: LinkOptions = { freshMs: 60_000, smoothingMs: 10_000, failuresMax: 2, linksMax: 16_384 };

interface Link {
	rttMs: number | undefined;
	measuredAtMs: number;
	coordinate: Coordinate | undefined;
	coordinateAtMs: number;
	failures: number;
	reached: boolean;
	bandwidth: number | undefined;
	place: Place | undefined;
}

/** Transfers below this say more of latency than of bandwidth. */
const TRANSFER_BYTES_MIN = 64 * 1024;
const BANDWIDTH_GAIN = 0.25;

export class LinkTable {
	readonly #self: string;
	readonly #place: Place;
	readonly #options: LinkOptions;
	readonly #links = new Map<string, Link>();

	constructor(self: string, place: Place, options: LinkOptions = linkDefaults) {
		this.#self = self;
		this.#place = place;
		this.#options = options;
	}

	measured(peer: string, rttMs: number, nowMs: number): void {
		if (!(rttMs >= 0 && Number.isFinite(rttMs))) return;
		const link = this.#link(peer);
		if (link === undefined) return;
		const sinceMs = nowMs - link.measuredAtMs;
		const keep = link.rttMs === undefined ? 0 : Math.exp(-sinceMs / this.#options.smoothingMs);
		link.rttMs = link.rttMs === undefined ? rttMs : link.rttMs * keep + rttMs * (1 - keep);
		link.measuredAtMs = nowMs;
		link.failures = 0;
		link.reached = true;
	}

	/** The peer has answered, by a way whose time says nothing of the distance. */
	answered(peer: string): void {
		const link = this.#link(peer);
		if (link === undefined) return;
		link.failures = 0;
		link.reached = true;
	}

	/** The peer has not answered this node, whatever others say of it. */
	failed(peer: string): void {
		const link = this.#link(peer);
		if (link !== undefined) link.failures++;
	}

	/** Others have found the peer gone. */
	lost(peer: string): void {
		const link = this.#link(peer);
		if (link !== undefined) link.failures = this.#options.failuresMax;
	}

	/** Where a peer says it stands. */
	placed(peer: string, place: Place): void {
		const link = this.#link(peer);
		if (link !== undefined) link.place = place;
	}

	coordinate(peer: string, coordinate: Coordinate, nowMs: number): void {
		const link = this.#link(peer);
		if (link === undefined) return;
		link.coordinate = coordinate;
		link.coordinateAtMs = nowMs;
	}

	/** A transfer of `bytes` took `durationMs`. Small ones are not counted. */
	transferred(peer: string, bytes: number, durationMs: number): void {
		if (bytes < TRANSFER_BYTES_MIN || !(durationMs > 0)) return;
		const link = this.#link(peer);
		if (link === undefined) return;
		const seen = (bytes / durationMs) * 1000;
		link.bandwidth = link.bandwidth === undefined ? seen : link.bandwidth + BANDWIDTH_GAIN * (seen - link.bandwidth);
	}

	forget(peer: string): void {
		this.#links.delete(peer);
	}

	peers(): readonly string[] {
		return [...this.#links.keys()];
	}

	/** What is known of the link to a peer, from where this node stands at `own`. */
	estimate(peer: string, own: Coordinate, nowMs: number): LinkEstimate {
		if (peer === this.#self)
			return { ...nothing, basis: 'measured', reach: 'reached', rttMs: 0, ageMs: 0, linkClass: 'same_node' };
		const link = this.#links.get(peer);
		if (link === undefined) return nothing;
		const lost = link.failures >= this.#options.failuresMax;
		const common = {
			reach: lost ? 'unreachable' : link.reached ? 'reached' : 'untried',
			bandwidthBytesPerS: link.bandwidth,
			linkClass: linkClassOf(this.#place, link.place),
		} as const;
		const measuredAgeMs = nowMs - link.measuredAtMs;
		const last = { rttMs: link.rttMs, ageMs: link.rttMs === undefined ? undefined : measuredAgeMs, error: undefined };
		if (lost) return { ...common, ...last, basis: 'unreachable' };
		if (link.rttMs !== undefined && measuredAgeMs <= this.#options.freshMs)
			return { ...common, ...last, basis: 'measured' };
		if (link.coordinate !== undefined)
			return {
				...common,
				basis: 'estimated',
				rttMs: distanceS(own, link.coordinate) * 1000,
				ageMs: nowMs - link.coordinateAtMs,
				error: Math.max(own.error, link.coordinate.error),
			};
		return { ...common, ...last, basis: link.rttMs === undefined ? 'unknown' : 'estimated' };
	}

	#link(peer: string): Link | undefined {
		const known = this.#links.get(peer);
		if (known !== undefined) return known;
		if (this.#links.size >= this.#options.linksMax) return undefined;
		const link: Link = {
			rttMs: undefined,
			measuredAtMs: 0,
			coordinate: undefined,
			coordinateAtMs: 0,
			failures: 0,
			reached: false,
			bandwidth: undefined,
			place: undefined,
		};
		this.#links.set(peer, link);
		return link;
	}
}

const nothing: LinkEstimate = {
	basis: 'unknown',
	reach: 'untried',
	rttMs: undefined,
	ageMs: undefined,
	error: undefined,
	bandwidthBytesPerS: undefined,
	linkClass: 'wan',
};
