// Owns how the result of a run reads.
import { median, quantile } from '../bench/stats.js';
import { renderTable } from '../bench/table.js';
import { renderColumns } from '../sim/report.js';
import type { RunReport } from './run.js';

export interface FaultSummary {
	readonly fault: string;
	readonly count: number;
	readonly recoveryMedianMs: number;
	readonly recoveryMaxMs: number;
	readonly errors: Readonly<Record<string, number>>;
}

export function summaries(report: RunReport): readonly FaultSummary[] {
	return [...Map.groupBy(report.faults, ({ fault }) => fault)]
		.map(([fault, records]) => {
			const errors: Record<string, number> = {};
			for (const record of records)
				for (const [code, count] of Object.entries(record.errors)) errors[code] = (errors[code] ?? 0) + count;
			const recoveries = records.map(({ recoveryMs }) => recoveryMs);
			return {
				fault,
				count: records.length,
				recoveryMedianMs: Math.round(median(recoveries)),
				recoveryMaxMs: Math.round(quantile(recoveries, 1)),
				errors,
			};
		})
		.sort((a, b) => (a.fault < b.fault ? -1 : 1));
}

const counts = (by: Readonly<Record<string, number>>): string =>
	Object.entries(by)
		.sort(([, a], [, b]) => b - a)
		.map(([name, count]) => `${name.replace(/^IM_/, '')} ${count}`)
		.join(', ');

export function renderReport(report: RunReport): string {
	const { streams, completed } = report;
	const all = summaries(report);
	const table = renderTable({
		title: `chaos: seed ${report.seed}, ${report.nodes} nodes, ${Math.round(report.seconds)} s${report.interrupted ? ', interrupted' : ''}`,
		columns: ['fault', 'count', 'back: median ms', 'max ms'],
		rows: all.map(({ fault, count, recoveryMedianMs, recoveryMaxMs }) => [
			fault,
			count,
			recoveryMedianMs,
			recoveryMaxMs,
		]),
		aims: [],
		notes: [
			'back: from the beginning of healing until a write has gone through every node, processes that start included',
			...Object.entries(report.missing).map(([name, why]) => `without ${name}: ${why}`),
		],
	});
	const failed = renderColumns(all.map(({ fault, errors }) => [fault, counts(errors) || 'none']));
	const sum = (...kinds: readonly string[]): number => kinds.reduce((so, kind) => so + (completed[kind] ?? 0), 0);
	const lines = [
		`operations      ${sum('read', 'write', 'swap', 'delete', 'ledger write')} answered (${counts(completed)})`,
		`while calm      ${report.calms.length === 0 ? '-' : `${Math.round(median(report.calms))} a second (median), ${Math.round(Math.min(...report.calms))} least, floor ${report.floorPerSecond}`}`,
		`linearizable    ${report.histories} histories judged, each with a last read at every node`,
		`writes kept     ${report.ledger} acknowledged writes read again at every node`,
		`watches         ${report.told} revisions told over all nodes, compared with each other and with what was acknowledged`,
		`lock            ${report.owners} owners, ${completed['guarded write'] ?? 0} guarded writes`,
		`streams         ${streams.completed} whole, ${streams.dropped} dropped, ${streams.routerKilled} cut with their killed router, ${streams.refused} refused`,
		`failed calls    ${counts(report.errors) || 'none'}`,
		report.violationsTotal === 0
			? 'nothing was violated'
			: `${report.violationsTotal} VIOLATIONS\n${report.violations.map(({ atS, what }) => `  at ${atS} s: ${what}`).join('\n')}`,
		...(report.folder === undefined ? [] : [`logs and histories: ${report.folder}`]),
	];
	return `${table}\nfailed calls from strike to recovery, by code\n${failed}\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
