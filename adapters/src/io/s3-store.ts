// Owns an S3-compatible store as a probe sees it: path-style requests, signed, and the few elements of its XML that matter.
import type { Clock } from '@infermesh/proto';
import type { HttpAnswer, HttpCall } from '../effects/ports.js';
import { keyPath, type S3Credentials, signV4 } from './sigv4.js';
import {
	type ListTimes,
	newest,
	type ObjectStore,
	PROBE_PREFIX,
	type ReadTimes,
	StoreFailure,
	type WriteTimes,
} from './store.js';

export interface S3Options {
	/** `https://s3.eu-central-1.amazonaws.com`, `http://minio:9000`; the bucket follows in the path. */
	readonly endpoint: string;
	readonly bucket: string;
	/** Under which checkpoints lie, and probes; '' = the whole bucket. */
	readonly prefix: string;
	readonly region: string;
	readonly credentials: S3Credentials;
	readonly timeoutMs: number;
	/** Pages of 1,000 objects listed for the newest. */
	readonly pagesMax: number;
}

const LIST_BYTES_MAX = 4 * 1024 * 1024;
const ERROR_BYTES_MAX = 64 * 1024;

export class S3Store implements ObjectStore {
	readonly source = 's3';
	readonly name: string;
	readonly #options: S3Options;
	readonly #http: HttpCall;
	readonly #clock: Clock;

	constructor(options: S3Options, http: HttpCall, clock: Clock) {
		this.#options = options;
		this.#http = http;
		this.#clock = clock;
		this.name = `s3://${options.bucket}/${options.prefix}`;
	}

	async write(key: string, body: Uint8Array): Promise<WriteTimes> {
		const { totalMs, headMs, sentMs } = await this.#call('PUT', this.#url(key), ERROR_BYTES_MAX, body);
		return { totalMs, stallMs: Math.max(0, headMs - sentMs) };
	}

	async read(key: string, bytesMax: number): Promise<ReadTimes> {
		const { body, headMs, totalMs } = await this.#call('GET', this.#url(key), bytesMax);
		return { bytes: body.length, firstMs: headMs, totalMs, body };
	}

	async list(): Promise<ListTimes> {
		const times: number[] = [];
		let totalMs = 0;
		let token: string | undefined;
		for (let page = 0; page < this.#options.pagesMax; page++) {
			const url = this.#url(undefined);
			url.search = listQuery(this.#options.prefix, token);
			const answer = await this.#call('GET', url, LIST_BYTES_MAX);
			// Of one page: how long a listing takes does not depend on how much there is.
			if (page === 0) totalMs = answer.totalMs;
			const text = Buffer.from(answer.body).toString('utf8');
			for (const { key, modifiedMs } of objectsOf(text)) if (!key.includes(PROBE_PREFIX)) times.push(modifiedMs);
			token = elementOf(text, 'NextContinuationToken');
			if (elementOf(text, 'IsTruncated') !== 'true' || token === undefined)
				return { totalMs, newestMs: newest(times), complete: true };
		}
		return { totalMs, newestMs: newest(times), complete: false };
	}

	async remove(key: string): Promise<void> {
		await this.#call('DELETE', this.#url(key), ERROR_BYTES_MAX);
	}

	#url(key: string | undefined): URL {
		const { endpoint, bucket, prefix } = this.#options;
		const path = key === undefined ? '' : `/${keyPath(prefix + key)}`;
		return new URL(`${endpoint.replace(/\/+$/, '')}/${keyPath(bucket)}${path}`);
	}

	async #call(
		method: 'GET' | 'PUT' | 'DELETE',
		url: URL,
		bodyMaxBytes: number,
		body?: Uint8Array,
	): Promise<HttpAnswer> {
		const { credentials, region, timeoutMs } = this.#options;
		const sent = body === undefined ? {} : { body };
		const { host: _host, ...headers } = signV4(
			{ method, url, ...sent },
			credentials,
			{ region, service: 's3' },
			this.#clock.wallMs(),
		);
		const answer = await this.#http({ method, url: url.href, headers, timeoutMs, bodyMaxBytes, ...sent });
		if (answer.status >= 200 && answer.status < 300) return answer;
		const text = Buffer.from(answer.body).toString('utf8');
		throw new StoreFailure(elementOf(text, 'Code') ?? `HTTP ${answer.status}`, `${method} answered ${answer.status}`);
	}
}

function listQuery(prefix: string, token: string | undefined): string {
	const query = new URLSearchParams({ 'list-type': '2', 'max-keys': '1000' });
	if (prefix !== '') query.set('prefix', prefix);
	if (token !== undefined) query.set('continuation-token', token);
	return query.toString().replace(/\+/g, '%20');
}

/** Text of the first element of a name. */
function elementOf(xml: string, name: string): string | undefined {
	const start = xml.indexOf(`<${name}>`);
	const end = start < 0 ? -1 : xml.indexOf(`</${name}>`, start);
	return end < 0 ? undefined : unescapeXml(xml.slice(start + name.length + 2, end));
}

function* objectsOf(xml: string): Generator<{ readonly key: string; readonly modifiedMs: number }> {
	const open = '<Contents>';
	for (let at = xml.indexOf(open); at >= 0; at = xml.indexOf(open, at + open.length)) {
		const end = xml.indexOf('</Contents>', at);
		if (end < 0) return;
		const object = xml.slice(at, end);
		yield { key: elementOf(object, 'Key') ?? '', modifiedMs: Date.parse(elementOf(object, 'LastModified') ?? '') };
	}
}

function unescapeXml(text: string): string {
	const names: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
	return text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => names[name] ?? '');
}
