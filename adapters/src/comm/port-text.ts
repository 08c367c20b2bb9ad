// Owns reading ports out of what programs print: `ethtool -S DEVICE` and `rdma -j statistic`.
import { commBounds } from '@infermesh/proto';
import { listOf, parseJson, printable, recordOf, wholeOf } from '../json-values.js';
import { counterOf } from './counters.js';
import {
	ethtoolNames,
	hardwareCounterNames,
	type PortCounter,
	type PortLook,
	type PortLooks,
	pauseCounter,
	priorityPause,
} from './port-counters.js';

const LINES_MAX = 20_000;
const DEVICES_MAX = 256;

/** One device's `ethtool -S`: `     name: value` a line. */
export function readEthtool(text: string, device: string): PortLooks {
	const counters = new Map<string, PortCounter>();
	let lines = 0;
	for (const line of text.split('\n', LINES_MAX)) {
		const [, name, digits] = /^\s+([\w.[\]-]{1,128}):\s*(\d{1,20})\s*$/.exec(line) ?? [];
		if (name === undefined || digits === undefined) continue;
		lines++;
		const known = Object.hasOwn(ethtoolNames, name) ? ethtoolNames[name] : undefined;
		const found = known ?? (priorityPause.test(name) ? pauseCounter : undefined);
		const value = counterOf(digits);
		if (found !== undefined && value !== undefined) counters.set(name, { ...found, value });
	}
	if (counters.size === 0) {
		const what = lines === 0 ? 'no counter' : `none of ${lines} counters is known`;
		return { ports: [], unread: [`ethtool -S ${printable(device, 64)}: ${what}`] };
	}
	return { ports: [{ device, port: 1, layer: 'ethernet', counters }], unread: [] };
}

/** `rdma -j statistic`: a list with one object a port, its counters beside its name. Whether it is InfiniBand or RoCE it does not say. */
export function readRdma(text: string): PortLooks {
	const root = parseJson(text);
	if (!Array.isArray(root)) return { ports: [], unread: ['rdma -j statistic: not a JSON list'] };
	const ports: PortLook[] = [];
	const unread: string[] = [];
	for (const item of listOf(root).slice(0, DEVICES_MAX)) {
		const entry = recordOf(item);
		const device = entry?.['ifname'];
		if (entry === undefined || typeof device !== 'string') {
			unread.push('rdma: an entry without ifname');
			continue;
		}
		const counters = new Map<string, PortCounter>();
		for (const [name, known] of Object.entries(hardwareCounterNames)) {
			const value = wholeOf(entry[name]);
			if (value !== undefined) counters.set(name, { ...known, value: BigInt(value) });
		}
		const name = printable(device, commBounds.nameCharsMax);
		if (counters.size === 0) unread.push(`rdma ${name}: no counter is known`);
		else ports.push({ device: name, port: wholeOf(entry['port']) ?? 1, layer: 'unknown', counters });
	}
	return { ports, unread };
}
