// Owns measuring a store: at each look a few objects of random bytes are written, read back, compared and removed, and the prefix is listed for the age of
// the newest checkpoint. The store is asked for no more than `roundsPerLook` objects of `objectBytes` at a time, one after the other.
import { type Clock, type IoStateDelta, ioBounds } from '@infermesh/proto';
import { given, printable } from '../json-values.js';
import {
	type ListTimes,
	type ObjectStore,
	PROBE_PREFIX,
	type ReadTimes,
	StoreFailure,
	type WriteTimes,
} from './store.js';

export interface ProbeOptions {
	readonly objectBytes: number;
	readonly roundsPerLook: number;
	readonly node?: string;
	readonly jobId?: string;
}

export const probeDefaults: ProbeOptions = Object.freeze({ objectBytes: 1024 * 1024, roundsPerLook: 3 });

interface Round {
	readonly write: WriteTimes;
	readonly read: ReadTimes;
}

export class StoreProbe {
	readonly #store: ObjectStore;
	readonly #clock: Clock;
	readonly #randomBytes: (count: number) => Uint8Array;
	readonly #options: ProbeOptions;
	/** Tells the probes of several adapters of one store apart. */
	readonly #id: string;
	#number = 0;
	#lastMs: number | undefined;

	constructor(
		store: ObjectStore,
		clock: Clock,
		randomBytes: (count: number) => Uint8Array,
		options: Partial<ProbeOptions> = {},
	) {
		this.#store = store;
		this.#clock = clock;
		this.#randomBytes = randomBytes;
		this.#options = { ...probeDefaults, ...options };
		this.#id = Buffer.from(randomBytes(8)).toString('hex');
	}

	/** Never rejects: what the store refuses is in `failures` and `errors`. */
	async look(): Promise<IoStateDelta> {
		const failures: string[] = [];
		const unread: string[] = [];
		const rounds: Round[] = [];
		let requests = 0;
		const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
			requests++;
			try {
				return await work();
			} catch (error) {
				failures.push(error instanceof StoreFailure ? error.code : nameOf(error));
				return undefined;
			}
		};
		for (let round = 0; round < this.#options.roundsPerLook; round++) {
			const one = await this.#round(attempt);
			if (one !== undefined) rounds.push(one);
		}
		const listed = await attempt(() => this.#store.list());
		if (listed?.complete === false) unread.push('age: more objects than are listed; there may be a newer one');
		const nowMs = this.#clock.nowMs();
		const before = this.#lastMs;
		this.#lastMs = nowMs;
		return {
			observedAtMs: nowMs,
			source: this.#store.source,
			store: printable(this.#store.name, ioBounds.nameCharsMax),
			...given('node', this.#options.node),
			...given('jobId', this.#options.jobId),
			...given('intervalMs', before === undefined ? undefined : nowMs - before),
			probed: true,
			...this.#figures(rounds, listed),
			requests,
			failures: failures.length,
			errors: [...new Set(failures)].slice(0, ioBounds.errorsMax).map((code) => printable(code, 64)),
			unread,
		};
	}

	async #round(attempt: <T>(work: () => Promise<T>) => Promise<T | undefined>): Promise<Round | undefined> {
		const key = `${PROBE_PREFIX}${this.#id}-${++this.#number}`;
		const body = this.#randomBytes(this.#options.objectBytes);
		const write = await attempt(() => this.#store.write(key, body));
		if (write === undefined) return undefined;
		const read = await attempt(async () => {
			const times = await this.#store.read(key, body.length + 1);
			const same = times.bytes === body.length && (times.body === undefined || Buffer.compare(times.body, body) === 0);
			if (!same) throw new StoreFailure('corrupt', 'what was read is not what was written');
			return times;
		});
		await attempt(() => this.#store.remove(key));
		return read === undefined ? undefined : { write, read };
	}

	#figures(rounds: readonly Round[], listed: ListTimes | undefined): Pick<IoStateDelta, 'checkpoint' | 'dataset'> {
		const { objectBytes } = this.#options;
		const ageS =
			listed?.newestMs === undefined ? undefined : Math.max(0, (this.#clock.wallMs() - listed.newestMs) / 1000);
		const list = given('listDurationMs', listed?.totalMs);
		if (rounds.length === 0) return { checkpoint: { ...given('ageS', ageS) }, dataset: list };
		const writes = rounds.map(({ write }) => write.totalMs);
		const reads = rounds.map(({ read }) => read.totalMs);
		return {
			checkpoint: {
				durationMs: mean(writes),
				durationMsMax: Math.max(...writes),
				bytes: objectBytes,
				...given('bytesPerSec', perSec(objectBytes, mean(writes))),
				stallMs: mean(rounds.map(({ write }) => write.stallMs)),
				...given('ageS', ageS),
			},
			dataset: {
				readBytes: objectBytes * rounds.length,
				...given('readBytesPerSec', perSec(objectBytes, mean(reads))),
				readDurationMs: mean(reads),
				readDurationMsMax: Math.max(...reads),
				waitDurationMs: mean(rounds.map(({ read }) => read.firstMs)),
				...list,
			},
		};
	}
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

function perSec(bytes: number, ms: number): number | undefined {
	return ms > 0 ? (bytes * 1000) / ms : undefined;
}

/** A network failure by the system's code. */
function nameOf(error: unknown): string {
	const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
	return typeof code === 'string' ? code : typeof name === 'string' ? name : 'failed';
}
