// Owns what admission remembers of one request: what was charged for it, what it has taken since, and where it waits. Requests that nothing is asked of
// have none.
import type { RoutedRequest, RunningAttempt } from '../routed-request.js';
import type { Waiting } from './flow-band.js';
import type { Charge } from './quota-board.js';

export class Ticket {
	readonly tenant: number;
	/** What the quota was charged; undefined = nothing is held of it. */
	charged: Charge | undefined;
	/** Dimensions that were limited then, as bits. */
	limited = 0;
	/** Until when it waits for a lease of its quota; 0 = it does not. */
	leaseUntilMs = 0;
	/** Its place in the queue, and of which pool. */
	entry: Waiting<RoutedRequest> | undefined;
	pool = -1;
	/** The attempt before, answered with when waiting leads nowhere. */
	last: RunningAttempt | undefined;
	band = 0;
	/** Service its flow has been charged: an estimate when it left the queue, then what it took. */
	served = 0;
	/** Sent to a target at least once. */
	sent = false;
	tokensIn = 0;
	tokensOut = 0;

	constructor(tenant: number) {
		this.tenant = tenant;
	}

	/** An attempt has ended: what it took counts, whether the client stayed for it or not. */
	spent({ tokensIn, stream }: RoutedRequest, attempt: RunningAttempt): void {
		const { usage, status, events, end, failure } = attempt;
		// Nobody waited for it any more: the client has left, or the time it gave has passed.
		const unwanted = end === 'cancelled' || failure === 'IM_ROUTE_DEADLINE';
		this.sent = true;
		if (status >= 400 || (end === 'failed' && !unwanted && usage === undefined && events === 0)) return;
		this.tokensIn = Math.max(this.tokensIn, usage?.tokensIn ?? tokensIn);
		// A whole answer nobody waited for says nothing of its length: what was expected stands.
		const unknown = unwanted && !stream && usage === undefined;
		this.tokensOut += usage?.tokensOut ?? (unknown ? (this.charged?.tokensOut ?? 0) : events);
	}
}
