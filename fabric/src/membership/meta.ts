// Owns the metadata that a member carries in its alive claim in the mesh's protocol: a name for people, the roles it has, its version and a
// digest of what else there is to know, which is fetched elsewhere. At most 512 bytes together.
import { MeshError } from '@infermesh/proto';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import { membershipErrors } from './errors.js';
import { swimBounds } from './settings.js';

/** Bits of the roles bitmap. The list only grows. */
export const roleBits = Object.freeze({ router: 1, coordinator: 2, gpu: 4, trainer: 8, edge: 16 });

export interface NodeMeta {
	/** For people; need not be unique. */
	readonly name: string;
	/** An or of `roleBits`; unknown bits are kept. */
	readonly roles: number;
	/** Of the node's software, for example 0.1.0. */
	readonly version: string;
	/** Changes whenever the details behind it do; empty for none. */
	readonly digest: Uint8Array;
	/** In a pool of gateways: the cell it speaks for, and where its agent is called, host:port. Empty elsewhere. */
	readonly cell?: string;
	readonly agent?: string;
}

const metaVersion = 1;
const textMaxBytes = { name: 128, version: 64, cell: 64, agent: 128 };
const digestMaxBytes = 64;

/** Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
export function encodeMeta(meta: NodeMeta): Uint8Array {
	const writer = new ByteWriter();
	writer.u8(metaVersion).utf8(meta.name).varint(meta.roles).utf8(meta.version).bytes(meta.digest);
	if (meta.cell !== undefined) writer.utf8(meta.cell).utf8(meta.agent ?? '');
	const bytes = writer.finish();
	if (decodeMeta(bytes) === undefined)
		throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_OVERSIZED', `node metadata of ${bytes.length} bytes`);
	return bytes;
}

/** Undefined for what is not metadata of this form. What follows the known fields is of a later version and passed over. */
export function decodeMeta(bytes: Uint8Array): NodeMeta | undefined {
	if (bytes.length > swimBounds.metaMaxBytes) return undefined;
	try {
		const reader = new ByteReader(bytes);
		if (reader.u8() !== metaVersion) return undefined;
		const name = reader.utf8(textMaxBytes.name);
		const roles = reader.varint();
		const version = reader.utf8(textMaxBytes.version);
		const digest = reader.bytes();
		if (digest.length > digestMaxBytes) return undefined;
		if (reader.left === 0) return { name, roles, version, digest };
		return {
			name,
			roles,
			version,
			digest,
			cell: reader.utf8(textMaxBytes.cell),
			agent: reader.utf8(textMaxBytes.agent),
		};
	} catch (error) {
		if (error instanceof Malformed) return undefined;
		throw error;
	}
}
