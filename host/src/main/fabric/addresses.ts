// Owns how addresses of this node are written: where a part listens, and what others are told of it.
import type { Address } from '@infermesh/fabric';
import type { MeshConfig } from '../../config/schema.js';

export function addressOf(host: string, port: number): Address {
	return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The bound port at the host that others are told. */
export function advertised(bound: Address, { fabric }: MeshConfig): Address {
	const port = Number(bound.slice(bound.lastIndexOf(':') + 1));
	return addressOf(fabric.advertise ?? fabric.host, port);
}
