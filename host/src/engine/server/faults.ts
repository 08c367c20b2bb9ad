// Owns the fault switches of a served engine: their settings, their seeded draws and how often each has fired.
// Each switch draws from its own random stream, so turning one on does not change what another does.
import { MeshError, SeededRandom } from '@infermesh/proto';
import { engineErrors } from '../errors.js';

/** Fault switches. Absent or null is off; a probability is drawn for each request (or connection) and defaults to 1. */
export interface FaultSettings {
	/** Every step takes `factor` times as long. */
	readonly slow?: { readonly factor: number } | null;
	/** Answer with this status and an OpenAI-shaped error. */
	readonly error?: { readonly status: number; readonly probability?: number } | null;
	/** Take the request and never answer. */
	readonly hang?: { readonly probability?: number } | null;
	/** Go silent after this many tokens of a request. */
	readonly hangAfterTokens?: { readonly tokens: number; readonly probability?: number } | null;
	/** Destroy the socket after this many tokens of a request. */
	readonly dieAfterTokens?: { readonly tokens: number; readonly probability?: number } | null;
	/** Declare a content-length that is wrong by `deltaBytes` on unstreamed answers. */
	readonly wrongLength?: { readonly deltaBytes: number; readonly probability?: number } | null;
	/**
	 * Reset connections as they are accepted, `connectionsMax` of them at most (default 1,000), so that /_fault comes
	 * back.
	 */
	readonly resetOnAccept?: { readonly probability?: number; readonly connectionsMax?: number } | null;
}

export type FaultName = keyof FaultSettings;

type Fields = Readonly<
	Record<string, { readonly minimum: number; readonly maximum: number; readonly required: boolean }>
>;

const PROBABILITY = { minimum: 0, maximum: 1, required: false };

const SWITCHES: Readonly<Record<FaultName, Fields>> = {
	slow: { factor: { minimum: 0.001, maximum: 1e6, required: true } },
	error: { status: { minimum: 400, maximum: 599, required: true }, probability: PROBABILITY },
	hang: { probability: PROBABILITY },
	hangAfterTokens: { tokens: { minimum: 0, maximum: 1e9, required: true }, probability: PROBABILITY },
	dieAfterTokens: { tokens: { minimum: 0, maximum: 1e9, required: true }, probability: PROBABILITY },
	wrongLength: { deltaBytes: { minimum: -1e6, maximum: 1e6, required: true }, probability: PROBABILITY },
	resetOnAccept: { probability: PROBABILITY, connectionsMax: { minimum: 1, maximum: 1e9, required: false } },
};

const NAMES = Object.keys(SWITCHES) as FaultName[];
const RESET_CONNECTIONS_MAX = 1000;
/** Offset of the random streams of faults, away from those of texts and ids. */
const STREAM_BASE = 1000;

export class FaultSwitches {
	#settings: FaultSettings = {};
	readonly #randoms = new Map<FaultName, SeededRandom>();
	readonly #fired = new Map<FaultName, number>();
	readonly #onChange: (settings: FaultSettings) => void;
	#resetsLeft = 0;

	/** `onChange` is told the settings at once and after each change. */
	constructor(seed: number, settings: FaultSettings, onChange: (settings: FaultSettings) => void) {
		for (const [i, name] of NAMES.entries()) {
			this.#randoms.set(name, new SeededRandom(seed, STREAM_BASE + i));
			this.#fired.set(name, 0);
		}
		this.#onChange = onChange;
		this.apply(settings);
	}

	get settings(): FaultSettings {
		return this.#settings;
	}

	/** How often each switch has fired; `slow` is a state and is not counted. */
	get fired(): Record<string, number> {
		return Object.fromEntries(this.#fired);
	}

	/**
	 * Merges a patch of switches (null turns one off); throws `IM_ENGINE_REQUEST_INVALID` and changes nothing when it is
	 * wrong.
	 */
	apply(patch: unknown): void {
		if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
			invalid('', 'must be an object of switches');
		for (const [name, value] of Object.entries(patch)) checkSwitch(name, value);
		const merged = { ...this.#settings, ...(patch as FaultSettings) };
		this.#settings = Object.fromEntries(
			Object.entries(merged).filter(([, value]) => value !== null && value !== undefined),
		);
		if ('resetOnAccept' in patch) {
			this.#resetsLeft = this.#settings.resetOnAccept?.connectionsMax ?? RESET_CONNECTIONS_MAX;
		}
		this.#onChange(this.#settings);
	}

	/** Whether this switch fires now; counts it when it does. */
	fires(name: Exclude<FaultName, 'slow'>): boolean {
		const setting = this.#settings[name];
		if (setting === undefined || setting === null) return false;
		if (name === 'resetOnAccept' && this.#resetsLeft <= 0) return false;
		const random = this.#randoms.get(name);
		if (random === undefined || random.nextFloat() >= (setting.probability ?? 1)) return false;
		if (name === 'resetOnAccept') this.#resetsLeft--;
		this.#fired.set(name, (this.#fired.get(name) ?? 0) + 1);
		return true;
	}
}

function checkSwitch(name: string, value: unknown): void {
	const fields = (SWITCHES as Readonly<Record<string, Fields | undefined>>)[name];
	if (fields === undefined) invalid(name, `is not a fault switch; there are: ${NAMES.join(', ')}`);
	if (value === null || value === undefined) return;
	if (typeof value !== 'object') invalid(name, 'must be an object, or null to turn the switch off');
	const given = value as Readonly<Record<string, unknown>>;
	for (const key of Object.keys(given)) {
		if (fields[key] === undefined)
			invalid(`${name}.${key}`, `is not a field; there are: ${Object.keys(fields).join(', ')}`);
	}
	for (const [key, { minimum, maximum, required }] of Object.entries(fields)) {
		const number = given[key];
		if (number === undefined && !required) continue;
		if (typeof number !== 'number' || !(number >= minimum && number <= maximum)) {
			invalid(`${name}.${key}`, `must be a number from ${minimum} to ${maximum}`);
		}
	}
}

function invalid(where: string, problem: string): never {
	throw new MeshError(engineErrors, 'IM_ENGINE_REQUEST_INVALID', `fault ${where} ${problem}`.replace('  ', ' '), {
		where,
	});
}
