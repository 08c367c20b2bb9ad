// Owns a store that speaks Google Cloud Storage's JSON API, as a probe sees it. The bearer token comes from a function: it may be renewed.
import type { HttpAnswer, HttpAsk, HttpCall } from '../effects/ports.js';
import { listOf, parseJson, recordOf } from '../json-values.js';
import {
	type ListTimes,
	newest,
	type ObjectStore,
	PROBE_PREFIX,
	type ReadTimes,
	StoreFailure,
	type WriteTimes,
} from './store.js';

export interface GcsOptions {
	/** `https://storage.googleapis.com`, or a server that speaks the same. */
	readonly endpoint: string;
	readonly bucket: string;
	readonly prefix: string;
	/** Undefined = none is sent. */
	readonly token: () => Promise<string | undefined>;
	readonly timeoutMs: number;
	readonly pagesMax: number;
}

const LIST_BYTES_MAX = 4 * 1024 * 1024;
const ERROR_BYTES_MAX = 64 * 1024;

export class GcsStore implements ObjectStore {
	readonly source = 'gcs';
	readonly name: string;
	readonly #options: GcsOptions;
	readonly #http: HttpCall;

	constructor(options: GcsOptions, http: HttpCall) {
		this.#options = options;
		this.#http = http;
		this.name = `gs://${options.bucket}/${options.prefix}`;
	}

	async write(key: string, body: Uint8Array): Promise<WriteTimes> {
		const query = `uploadType=media&name=${encodeURIComponent(this.#options.prefix + key)}`;
		const url = `/upload/storage/v1/b/${this.#bucket()}/o?${query}`;
		const { totalMs, headMs, sentMs } = await this.#call('POST', url, ERROR_BYTES_MAX, body);
		return { totalMs, stallMs: Math.max(0, headMs - sentMs) };
	}

	async read(key: string, bytesMax: number): Promise<ReadTimes> {
		const { body, headMs, totalMs } = await this.#call('GET', `${this.#object(key)}?alt=media`, bytesMax);
		return { bytes: body.length, firstMs: headMs, totalMs, body };
	}

	async list(): Promise<ListTimes> {
		const times: number[] = [];
		let totalMs = 0;
		let token: string | undefined;
		for (let page = 0; page < this.#options.pagesMax; page++) {
			const query = new URLSearchParams({ prefix: this.#options.prefix, maxResults: '1000' });
			query.set('fields', 'items(name,updated),nextPageToken');
			if (token !== undefined) query.set('pageToken', token);
			const answer = await this.#call('GET', `/storage/v1/b/${this.#bucket()}/o?${query.toString()}`, LIST_BYTES_MAX);
			if (page === 0) totalMs = answer.totalMs;
			const root = recordOf(parseJson(Buffer.from(answer.body).toString('utf8')));
			if (root === undefined) throw new StoreFailure('malformed', 'a listing is not JSON');
			for (const item of listOf(root['items'])) {
				const { name, updated } = recordOf(item) ?? {};
				if (typeof name === 'string' && !name.includes(PROBE_PREFIX)) times.push(Date.parse(String(updated)));
			}
			const next = root['nextPageToken'];
			if (typeof next !== 'string' || next === '') return { totalMs, newestMs: newest(times), complete: true };
			token = next;
		}
		return { totalMs, newestMs: newest(times), complete: false };
	}

	async remove(key: string): Promise<void> {
		await this.#call('DELETE', this.#object(key), ERROR_BYTES_MAX);
	}

	#bucket(): string {
		return encodeURIComponent(this.#options.bucket);
	}

	#object(key: string): string {
		return `/storage/v1/b/${this.#bucket()}/o/${encodeURIComponent(this.#options.prefix + key)}`;
	}

	async #call(method: HttpAsk['method'], path: string, bodyMaxBytes: number, body?: Uint8Array): Promise<HttpAnswer> {
		const { endpoint, timeoutMs } = this.#options;
		const token = await this.#options.token();
		const answer = await this.#http({
			method,
			url: endpoint.replace(/\/+$/, '') + path,
			headers: {
				...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
				...(body === undefined ? {} : { 'content-type': 'application/octet-stream' }),
			},
			timeoutMs,
			bodyMaxBytes,
			...(body === undefined ? {} : { body }),
		});
		if (answer.status >= 200 && answer.status < 300) return answer;
		throw new StoreFailure(`HTTP ${answer.status}`, `${method} answered ${answer.status}`);
	}
}
