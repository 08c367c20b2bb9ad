// Owns one attempt at one target: it is the handler the upstream's connection reports to. It decides what of the response is held back and what may go on,
// passes bytes with backpressure both ways, and ends exactly once. Whether a failed attempt is retried is the pipeline's.
import { BaseAttempt } from './base-attempt.js';
import { EMPTY } from './body-request.js';
import { type RouterEnv, stageEnded } from './env.js';
import type { RouterErrorCode } from './errors.js';
import type { Exchange } from './exchange.js';
import { failureCodes } from './fault-codes.js';
import { reportLoad } from './outcome.js';
import { heldKv, meetingMembers, type PairPlan, prefillBody, withMembers } from './pd/pair.js';
import { PrefillLeg, type PrefillResult } from './pd/prefill-leg.js';
import { dropBody } from './receive.js';
import { commit } from './respond.js';
import { targetTag } from './response-ids.js';
import { type MarkOf, markedBody, markedEvents } from './response-marks.js';
import type { AttemptEnd, RunningAttempt } from './routed-request.js';
import { SseRelay } from './sse-relay.js';
import { tenantOf } from './tenant-policy.js';
import type { UpstreamCall, UpstreamHandler } from './upstream/connection.js';
import { UpstreamFault } from './upstream/faults.js';
import type { UpstreamRequest } from './upstream/request-head.js';
import type { ResponseHeaders } from './upstream/response-parser.js';
import { upstreamRequest } from './upstream-request.js';
import { type AttemptPlan, header } from './upstream-response.js';
import { type Usage, usageInHeaders, usageInTail, usageKey } from './usage.js';

/** Bytes of a passed-on body in which `usage` is looked for. */
const TAIL_BYTES = 4096;

export class Attempt extends BaseAttempt implements UpstreamHandler {
	relay: SseRelay | undefined;
	/** The client does not keep up: the upstream is paused. */
	paused = false;

	readonly #env: RouterEnv;
	readonly #exchange: Exchange;
	#call: UpstreamCall | undefined;
	#prefill: PrefillLeg | undefined;
	/** Held until complete; false = bytes go on as they come. */
	#holding = true;
	#held: Buffer[] = [];
	#heldBytes = 0;
	#tail: Buffer = EMPTY;
	/**
	 * What has come in this tick: its first part, and further ones. No empty list is put back for the next: thousands of open streams keep theirs so long that V8 makes new
	 * ones in the old generation at once, and what is put into such a list is taken along there, 400 bytes a chunk that only a full marking finds again.
	 */
	#inbox: Buffer | undefined;
	#inboxMore: Buffer[] | undefined;
	/** Something came since the last look. */
	#active = false;
	#activeAtMs = 0;

	constructor(
		env: RouterEnv,
		exchange: Exchange,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	) {
		super(env, plan, ledgerEntry, onEnd);
		this.#env = env;
		this.#exchange = exchange;
	}

	get events(): number {
		return this.relay?.events ?? 0;
	}

	/** Sends the request, its prefill first where it has one. The number of connections to one target is bounded without a queue: beyond it the target counts as full. */
	start(): void {
		const request = upstreamRequest(this.#exchange, this);
		if (this.pair === undefined) this.#send(request);
		else this.#startPair(this.pair, request);
	}

	#send(request: UpstreamRequest): void {
		try {
			this.#call = this.#env.upstreams.dispatch(this.target, request, this);
		} catch (error) {
			this.finish('failed', error instanceof UpstreamFault ? failureCodes[error.kind] : 'IM_ROUTE_INTERNAL');
		}
	}

	/** vLLM's decode is sent what the prefill's answer says; SGLang's engines are both asked at once and meet. */
	#startPair(pair: PairPlan, request: UpstreamRequest): void {
		const leg = new PrefillLeg(this.#env, this.#exchange, this, pair, (result) => this.#prefilled(result, request));
		const { method, path, headers, body } = upstreamRequest(this.#exchange, this, pair.target);
		this.#prefill = leg;
		leg.start({ method, path, headers, body: prefillBody(body ?? EMPTY, pair) });
		if (pair.protocol === 'nixl' || this.end !== undefined) return;
		this.#send({ ...request, body: withMembers(request.body ?? EMPTY, meetingMembers(pair)) });
	}

	#prefilled(result: PrefillResult, request: UpstreamRequest): void {
		if (this.end !== undefined) return;
		if (result.kind === 'failed') {
			this.failedRow = this.pair?.row ?? this.poolRow;
			return this.stop('failed', result.failure);
		}
		if (result.kind === 'refused') {
			this.status = result.status;
			this.headers = result.headers;
			this.body = result.body;
			this.finish('held');
			return this.#call?.abort();
		}
		if (this.pair?.protocol !== 'nixl') return;
		// A prefill that holds nothing for us was in vain: the decode computes the prompt itself.
		const kv = heldKv(result.body);
		this.#send({ ...request, body: withMembers(request.body ?? EMPTY, { kv_transfer_params: kv ?? null }) });
	}

