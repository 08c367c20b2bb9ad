// Owns SPIFFE ids: their text form and the two kinds that the mesh gives out, `/node/UUID` and `/client/NAME`. The grammar is that of
// SPIFFE-ID.md 2: what it does not allow is refused, never normalised, so that one identity has one spelling.
import { MeshError } from '@infermesh/proto';
import { identityErrors } from './errors.js';

/** A parsed id. `path` is empty for a trust domain's own id, else it begins with a slash. */
export interface SpiffeId {
	readonly trustDomain: string;
	readonly path: string;
	readonly uri: string;
}

/** Longest id and trust domain, bytes (SPIFFE-ID.md 2.3). */
export const spiffeIdBounds = Object.freeze({ uriBytesMax: 2048, trustDomainBytesMax: 255, clientNameCharsMax: 64 });

const trustDomainForm = /^[a-z0-9._-]+$/;
const segmentForm = /^[A-Za-z0-9._-]+$/;
const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const prefix = 'spiffe://';

/** Parses an id; undefined when it is none. */
export function parseSpiffeId(uri: string): SpiffeId | undefined {
	if (uri.length > spiffeIdBounds.uriBytesMax || !uri.startsWith(prefix)) return undefined;
	const slash = uri.indexOf('/', prefix.length);
	const trustDomain = slash === -1 ? uri.slice(prefix.length) : uri.slice(prefix.length, slash);
	if (!isTrustDomain(trustDomain)) return undefined;
	const path = slash === -1 ? '' : uri.slice(slash);
	if (path !== '' && !path.slice(1).split('/').every(isSegment)) return undefined;
	return { trustDomain, path, uri };
}

export function isTrustDomain(text: string): boolean {
	return text.length <= spiffeIdBounds.trustDomainBytesMax && trustDomainForm.test(text);
}

/** A UUID in lower case with hyphens: the only spelling of a node's identity. */
export function isNodeUuid(text: string): boolean {
	return uuidForm.test(text);
}

/** The id of a trust domain itself, which its signing certificates carry. Throws IM_IDENTITY_ID_INVALID. */
export function trustDomainId(trustDomain: string): SpiffeId {
	return mustParse(`${prefix}${trustDomain}`);
}

/** The id of a node. Throws IM_IDENTITY_ID_INVALID. */
export function nodeSpiffeId(trustDomain: string, nodeUuid: string): SpiffeId {
	if (!isNodeUuid(nodeUuid))
		throw new MeshError(identityErrors, 'IM_IDENTITY_ID_INVALID', 'a node id is a lower-case UUID');
	return mustParse(`${prefix}${trustDomain}/node/${nodeUuid}`);
}

/** The id of a client with a certificate: a person or a tool. Throws IM_IDENTITY_ID_INVALID. */
export function clientSpiffeId(trustDomain: string, name: string): SpiffeId {
	if (name.length > spiffeIdBounds.clientNameCharsMax || !isSegment(name))
		throw new MeshError(
			identityErrors,
			'IM_IDENTITY_ID_INVALID',
			'a client name is up to 64 letters, digits, dots, hyphens',
		);
	return mustParse(`${prefix}${trustDomain}/client/${name}`);
}

/** The UUID in a node's id; undefined when the id is of another kind. */
export function nodeUuidOf(id: SpiffeId): string | undefined {
	const uuid = id.path.startsWith('/node/') ? id.path.slice('/node/'.length) : '';
	return isNodeUuid(uuid) ? uuid : undefined;
}

function isSegment(segment: string): boolean {
	return segmentForm.test(segment) && segment !== '.' && segment !== '..';
}

function mustParse(uri: string): SpiffeId {
	const id = parseSpiffeId(uri);
	if (id === undefined)
		throw new MeshError(identityErrors, 'IM_IDENTITY_ID_INVALID', `${uri.slice(0, 80)} is not a SPIFFE id`);
	return id;
}
