// Owns the admission report for an author: the verdict the mesh would give, with the figures behind it, as text.
import type { Clock } from '@infermesh/proto';
import { inspectModule } from '../strategy/admission/inspect.js';
import { defaultAdmissionLimits } from '../strategy/admission/limits.js';
import type { AdmissionReport } from '../strategy/admission/report.js';
import { type InspectOptions, inspectDefaults } from '../strategy/admission/try-out.js';
import { isLibrary, patientLimits } from '../strategy/native/code.js';
import { buildNativeEngine } from '../strategy/native/engine.js';
import { deciderDefaults } from '../strategy/runtime/decider.js';
import { openStrategy, type PrepareOptions } from './prepare.js';
import { table } from './table.js';

export interface CheckOptions extends PrepareOptions {
	readonly inspect?: Partial<InspectOptions>;
}

/** What an author's check inspects with: the mesh's own defaults. */
export const authorInspection: InspectOptions = {
	...inspectDefaults,
	fuel: deciderDefaults.fuel,
	moduleBytesMax: defaultAdmissionLimits.moduleBytesMax,
};

/** Inspects a project folder, a `.wasm` or `.so`, or a shipped strategy as the mesh does. A refusal is a report; what is no strategy at all throws. */
export async function checkProject(where: string, clock: Clock, options: CheckOptions = {}): Promise<AdmissionReport> {
	const { wasm, sourceMap } = await openStrategy(where, options);
	return inspectForAuthor(wasm, { sourceMap, ...options.inspect }, clock);
}

/** The mesh's verdict on a module or library, here and now. */
export async function inspectForAuthor(
	bytes: Uint8Array,
	options: Partial<InspectOptions>,
	clock: Clock,
): Promise<AdmissionReport> {
	const native = isLibrary(bytes) ? { native: { engine: await buildNativeEngine(), limits: patientLimits } } : {};
	return inspectModule(bytes, { ...authorInspection, ...native, ...options }, clock).report;
}

/** Text of a report: refusals with place and hint, or the figures. */
export function renderCheck(report: AdmissionReport): string {
	const name = report.name === '' ? 'module' : `${report.name}@${report.version}`;
	const lines = [`${name}: ${report.admitted ? 'admitted' : 'refused'}`];
	const isModule = report.platform === 'wasm';
	for (const refusal of report.refusals)
		lines.push(`  ${refusal.code}: ${refusal.message}`, `    at    ${refusal.where}`, `    hint  ${refusal.hint}`);
	if (report.digest !== '') {
		const loops = Object.entries(report.loops).map(([hook, note]) => `${hook} ${note}`);
		const facts: (readonly [string, string])[] = [
			['digest', report.digest],
			['kind', `${report.kind}, ABI ${report.abi}, hooks ${report.hooks.join(', ')}`],
			...(isModule
				? [
						[
							'size',
							`${report.moduleBytes} bytes, metered ${report.meteredBytes}; ${report.functions} functions`,
						] as const,
						['loops', loops.join(', ')] as const,
					]
				: [['size', `${report.moduleBytes} bytes, for ${report.platform}`] as const]),
			['columns', report.columns.join(', ') || 'none'],
			['state', report.stateBytes === 0 ? 'none' : `${report.stateBytes} bytes`],
		];
		lines.push(...facts.map(([label, text]) => `  ${label.padEnd(8)} ${text}`));
	}
	for (const finding of report.conformance)
		lines.push(
			`  ${finding.ok ? 'ok  ' : 'FAIL'}  ${finding.check}${finding.detail === '' ? '' : `: ${finding.detail}`}`,
		);
	if (report.sizes.length > 0) {
		const rows = report.sizes.map((size) => [
			String(size.targets),
			...(isModule
				? [String(size.fuelP50), String(size.fuelMax), `${((100 * size.fuelMax) / size.fuelBudget).toFixed(1)}%`]
				: []),
			size.timeP50Us.toFixed(2),
			size.timeP99Us.toFixed(2),
		]);
		const fuel = isModule ? ['fuel p50', 'fuel max', 'of budget'] : [];
		lines.push(table(['targets', ...fuel, 'p50 µs', 'p99 µs'], rows));
		if (isModule) lines.push(`  one unit of fuel takes ${report.nsPerFuel.toFixed(3)} ns on this machine`);
	}
	return `${lines.join('\n')}\n`;
}
