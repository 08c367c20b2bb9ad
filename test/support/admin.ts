// Owns the admin API as tests use it: real HTTP, typed answers, and errors as values where a test expects one.
import type { ExplainedDecision, LoadResult, MeshStatus, StrategyView, TargetView } from '@infermesh/host';

/** An answer that is an error, with the parts tests look at. */
export class AdminError extends Error {
	readonly status: number;
	readonly code: string;
	readonly details: unknown;

	constructor(status: number, body: { readonly code: string; readonly message: string; readonly details?: unknown }) {
		super(`${status} ${body.code}: ${body.message}`);
		this.status = status;
		this.code = body.code;
		this.details = body.details;
	}
}

export interface LoadRequest {
	readonly activate?: boolean;
	readonly model?: string;
	readonly settings?: Readonly<Record<string, number | boolean>>;
	readonly sourceMap?: string;
}

export class AdminClient {
	readonly url: string;
	readonly #token: string | undefined;
	readonly #timeoutMs: number | undefined;

	constructor(url: string, token?: string, timeoutMs?: number) {
		this.url = url;
		this.#token = token;
		this.#timeoutMs = timeoutMs;
	}

	/** One call; throws AdminError for a status of 400 and more. */
	async call<T>(method: string, path: string, body?: unknown): Promise<T> {
		const response = await fetch(`${this.url}${path}`, {
			method,
			headers: {
				...(body === undefined ? {} : { 'content-type': 'application/json' }),
				...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
			},
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
			...(this.#timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(this.#timeoutMs) }),
		});
		const answer = (await response.json()) as { error: { code: string; message: string } };
		if (response.ok) return answer as unknown as T;
		throw new AdminError(response.status, answer.error);
	}

	status(): Promise<MeshStatus> {
		return this.call('GET', '/api/v1/status');
	}

	async targets(): Promise<readonly TargetView[]> {
		return (await this.call<{ items: TargetView[] }>('GET', '/api/v1/targets')).items;
	}

	async target(id: string): Promise<TargetView> {
		const found = (await this.targets()).find((target) => target.id === id);
		if (found === undefined) throw new Error(`no target ${id}`);
		return found;
	}

	addTarget(request: Readonly<Record<string, unknown>>): Promise<TargetView> {
		return this.call('POST', '/api/v1/targets', request);
	}

	removeTarget(id: string): Promise<TargetView> {
		return this.call('DELETE', `/api/v1/targets/${id}`);
	}

	drain(id: string, draining = true): Promise<TargetView> {
		return this.call('POST', `/api/v1/targets/${id}/${draining ? 'drain' : 'undrain'}`);
	}

	async strategies(): Promise<readonly StrategyView[]> {
		return (await this.call<{ items: StrategyView[] }>('GET', '/api/v1/strategies')).items;
	}

	load(module: Uint8Array, request: LoadRequest = {}): Promise<LoadResult> {
		return this.call('POST', '/api/v1/strategies', { module: Buffer.from(module).toString('base64'), ...request });
	}

	stage(
		name: string,
		stage: string,
		more: { readonly percent?: number; readonly model?: string } = {},
	): Promise<StrategyView> {
		return this.call('POST', `/api/v1/strategies/${encodeURIComponent(name)}/stage`, { stage, ...more });
	}

	async rollback(model?: string): Promise<StrategyView | null> {
		const body = model === undefined ? {} : { model };
		return (await this.call<{ strategy: StrategyView | null }>('POST', '/api/v1/rollback', body)).strategy;
	}

	unload(name: string): Promise<StrategyView> {
		return this.call('DELETE', `/api/v1/strategies/${encodeURIComponent(name)}`);
	}

	explain(decisionId: string): Promise<ExplainedDecision> {
		return this.call('GET', `/api/v1/decisions/${decisionId}`);
	}

	async metricsText(): Promise<string> {
		return (await fetch(`${this.url}/metrics`)).text();
	}

	/** Sum over all series of one metric whose labels include `labels`. */
	async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
		let sum = 0;
		for (const line of (await this.metricsText()).split('\n')) {
			const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
			if (match?.[1] !== name) continue;
			const found = match[2] ?? '';
			const all = Object.entries(labels).every(([key, value]) => found.includes(`${key}="${value}"`));
			if (all) sum += Number(match[3]);
		}
		return sum;
	}
}
