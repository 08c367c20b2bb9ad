// Owns this node's way to an etcd cluster that exists: the engine over it, made from the configuration, and how its members are, asked every few seconds.
// Nothing waits for those answers: calls find the members that work by themselves.
import { readFileSync } from 'node:fs';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { type Address, EtcdEngine, type EtcdMemberHealth } from '@infermesh/fabric';
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import type { MeshConfig } from '../../config/schema.js';
import type { Log } from '../../telemetry/logger.js';
import { fabricNodeErrors } from './errors.js';

const HEALTH_PERIOD_MS = 2000;

export interface EtcdPartOptions {
	readonly config: MeshConfig['consensus'];
	readonly clock: Clock;
	readonly random: Random;
	readonly log: Log;
	/** Told of streams that broke. */
	readonly fault: (error: unknown) => void;
}

export class EtcdPart {
	readonly engine: EtcdEngine;
	readonly #options: EtcdPartOptions;
	#timer: Timer | undefined;
	#members: readonly EtcdMemberHealth[] = [];
	#closed = false;

	/** Throws IM_FABRIC_ETCD_TLS. */
	constructor(options: EtcdPartOptions) {
		const { config, clock, random, fault } = options;
		const { endpoints, prefix, user, password } = config;
		this.#options = options;
		this.engine = new EtcdEngine({
			addresses: endpoints.map(addressOf),
			credentials: credentialsOf(config),
			prefix,
			...(user === undefined || password === undefined ? {} : { login: { user, password } }),
			clock,
			random,
			fault,
		});
		void this.#look();
	}

	/** As each answered last; empty before the first answers. */
	get members(): readonly EtcdMemberHealth[] {
		return this.#members;
	}

	degraded(): readonly string[] {
		const silent = this.#members.filter(({ answers }) => !answers).map(({ address }) => address);
		if (silent.length === 0) return [];
		return [`${silent.length} of ${this.#members.length} members of etcd do not answer: ${silent.join(', ')}`];
	}

	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
	}

	async #look(): Promise<void> {
		const before = new Map(this.#members.map(({ address, answers }) => [address, answers]));
		this.#members = await this.engine.health();
		if (this.#closed) return;
		for (const { address, answers } of this.#members)
			if (answers !== (before.get(address) ?? true))
				this.#options.log.warn({ member: address }, answers ? 'a member of etcd is back' : 'a member of etcd is down');
		this.#timer = this.#options.clock.after(HEALTH_PERIOD_MS, () => void this.#look(), { unref: true });
	}
}

function addressOf(endpoint: string): Address {
	const { hostname, port, protocol } = new URL(endpoint);
	const number = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
	return `${hostname}:${number}`;
}

function credentialsOf(config: MeshConfig['consensus']): ChannelCredentials {
	if (config.endpoints.every((endpoint) => endpoint.startsWith('http:'))) return credentials.createInsecure();
	const pem = (file: string | undefined): Buffer | null => (file === undefined ? null : readFileSync(file));
	try {
		return credentials.createSsl(pem(config.ca_file), pem(config.key_file), pem(config.cert_file));
	} catch (cause) {
		const message = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(fabricNodeErrors, 'IM_FABRIC_ETCD_TLS', message, { cause });
	}
}
