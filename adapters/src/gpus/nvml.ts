// Owns what NVML's values mean to the mesh: the raw answer of the addon, in the driver's units, into a delta for each device and MIG slice.
import { deltaBounds, type XidCount } from '@infermesh/proto';
import { countOf, type JsonRecord, listOf, parseJson, recordOf, textOf } from '../json-values.js';
import type { GpuLook, GpuReading } from './adapter.js';
import { type GpuDraft, GpuDrafts, type GpuNumber, type GpuRange } from './draft.js';

/** Field of the addon's answer → signal, by scale. */
const fields: readonly (readonly [from: string, signal: GpuNumber, scale: number, range: GpuRange])[] = [
	['index', 'index', 1, 'count'],
	['memoryTotalBytes', 'vramTotalMib', 1 / 2 ** 20, 'count'],
	['memoryUsedBytes', 'vramUsedMib', 1 / 2 ** 20, 'count'],
	['gpuPercent', 'computeRatio', 0.01, 'ratio'],
	['memoryPercent', 'memoryRatio', 0.01, 'ratio'],
	['powerMw', 'powerW', 0.001, 'count'],
	['powerLimitMw', 'powerLimitW', 0.001, 'count'],
	['energyMj', 'energyJTotal', 0.001, 'count'],
	['temperatureC', 'temperatureC', 1, 'any'],
	['slowdownC', 'slowdownTemperatureC', 1, 'any'],
	['smClockMhz', 'coreClockMhz', 1, 'count'],
	['memoryClockMhz', 'memoryClockMhz', 1, 'count'],
	['reasons', 'throttle', 1, 'count'],
	['eccCorrected', 'eccCorrectedTotal', 1, 'count'],
	['eccUncorrected', 'eccUncorrectedTotal', 1, 'count'],
	['eccUncorrectedLife', 'eccUncorrectedLifeTotal', 1, 'count'],
	['remappedUncorrected', 'remappedRowsUncorrected', 1, 'count'],
	['pcieReplays', 'pcieReplaysTotal', 1, 'count'],
	['pcieGen', 'pcieLinkGen', 1, 'count'],
	['pcieGenMax', 'pcieLinkGenMax', 1, 'count'],
	['pcieWidth', 'pcieLinkWidth', 1, 'count'],
	['pcieWidthMax', 'pcieLinkWidthMax', 1, 'count'],
	['pcieTxKib', 'pcieTxBytesPerSec', 1024, 'count'],
	['pcieRxKib', 'pcieRxBytesPerSec', 1024, 'count'],
	['linksDown', 'linksDown', 1, 'count'],
	['linkErrors', 'linkErrorsTotal', 1, 'count'],
	['processes', 'processes', 1, 'count'],
	['instance', 'migInstance', 1, 'count'],
];

/** Compute slices of a device that can be cut. */
const SLICES = 7;
const CHARS_MAX = deltaBounds.unreadCharsMax;

/** The reading of one answer of the addon. */
export function readNvml(text: string, look: GpuLook): GpuReading {
	const drafts = new GpuDrafts(look.atMs);
	const answer = recordOf(parseJson(text));
	if (answer === undefined) drafts.unread('nvml: the answer is no JSON object');
	const xids = xidsOf(answer?.['xids']);
	for (const value of listOf(answer?.['devices'])) {
		const device = recordOf(value);
		if (device !== undefined) whole(drafts, device, answer ?? {}, xids, look);
	}
	for (const error of listOf(answer?.['errors'])) drafts.unread(`nvml: ${textOf(error, CHARS_MAX) ?? ''}`);
	return drafts.finish();
}

/** Events since the last look, by device; absent where the driver tells none. */
function xidsOf(value: unknown): ReadonlyMap<string, readonly XidCount[]> | undefined {
	if (!Array.isArray(value)) return undefined;
	const counts = new Map<string, Map<number, number>>();
	for (const entry of listOf(value)) {
		const event = recordOf(entry);
		const uuid = textOf(event?.['uuid'], CHARS_MAX);
		const xid = countOf(event?.['xid']);
		if (uuid === undefined || xid === undefined) continue;
		const own = counts.get(uuid) ?? new Map<number, number>();
		counts.set(uuid, own.set(xid, (own.get(xid) ?? 0) + 1));
	}
	return new Map([...counts].map(([uuid, own]) => [uuid, [...own].map(([xid, count]) => ({ xid, count }))]));
}

function whole(
	drafts: GpuDrafts,
	device: JsonRecord,
	answer: JsonRecord,
	xids: ReadonlyMap<string, readonly XidCount[]> | undefined,
	look: GpuLook,
): void {
	const index = countOf(device['index']) ?? 0;
	const uuid = textOf(device['uuid'], CHARS_MAX) ?? `node/${look.node}/index/${index}`;
	const draft = drafts.of(uuid);
	if (draft === undefined) return;
	describe(draft, device, answer, look);
	draft.text('product', textOf(device['name'], CHARS_MAX) ?? '');
	draft.text('pciBusId', (textOf(device['busId'], CHARS_MAX) ?? '').toLowerCase());
	const pending = [device['remapPending'], device['retiredPending']].map(countOf).filter((one) => one !== undefined);
	if (pending.length > 0)
		draft.flag(
			'remapPending',
			pending.some((one) => one > 0),
		);
	const failed = countOf(device['remapFailed']);
	if (failed !== undefined) draft.flag('remapFailed', failed > 0);
	if (device['lost'] === 1) draft.flag('healthy', false);
	draft.xids(xids?.get(uuid) ?? []);
	for (const value of listOf(device['slices'])) {
		const slice = recordOf(value);
		if (slice !== undefined) part(drafts, slice, uuid, index, answer, look);
	}
}

function part(
	drafts: GpuDrafts,
	slice: JsonRecord,
	parent: string,
	index: number,
	answer: JsonRecord,
	look: GpuLook,
): void {
	const draft = drafts.of(textOf(slice['uuid'], CHARS_MAX) ?? `${parent}/gi/${countOf(slice['instance']) ?? ''}`);
	if (draft === undefined) return;
	describe(draft, slice, answer, look);
	draft.number('index', index, 'count');
	draft.text('parentUuid', parent);
	const slices = countOf(slice['gpuSlices']);
	if (slices !== undefined) draft.number('shareRatio', Math.min(1, slices / SLICES), 'ratio');
}

function describe(draft: GpuDraft, device: JsonRecord, answer: JsonRecord, look: GpuLook): void {
	draft.vendor('nvidia');
	draft.text('node', look.node);
	draft.text('driverVersion', textOf(answer['driverVersion'], CHARS_MAX) ?? '');
	for (const [from, signal, scale, range] of fields) {
		const value = countOf(device[from]);
		if (value !== undefined) draft.number(signal, value * scale, range);
	}
}
