// Owns reading `nvidia-smi --query-gpu=… --format=csv`: the fields worth asking for, the columns with their units, and the words that stand where
// a value is missing. MIG slices are not in this form; nvidia-smi-xml.ts has them.
import type { GpuAdapter, GpuLook, GpuReading } from './adapter.js';
import { type GpuDraft, GpuDrafts } from './draft.js';
import { type FlagField, fillFlags, fillNumbers, isMissing, type NumberField } from './fields.js';

const YES = ['yes', 'active', 'enabled', '1'];
const NO = ['no', 'not active', 'disabled', '0'];

export const smiNumbers: readonly NumberField[] = [
	{ signal: 'index', from: ['index'], range: 'count' },
	{ signal: 'vramTotalMib', from: ['memory.total'], range: 'count' },
	{ signal: 'vramUsedMib', from: ['memory.used'], range: 'count' },
	{ signal: 'computeRatio', from: ['utilization.gpu'], scale: 0.01, range: 'ratio' },
	{ signal: 'memoryRatio', from: ['utilization.memory'], scale: 0.01, range: 'ratio' },
	{ signal: 'temperatureC', from: ['temperature.gpu'], range: 'any' },
	{ signal: 'memoryTemperatureC', from: ['temperature.memory'], range: 'any' },
	{ signal: 'powerW', from: ['power.draw.instant', 'power.draw', 'power.draw.average'], range: 'count' },
	{ signal: 'powerLimitW', from: ['enforced.power.limit', 'power.limit'], range: 'count' },
	{ signal: 'coreClockMhz', from: ['clocks.current.sm', 'clocks.sm'], range: 'count' },
	{ signal: 'memoryClockMhz', from: ['clocks.current.memory', 'clocks.mem'], range: 'count' },
	{ signal: 'throttle', from: ['clocks_event_reasons.active', 'clocks_throttle_reasons.active'], range: 'count' },
	{ signal: 'eccCorrectedTotal', from: ['ecc.errors.corrected.volatile.total'], range: 'count' },
	{ signal: 'eccUncorrectedTotal', from: ['ecc.errors.uncorrected.volatile.total'], range: 'count' },
	{ signal: 'eccUncorrectedLifeTotal', from: ['ecc.errors.uncorrected.aggregate.total'], range: 'count' },
	{ signal: 'remappedRowsUncorrected', from: ['remapped_rows.uncorrectable'], range: 'count' },
	{ signal: 'pcieLinkGen', from: ['pcie.link.gen.current', 'pcie.link.gen.gpucurrent'], range: 'count' },
	{ signal: 'pcieLinkGenMax', from: ['pcie.link.gen.max'], range: 'count' },
	{ signal: 'pcieLinkWidth', from: ['pcie.link.width.current'], range: 'count' },
	{ signal: 'pcieLinkWidthMax', from: ['pcie.link.width.max'], range: 'count' },
];

const flags: readonly FlagField[] = [
	{ signal: 'remapPending', from: ['remapped_rows.pending', 'retired_pages.pending'], yes: YES, no: NO },
	{ signal: 'remapFailed', from: ['remapped_rows.failure'], yes: YES, no: NO },
	{ signal: 'fabricHealthy', from: ['fabric.health.summary'], yes: ['healthy'], no: ['unhealthy', 'limited capacity'] },
];

/** Queried by default, the newest names first; an older driver is asked without those it does not know. */
export const nvidiaSmiFields: readonly string[] = Object.freeze([
	'uuid',
	'name',
	'pci.bus_id',
	'driver_version',
	'temperature.gpu.tlimit',
	'gpu_recovery_action',
	...smiNumbers.map(({ from }) => from[0] as string),
	...flags.flatMap(({ from }) => from),
]);

/** The command line that asks for the fields an nvidia-smi knows. */
export function nvidiaSmiArguments(unknown: ReadonlySet<string> = new Set()): readonly string[] {
	return [`--query-gpu=${nvidiaSmiFields.filter((field) => !unknown.has(field)).join(',')}`, '--format=csv'];
}

/** The field that nvidia-smi says it does not know; it then answers nothing at all. */
export function unknownSmiField(output: string): string | undefined {
	return /Field "([\w.]+)" is not a valid field to query/.exec(output)?.[1];
}

export const nvidiaSmiAdapter: GpuAdapter = {
	kind: 'nvidia_smi',
	read(text: string | Uint8Array, look: GpuLook): GpuReading {
		const drafts = new GpuDrafts(look.atMs);
		const lines = (typeof text === 'string' ? text : Buffer.from(text).toString('utf8')).split(/\r?\n/, 4096);
		let columns: readonly string[] | undefined;
		for (const line of lines) {
			const cells = cellsOf(line);
			// Warnings may stand before the table.
			if (columns === undefined) columns = cells.includes('uuid') ? cells.map(withoutUnit) : undefined;
			else if (cells.length > 1) row(drafts, columns, cells, look);
			else if (line.trim() !== '') drafts.unread(`row: ${line.trim()}`);
		}
		if (columns === undefined) drafts.unread(`output: no header with uuid: ${lines[0]?.trim() ?? ''}`);
		return drafts.finish();
	},
};

/** Cells of a line; names with commas are quoted. */
function cellsOf(line: string): readonly string[] {
	const cells: string[] = [''];
	let quoted = false;
	for (const char of line) {
		if (char === '"') quoted = !quoted;
		else if (char === ',' && !quoted) cells.push('');
		else cells[cells.length - 1] += char;
	}
	return cells.map((cell) => cell.trim());
}

function withoutUnit(title: string): string {
	return title.replace(/\s*\[[^\]]*\]$/, '').trim();
}

function row(drafts: GpuDrafts, columns: readonly string[], cells: readonly string[], look: GpuLook): void {
	const byName = new Map(columns.map((name, i) => [name, cells[i]]));
	const valueOf = (name: string): string | undefined => byName.get(name);
	const uuid = valueOf('uuid') ?? '';
	const draft = uuid === '' || isMissing(uuid) ? undefined : drafts.of(uuid);
	if (draft === undefined) {
		drafts.unread(`row: no uuid: ${cells.join(', ')}`);
		return;
	}
	draft.vendor('nvidia');
	draft.text('node', look.node);
	for (const [signal, name] of [
		['product', 'name'],
		['driverVersion', 'driver_version'],
		['pciBusId', 'pci.bus_id'],
	] as const) {
		const text = valueOf(name);
		if (text !== undefined && !isMissing(text)) draft.text(signal, signal === 'pciBusId' ? text.toLowerCase() : text);
	}
	fillNumbers(draft, smiNumbers, valueOf);
	fillFlags(draft, flags, valueOf);
	margin(draft, valueOf('temperature.gpu.tlimit'));
	recovery(draft, valueOf('gpu_recovery_action'));
	if (cells.some((cell) => /GPU is lost/i.test(cell))) draft.flag('healthy', false);
}

/** Newer devices tell how far they are from slowing down in place of the temperature at which they do. */
export function margin(draft: GpuDraft, text: string | undefined): void {
	const left = text === undefined || isMissing(text) ? Number.NaN : Number.parseFloat(text);
	const temperature = draft.get('temperatureC');
	if (temperature !== undefined && Number.isFinite(left))
		draft.number('slowdownTemperatureC', temperature + left, 'any');
}

export function recovery(draft: GpuDraft, text: string | undefined): void {
	if (text !== undefined && !isMissing(text)) draft.text('recoveryAction', text.trim().toLowerCase());
}
