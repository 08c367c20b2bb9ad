// Owns sample outputs of GPU sources of which no licensed capture was found: a DCGM exporter with profiling fields on H100s, one of them cut by MIG,
// and `amd-smi`. They were written for these tests from the projects' descriptions, not taken from running machines.

export interface DcgmDevice {
	readonly uuid: string;
	readonly index: number;
	/** MIG slice, `1g.10gb` and instance. */
	readonly slice?: readonly [profile: string, instance: number];
	/** Values by field, without `DCGM_FI_`. */
	readonly values: Readonly<Record<string, number>>;
	/** How often each XID came in the exporter's window. */
	readonly xids?: Readonly<Record<number, number>>;
}

/** The page of an exporter of 2026: `hostname` in small letters. */
export function dcgmPage(devices: readonly DcgmDevice[], host = 'gpu-node-1'): string {
	const lines: string[] = [];
	for (const { uuid, index, slice, values, xids } of devices) {
		const mig = slice === undefined ? '' : `,GPU_I_PROFILE="${slice[0]}",GPU_I_ID="${slice[1]}"`;
		const labels = `gpu="${index}",UUID="${uuid}",pci_bus_id="00000000:0${index}:00.0",device="nvidia${index}",modelName="NVIDIA H100 80GB HBM3"${mig},hostname="${host}",DCGM_FI_DRIVER_VERSION="570.86.15"`;
		for (const [field, value] of Object.entries(values)) lines.push(`DCGM_FI_${field}{${labels}} ${value}`);
		for (const [xid, count] of Object.entries(xids ?? {}))
			lines.push(`DCGM_EXP_XID_ERRORS_COUNT{${labels},window_size_in_ms="300000",xid="${xid}"} ${count}`);
	}
	return `${lines.join('\n')}\n`;
}

/** `amd-smi metric --json`, as of ROCm 6.3. */
export const amdSmiSample = JSON.stringify([
	{
		gpu: 0,
		usage: { gfx_activity: { value: 87, unit: '%' }, umc_activity: { value: 12, unit: '%' }, mm_activity: 'N/A' },
		power: { socket_power: { value: 612, unit: 'W' }, gfx_voltage: 'N/A' },
		clock: { gfx_0: { clk: { value: 2100, unit: 'MHz' } }, mem_0: { clk: { value: 1300, unit: 'MHz' } } },
		temperature: { edge: 'N/A', hotspot: { value: 71, unit: 'C' }, mem: { value: 60, unit: 'C' } },
		pcie: { width: 16, speed: { value: 32, unit: 'GT/s' }, replay_count: 3 },
		ecc: { total_correctable_count: 5, total_uncorrectable_count: 1, total_deferred_count: 0 },
		mem_usage: { total_vram: { value: 196_592, unit: 'MB' }, used_vram: { value: 1000, unit: 'MB' } },
	},
	{ gpu: 1, usage: 'N/A', power: { socket_power: 'much' } },
]);
