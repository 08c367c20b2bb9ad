// Owns the form of addresses: `host:port`, IPv6 hosts in brackets.
import type { AddressInfo } from 'node:net';
import { MeshError } from '@infermesh/proto';
import type { Address, HostPort } from '../effects/packets.js';
import { transportErrors } from './errors.js';

/** Throws IM_TRANSPORT_ADDRESS. */
export function parseAddress(address: Address): HostPort {
	const match = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(address);
	const port = Number(match?.[3]);
	if (match === null || port > 65_535)
		throw new MeshError(transportErrors, 'IM_TRANSPORT_ADDRESS', `${address.slice(0, 80)} is not host:port`);
	return { host: match[1] ?? match[2] ?? '', port };
}

export function formatAddress(host: string, port: number): Address {
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The address that a server bound. */
export function boundAddress(address: AddressInfo | string | null): Address {
	if (address === null || typeof address === 'string') throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
	return formatAddress(address.address, address.port);
}
