// Owns reading UCX statistics as text (`UCX_STATS_DEST=file:…` or `stdout`): a tree of classes by indentation, `name-pointer:` above `counter: value`, or
// the summary form on one line. What UCX sends over UDP is its own binary form, which is counted as unread. UCX writes totals since the process began.
import { type CommStatsDelta, commBounds } from '@infermesh/proto';
import { printable } from '../json-values.js';
import { type CounterEnd, counterOf } from './counters.js';
import type { CommPlace } from './draft.js';
import { CommDraft } from './draft.js';
import { type PortCounter, type PortLook, PortReader } from './port-counters.js';

const LINES_MAX = 200_000;
const DEPTH_MAX = 16;
const INTERFACES_MAX = 128;

const WIDE: CounterEnd = 'wide';
const known: Readonly<Record<string, Omit<PortCounter, 'value'>>> = {
	bytes_short: { rate: 'sentBytesPerSec', end: WIDE },
	bytes_bcopy: { rate: 'sentBytesPerSec', end: WIDE },
	bytes_zcopy: { rate: 'sentBytesPerSec', end: WIDE },
	rx_am_bytes: { rate: 'receivedBytesPerSec', end: WIDE },
	no_res: { rate: 'waitTicksPerSec', end: WIDE },
	flush_wait: { rate: 'waitTicksPerSec', end: WIDE },
	retransmit: { rate: 'retriesPerSec', end: WIDE },
};

const node = /^(?<indent>\s*)(?<name>[A-Za-z_][\w.:/-]*?)(?:-0x[0-9a-fA-F]+)?:\s*$/;
const leaf = /^(?<indent>\s*)(?<name>[A-Za-z_][\w.-]*):\s*(?<value>\d{1,20})\s*$/;
const summaryClass = /(?<name>\w+)\{(?<counters>[^{}]{0,65536})\}/g;

/** What one text says, added up by network interface. */
export interface UcxTotals {
	readonly interfaces: ReadonlyMap<string, ReadonlyMap<string, bigint>>;
	readonly counters: number;
	readonly unread: readonly string[];
}

/** Reads a text that may hold several reports, one after the other: of each counter the later report stands. Never throws. */
export function readUcxText(text: string): UcxTotals {
	const totals = new Totals();
	const path: { readonly depth: number; readonly name: string; readonly instance: string }[] = [];
	for (const line of text.split('\n', LINES_MAX)) {
		const counter = leaf.exec(line)?.groups;
		const opened = counter === undefined ? node.exec(line)?.groups : undefined;
		const depth = (counter ?? opened)?.['indent']?.length ?? 0;
		if (counter === undefined && opened === undefined) {
			if (line.includes('{')) totals.summary(line);
			continue;
		}
		while (path.length > 0 && (path.at(-1)?.depth ?? 0) >= depth) path.pop();
		if (opened !== undefined) {
			if (path.length < DEPTH_MAX) path.push({ depth, name: opened['name'] ?? '', instance: line.trim() });
			continue;
		}
		const owner = path.findLast(({ name }) => name.startsWith('uct_iface'));
		const instance = path.map((one) => one.instance).join(' ');
		if (counter !== undefined)
			totals.add(owner?.name ?? 'all', instance, counter['name'] ?? '', counter['value'] ?? '');
	}
	return totals.finish();
}

class Totals {
	/** By interface and counter, of every instance the last value. */
	readonly #values = new Map<string, Map<string, Map<string, bigint>>>();
	#counters = 0;
	#over = 0;

	add(owner: string, instance: string, name: string, digits: string): void {
		this.#counters++;
		const value = counterOf(digits);
		if (value === undefined || !Object.hasOwn(known, name)) return;
		const device = printable(owner.replace(/^uct_iface-?/, '') || 'all', commBounds.nameCharsMax);
		let counters = this.#values.get(device);
		if (counters === undefined) {
			if (this.#values.size >= INTERFACES_MAX) {
				this.#over++;
				return;
			}
			counters = new Map();
			this.#values.set(device, counters);
		}
		const instances = counters.get(name) ?? new Map<string, bigint>();
		counters.set(name, instances);
		instances.set(instance, value);
	}

	/** `class{counter:value …}`: instances are added up already, and interfaces are not told apart. */
	summary(line: string): void {
		for (const { groups } of line.matchAll(summaryClass))
			for (const pair of (groups?.['counters'] ?? '').split(/\s+/)) {
				const [, name, digits] = /^(?:\w+\.)?(\w+):(\d{1,20})$/.exec(pair) ?? [];
				if (name !== undefined && digits !== undefined) this.add('all', groups?.['name'] ?? '', name, digits);
			}
	}

	finish(): UcxTotals {
		const interfaces = new Map<string, Map<string, bigint>>();
		for (const [device, counters] of this.#values) {
			const sums = new Map<string, bigint>();
			for (const [name, instances] of counters)
				sums.set(
					name,
					[...instances.values()].reduce((a, b) => a + b, 0n),
				);
			interfaces.set(device, sums);
		}
		const unread: string[] = [];
		if (this.#counters === 0) unread.push('no counter of UCX');
		else if (interfaces.size === 0) unread.push(`none of ${this.#counters} counters of UCX is known`);
		if (this.#over > 0) unread.push(`${this.#over} counters of interfaces beyond the first ${INTERFACES_MAX}`);
		return { interfaces, counters: this.#counters, unread };
	}
}

/** Follows the statistics of the processes of a node. */
export class UcxReader {
	readonly #place: CommPlace;
	readonly #ports: PortReader;

	constructor(place: CommPlace = {}) {
		this.#place = place;
		this.#ports = new PortReader(place);
	}

	/** `texts` by process: file contents, or datagrams that are text. `binary` datagrams are those that are not. */
	look(texts: ReadonlyMap<string, string>, atMs: number, binary = 0): CommStatsDelta {
		const unread: string[] = [];
		const ports: PortLook[] = [];
		for (const [process, text] of texts) {
			const totals = readUcxText(text);
			for (const problem of totals.unread) unread.push(`${process}: ${problem}`);
			for (const [device, sums] of totals.interfaces) {
				const counters = new Map<string, PortCounter>();
				for (const [name, value] of sums) {
					const counter = known[name];
					if (counter !== undefined) counters.set(name, { ...counter, value });
				}
				ports.push({ device: `${device}@${process}`, port: 1, layer: 'transport', counters });
			}
		}
		if (binary > 0) unread.push(`${binary} datagrams in UCX’s binary form: use UCX_STATS_DEST=file:PATH`);
		if (texts.size === 0 && binary === 0) {
			const draft = new CommDraft('ucx', atMs, this.#place);
			draft.unread('no statistics of UCX have come');
			return draft.finish();
		}
		return { ...this.#ports.look({ ports, unread }, atMs), source: 'ucx' };
	}
}
