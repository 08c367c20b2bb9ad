// Owns one request over the wire: an undici handler that times a completion, streamed or whole, and classifies how it ended.
// Leaves pacing, pools and statistics to its callers. Invariant: `onEnd` is called exactly once, whatever the server does.
import type { Clock } from '@infermesh/proto';
import type { Dispatcher } from 'undici';
import type { Failure, FailureKind, Outcome } from './outcome.js';
import { EVENT_BYTES_MAX, SseScanner, type StreamEvent } from './sse.js';

/** The parts of a request that decide how its answer is read. */
export interface ExchangePlan {
	readonly intendedMs: number;
	readonly inputTokens: number;
	readonly stream: boolean;
}

export interface ExchangeSink {
	/** Headers of a response came. */
	onHeaders(nowMs: number, target: string | undefined, strategy: string | undefined): void;
	/** An event with text came; `gapMs` since the one before, undefined for the first. */
	onToken(nowMs: number, gapMs: number | undefined): void;
	onEnd(exchange: Exchange, outcome: Outcome): void;
}

/** Bytes of a whole (not streamed) answer that are kept to read `usage`. */
const BODY_BYTES_MAX = 16_777_216;
const LABEL_CHARS_MAX = 128;

type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2];

export class Exchange implements Dispatcher.DispatchHandler {
	readonly sentMs: number;
	readonly #plan: ExchangePlan;
	readonly #clock: Clock;
	readonly #sink: ExchangeSink;
	#controller: Dispatcher.DispatchController | undefined;
	#scanner: SseScanner | undefined;
	#body: Buffer[] = [];
	#bodyBytes = 0;
	#status = 0;
	#errorCode = '';
	#target: string | undefined;
	#strategy: string | undefined;
	#nowMs = 0;
	#firstTokenMs: number | undefined;
	#lastTokenMs: number | undefined;
	#tokenEvents = 0;
	#usageTokens: number | undefined;
	#streamError: string | undefined;
	#streamDone = false;
	#over = false;

	constructor(plan: ExchangePlan, clock: Clock, sink: ExchangeSink) {
		this.#plan = plan;
		this.#clock = clock;
		this.#sink = sink;
		this.sentMs = clock.nowMs();
	}

	/** Ends the request as timed out; the phase is named in the failure. */
	expire(): void {
		const phase = this.#controller === undefined ? 'connect' : this.#status === 0 ? 'headers' : 'body';
		this.#fail('timeout', phase);
	}

	/** Ends the request because the run was stopped: neither success nor failure. */
	cancel(): void {
		this.#finish('aborted', undefined);
	}

	/** Ends a request whose dispatch itself threw. */
	refuse(error: unknown): void {
		this.#fail('connect', errorCode(error));
	}

