// Owns the two kinds of sources of targets: a file that lists them, and a name in DNS whose addresses they are. A source only answers what it lists now; an
// answer that cannot be had is a failure, never an empty list.
import { MeshError } from '@infermesh/proto';
import { loadConfig } from '../config/load.js';
import type { DiscoveryDnsConfig, DiscoveryFileConfig, TargetConfig } from '../config/schema.js';
import { discoveryErrors } from './errors.js';

export interface TargetSource {
	/** What records and metrics call it. */
	readonly name: string;
	/** It is asked this often. */
	readonly periodMs: number;
	/** Targets listed now. IM_DISCOVERY_READ, IM_CONFIG_*. */
	list(): Promise<readonly TargetConfig[]>;
}

/** What sources read; injected. */
export interface SourcePorts {
	readonly readText: (path: string) => Promise<string>;
	readonly resolver: Resolver;
	/** Secrets of targets may be in the environment, or in files of their own. */
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly readSecret: (path: string) => string;
}

export interface Resolver {
	/** Addresses of a name, of both families; empty when it has none. Rejects when DNS does not answer. */
	addresses(name: string): Promise<readonly string[]>;
	/** Endpoints of a service; empty when it has none. Rejects when DNS does not answer. */
	services(name: string): Promise<readonly { readonly host: string; readonly port: number }[]>;
}

/** A file of the shape of the configuration, with nothing in it but `targets`. */
export function fileSource({ path, period_ms }: DiscoveryFileConfig, ports: SourcePorts): TargetSource {
	return {
		name: `file:${path}`,
		periodMs: period_ms,
		async list() {
			const text = await ports.readText(path).catch((cause: unknown) => {
				throw new MeshError(discoveryErrors, 'IM_DISCOVERY_READ', String(cause), { where: path, cause });
			});
			const readText = (asked: string): string => (asked === path ? text : ports.readSecret(asked));
			const { config, origins } = loadConfig({ file: path, readText, env: withoutSettings(ports.env) });
			const others = Object.keys(config).filter((key) => key !== 'targets' && origins.of([key]).kind === 'file');
			if (others.length > 0)
				throw new MeshError(
					discoveryErrors,
					'IM_DISCOVERY_READ',
					`only \`targets\` is read here, not ${others.join(', ')}`,
					{
						where: path,
					},
				);
			return config.targets;
		},
	};
}

/** What sets keys of this node's configuration says nothing of a list of targets. */
function withoutSettings(env: SourcePorts['env']): SourcePorts['env'] {
	return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('INFERMESH_')));
}

/** Every address, or every endpoint of a service, is a target of the same description. */
export function dnsSource(config: DiscoveryDnsConfig, { resolver }: Pick<SourcePorts, 'resolver'>): TargetSource {
	const { name, record, port, scheme, path, period_ms, ...description } = config;
	const endpoints = async (): Promise<readonly { readonly host: string; readonly port: number }[]> =>
		record === 'srv' ? resolver.services(name) : (await resolver.addresses(name)).map((host) => ({ host, port }));
	return {
		name: `dns:${record === 'srv' ? name : `${name}:${port}`}`,
		periodMs: period_ms,
		async list() {
			const found = await endpoints().catch((cause: unknown) => {
				throw new MeshError(discoveryErrors, 'IM_DISCOVERY_READ', String(cause), { where: name, cause });
			});
			const listed = new Map<string, TargetConfig>();
			for (const endpoint of found) {
				const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
				const id = `${endpoint.host.replaceAll(':', '-')}:${endpoint.port}`.replace(/^-/, 'v6-');
				listed.set(id, { ...description, id, url: `${scheme}://${host}:${endpoint.port}${path}` });
			}
			return [...listed.values()];
		},
	};
}
