// Owns what a simulated event is.
import type { SimHost } from './sim-host.js';

export interface SimEvent {
	/** True time of the world, whole microseconds. */
	readonly atUs: number;
	/** What kind of thing happens; part of the trace. */
	readonly kind: string;
	/** Where it happens; undefined for the world itself. */
	readonly host: SimHost | undefined;
	/** The life of the host it belongs to; -1 when any life will do. */
	readonly life: number;
	/** 32 bits that tell this event's content apart, for the trace. */
	readonly digest: number;
	readonly run: () => void;
	/** It stays on the agenda until it comes up, and then does not happen. */
	cancelled: boolean;
}
