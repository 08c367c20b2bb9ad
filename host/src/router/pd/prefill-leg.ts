// Owns the prefill of a pair: the request to the target that prefills, its entry in the ledger, and its outcome. It ends exactly once, and tells
// the attempt it is for what came of it; an attempt that ends first stops it.

import { EMPTY } from '../body-request.js';
import type { RouterEnv } from '../env.js';
import type { RouterErrorCode } from '../errors.js';
import { failureCodes } from '../fault-codes.js';
import { recordPrefill } from '../outcome.js';
import type { OutcomeStatusName } from '../ports.js';
import type { RoutedRequest } from '../routed-request.js';
import type { UpstreamCall, UpstreamHandler } from '../upstream/connection.js';
import { UpstreamFault } from '../upstream/faults.js';
import type { UpstreamRequest } from '../upstream/request-head.js';
import type { ResponseHeaders } from '../upstream/response-parser.js';
import type { AttemptPlan } from '../upstream-response.js';
import { type Usage, usageInTail } from '../usage.js';
import type { PairPlan } from './pair.js';

/** What came of a prefill. `refused`: the request itself is at fault, and this is its answer. */
export type PrefillResult =
	| { readonly kind: 'done'; readonly body: Buffer }
	| { readonly kind: 'refused'; readonly status: number; readonly headers: ResponseHeaders; readonly body: Buffer }
	| { readonly kind: 'failed'; readonly failure: RouterErrorCode };

export class PrefillLeg implements UpstreamHandler {
	readonly pair: PairPlan;
	readonly plan: AttemptPlan;
	readonly startedMs: number;
	status = 0;
	usage: Usage | undefined;
	ended = false;
	readonly ledgerEntry: number;
	readonly #env: RouterEnv;
	readonly #request: RoutedRequest;
	readonly #done: (result: PrefillResult) => void;
	#call: UpstreamCall | undefined;
	#headers: ResponseHeaders = {};
	#chunks: Buffer[] = [];
	#bytes = 0;

	constructor(
		env: RouterEnv,
		request: RoutedRequest,
		plan: AttemptPlan,
		pair: PairPlan,
		done: (result: PrefillResult) => void,
	) {
		this.#env = env;
		this.#request = request;
		this.plan = plan;
		this.pair = pair;
		this.#done = done;
		this.startedMs = env.ports.clock.nowMs();
		this.ledgerEntry = env.ports.ledger.dispatch(pair.target, request.tokensIn, pair.uncachedTokens);
	}

	start(request: UpstreamRequest): void {
		try {
			this.#call = this.#env.upstreams.dispatch(this.pair.target, request, this);
		} catch (error) {
			this.#fail(error instanceof UpstreamFault ? failureCodes[error.kind] : 'IM_ROUTE_INTERNAL');
		}
	}

	/** The attempt has ended: nobody needs this any more. `late`: it is what the attempt waited for too long. */
	stop(late: boolean): void {
		if (this.ended) return;
		this.#end(late ? 'timeout' : 'cancelled');
		this.#call?.abort();
	}

	onHead(status: number, headers: ResponseHeaders): void {
		this.status = status;
		this.#headers = headers;
	}

	onBody(bytes: Buffer): void {
		this.#bytes += bytes.length;
		// One token's answer is small; one that is not says nothing that is needed.
		if (this.#bytes <= this.#env.options.heldResponseBytesMax) this.#chunks.push(bytes);
		else if (!this.ended) {
			this.#fail('IM_UPSTREAM_PROTOCOL');
			this.#call?.abort();
		}
	}

	onEnd(): void {
		if (this.ended) return;
		const body = this.#chunks.length === 0 ? EMPTY : Buffer.concat(this.#chunks);
		const { status } = this;
		if (status === 429 || status === 503) return this.#fail('IM_UPSTREAM_SATURATED');
		if (status >= 500 || status < 200) return this.#fail('IM_UPSTREAM_ERROR');
		this.usage = status < 300 ? usageInTail(body) : undefined;
		this.#end('ok');
		this.#done(status < 300 ? { kind: 'done', body } : { kind: 'refused', status, headers: this.#headers, body });
	}

	onFault({ kind }: UpstreamFault): void {
		this.#fail(failureCodes[kind]);
	}

	#fail(failure: RouterErrorCode): void {
		if (this.ended) return;
		this.#end(failure === 'IM_UPSTREAM_SATURATED' ? 'rejected' : 'upstream_error', failure === 'IM_UPSTREAM_CONNECT');
		this.#done({ kind: 'failed', failure });
	}

	#end(status: OutcomeStatusName, unreachable = false): void {
		this.ended = true;
		recordPrefill(this.#env, this.#request, this, status, unreachable);
	}
}
