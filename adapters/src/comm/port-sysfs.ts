// Owns reading ports out of sysfs, under a root that may be another than `/`: InfiniBand and RoCE devices with their port and hardware counters, and
// Ethernet devices.
import path from 'node:path';
import { commBounds, type LinkLayer } from '@infermesh/proto';
import type { AdapterFiles } from '../effects/ports.js';
import { given, printable } from '../json-values.js';
import { counterOf } from './counters.js';
import {
	hardwareCounterNames,
	netStatisticNames,
	type PortCounter,
	type PortLook,
	type PortLooks,
	portCounterNames,
} from './port-counters.js';

const DEVICES_MAX = 64;
const PORTS_MAX = 8;
const COUNTERS_MAX = 256;
const FILE_BYTES_MAX = 4096;

/** Interfaces that are no network: the loopback, and those of containers, bridges and tunnels, whose traffic real ones carry. */
const VIRTUAL = /^(?:lo|veth|docker|br-|virbr|cni|flannel|cali|tun|tap|dummy|ifb|kube)/;

export class SysfsPorts {
	readonly #files: AdapterFiles;
	readonly #root: string;

	constructor(files: AdapterFiles, root: string) {
		this.#files = files;
		this.#root = root;
	}

	async look(): Promise<PortLooks> {
		const ports: PortLook[] = [];
		const unread: string[] = [];
		const infiniband = path.join(this.#root, 'sys/class/infiniband');
		for (const device of ((await this.#files.list(infiniband, DEVICES_MAX)) ?? []).toSorted()) {
			const folder = path.join(infiniband, device, 'ports');
			for (const port of ((await this.#files.list(folder, PORTS_MAX)) ?? []).toSorted())
				await this.#rdmaPort(path.join(folder, port), device, Number(port) || 1, ports, unread);
		}
		const net = path.join(this.#root, 'sys/class/net');
		const names = (await this.#files.list(net, DEVICES_MAX)) ?? [];
		for (const device of names.filter((name) => !VIRTUAL.test(name)).sort())
			await this.#netDevice(path.join(net, device), device, ports, unread);
		return { ports, unread };
	}

	async #rdmaPort(folder: string, device: string, port: number, ports: PortLook[], unread: string[]): Promise<void> {
		const name = printable(device, commBounds.nameCharsMax);
		const counters = await this.#counters(path.join(folder, 'counters'), portCounterNames, name, unread);
		const hardware = await this.#counters(path.join(folder, 'hw_counters'), hardwareCounterNames, name, unread);
		for (const [counter, value] of hardware) counters.set(counter, value);
		if (counters.size === 0) unread.push(`${name}/${port}: no counters`);
		const [state, linkLayer, rate] = await Promise.all(
			['state', 'link_layer', 'rate'].map((file) => this.#text(path.join(folder, file))),
		);
		const gbits = /^([\d.]+) Gb\/sec/.exec(rate ?? '')?.[1];
		ports.push({
			device: name,
			port,
			layer: layerOf(linkLayer),
			...given('up', state === undefined ? undefined : /ACTIVE/.test(state)),
			...given('speedBitsPerSec', gbits === undefined ? undefined : Number(gbits) * 1e9),
			counters,
		});
	}

	async #netDevice(folder: string, device: string, ports: PortLook[], unread: string[]): Promise<void> {
		const name = printable(device, commBounds.nameCharsMax);
		const counters = await this.#counters(path.join(folder, 'statistics'), netStatisticNames, name, unread);
		if (counters.size === 0) return;
		const [state, speed, downs] = await Promise.all(
			['operstate', 'speed', 'carrier_down_count'].map((file) => this.#text(path.join(folder, file))),
		);
		const downCount = counterOf(downs ?? '');
		if (downCount !== undefined) counters.set('carrier_down_count', { rate: 'downs', value: downCount, end: 'wide' });
		const mbits = Number(speed);
		ports.push({
			device: name,
			port: 1,
			layer: 'ethernet',
			...given('up', state === 'up' || state === 'down' ? state === 'up' : undefined),
			...given('speedBitsPerSec', speed !== undefined && mbits > 0 ? mbits * 1e6 : undefined),
			counters,
		});
	}

	/** The known counters of a folder, a file each. One that is not a number is noted. */
	async #counters(
		folder: string,
		names: Readonly<Record<string, Omit<PortCounter, 'value'>>>,
		device: string,
		unread: string[],
	): Promise<Map<string, PortCounter>> {
		const found = new Map<string, PortCounter>();
		for (const file of (await this.#files.list(folder, COUNTERS_MAX)) ?? []) {
			const known = Object.hasOwn(names, file) ? names[file] : undefined;
			if (known === undefined) continue;
			const text = await this.#text(path.join(folder, file));
			const value = counterOf(text ?? '');
			if (value === undefined) unread.push(`${device} ${file}: ${text === undefined ? 'unreadable' : 'not a number'}`);
			else found.set(file, { ...known, ...widthOf(known, value), value });
		}
		return found;
	}

	/** Undefined for a file that is not there or cannot be read (some give EINVAL). */
	async #text(file: string): Promise<string | undefined> {
		try {
			const piece = await this.#files.read(file, 0, FILE_BYTES_MAX);
			return piece === undefined ? undefined : Buffer.from(piece.bytes).toString('latin1').trim();
		} catch {
			return undefined;
		}
	}
}

/** A counter beyond 32 bits has more of them. */
function widthOf(known: Omit<PortCounter, 'value'>, value: bigint): { readonly end: PortCounter['end'] } {
	return { end: value > 0xffff_ffffn ? 'wide' : known.end };
}

function layerOf(linkLayer: string | undefined): LinkLayer {
	if (linkLayer === 'InfiniBand') return 'infiniband';
	return linkLayer === 'Ethernet' ? 'roce' : 'unknown';
}