	/** Stops the attempt from outside: the client went away, or a timeout passed. The upstream connection is cut at once. */
	stop(end: 'failed' | 'cancelled', failure?: RouterErrorCode): void {
		this.finish(end, failure);
		this.#call?.abort();
	}

	/** The timeout that has passed, if any. Called periodically, so that a chunk costs no clock and no timer. */
	overdue(nowMs: number): RouterErrorCode | undefined {
		const { firstByteTimeoutMs, idleTimeoutMs } = this.#env.options.upstream;
		if (this.#active || this.paused) {
			this.#active = false;
			this.#activeAtMs = nowMs;
			return undefined;
		}
		if (this.#activeAtMs === 0)
			return nowMs - this.startedMs > firstByteTimeoutMs ? 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT' : undefined;
		return nowMs - this.#activeAtMs > idleTimeoutMs ? 'IM_UPSTREAM_IDLE_TIMEOUT' : undefined;
	}

	onHead(status: number, headers: ResponseHeaders): void {
		if (this.end !== undefined) return;
		stageEnded(this.#env, this.#exchange, 'first_byte');
		this.status = status;
		this.headers = headers;
		const type = header(this, 'content-type') ?? '';
		const plain = this.headers['content-encoding'] === undefined;
		if (status < 300 && plain && type.startsWith('text/event-stream')) {
			const { eventBytesMax } = this.#env.options;
			const { dialect, usageInjected } = this.#exchange;
			const key = usageKey(dialect.usageKey);
			this.relay = new SseRelay({
				eventBytesMax,
				stripUsage: usageInjected,
				usageKey: key,
				edit: this.#edit(markedEvents),
			});
			reportLoad(this.#env, this, true);
			return;
		}
		reportLoad(this.#env, this, false);
		this.#active = true;
		this.#holding = status >= 300 || type.includes('json');
	}

	onBody(chunk: Buffer): void {
		if (this.end !== undefined) return;
		this.chunks++;
		if (this.#holding && this.relay === undefined) return this.#hold(chunk);
		// What one read of the socket brings is looked at, and written, at once: a busy engine sends many events in one.
		if (this.#inbox === undefined) {
			this.#inbox = chunk;
			queueMicrotask(() => this.#deliver());
		} else if (this.#inboxMore === undefined) this.#inboxMore = [chunk];
		else this.#inboxMore.push(chunk);
	}

	onEnd(): void {
		this.#deliver();
		if (this.end !== undefined) return;
		if (this.relay !== undefined) return this.#streamEnd(this.relay);
		if (this.#holding) {
			this.body = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held, this.#heldBytes);
			this.#held = [];
			this.usage = this.status < 300 ? this.#usageIn(this.body) : undefined;
			this.body = this.#edit(markedBody)?.(this.body) ?? this.body;
			if (!isServerRefusal(this.status)) this.#exchange.race?.won(this);
			return this.finish('held');
		}
		this.#commit(this.#length());
		this.usage = this.#usageIn(this.#tail);
		this.#endClient();
	}

	/** What the dialect changes in answers: ids of stored responses tell where they are, and whose. Such an answer's length is not the engine's. */
	#edit(marked: (bytes: Buffer, mark: MarkOf) => Buffer): ((bytes: Buffer) => Buffer) | undefined {
		if (!this.#exchange.dialect.responseIds || this.status >= 300) return undefined;
		const { responseIds } = this.#env;
		const tag = targetTag(this.target.id);
		const tenant = tenantOf(this.#exchange);
		return (bytes) => marked(bytes, (id) => responseIds.mark(tag, tenant, id));
	}

	#usageIn(bytes: Buffer): Usage | undefined {
		const { usageKey: name, usageHeaders } = this.#exchange.dialect;
		return usageInTail(bytes, usageKey(name)) ?? usageInHeaders(this, usageHeaders);
	}

	#length(): string | undefined {
		return this.#exchange.dialect.responseIds ? undefined : header(this, 'content-length');
	}

	onFault({ kind, cause }: UpstreamFault): void {
		if (kind === 'internal') this.#logFault(cause);
		this.#deliver();
		if (this.end !== undefined) return;
		this.resetUnanswered = kind === 'reset';
		this.finish('failed', failureCodes[kind]);
	}

	/** Passes on what has come in this tick. A fault in here costs this attempt only. */
	#deliver(): void {
		const first = this.#inbox;
		if (first === undefined) return;
		const more = this.#inboxMore;
		this.#inbox = undefined;
		this.#inboxMore = undefined;
		const bytes = more === undefined ? first : Buffer.concat([first, ...more]);
		if (this.end !== undefined) return;
		try {
			if (this.relay === undefined) this.#pass(bytes);
			else this.#streamData(this.relay, bytes);
		} catch (error) {
			this.#logFault(error);
			this.stop('failed', 'IM_ROUTE_INTERNAL');
		}
	}

	#logFault(error: unknown): void {
		const { requestId } = this.#exchange;
		this.#env.ports.log.error({ requestId, error: String(error) }, 'response could not be passed on');
	}

	#streamData(relay: SseRelay, chunk: Buffer): void {
		const out = relay.push(chunk);
		this.#active = relay.started;
		if (this.firstTokenMs === 0) {
			// Comments before the first event are dropped: the head is not out yet, and an engine that dies now is retried.
			if (!relay.started) return;
			if (relay.startsWithError) return this.stop('failed', 'IM_UPSTREAM_ERROR');
			this.firstTokenMs = this.#env.ports.clock.nowMs();
			this.#env.ports.ledger.firstToken(this.ledgerEntry);
			this.#commit(undefined);
		}
		if (out.length > 0) this.#write(out);
	}

	#streamEnd(relay: SseRelay): void {
		const rest = relay.flush();
		if (!relay.started) return this.finish('failed', 'IM_UPSTREAM_DIED');
		this.#commit(undefined);
		if (rest.length > 0) this.#write(rest);
		this.usage = relay.usage ?? usageInHeaders(this, this.#exchange.dialect.usageHeaders);
		this.#endClient(relay.hasError ? 'IM_UPSTREAM_ERROR' : undefined);
	}

	/** Keeps the response back; one that grows too large goes on unheld, if it is no error. */
	#hold(chunk: Buffer): void {
		this.#active = true;
		this.#heldBytes += chunk.length;
		this.#held.push(chunk);
		if (this.#heldBytes <= this.#env.options.heldResponseBytesMax) return;
		const held = Buffer.concat(this.#held, this.#heldBytes);
		this.#held = [];
		if (this.status >= 400) {
			// An error nobody will read to its end: what it says is dropped, the status stands.
			this.finish('held');
			this.#call?.abort();
			return;
		}
		this.#holding = false;
		this.#pass(this.#edit(markedBody)?.(held) ?? held);
	}

	#pass(chunk: Buffer): void {
		this.#active = true;
		this.#commit(this.#length());
		const tail = chunk.length >= TAIL_BYTES ? chunk : Buffer.concat([this.#tail, chunk]);
		this.#tail = tail.length > TAIL_BYTES ? tail.subarray(tail.length - TAIL_BYTES) : tail;
		this.#write(chunk);
	}

	/** The head goes to the client, once; of several attempts the one that comes to this first has won. No other will be made: a long answer need not hold its prompt. */
	#commit(length: string | undefined): void {
		if (this.#exchange.committed) return;
		this.#exchange.race?.won(this);
		commit(this.#exchange, this, length);
		dropBody(this.#env, this.#exchange);
	}

	#write(bytes: Buffer): void {
		const { res } = this.#exchange;
		if (res.destroyed || res.write(bytes) || this.paused) return;
		this.paused = true;
		this.#exchange.blockedSinceMs = this.#env.ports.clock.nowMs();
		this.#call?.pause();
		res.once('drain', () => {
			this.paused = false;
			this.#exchange.blockedSinceMs = 0;
			this.#call?.resume();
		});
	}

	/** `failure`: what the engine itself has told the client, in its words. */
	#endClient(failure?: RouterErrorCode): void {
		this.#exchange.finished = true;
		this.#exchange.res.end();
		if (failure === undefined) return this.finish('relayed');
		this.#exchange.refusal = { code: failure };
		this.finish('failed', failure);
	}

	/** What a decode waited for in vain is to blame, where it waited for it. */
	#endPrefill(leg: PrefillLeg, end: AttemptEnd, failure: RouterErrorCode | undefined): void {
		const late = end === 'failed' && failure?.endsWith('_TIMEOUT') === true;
		if (late) this.failedRow = leg.pair.row;
		leg.stop(late);
	}

	protected override finishing(end: AttemptEnd, failure: RouterErrorCode | undefined): void {
		if (this.#prefill?.ended === false) this.#endPrefill(this.#prefill, end, failure);
	}
}

/** An answer that says nothing of the request: another target may do better. */
function isServerRefusal(status: number): boolean {
	return status === 429 || status >= 500;
}
