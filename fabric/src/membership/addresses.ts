// Owns the text of addresses to listen on and of peers, as node:net and node:dgram take and tell them.
import { MeshError } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import { membershipErrors } from './errors.js';

/** An address to listen on; port 0 takes a free one. Throws MeshError IM_MEMBERSHIP_ADDRESS. */
export function parseBind(bind: Address): { readonly host: string; readonly port: number } {
	const groups = /^(?<host>.+):(?<port>\d{1,5})$/.exec(bind)?.groups;
	const host = groups?.['host']?.replace(/^\[(.*)\]$/, '$1') ?? '';
	const port = Number(groups?.['port']);
	if (host === '' || !(port <= 65_535))
		throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_ADDRESS', `${bind} is no address to listen on`);
	return { host, port };
}

export function formatHostPort(host: string, port: number): Address {
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
