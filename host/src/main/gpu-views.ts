// Owns what the admin API and `/metrics` show of GPUs.
import type { GpuRow } from '../admin/gpu-routes.js';
import type { TargetRecord } from '../fleet/registry.js';
import type { DeviceReport, GpuSignals } from '../signals/gpu-signals.js';
import type { CollectedSample } from '../telemetry/exposition.js';

const MIB = 2 ** 20;

/** Devices with the targets on each. */
export function gpuRows(
	signals: GpuSignals,
	targets: readonly TargetRecord[],
	heldBack: ReadonlySet<string>,
	nowMs: number,
): GpuRow[] {
	const users = new Map<string, string[]>();
	for (const { spec } of targets) {
		const { id, node, gpus, gpuShare } = spec;
		if (gpus === undefined) continue;
		for (const uuid of signals.summary({ id, node, gpus, gpuShare: gpuShare ?? 1 })?.uuids ?? [])
			users.set(uuid, [...(users.get(uuid) ?? []), id]);
	}
	return signals.devices(nowMs).map((report) => {
		const own = users.get(report.device.uuid) ?? [];
		return gpuRow(report, own, report.standing === 'quarantined' ? own.filter((id) => heldBack.has(id)) : [], nowMs);
	});
}

function gpuRow(
	{ device, standing, held, health, stale }: DeviceReport,
	targets: string[],
	heldBack: string[],
	nowMs: number,
): GpuRow {
	const { told } = device;
	return {
		id: device.uuid,
		node: told.node ?? '',
		index: told.index ?? null,
		product: told.product ?? '',
		parent: told.parentUuid ?? null,
		migProfile: told.migProfile ?? '',
		share: told.shareRatio ?? 1,
		standing,
		rules: held.map(({ rule, sinceMs }) => ({ rule, sinceMs })),
		health,
		stale,
		ageMs: Math.max(0, nowMs - device.heardMs),
		targets,
		heldBack,
		vramUsedMib: told.vramUsedMib ?? null,
		vramTotalMib: told.vramTotalMib ?? null,
		computeRatio: device.smoothed('computeRatio') ?? null,
		memoryRatio: device.smoothed('memoryRatio') ?? null,
		temperatureC: told.temperatureC ?? null,
		powerW: device.smoothed('powerW') ?? null,
		powerLimitW: told.powerLimitW ?? null,
		throttle: told.throttle ?? null,
		eccUncorrected: told.eccUncorrectedTotal ?? null,
		xids: [...device.xids.keys()],
		unread: [...told.unread],
	};
}

/** Gauges of devices; one that is stale shows its age and standing alone. */
export function gpuSamples(signals: GpuSignals, nowMs: number): CollectedSample[] {
	return signals.devices(nowMs).flatMap(({ device, standing, held, health, stale }) => {
		const { told } = device;
		const labels = [told.node ?? '', device.uuid, told.migProfile ?? ''];
		const values: readonly (readonly [CollectedSample['metric'], number | undefined])[] = [
			['gpuComputeRatio', device.smoothed('computeRatio')],
			['gpuMemoryRatio', device.smoothed('memoryRatio')],
			['gpuMemoryUsed', told.vramUsedMib === undefined ? undefined : told.vramUsedMib * MIB],
			['gpuMemoryTotal', told.vramTotalMib === undefined ? undefined : told.vramTotalMib * MIB],
			['gpuTemperature', told.temperatureC],
			['gpuPower', device.smoothed('powerW')],
			['gpuEccUncorrected', told.eccUncorrectedTotal],
			['gpuXid', told.xidLast],
		];
		const samples: CollectedSample[] = [
			{ metric: 'gpuHealth', labels, value: health },
			{ metric: 'gpuReportAge', labels, value: Math.max(0, nowMs - device.heardMs) / 1000 },
			{ metric: 'gpuStanding', labels: [...labels, standing], value: 1 },
		];
		for (const { rule } of held) samples.push({ metric: 'gpuHeld', labels: [...labels, rule], value: 1 });
		if (!stale) for (const [metric, value] of values) if (value !== undefined) samples.push({ metric, labels, value });
		return samples;
	});
}
