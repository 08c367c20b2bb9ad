// Owns what rules of quarantine may ask of a device: numbers by name, taken from what its sources told. A fact that is not known is absent, and a rule
// on it keeps its state.
import type { Device } from './device.js';

/** Facts by name, with what they mean; flags are 0 or 1. */
export const factMeanings = Object.freeze({
	xid: 'XIDs seen since the driver was loaded',
	xid_recent: 'XIDs seen in the last ten minutes',
	ecc_uncorrected: 'uncorrected ECC errors since the driver was loaded or the device was released by hand',
	remap_failed: 'a row of memory could not be remapped',
	remap_pending: 'rows or pages wait for a reset to be remapped',
	remapped_rows: 'rows remapped after uncorrected errors',
	unhealthy: 'the vendor’s own verdict is that the device is not healthy',
	recovery_asked: 'the driver asks for a reset, a reboot or a drain',
	temperature_c: 'core temperature, °C',
	memory_temperature_c: 'temperature of the device memory, °C',
	temperature_margin_c: 'degrees below the temperature at which the device slows itself down',
	throttle: 'clock event reasons in force, by NVML’s bits',
	power_ratio: 'power by the limit in force',
	link_errors_per_min: 'errors a minute on links to other devices',
	links_down: 'links to other devices that are down',
	fabric_unhealthy: 'the NVLink fabric is degraded or not joined',
	pcie_replays_per_min: 'PCIe replays a minute',
	pcie_width_ratio: 'PCIe lanes in use by those the device and slot have',
	network_degraded: 'links of the device’s node that reports call degraded',
});

export type FactName = keyof typeof factMeanings;
export const factNames = Object.keys(factMeanings) as readonly FactName[];

/** One number, or several of which any may meet a rule. */
export type FactValue = number | readonly number[];
export type Facts = { readonly [K in FactName]?: FactValue };

const asNumber = (flag: boolean | undefined): number | undefined => (flag === undefined ? undefined : flag ? 1 : 0);

/** The facts of a device that is heard of, at `nowMs`. `linksDegraded`: of its node. */
export function factsOf(device: Device, linksDegraded: number, nowMs: number): Facts {
	const { told } = device;
	const ratio = (part: number | undefined, whole: number | undefined): number | undefined =>
		part === undefined || whole === undefined || whole <= 0 ? undefined : part / whole;
	const { slowdownTemperatureC: limit, temperatureC, recoveryAction } = told;
	const known: { readonly [K in FactName]: FactValue | undefined } = {
		xid: device.xidsKnown ? [...device.xids.keys()] : undefined,
		xid_recent: device.xidsKnown ? device.recentXids(nowMs) : undefined,
		ecc_uncorrected:
			told.eccUncorrectedTotal === undefined ? undefined : Math.max(0, told.eccUncorrectedTotal - device.eccBase),
		remap_failed: asNumber(told.remapFailed),
		remap_pending: asNumber(told.remapPending),
		remapped_rows: told.remappedRowsUncorrected,
		unhealthy: told.healthy === undefined ? undefined : told.healthy ? 0 : 1,
		recovery_asked: recoveryAction === undefined || recoveryAction === 'none' ? 0 : 1,
		temperature_c: temperatureC,
		memory_temperature_c: told.memoryTemperatureC,
		temperature_margin_c: limit === undefined || temperatureC === undefined ? undefined : limit - temperatureC,
		throttle: told.throttle,
		power_ratio: ratio(told.powerW, told.powerLimitW),
		link_errors_per_min: device.perMinute('linkErrorsTotal'),
		links_down: told.linksDown,
		fabric_unhealthy: told.fabricHealthy === undefined ? undefined : told.fabricHealthy ? 0 : 1,
		pcie_replays_per_min: device.perMinute('pcieReplaysTotal'),
		pcie_width_ratio: ratio(told.pcieLinkWidth, told.pcieLinkWidthMax),
		network_degraded: linksDegraded,
	};
	return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)) as Facts;
}
