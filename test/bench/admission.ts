// Owns the figures of admission: the child process one module is admitted in, its CPU and time, cold and warm; and what the process that
// asked for it feels meanwhile.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { AdmissionService, admissionServiceDefaults, fuelDefaults, openStrategy, systemClock } from '@infermesh/host';
import type { Bench, Table } from './bench.js';
import { median, quantile } from './stats.js';

const ROUNDS = 12;
/** As the strategy host asks for it. */
const CALIBRATION = { sizes: [16, 1024], decisions: 100, seed: 7 } as const;
const MODULE_BYTES_MAX = 1024 * 1024;
const LAG_RESOLUTION_MS = 1;

interface Admitted {
	readonly cpuMs: number;
	readonly wallMs: number;
	readonly lagMs: number;
}

export const admissionBench: Bench = {
	name: 'admission',
	summary: 'CPU of admitting a module in its child process; lag of the process that asks',
	run: async (context) => {
		const rows: (string | number)[][] = [];
		let typicalCpuMs = Number.NaN;
		for (const name of ['hybrid_mesh', 'least_queue']) {
			const { wasm } = await openStrategy(name);
			const cold = await admitOnce(wasm);
			const warm: Admitted[] = [];
			for (let round = 0; round < (context.quick ? 3 : ROUNDS); round++) warm.push(await admitOnce(wasm));
			context.progress(`  ${name}`);
			const cpu = warm.map((one) => one.cpuMs);
			if (name === 'hybrid_mesh') typicalCpuMs = median(cpu);
			rows.push([
				name,
				wasm.length,
				cold.cpuMs,
				median(cpu),
				quantile(cpu, 1),
				median(warm.map((one) => one.wallMs)),
				quantile(
					warm.map((one) => one.lagMs),
					1,
				),
			]);
		}
		return [admissionTable(rows, typicalCpuMs)];
	},
};

/** One child process. The pages of Node and of the module are in the page cache after the first: that is what warm means here. */
async function admitOnce(wasm: Uint8Array): Promise<Admitted> {
	const service = new AdmissionService(admissionServiceDefaults, systemClock);
	const delay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
	delay.enable();
	const from = performance.now();
	const { report } = await service.admit(wasm, {
		fuel: fuelDefaults,
		moduleBytesMax: MODULE_BYTES_MAX,
		sourceMap: undefined,
		calibration: CALIBRATION,
	});
	const wallMs = performance.now() - from;
	delay.disable();
	if (!report.admitted) throw new Error(`not admitted: ${report.refusals[0]?.message ?? ''}`);
	return { cpuMs: report.cpuMs, wallMs, lagMs: Math.max(0, delay.max / 1e6 - LAG_RESOLUTION_MS) };
}

function admissionTable(rows: readonly (readonly (string | number)[])[], cpuMs: number): Table {
	return {
		title: 'Admission in its child process, ms',
		columns: ['', 'bytes', 'first CPU', 'CPU p50', 'CPU max', 'wall p50', 'lag max'],
		rows,
		aims: [{ what: 'CPU of hybrid_mesh, warm', figure: cpuMs, atMost: 300, unit: 'ms' }],
		notes: [
			'CPU: user + system of the child, its start included; scan, metering, compilation, conformance, calibration at 16 and 1,024',
			'lag: longest delay of a 1 ms timer in the process that waits for the child',
		],
	};
}
