// Owns the bounds of the numbers of a simulation that nothing else checks: a scenario file has been through its schema, a spec made in code has not.
import { MeshError } from '@infermesh/proto';
import type { SimulationSpec } from '../spec.js';
import { simulationErrors } from './errors.js';

const ROUTERS_MAX = 1024;
const BINS_MAX = 100_000;

/** Throws IM_SIMULATION_SPEC with the field and its bounds. */
export function checkSpec({ seed, speed, signals, router, network, timelineBins, drainMs }: SimulationSpec): void {
	whole('seed', seed, 0, 0xffff_ffff);
	within('speed', speed, Number.MIN_VALUE, 1e9);
	whole('router.count', router.count, 1, ROUTERS_MAX);
	whole('router.retriesMax', router.retriesMax, 0, 1000);
	whole('router.holdMax', router.holdMax, 0, 1e9);
	within('router.exploration', router.exploration, 0, 1);
	whole('timelineBins', timelineBins, 0, BINS_MAX);
	within('network.transferBytesPerSecond', network.transferBytesPerSecond, 1, 1e18);
	const { delayMs, periodMs, prefixDelayMs } = signals;
	const { sameZoneMs, sameRegionMs, otherRegionMs } = network;
	const { decisionUs, peerDelayMs, holdMsMax, timeoutMs } = router;
	const times = { delayMs, periodMs, prefixDelayMs, sameZoneMs, sameRegionMs, otherRegionMs, decisionUs };
	for (const [name, value] of Object.entries({ ...times, peerDelayMs, holdMsMax, timeoutMs, drainMs: drainMs ?? 0 }))
		within(name, value, 0, 1e12);
}

function whole(name: string, value: number, least: number, most: number): void {
	if (!Number.isInteger(value)) throw refusal(name, value, `a whole number from ${least} to ${most}`);
	within(name, value, least, most);
}

function within(name: string, value: number, least: number, most: number): void {
	if (!(value >= least && value <= most)) throw refusal(name, value, `from ${least} to ${most}`);
}

function refusal(name: string, value: number, wanted: string): MeshError {
	return new MeshError(simulationErrors, 'IM_SIMULATION_SPEC', `${name} must be ${wanted}, not ${value}`, {
		where: name,
	});
}
