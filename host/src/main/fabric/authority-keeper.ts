// Owns the authority of a node that holds one while the node runs: what is due (an intermediate at half its life, a root in the last third of its) is done
// at the start and looked at every hour, stored first, and told. A node runs for longer than certificates live.
import type { AuthorityDirectory, CertificateAuthority } from '@infermesh/fabric';
import type { Clock, Timer } from '@infermesh/proto';
import type { CollectedSample } from '../../telemetry/exposition.js';

/** A machine that slept is late by this much at most; what failed is tried again. */
const LOOK_MS = 3_600_000;

export interface AuthorityKeeperPorts {
	readonly directory: AuthorityDirectory;
	readonly clock: Clock;
	readonly failed: (what: string, error: unknown) => void;
}

export class AuthorityKeeper {
	readonly authority: CertificateAuthority;
	readonly #ports: AuthorityKeeperPorts;
	readonly #timer: Timer;
	readonly #listeners = new Set<() => void>();
	#failures = 0;
	#looking = false;

	/** The authority that is in the directory, with what was due done. Rejects with IM_IDENTITY_KEY_*. */
	static async open(ports: AuthorityKeeperPorts): Promise<AuthorityKeeper> {
		const keeper = new AuthorityKeeper(await ports.directory.open(), ports);
		await keeper.#look();
		return keeper;
	}

	/** A new authority. Rejects with IM_IDENTITY_AUTHORITY when the directory holds one. */
	static async create(trustDomain: string, ports: AuthorityKeeperPorts): Promise<AuthorityKeeper> {
		return new AuthorityKeeper(await ports.directory.create(trustDomain, ports.clock.wallMs()), ports);
	}

	private constructor(authority: CertificateAuthority, ports: AuthorityKeeperPorts) {
		this.authority = authority;
		this.#ports = ports;
		this.#timer = ports.clock.every(LOOK_MS, () => void this.#look(), { unref: true });
	}

	/** Calls back after roots or the intermediate have changed. */
	onChange(listener: () => void): void {
		this.#listeners.add(listener);
	}

	metrics(): readonly CollectedSample[] {
		const nowMs = this.#ports.clock.wallMs();
		const { rootMs, issuerMs } = this.authority.expiry;
		const left = (untilMs: number): number => Math.floor((untilMs - nowMs) / 1000);
		return [
			{ metric: 'authorityExpires', labels: ['root'], value: left(rootMs) },
			{ metric: 'authorityExpires', labels: ['issuer'], value: left(issuerMs) },
			{ metric: 'authorityMaintenanceFailed', labels: [], value: this.#failures },
		];
	}

	close(): void {
		this.#timer.cancel();
	}

	async #look(): Promise<void> {
		if (this.#looking) return;
		this.#looking = true;
		const { directory, clock, failed } = this.#ports;
		try {
			const changes = await directory.maintain(this.authority, clock.wallMs());
			if (changes.length > 0) for (const listener of this.#listeners) listener();
		} catch (error) {
			this.#failures++;
			failed('maintaining the certificate authority', error);
		} finally {
			this.#looking = false;
		}
	}
}
