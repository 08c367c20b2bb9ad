// Owns signing requests to S3-compatible stores with AWS Signature Version 4, headers only. Computation without effects: the time comes in.
import { createHash, createHmac } from 'node:crypto';

export interface S3Credentials {
	readonly accessKeyId: string;
	readonly secretAccessKey: string;
	readonly sessionToken?: string;
}

export interface SigningScope {
	readonly region: string;
	readonly service: string;
}

export interface RequestToSign {
	readonly method: string;
	/** The path is signed as it stands here: encode it once, as the store will get it. */
	readonly url: URL;
	/** Signed with the ones added here. */
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: Uint8Array;
}

export const sha256Hex = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: Uint8Array | string, data: string): Buffer => createHmac('sha256', key).update(data).digest();

/** RFC 3986: what `encodeURIComponent` leaves and AWS does not. */
export function uriEncode(text: string): string {
	return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A key with its slashes kept, every part encoded once. */
export function keyPath(key: string): string {
	return key.split('/').map(uriEncode).join('/');
}

/** `20130524T000000Z`. */
export function amzDate(wallMs: number): string {
	return new Date(wallMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

/** All headers to send, the signature among them. */
export function signV4(
	{ method, url, headers = {}, body }: RequestToSign,
	credentials: S3Credentials,
	{ region, service }: SigningScope,
	wallMs: number,
): Readonly<Record<string, string>> {
	const date = amzDate(wallMs);
	const day = date.slice(0, 8);
	const payload = sha256Hex(body ?? '');
	const signed: Record<string, string> = {
		...headers,
		host: url.host,
		'x-amz-content-sha256': payload,
		'x-amz-date': date,
		...(credentials.sessionToken === undefined ? {} : { 'x-amz-security-token': credentials.sessionToken }),
	};
	const names = Object.keys(signed)
		.map((name) => name.toLowerCase())
		.sort();
	const byName = new Map(Object.entries(signed).map(([name, value]) => [name.toLowerCase(), value]));
	const canonicalHeaders = names
		.map((name) => `${name}:${(byName.get(name) ?? '').trim().replace(/ +/g, ' ')}\n`)
		.join('');
	const signedHeaders = names.join(';');
	const canonical = [method, url.pathname, canonicalQuery(url), canonicalHeaders, signedHeaders, payload].join('\n');
	const scope = `${day}/${region}/${service}/aws4_request`;
	const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256Hex(canonical)].join('\n');
	const key = hmac(hmac(hmac(hmac(`AWS4${credentials.secretAccessKey}`, day), region), service), 'aws4_request');
	const signature = hmac(key, toSign).toString('hex');
	const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope},SignedHeaders=${signedHeaders},Signature=${signature}`;
	return { ...signed, authorization };
}

function canonicalQuery(url: URL): string {
	return [...url.searchParams]
		.map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
		.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
		.map(([name, value]) => `${name}=${value}`)
		.join('&');
}
