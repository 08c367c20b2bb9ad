// Owns what is known of which origins speak HTTP/2: asked once by ALPN over a connection of its own, which becomes a session where the answer is yes. Until
// the answer is there requests go over HTTP/1.1, so that none waits for it.
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { Clock, Timer } from '@infermesh/proto';
import type { UpstreamTls } from '../tls.js';
import { endpointOf } from './pools.js';
import type { Http2Sessions } from './sessions.js';

export interface VersionOptions {
	readonly connectTimeoutMs: number;
	readonly tls: UpstreamTls;
	/** Origins known at once. */
	readonly originsMax: number;
	/** One that does not speak HTTP/2 is asked again after this. */
	readonly recheckMs: number;
}

interface Known {
	/** `asking`: until the answer is here. */
	version: 'asking' | 'h2' | 'http/1.1';
	sinceMs: number;
}

export class AgreedVersions {
	readonly #options: VersionOptions;
	readonly #clock: Clock;
	readonly #sessions: Http2Sessions;
	readonly #origins = new Map<string, Known>();
	/** Ends of the connections that ask. */
	readonly #asking = new Set<() => void>();

	constructor(options: VersionOptions, clock: Clock, sessions: Http2Sessions) {
		this.#options = options;
		this.#clock = clock;
		this.#sessions = sessions;
	}

	/** Whether the origin is known to speak HTTP/2; where nothing is known it is asked. False for origins without TLS: nothing can be agreed there. */
	speaksHttp2(origin: string): boolean {
		const known = this.#origins.get(origin);
		const { recheckMs, originsMax } = this.#options;
		if (known !== undefined && (known.version !== 'http/1.1' || this.#clock.nowMs() - known.sinceMs < recheckMs))
			return known.version === 'h2';
		if (origin.startsWith('https:') && (known !== undefined || this.#origins.size < originsMax)) this.#ask(origin);
		return false;
	}

	/** Nothing is known of the origin any more. */
	forget(origin: string): void {
		this.#origins.delete(origin);
	}

	/** The origin has asked for HTTP/1.1. */
	http1Wanted(origin: string): void {
		this.#learn(origin, 'http/1.1');
	}

	retain(origins: ReadonlySet<string>): void {
		for (const origin of this.#origins.keys()) if (!origins.has(origin)) this.#origins.delete(origin);
	}

	destroy(): void {
		for (const end of this.#asking) end();
		this.#origins.clear();
	}

	#learn(origin: string, version: Known['version']): void {
		this.#origins.set(origin, { version, sinceMs: this.#clock.nowMs() });
	}

	#ask(origin: string): void {
		const { host, port } = endpointOf(origin);
		const { tls, connectTimeoutMs } = this.#options;
		this.#learn(origin, 'asking');
		const asked = this.#origins.get(origin);
		const socket = connect({
			...tls,
			host,
			port,
			ALPNProtocols: ['h2', 'http/1.1'],
			...(isIP(host) === 0 ? { servername: host } : {}),
		});
		const settle = (version: 'h2' | 'http/1.1' | undefined): void => {
			late.cancel();
			this.#asking.delete(end);
			socket.removeAllListeners();
			socket.on('error', () => undefined);
			const current = this.#origins.get(origin) === asked;
			if (!current || version !== 'h2') socket.destroy();
			if (!current) return;
			if (version === undefined) return this.forget(origin);
			this.#learn(origin, version);
			if (version === 'h2') this.#sessions.adopt(origin, socket);
		};
		const end = (): void => settle(undefined);
		const late: Timer = this.#clock.after(connectTimeoutMs, end, { unref: true });
		this.#asking.add(end);
		socket.setNoDelay(true);
		socket.once('secureConnect', () => settle(socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'));
		socket.once('error', end);
		socket.once('close', end);
	}
}
