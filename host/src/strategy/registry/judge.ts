// Owns the verdict on modules before they are published: admission with a short memory, and the check of their settings. Every node can judge, whether
// it runs strategies or not.
import { createHash } from 'node:crypto';
import { type Clock, MeshError } from '@infermesh/proto';
import { type ConfigValues, encodeConfig } from '@infermesh/sdk';
import type { AdmissionReport } from '../admission/report.js';
import type { AdmittedModule } from '../admission/try-out.js';
import type { FuelBudget } from '../runtime/instance.js';
import { registryErrors } from './errors.js';
import type { Admit, ManagerOptions } from './ports.js';

export type Admitted = AdmittedModule & { readonly report: AdmissionReport };

/** Versions that may be loaded whatever the number of pools: the active one, the next, and the one before. */
const LOADED_ALWAYS = 3;
/** Verdicts remembered. */
const ADMISSIONS_KEPT_MAX = 4;

export type RoomOptions = Pick<ManagerOptions, 'loadedMax' | 'instancesMax' | 'instancesPerPool'>;

export interface JudgeOptions {
	readonly fuel: FuelBudget;
	readonly moduleBytesMax: number;
	/** Configuration of each strategy by name, from the mesh's own configuration. */
	readonly settings: Readonly<Record<string, ConfigValues>>;
}

export interface JudgePorts {
	readonly clock: Clock;
	readonly admit: Admit;
	/** One module was judged: for metrics and the log. */
	readonly admitted: (label: string, admitted: boolean, durationMs: number) => void;
}

/**
 * Whether a router with `loaded` versions has no room for one more: loading is where instances are bounded, so that what is loaded can always be
 * staged, quarantined and rolled back.
 */
export function isFull(loaded: number, servedPools: number, options: RoomOptions): boolean {
	if (loaded >= options.loadedMax) return true;
	return loaded >= LOADED_ALWAYS && (loaded + 1) * servedPools * options.instancesPerPool > options.instancesMax;
}

export class StrategyJudge {
	readonly #options: JudgeOptions;
	readonly #ports: JudgePorts;
	readonly #admissions = new Map<string, Promise<Admitted>>();

	constructor(options: JudgeOptions, ports: JudgePorts) {
		this.#options = options;
		this.#ports = ports;
	}

	/** Judges a module; the verdict on the last few is remembered, since who publishes a module loads it right after. IM_STRATEGY_REFUSED carries the report; IM_STRATEGY_KIND when it does not route requests. */
	admit(bytes: Uint8Array, sourceMap: string | undefined): Promise<Admitted> {
		const key = createHash('sha256')
			.update(bytes)
			.update(sourceMap ?? '')
			.digest('hex');
		const known = this.#admissions.get(key);
		if (known !== undefined) return known;
		const judged = this.#judge(bytes, sourceMap);
		this.#admissions.set(key, judged);
		for (const oldest of this.#admissions.keys()) {
			if (this.#admissions.size <= ADMISSIONS_KEPT_MAX) break;
			this.#admissions.delete(oldest);
		}
		// A refusal may have been for want of time: the next try is judged anew.
		judged.catch(() => this.#admissions.delete(key));
		return judged;
	}

	/** What the strategy is configured with: the values given, else those of the mesh's configuration. Throws when the manifest does not allow them. */
	configOf(manifest: AdmittedModule['manifest'], settings: ConfigValues | undefined): Uint32Array {
		return encodeConfig(manifest, settings ?? this.#options.settings[manifest.name] ?? {});
	}

	async #judge(bytes: Uint8Array, sourceMap: string | undefined): Promise<Admitted> {
		const began = this.#ports.clock.nowMs();
		const { fuel, moduleBytesMax } = this.#options;
		const { report, admitted } = await this.#ports.admit(bytes, {
			fuel,
			moduleBytesMax,
			sourceMap,
			calibration: { sizes: [16, 1024], decisions: 100, seed: 7 },
		});
		this.#ports.admitted(
			report.name === '' ? 'unknown' : `${report.name}@${report.version}`,
			admitted !== undefined,
			this.#ports.clock.nowMs() - began,
		);
		if (admitted === undefined) {
			const first = report.refusals[0];
			throw new MeshError(
				registryErrors,
				'IM_STRATEGY_REFUSED',
				first === undefined ? undefined : `${first.code}: ${first.message} (${first.where})`,
				{
					...(first === undefined ? {} : { hint: first.hint }),
					details: { report },
				},
			);
		}
		if (admitted.manifest.kind !== 'inference')
			throw new MeshError(registryErrors, 'IM_STRATEGY_KIND', `${report.name} is a ${report.kind} strategy`);
		return { ...admitted, report };
	}
}
