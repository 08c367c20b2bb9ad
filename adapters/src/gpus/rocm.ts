// Owns reading AMD's tools: `rocm-smi --json`, whose keys are prose that changes between versions and whose values are texts, and
// `amd-smi metric --json`, whose values are numbers, texts or objects with a unit.
import { countOf, listOf, parseJson, recordOf } from '../json-values.js';
import type { GpuAdapter, GpuLook, GpuReading } from './adapter.js';
import { type GpuDraft, GpuDrafts } from './draft.js';
import { fillNumbers, isMissing, type NumberField } from './fields.js';

const B_TO_MIB = 1 / 2 ** 20;

/** Keys of `rocm-smi`, oldest releases to newest. */
const prose: readonly NumberField[] = [
	{ signal: 'computeRatio', from: ['GPU use (%)'], scale: 0.01, range: 'ratio' },
	{
		signal: 'memoryRatio',
		from: ['GPU Memory Read/Write Activity (%)', 'Memory Activity', 'GPU memory use (%)'],
		scale: 0.01,
		range: 'ratio',
	},
	{ signal: 'vramTotalMib', from: ['VRAM Total Memory (B)'], scale: B_TO_MIB, range: 'count' },
	{ signal: 'vramUsedMib', from: ['VRAM Total Used Memory (B)'], scale: B_TO_MIB, range: 'count' },
	{
		signal: 'powerW',
		from: [
			'Current Socket Graphics Package Power (W)',
			'Average Graphics Package Power (W)',
			'Average Socket Graphics Package Power (W)',
		],
		range: 'count',
	},
	{ signal: 'powerLimitW', from: ['Max Graphics Package Power (W)'], range: 'count' },
	{
		signal: 'temperatureC',
		from: [
			'Temperature (Sensor junction) (C)',
			'Temperature (Sensor hotspot) (C)',
			'Temperature (Sensor edge) (C)',
			'Temperature (Sensor #1) (C)',
		],
		range: 'any',
	},
	{
		signal: 'memoryTemperatureC',
		from: ['Temperature (Sensor memory) (C)', 'Temperature (Sensor HBM 0) (C)'],
		range: 'any',
	},
	{ signal: 'coreClockMhz', from: ['sclk clock speed:', 'sclk clock speed'], range: 'count' },
	{ signal: 'memoryClockMhz', from: ['mclk clock speed:', 'mclk clock speed'], range: 'count' },
	{ signal: 'pcieReplaysTotal', from: ['PCIe Replay Count'], range: 'count' },
];

export const rocmSmiAdapter: GpuAdapter = {
	kind: 'rocm_smi',
	read(text: string | Uint8Array, look: GpuLook): GpuReading {
		const drafts = new GpuDrafts(look.atMs);
		const report = recordOf(json(text));
		const cards = Object.entries(report ?? {}).filter(([name]) => /^card\d{1,4}$/.test(name));
		if (cards.length === 0) drafts.unread('output: not the JSON of rocm-smi, or no card in it');
		const driver = textIn(recordOf(report?.['system']), 'Driver version');
		for (const [name, entry] of cards) card(drafts, Number(name.slice(4)), recordOf(entry), driver, look);
		return drafts.finish();
	},
};

function card(
	drafts: GpuDrafts,
	index: number,
	entry: Readonly<Record<string, unknown>> | undefined,
	driver: string,
	look: GpuLook,
): void {
	const unique = textIn(entry, 'Unique ID');
	const draft = drafts.of(unique === '' ? `node/${look.node}/index/${index}` : unique);
	if (draft === undefined) return;
	common(draft, index, look);
	draft.text('driverVersion', driver);
	draft.text('product', textIn(entry, 'Card series') || textIn(entry, 'Card Series') || textIn(entry, 'Card model'));
	draft.text('pciBusId', textIn(entry, 'PCI Bus').toLowerCase());
	fillNumbers(draft, prose, (name) => {
		const value = entry?.[name];
		return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
	});
	if (entry === undefined) draft.unread('card: not an object');
}

