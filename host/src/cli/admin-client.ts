// Owns finding and calling the admin API of a running mesh: --admin > INFERMESH_ADMIN > http://127.0.0.1:8081, with the token of
// --token > INFERMESH_TOKEN > .infermesh/admin.token, and over TLS with the authorities and the certificate that are named likewise. Errors of the mesh come back as MeshErrors with their own codes.
import { type ErrorCode, MeshError } from '@infermesh/proto';
import type { CliContext } from './context.js';
import { cliErrors } from './errors.js';

export interface AdminOptions {
	readonly admin?: string;
	readonly token?: string;
	/** Files in PEM. */
	readonly adminCa?: string;
	readonly adminCert?: string;
	readonly adminKey?: string;
}

export const ADMIN_DEFAULT = 'http://127.0.0.1:8081';
export const TOKEN_FILE = '.infermesh/admin.token';
/** Answers that take longer are given up; loading a strategy is the slowest. */
const CALL_TIMEOUT_MS = 60_000;

export class AdminClient {
	readonly url: string;
	readonly #token: string | undefined;
	readonly #tls: AdminClientTls | undefined;
	#dispatcher: Promise<unknown> | undefined;

	constructor(context: CliContext, options: AdminOptions) {
		const given = options.admin ?? context.env['INFERMESH_ADMIN'];
		const text = given === undefined || given === '' ? ADMIN_DEFAULT : given;
		const url = URL.canParse(text) ? new URL(text) : undefined;
		if (url === undefined || !/^https?:$/.test(url.protocol))
			throw new MeshError(cliErrors, 'IM_CLI_USAGE', `"${text}" is not an http:// or https:// URL`, {
				where: options.admin === undefined ? 'INFERMESH_ADMIN' : '--admin',
			});
		this.url = `${url.origin}${url.pathname}`.replace(/\/+$/, '');
		this.#tls = tlsOf(context, options, url.protocol === 'https:');
		this.#token = options.token ?? (context.env['INFERMESH_TOKEN'] || tokenFromFile(context));
	}

	get<T>(path: string): Promise<T> {
		return this.#call<T>('GET', path);
	}

	post<T>(path: string, body?: unknown): Promise<T> {
		return this.#call<T>('POST', path, body);
	}

	put<T>(path: string, body: unknown): Promise<T> {
		return this.#call<T>('PUT', path, body);
	}

	delete<T>(path: string): Promise<T> {
		return this.#call<T>('DELETE', path);
	}

	/** A GET whose answer goes on for as long as it likes, piece by piece. A break in the middle is IM_CLI_UNREACHABLE. */
	async *stream(
		path: string,
		options: { readonly signal?: AbortSignal; readonly headers?: Readonly<Record<string, string>> } = {},
	): AsyncGenerator<Uint8Array, void, undefined> {
		const { signal = null, headers = {} } = options;
		let response: Response;
		try {
			response = await this.#fetch('GET', path, { headers, signal });
			if (!response.ok) throw remoteError(parse(await response.text()), this.url, response.status);
			for await (const piece of response.body ?? []) yield piece as Uint8Array;
		} catch (cause) {
			throw cause instanceof MeshError ? cause : this.#unreachable(cause);
		}
	}

