// Owns certificates over time: their files are looked at again and again, and what has changed is told to all who use it, so that a rotation needs no restart.
// Files that cannot be read, or do not belong together (a rotation writes one after the other), change nothing: what was read before stays.
import type { Clock, Timer } from '@infermesh/proto';
import type { AdminTls } from '../admin/tls.js';
import type { MeshConfig } from '../config/schema.js';
import type { DataPlaneTls } from '../router/tls.js';
import type { Log } from '../telemetry/logger.js';
import type { TlsUser } from '../telemetry/mesh-metrics.js';
import { readAdminTls, readTlsFiles } from './tls-files.js';

export interface LiveTlsPorts {
	readonly clock: Clock;
	readonly log: Pick<Log, 'info' | 'warn'>;
	/** A change was taken, or could not be. */
	readonly reloaded: (of: TlsUser, result: 'ok' | 'error') => void;
}

interface Files<T> {
	readonly of: TlsUser;
	/** As logs name who shows them. */
	readonly whose: string;
	/** Throws IM_CONFIG_TLS_FILES. */
	readonly read: () => T;
	/** 0 = they are not looked at again. */
	readonly periodMs: number;
}

export class LiveFiles<T> {
	readonly #files: Files<T>;
	readonly #ports: LiveTlsPorts;
	readonly #listeners: ((read: T) => void)[] = [];
	readonly #looking: Timer | undefined;
	#current: T;
	#seen: string | undefined;
	/** Why the files as they stand are not used; '' = they are. */
	#wrong = '';

	/** Reads the files. Throws IM_CONFIG_TLS_FILES: a node does not start with wrong ones. */
	constructor(files: Files<T>, ports: LiveTlsPorts) {
		this.#files = files;
		this.#ports = ports;
		this.#current = files.read();
		this.#seen = JSON.stringify(this.#current);
		if (files.periodMs === 0) return;
		this.#looking = ports.clock.every(files.periodMs, () => this.#look(), { unref: true });
	}

	get current(): T {
		return this.#current;
	}

	/** Calls `listener` with each change from now on. */
	onChange(listener: (read: T) => void): void {
		this.#listeners.push(listener);
	}

	close(): void {
		this.#looking?.cancel();
	}

	#look(): void {
		const { of, whose, read: readFiles } = this.#files;
		let read: T;
		try {
			read = readFiles();
		} catch (error) {
			return this.#refuse(String(error));
		}
		this.#wrong = '';
		const text = JSON.stringify(read);
		if (text === this.#seen) return;
		this.#seen = text;
		this.#current = read;
		this.#ports.reloaded(of, 'ok');
		this.#ports.log.info({}, `certificates of the ${whose} have changed and are in use`);
		for (const listener of this.#listeners) listener(read);
	}

	/** Told when it begins, not with every look. */
	#refuse(error: string): void {
		if (error === this.#wrong) return;
		this.#wrong = error;
		const { of, whose } = this.#files;
		this.#ports.reloaded(of, 'error');
		this.#ports.log.warn({ error }, `changed certificates of the ${whose} cannot be used; those before stay`);
	}
}

export type LiveTls = LiveFiles<DataPlaneTls>;

/** What the data port shows, and what is shown to targets. Throws IM_CONFIG_TLS_FILES. */
export function liveDataTls(data: MeshConfig['data'], ports: LiveTlsPorts): LiveTls {
	const named = data.tls.cert_file ?? data.upstream.ca_file ?? data.upstream.cert_file;
	const periodMs = named === undefined ? 0 : data.tls_reload_ms;
	return new LiveFiles({ of: 'data', whose: 'data plane', read: () => readTlsFiles(data), periodMs }, ports);
}

/** What the admin API shows, and whom it takes; undefined = it speaks in the clear. Throws IM_CONFIG_TLS_FILES. */
export function liveAdminTls(admin: MeshConfig['admin'], ports: LiveTlsPorts): LiveFiles<AdminTls | undefined> {
	const periodMs = admin.tls.cert_file === undefined ? 0 : admin.tls_reload_ms;
	return new LiveFiles({ of: 'admin', whose: 'admin API', read: () => readAdminTls(admin), periodMs }, ports);
}