/** Paths into an entry of `amd-smi`. */
const paths: readonly NumberField[] = [
	{ signal: 'computeRatio', from: ['usage/gfx_activity'], scale: 0.01, range: 'ratio' },
	{ signal: 'memoryRatio', from: ['usage/umc_activity'], scale: 0.01, range: 'ratio' },
	{ signal: 'powerW', from: ['power/socket_power', 'power/current_socket_power'], range: 'count' },
	{ signal: 'powerLimitW', from: ['power/power_limit', 'limit/socket_power_limit'], range: 'count' },
	{ signal: 'temperatureC', from: ['temperature/hotspot', 'temperature/edge'], range: 'any' },
	{ signal: 'memoryTemperatureC', from: ['temperature/mem', 'temperature/memory'], range: 'any' },
	{ signal: 'slowdownTemperatureC', from: ['limit/slowdown_hotspot_temperature'], range: 'any' },
	{ signal: 'coreClockMhz', from: ['clock/gfx_0/clk', 'clock/gfx/cur_clk'], range: 'count' },
	{ signal: 'memoryClockMhz', from: ['clock/mem_0/clk', 'clock/mem/cur_clk'], range: 'count' },
	{ signal: 'vramTotalMib', from: ['mem_usage/total_vram', 'fb_usage/fb_total'], range: 'count' },
	{ signal: 'vramUsedMib', from: ['mem_usage/used_vram', 'fb_usage/fb_used'], range: 'count' },
	{ signal: 'eccCorrectedTotal', from: ['ecc/total_correctable_count', 'ecc/total_correctable'], range: 'count' },
	{ signal: 'eccUncorrectedTotal', from: ['ecc/total_uncorrectable_count', 'ecc/total_uncorrectable'], range: 'count' },
	{ signal: 'pcieReplaysTotal', from: ['pcie/replay_count'], range: 'count' },
	{ signal: 'pcieLinkWidth', from: ['pcie/width', 'pcie/current_lanes'], range: 'count' },
];

export const amdSmiAdapter: GpuAdapter = {
	kind: 'amd_smi',
	read(text: string | Uint8Array, look: GpuLook): GpuReading {
		const drafts = new GpuDrafts(look.atMs);
		const report = json(text);
		// Since 7.0 the list is inside an object.
		const entries = listOf(recordOf(report)?.['gpu_data'] ?? report);
		if (entries.length === 0) drafts.unread('output: not the JSON of amd-smi metric');
		for (const value of entries) {
			const entry = recordOf(value);
			const index = countOf(entry?.['gpu']);
			const uuid = textIn(entry, 'uuid');
			const draft =
				index === undefined ? undefined : drafts.of(uuid === '' ? `node/${look.node}/index/${index}` : uuid);
			if (draft === undefined || index === undefined) {
				drafts.unread('gpu: an entry without a number');
				continue;
			}
			common(draft, index, look);
			fillNumbers(draft, paths, (path) => valueAt(entry, path));
		}
		return drafts.finish();
	},
};

/** The value at a path, with or without a unit beside it, as text. */
function valueAt(entry: Readonly<Record<string, unknown>> | undefined, path: string): string | undefined {
	let at: unknown = entry;
	for (const name of path.split('/')) at = recordOf(at)?.[name];
	const value = recordOf(at)?.['value'] ?? at;
	return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}

function common(draft: GpuDraft, index: number, look: GpuLook): void {
	draft.vendor('amd');
	draft.text('node', look.node);
	draft.number('index', index, 'count');
}

function json(text: string | Uint8Array): unknown {
	const body = typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
	// Warnings may stand before the report.
	const begin = body.search(/[[{]/);
	return begin < 0 ? undefined : parseJson(body.slice(begin));
}

function textIn(entry: Readonly<Record<string, unknown>> | undefined, name: string): string {
	const value = entry?.[name];
	return typeof value === 'string' && !isMissing(value) ? value.trim() : '';
}