	async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
		let response: Response;
		let text: string;
		try {
			response = await this.#fetch(method, path, {
				headers: body === undefined ? {} : { 'content-type': 'application/json' },
				...(body === undefined ? {} : { body: JSON.stringify(body) }),
				signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
			});
			text = await response.text();
		} catch (cause) {
			throw this.#unreachable(cause);
		}
		const json = parse(text);
		if (response.ok && json !== undefined) return json as T;
		throw remoteError(json, this.url, response.status);
	}

	async #fetch(method: string, path: string, { headers, ...rest }: RequestInit): Promise<Response> {
		const authorization = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
		const own = await this.#connecting();
		return own.fetch(`${this.url}/api/v1${path}`, {
			...own.through,
			method,
			redirect: 'error',
			headers: { ...authorization, ...(headers as Record<string, string>) },
			...rest,
		});
	}

	/** Node's own fetch knows no authorities but the system's. */
	async #connecting(): Promise<{ readonly fetch: typeof fetch; readonly through: object }> {
		if (this.#tls === undefined) return { fetch, through: {} };
		const undici = await import('undici');
		this.#dispatcher ??= Promise.resolve(new undici.Agent({ connect: { ...this.#tls } }));
		return {
			fetch: undici.fetch as unknown as typeof fetch,
			through: { dispatcher: await this.#dispatcher },
		};
	}

	#unreachable(cause: unknown): MeshError {
		const code = innermost(cause);
		if (code !== undefined && /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code))
			return new MeshError(cliErrors, 'IM_CLI_TLS', reason(cause), { where: this.url, cause });
		return new MeshError(cliErrors, 'IM_CLI_UNREACHABLE', `the mesh does not answer: ${reason(cause)}`, {
			where: this.url,
			cause,
		});
	}
}

interface AdminClientTls {
	readonly ca?: string;
	readonly cert?: string;
	readonly key?: string;
}

/** What is named, by option or environment; undefined when nothing is. */
function tlsOf(context: CliContext, options: AdminOptions, secure: boolean): AdminClientTls | undefined {
	const given = {
		ca: options.adminCa ?? context.env['INFERMESH_ADMIN_CA'],
		cert: options.adminCert ?? context.env['INFERMESH_ADMIN_CERT'],
		key: options.adminKey ?? context.env['INFERMESH_ADMIN_KEY'],
	};
	const named = Object.entries(given).filter(([, file]) => file !== undefined && file !== '');
	if (!secure || named.length === 0) return undefined;
	if (((given.cert ?? '') === '') !== ((given.key ?? '') === ''))
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'certificate and key belong together', { where: '--admin-cert' });
	return Object.fromEntries(named.map(([name, file]) => [name, pem(context, `--admin-${name}`, file as string)]));
}

function pem(context: CliContext, where: string, file: string): string {
	try {
		return context.readText(file);
	} catch (cause) {
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', `${file} cannot be read`, { where, cause });
	}
}

/** Code of the innermost cause. */
function innermost(error: unknown): string | undefined {
	if (!(error instanceof Error)) return undefined;
	return error.cause === undefined ? (error as NodeJS.ErrnoException).code : innermost(error.cause);
}

function tokenFromFile(context: CliContext): string | undefined {
	try {
		return context.readText(TOKEN_FILE).trim() || undefined;
	} catch {
		return undefined;
	}
}

/** The innermost cause says the most: `connect ECONNREFUSED 127.0.0.1:8081`. */
function reason(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	if (error.cause !== undefined) return reason(error.cause);
	const { code } = error as NodeJS.ErrnoException;
	return error.message === '' ? (code ?? error.name) : error.message;
}

function parse(text: string): unknown {
	try {
		return JSON.parse(text) as unknown;
	} catch {
		return undefined;
	}
}

interface RemoteError {
	readonly code: ErrorCode;
	readonly message: string;
	readonly hint: string;
	readonly retryable: boolean;
	readonly where?: string;
	readonly details?: Readonly<Record<string, unknown>>;
}

/** An error as the mesh told it, with its own code and hint. */
function remoteError(json: unknown, url: string, status: number): MeshError {
	const told = (json as { readonly error?: Partial<RemoteError> } | undefined)?.error;
	if (told === undefined || typeof told.code !== 'string' || !/^IM_[A-Z0-9_]+$/.test(told.code))
		return new MeshError(cliErrors, 'IM_CLI_NOT_A_MESH', `HTTP ${status}, not an answer of the admin API`, {
			where: url,
		});
	const { code, message = code, hint = '', retryable = false, where, details } = told;
	const catalogue = {
		[code]: { summary: message, hint, httpStatus: status, grpcStatus: 'UNKNOWN', retryable },
	} as const;
	return new MeshError(catalogue, code, message, {
		...(where === undefined ? {} : { where }),
		...(details === undefined ? {} : { details }),
	});
}