	onRequestStart(controller: Dispatcher.DispatchController): void {
		this.#controller = controller;
		if (this.#over) controller.abort(new Error('the request is over'));
	}

	onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
		if (status < 200 || this.#over) return;
		this.#status = status;
		this.#target = label(headers['x-infermesh-target']);
		this.#strategy = label(headers['x-infermesh-strategy']);
		this.#errorCode = meshCode(headers['x-infermesh-error']);
		if (this.#plan.stream && status < 300) this.#scanner = new SseScanner(this.#onEvent);
		this.#sink.onHeaders(this.#clock.nowMs(), this.#target, this.#strategy);
	}

	onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
		if (this.#over) return;
		if (this.#scanner !== undefined) {
			this.#nowMs = this.#clock.nowMs();
			this.#scanner.push(chunk);
			if (!this.#scanner.ok) this.#fail('protocol', `event over ${EVENT_BYTES_MAX} bytes`);
			return;
		}
		if (this.#status >= 300) return;
		this.#bodyBytes += chunk.length;
		if (this.#bodyBytes > BODY_BYTES_MAX) this.#fail('protocol', `body over ${BODY_BYTES_MAX} bytes`);
		else this.#body.push(chunk);
	}

	onResponseEnd(): void {
		if (this.#over) return;
		if (this.#status >= 300) {
			this.#fail('http', `${this.#status}${this.#errorCode === '' ? '' : ` ${this.#errorCode}`}`);
			return;
		}
		if (this.#plan.stream) this.#endStream();
		else this.#endWhole();
	}

	onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
		const code = errorCode(error);
		if (this.#status >= 300)
			this.#fail('http', `${this.#status}${this.#errorCode === '' ? '' : ` ${this.#errorCode}`}`);
		else if (this.#status !== 0) this.#fail('truncated', code);
		else if (this.#controller === undefined || isConnectCode(code)) this.#fail('connect', code);
		else this.#fail('reset', code);
	}

	#endStream(): void {
		this.#nowMs = this.#clock.nowMs();
		this.#scanner?.end();
		if (this.#streamError !== undefined) this.#fail('stream_error', this.#streamError);
		else if (this.#streamDone) this.#finish('ok', undefined);
		else this.#fail('truncated', 'no [DONE]');
	}

	#endWhole(): void {
		const answer = parseJson(Buffer.concat(this.#body));
		if (answer === undefined || !('choices' in answer)) {
			this.#fail('protocol', 'not a completion');
			return;
		}
		this.#usageTokens = usageTokens(answer);
		this.#finish('ok', undefined);
	}

	readonly #onEvent = (event: StreamEvent, data: Buffer | undefined): void => {
		switch (event) {
			case 'token':
				this.#token();
				return;
			case 'usage':
				this.#usageTokens = usageTokens(parseJson(data)) ?? this.#usageTokens;
				return;
			case 'error':
				this.#streamError = streamErrorCode(parseJson(data));
				return;
			case 'done':
				this.#streamDone = true;
				return;
			case 'other':
				return;
		}
	};

	#token(): void {
		const gapMs = this.#lastTokenMs === undefined ? undefined : this.#nowMs - this.#lastTokenMs;
		this.#firstTokenMs ??= this.#nowMs;
		this.#lastTokenMs = this.#nowMs;
		this.#tokenEvents++;
		this.#sink.onToken(this.#nowMs, gapMs);
	}

	#fail(kind: FailureKind, detail: string): void {
		this.#finish('failed', { kind, detail });
	}

	#finish(end: Outcome['end'], failure: Failure | undefined): void {
		if (this.#over) return;
		this.#over = true;
		this.#body = [];
		const outcome: Outcome = {
			end,
			failure,
			intendedMs: this.#plan.intendedMs,
			sentMs: this.sentMs,
			firstTokenMs: this.#firstTokenMs,
			lastTokenMs: this.#lastTokenMs,
			endMs: this.#clock.nowMs(),
			inputTokens: this.#plan.inputTokens,
			outputTokens: this.#usageTokens ?? this.#tokenEvents,
			target: this.#target,
			strategy: this.#strategy,
		};
		if (end !== 'ok') this.#controller?.abort(new Error('the request is over'));
		this.#sink.onEnd(this, outcome);
	}
}

function isConnectCode(code: string): boolean {
	return /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EMFILE|UND_ERR_CONNECT_TIMEOUT|ERR_TLS.*|.*CERT.*)$/.test(
		code,
	);
}

/** The system's or undici's code, else the class name: never a message, which may hold anything. */
function errorCode(error: unknown): string {
	const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
	if (typeof code === 'string') return code.slice(0, LABEL_CHARS_MAX);
	return error instanceof Error ? error.name : 'unknown';
}

function label(value: string | string[] | undefined): string | undefined {
	const text = Array.isArray(value) ? value[0] : value;
	return text?.slice(0, LABEL_CHARS_MAX);
}

function meshCode(value: string | string[] | undefined): string {
	const text = label(value) ?? '';
	return /^IM_[A-Z0-9_]+$/.test(text) ? text : '';
}

function parseJson(data: Buffer | undefined): Record<string, unknown> | undefined {
	try {
		const value: unknown = JSON.parse(data?.toString('utf8') ?? '');
		return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
	} catch {
		return undefined;
	}
}

function usageTokens(answer: Record<string, unknown> | undefined): number | undefined {
	const usage = answer?.['usage'];
	if (typeof usage !== 'object' || usage === null || !('completion_tokens' in usage)) return undefined;
	return typeof usage.completion_tokens === 'number' ? usage.completion_tokens : undefined;
}

/** The `code` or `type` of an error event when it looks like one, else `unknown`. */
function streamErrorCode(answer: Record<string, unknown> | undefined): string {
	const nested = answer?.['error'];
	const error = (typeof nested === 'object' && nested !== null ? nested : (answer ?? {})) as Record<string, unknown>;
	for (const value of [error['code'], error['type']]) {
		if (typeof value === 'number') return String(value);
		if (typeof value === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(value)) return value;
	}
	return 'unknown';
}
