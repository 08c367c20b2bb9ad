// Owns the adapters of collectives, networks and stores that a node runs itself, as its configuration names them: each at its own pace, one look at a time.
// What they see goes where reports from outside go.
import {
	adapterKind,
	adapterKinds,
	lookFailed,
	type OpenAdapter,
	openAdapter,
	systemEffects,
} from '@infermesh/adapters';
import { type Clock, type CommStatsDelta, type IoStateDelta, MeshError, type Timer } from '@infermesh/proto';
import { configErrors } from '../config/errors.js';
import type { MeshConfig } from '../config/schema.js';

/** What reports. */
export interface AdapterOrigin {
	readonly caller: string;
	readonly adapter: string;
}

export interface OwnAdapterPorts {
	readonly clock: Clock;
	readonly randomBytes: (count: number) => Uint8Array;
	readonly reports: {
		readonly comm: (delta: CommStatsDelta, origin: AdapterOrigin) => void;
		readonly io: (delta: IoStateDelta, origin: AdapterOrigin) => void;
	};
	readonly warn: (fields: Readonly<Record<string, unknown>>, message: string) => void;
}

/** After a look that failed the next one is later, up to this long. */
const FAILED_PERIOD_MAX_MS = 60_000;

class RunningAdapter {
	readonly #name: string;
	readonly #adapter: OpenAdapter;
	readonly #periodMs: number;
	readonly #ports: OwnAdapterPorts;
	#timer: Timer | undefined;
	#failures = 0;
	#closed = false;

	constructor(name: string, adapter: OpenAdapter, periodMs: number, ports: OwnAdapterPorts) {
		this.#name = name;
		this.#adapter = adapter;
		this.#periodMs = periodMs;
		this.#ports = ports;
		void this.#look();
	}

	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
		this.#adapter.close();
	}

	async #look(): Promise<void> {
		const { clock, reports, warn } = this.#ports;
		try {
			for (const { delta } of await this.#adapter.look())
				if ('collectives' in delta) reports.comm(delta, { caller: 'local', adapter: this.#name });
				else if ('store' in delta) reports.io(delta, { caller: 'local', adapter: this.#name });
			this.#failures = 0;
		} catch (error) {
			// Said once: what stays away is not news.
			if (this.#failures++ === 0) warn({ error: lookFailed(this.#name, error).message }, 'an adapter sees nothing');
		}
		if (this.#closed) return;
		const slower = Math.min(FAILED_PERIOD_MAX_MS, this.#periodMs * 2 ** Math.min(this.#failures, 10));
		this.#timer = clock.after(
			this.#failures === 0 ? this.#periodMs : Math.max(this.#periodMs, slower),
			() => void this.#look(),
			{
				unref: true,
			},
		);
	}
}

/** Opens them all. Rejects with IM_CONFIG_INVALID for one that cannot be: its kind or a setting is wrong. */
export async function runOwnAdapters(
	{ adapters, node }: Pick<MeshConfig, 'adapters' | 'node'>,
	ports: OwnAdapterPorts,
): Promise<{ close(): void }> {
	const effects = systemEffects(ports.clock, ports.randomBytes);
	const running: RunningAdapter[] = [];
	const close = (): void => {
		for (const one of running) one.close();
	};
	for (const [at, { kind, period_ms, job_id, settings, ...secrets }] of adapters.entries()) {
		try {
			const { periodMs, stream } = adapterKind(kind);
			if (stream !== 'comm' && stream !== 'io') throw wrong(at, `${kind} is not one of ${ownKinds().join(', ')}`);
			const given = Object.entries(secrets).filter((entry): entry is [string, string] => entry[1] !== undefined);
			const context = { effects, node: node.id, jobId: job_id };
			const adapter = await openAdapter(kind, { ...settings, ...Object.fromEntries(given) }, context);
			running.push(new RunningAdapter(kind, adapter, period_ms === 0 ? periodMs : period_ms, ports));
		} catch (error) {
			close();
			throw error instanceof MeshError ? wrong(at, error.message) : error;
		}
	}
	return { close };
}

const ownKinds = (): readonly string[] =>
	adapterKinds.filter(({ stream }) => stream === 'comm' || stream === 'io').map(({ name }) => name);

function wrong(at: number, message: string): MeshError {
	return new MeshError(configErrors, 'IM_CONFIG_INVALID', message, { where: `adapters/${at}` });
}
