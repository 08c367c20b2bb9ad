// Owns what is common to all ways of reading network ports: the names that counters have there, and the rates that two looks at a port give.
import { type CommStatsDelta, commBounds, type LinkLayer, type LinkStat } from '@infermesh/proto';
import { given } from '../json-values.js';
import { type CounterEnd, stepOf } from './counters.js';
import { CommDraft, type CommPlace } from './draft.js';

/** The rates of a LinkStat that counters give. */
export type PortRate =
	| 'sentBytesPerSec'
	| 'receivedBytesPerSec'
	| 'waitTicksPerSec'
	| 'congestionSentPerSec'
	| 'congestionHandledPerSec'
	| 'congestionMarkedPerSec'
	| 'pausesPerSec'
	| 'outOfOrderPerSec'
	| 'retriesPerSec'
	| 'errorsPerSec'
	| 'dropsPerSec';

export interface PortCounter {
	readonly rate: PortRate | 'downs';
	readonly value: bigint;
	readonly end: CounterEnd;
	/** Bytes a count stands for. */
	readonly unit?: number;
}

/** One port at one moment. */
export interface PortLook {
	readonly device: string;
	readonly port: number;
	readonly layer: LinkLayer;
	readonly up?: boolean;
	readonly speedBitsPerSec?: number;
	/** By the name they have at their source: several may add up to one rate. */
	readonly counters: ReadonlyMap<string, PortCounter>;
}

/** Ports as all sources of one node gave them. */
export interface PortLooks {
	readonly ports: readonly PortLook[];
	readonly unread: readonly string[];
}

const count = (rate: PortCounter['rate'], end: CounterEnd = 'wide', unit?: number) => ({
	rate,
	end,
	...given('unit', unit),
});

type Known = Omit<PortCounter, 'value'>;

/** /sys/class/infiniband/DEVICE/ports/N/counters: data is counted in words of four bytes. */
export const portCounterNames: Readonly<Record<string, Known>> = {
	port_xmit_data: count('sentBytesPerSec', 'saturates32', 4),
	port_rcv_data: count('receivedBytesPerSec', 'saturates32', 4),
	port_xmit_wait: count('waitTicksPerSec', 'saturates32'),
	symbol_error: count('errorsPerSec'),
	link_error_recovery: count('errorsPerSec'),
	port_rcv_errors: count('errorsPerSec'),
	port_rcv_remote_physical_errors: count('errorsPerSec'),
	local_link_integrity_errors: count('errorsPerSec'),
	excessive_buffer_overrun_errors: count('errorsPerSec'),
	port_xmit_discards: count('dropsPerSec'),
	VL15_dropped: count('dropsPerSec'),
	link_downed: count('downs'),
};

/** …/hw_counters, and what `rdma statistic` shows. */
export const hardwareCounterNames: Readonly<Record<string, Known>> = {
	np_cnp_sent: count('congestionSentPerSec'),
	rp_cnp_handled: count('congestionHandledPerSec'),
	np_ecn_marked_roce_packets: count('congestionMarkedPerSec'),
	cnp_sent: count('congestionSentPerSec'),
	cnp_handled: count('congestionHandledPerSec'),
	out_of_sequence: count('outOfOrderPerSec'),
	packet_seq_err: count('outOfOrderPerSec'),
	rnr_nak_retry_err: count('retriesPerSec'),
	local_ack_timeout_err: count('retriesPerSec'),
	implied_nak_seq_err: count('retriesPerSec'),
	roce_adp_retrans: count('retriesPerSec'),
	roce_adp_retrans_to: count('retriesPerSec'),
	rx_icrc_encapsulated: count('errorsPerSec'),
	out_of_buffer: count('dropsPerSec'),
};

/** /sys/class/net/DEVICE/statistics. */
export const netStatisticNames: Readonly<Record<string, Known>> = {
	tx_bytes: count('sentBytesPerSec', 'wraps32'),
	rx_bytes: count('receivedBytesPerSec', 'wraps32'),
	rx_crc_errors: count('errorsPerSec', 'wraps32'),
	rx_frame_errors: count('errorsPerSec', 'wraps32'),
	tx_carrier_errors: count('errorsPerSec', 'wraps32'),
	rx_dropped: count('dropsPerSec', 'wraps32'),
	tx_dropped: count('dropsPerSec', 'wraps32'),
	rx_missed_errors: count('dropsPerSec', 'wraps32'),
	rx_fifo_errors: count('dropsPerSec', 'wraps32'),
};

