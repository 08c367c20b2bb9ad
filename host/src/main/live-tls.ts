// Owns the certificates of the data plane over time: their files are looked at again and again, and what has changed is told to all who use it, so that a rotation
// needs no restart. Files that cannot be read, or do not belong together (a rotation writes one after the other), change nothing: what was read before stays.
import type { Clock, Timer } from '@infermesh/proto';
import type { MeshConfig } from '../config/schema.js';
import type { DataPlaneTls } from '../router/tls.js';
import type { Log } from '../telemetry/logger.js';
import { readTlsFiles } from './tls-files.js';

export interface LiveTlsPorts {
	readonly clock: Clock;
	readonly log: Pick<Log, 'info' | 'warn'>;
	/** A change was taken, or could not be. */
	readonly reloaded: (result: 'ok' | 'error') => void;
}

type Listener = (tls: DataPlaneTls) => void;

export class LiveTls {
	readonly #data: MeshConfig['data'];
	readonly #ports: LiveTlsPorts;
	readonly #listeners: Listener[] = [];
	readonly #looking: Timer | undefined;
	#current: DataPlaneTls;
	#seen: string;
	/** Why the files as they stand are not used; '' = they are. */
	#wrong = '';

	/** Reads the files. Throws IM_CONFIG_TLS_FILES: a node does not start with wrong ones. */
	constructor(data: MeshConfig['data'], ports: LiveTlsPorts) {
		this.#data = data;
		this.#ports = ports;
		this.#current = readTlsFiles(data);
		this.#seen = JSON.stringify(this.#current);
		const named = data.tls.cert_file ?? data.upstream.ca_file ?? data.upstream.cert_file;
		if (named === undefined || data.tls_reload_ms === 0) return;
		this.#looking = ports.clock.every(data.tls_reload_ms, () => this.#look(), { unref: true });
	}

	get current(): DataPlaneTls {
		return this.#current;
	}

	/** Calls `listener` with each change from now on. */
	onChange(listener: Listener): void {
		this.#listeners.push(listener);
	}

	close(): void {
		this.#looking?.cancel();
	}

	#look(): void {
		let read: DataPlaneTls;
		try {
			read = readTlsFiles(this.#data);
		} catch (error) {
			return this.#refuse(String(error));
		}
		this.#wrong = '';
		const text = JSON.stringify(read);
		if (text === this.#seen) return;
		this.#seen = text;
		this.#current = read;
		this.#ports.reloaded('ok');
		this.#ports.log.info({}, 'certificates of the data plane have changed and are in use');
		for (const listener of this.#listeners) listener(read);
	}

	/** Told when it begins, not with every look. */
	#refuse(error: string): void {
		if (error === this.#wrong) return;
		this.#wrong = error;
		this.#ports.reloaded('error');
		this.#ports.log.warn({ error }, 'changed certificates of the data plane cannot be used; those before stay');
	}
}
