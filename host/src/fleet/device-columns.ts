// Owns the columns of a target's devices.
import {
	COLUMN_ECC_UNCORRECTED,
	COLUMN_GPU_AT_MS,
	COLUMN_GPU_HEALTH,
	COLUMN_MEMORY_UTILIZATION,
	COLUMN_MIG_FRACTION,
	COLUMN_POWER_LIMIT_W,
	COLUMN_POWER_W,
	COLUMN_SM_UTILIZATION,
	COLUMN_TEMPERATURE_C,
	COLUMN_THROTTLE,
	COLUMN_VRAM_TOTAL_MIB,
	COLUMN_VRAM_USED_MIB,
} from '@infermesh/sdk';
import type { DeviceSummary } from '../signals/gpu-signals.js';
import type { FleetTableWriter } from './table.js';

/** Writes what is known; a signal that no source tells keeps its last value, whose age `gpu_at_ms` shows. */
export function writeDevices(table: FleetTableWriter, row: number, summary: DeviceSummary): void {
	const put = (column: number, value: number | undefined): void => {
		if (value !== undefined) table.setF32(column, row, value);
	};
	put(COLUMN_VRAM_USED_MIB, summary.vramUsedMib);
	put(COLUMN_VRAM_TOTAL_MIB, summary.vramTotalMib);
	put(COLUMN_SM_UTILIZATION, summary.computeRatio);
	put(COLUMN_MEMORY_UTILIZATION, summary.memoryRatio);
	put(COLUMN_TEMPERATURE_C, summary.temperatureC);
	put(COLUMN_POWER_W, summary.powerW);
	put(COLUMN_POWER_LIMIT_W, summary.powerLimitW);
	put(COLUMN_ECC_UNCORRECTED, summary.eccUncorrected);
	put(COLUMN_MIG_FRACTION, summary.shareRatio);
	put(COLUMN_GPU_HEALTH, summary.health);
	table.setU32(COLUMN_THROTTLE, row, summary.throttle);
	table.setU32(COLUMN_GPU_AT_MS, row, summary.heardMs % 0x1_0000_0000);
}