/** `ethtool -S`: every driver has names of its own; those of the wire (`_phy`) come before those of the host. */
export const ethtoolNames: Readonly<Record<string, Known>> = {
	tx_bytes_phy: count('sentBytesPerSec'),
	rx_bytes_phy: count('receivedBytesPerSec'),
	tx_pause_ctrl_phy: count('pausesPerSec'),
	rx_pause_ctrl_phy: count('pausesPerSec'),
	tx_global_pause: count('pausesPerSec'),
	rx_global_pause: count('pausesPerSec'),
	rx_crc_errors_phy: count('errorsPerSec'),
	rx_symbol_err_phy: count('errorsPerSec'),
	rx_in_range_len_errors_phy: count('errorsPerSec'),
	tx_errors_phy: count('errorsPerSec'),
	rx_discards_phy: count('dropsPerSec'),
	tx_discards_phy: count('dropsPerSec'),
	rx_out_of_buffer: count('dropsPerSec'),
	rx_prio_discards: count('dropsPerSec'),
	link_down_events_phy: count('downs'),
	rx_fcs_err_frames: count('errorsPerSec'),
	rx_crc_errors: count('errorsPerSec'),
	rx_total_discard_pkts: count('dropsPerSec'),
	tx_total_discard_pkts: count('dropsPerSec'),
	rx_pfc_frames: count('pausesPerSec'),
	tx_pfc_frames: count('pausesPerSec'),
	rx_pause_frames: count('pausesPerSec'),
	tx_pause_frames: count('pausesPerSec'),
};
/** Per priority: `rx_prio3_pause`, `tx_pfc_ena_frames_pri3`. */
export const priorityPause = /^(?:rx|tx)_(?:prio\d_pause|pfc_ena_frames_pri\d)$/;
export const pauseCounter: Known = count('pausesPerSec');

interface Kept {
	readonly look: PortLook;
	readonly atMs: number;
}

const keyOf = ({ device, port, layer }: PortLook): string => `${layer}\u0000${device}\u0000${port}`;

/** Follows the ports of one node. */
export class PortReader {
	readonly #place: CommPlace;
	#before = new Map<string, Kept>();

	constructor(place: CommPlace = {}) {
		this.#place = place;
	}

	/** What this look says, and what it says against the one before. Never throws. */
	look({ ports, unread }: PortLooks, atMs: number): CommStatsDelta {
		const draft = new CommDraft('network_ports', atMs, this.#place);
		for (const text of unread) draft.unread(text);
		if (ports.length === 0 && unread.length === 0) draft.unread('no network port was found');
		const now = new Map<string, Kept>();
		let intervalMs = 0;
		let restarted = false;
		for (const look of ports.slice(0, commBounds.linksMax * 2)) {
			const key = keyOf(look);
			const before = this.#before.get(key);
			now.set(key, { look, atMs });
			const between = before === undefined ? 0 : atMs - before.atMs;
			const rates = before === undefined || between <= 0 ? undefined : compare(look, before.look, between, draft);
			intervalMs = Math.max(intervalMs, between);
			restarted ||= rates?.restarted ?? false;
			draft.link(statOf(look, rates?.rates ?? {}));
		}
		this.#before = now;
		if (intervalMs > 0) draft.interval(intervalMs, restarted);
		return draft.finish();
	}
}

type Rates = { [K in PortRate | 'downs']?: number };

function compare(
	look: PortLook,
	before: PortLook,
	intervalMs: number,
	draft: CommDraft,
): { readonly rates: Rates; readonly restarted: boolean } {
	const rates: Rates = {};
	let restarted = false;
	for (const [name, counter] of look.counters) {
		const was = before.counters.get(name);
		if (was === undefined) continue;
		const step = stepOf(was.value, counter.value, counter.end);
		if (step === undefined) {
			draft.unread(`${look.device}/${look.port} ${name}: stands at the end of its 32 bits`);
			continue;
		}
		restarted ||= step.restarted;
		const by = step.by * (counter.unit ?? 1);
		rates[counter.rate] = (rates[counter.rate] ?? 0) + (counter.rate === 'downs' ? by : (by * 1000) / intervalMs);
	}
	return { rates, restarted };
}

function statOf({ device, port, layer, up, speedBitsPerSec }: PortLook, rates: Rates): LinkStat {
	const busier = Math.max(rates.sentBytesPerSec ?? 0, rates.receivedBytesPerSec ?? 0);
	const known = speedBitsPerSec !== undefined && speedBitsPerSec > 0 && rates.sentBytesPerSec !== undefined;
	return {
		device,
		port,
		layer,
		...given('up', up),
		...given('speedBitsPerSec', speedBitsPerSec),
		...rates,
		...(known ? { utilisation: Math.min(1, (busier * 8) / speedBitsPerSec) } : {}),
	};
}
