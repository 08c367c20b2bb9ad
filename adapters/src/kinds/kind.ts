// Owns what an adapter is that can be opened by its name and settings, from the configuration of a node or on the command line.
import { MeshError } from '@infermesh/proto';
import type { AdapterEffects } from '../effects/ports.js';
import { adapterErrors } from '../errors.js';
import type { DeltaOf, ReportKind } from '../stream/wire.js';

export interface AdapterSetting {
	readonly name: string;
	readonly description: string;
	/** Taken where none is given; undefined = it may be left out, unless it is required. */
	readonly default?: string;
	readonly required?: boolean;
	/** Its value must never be printed. */
	readonly secret?: boolean;
}

/** Where an adapter runs and what it watches over. */
export interface AdapterContext {
	readonly effects: AdapterEffects;
	readonly node: string;
	/** '' = of no job. */
	readonly jobId: string;
}

/** One report, with what it is about: a newer one of the same key says all that an older one said. */
export interface Look<K extends ReportKind = ReportKind> {
	readonly key: string;
	/** Id of the target, of reports about one. */
	readonly target: string;
	readonly delta: DeltaOf[K];
}

export interface OpenAdapter<K extends ReportKind = ReportKind> {
	/** What there is to report now. Rejects when nothing could be looked at. */
	look(): Promise<readonly Look<K>[]>;
	close(): void;
}

export interface AdapterKind<K extends ReportKind = ReportKind> {
	readonly name: string;
	readonly stream: K;
	readonly summary: string;
	readonly settings: readonly AdapterSetting[];
	/** Between two looks, unless another is asked for. */
	readonly periodMs: number;
	open(settings: Settings, context: AdapterContext): Promise<OpenAdapter<K>>;
}

/** Settings as they were given, checked against those of the kind. */
export class Settings {
	readonly #kind: Pick<AdapterKind, 'name' | 'settings'>;
	readonly #given: ReadonlyMap<string, string>;

	/** Throws IM_ADAPTER_SETTING. */
	constructor(kind: Pick<AdapterKind, 'name' | 'settings'>, given: Readonly<Record<string, string>>) {
		this.#kind = kind;
		this.#given = new Map(Object.entries(given));
		for (const name of this.#given.keys())
			if (!kind.settings.some((setting) => setting.name === name)) throw this.#wrong(name, 'is no setting of it');
		for (const { name, required } of kind.settings)
			if (required === true && (this.#given.get(name) ?? '') === '') throw this.#wrong(name, 'must be given');
	}

	/** Undefined when neither given nor defaulted, or empty. */
	optional(name: string): string | undefined {
		const value = this.#given.get(name) ?? this.#kind.settings.find((setting) => setting.name === name)?.default;
		return value === '' ? undefined : value;
	}

	text(name: string): string {
		const value = this.optional(name);
		if (value === undefined) throw this.#wrong(name, 'must be given');
		return value;
	}

	whole(name: string, min: number, max: number): number {
		const text = this.text(name);
		const value = Number(text);
		if (!/^\d{1,15}$/.test(text) || value < min || value > max)
			throw this.#wrong(name, `must be a whole number from ${min} to ${max}`);
		return value;
	}

	flag(name: string): boolean {
		const text = this.text(name);
		if (text !== 'true' && text !== 'false') throw this.#wrong(name, 'must be true or false');
		return text === 'true';
	}

	url(name: string, protocols: readonly string[]): URL {
		const text = this.text(name);
		const url = URL.canParse(text) ? new URL(text) : undefined;
		if (url === undefined || !protocols.includes(url.protocol))
			throw this.#wrong(name, `must be a URL with ${protocols.join(' or ')}`);
		if (url.username !== '' || url.password !== '') throw this.#wrong(name, 'must not hold credentials');
		return url;
	}

	/** `host:port`. */
	address(name: string): { readonly host: string; readonly port: number } {
		const [, host, port] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(this.text(name)) ?? [];
		if (host === undefined || Number(port) > 65_535) throw this.#wrong(name, 'must be host:port');
		return { host, port: Number(port) };
	}

	#wrong(name: string, why: string): MeshError {
		const what = `${this.#kind.name}: ${name} ${why}`;
		return new MeshError(adapterErrors, 'IM_ADAPTER_SETTING', what, { where: name });
	}
}

/** A failure of a look as one with a code. */
export function lookFailed(kind: string, cause: unknown): MeshError {
	if (cause instanceof MeshError) return cause;
	const why = cause instanceof Error ? cause.message : String(cause);
	return new MeshError(adapterErrors, 'IM_ADAPTER_FAILED', `${kind}: ${why}`, { cause });
}

/** The body of a page; rejects for any answer but 200. */
export async function fetchPage(effects: AdapterEffects, url: URL): Promise<Uint8Array> {
	const answer = await effects.http({ method: 'GET', url: url.href, timeoutMs: 5000, bodyMaxBytes: 16 * 1024 * 1024 });
	if (answer.status !== 200) throw new Error(`${url.host}${url.pathname} answered ${answer.status}`);
	return answer.body;
}

/** Where the metrics of an address are: a page that is named is meant. */
export function metricsPage(given: URL): URL {
	return given.pathname === '/' ? new URL('/metrics', given) : given;
}

export const utf8 = (bytes: Uint8Array): string =>
	Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
