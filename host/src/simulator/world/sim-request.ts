// Owns one request of the workload while a simulated router has it: production's record, and what only the simulation knows. What it will generate is
// here for the engine that is to generate it; nothing that decides reads it.
import { dialect } from '@infermesh/adapters';
import type { Timer } from '@infermesh/proto';
import { hashText } from '../../router/hash.js';
import type { Caller, ModelRoute } from '../../router/ports.js';
import { noWishes, type Protocol, RoutedRequest } from '../../router/routed-request.js';
import type { Workload } from '../spec.js';

/** As a streamed chat completion: it may be sent twice, and shows its first token. */
const chat = dialect('simulated', {});
const PATH = '/v1/chat/completions';
const connection = {};
const hash = { low: 0, high: 0 };

export type WorkloadRow = Workload['requests'][number];

export class SimRequest extends RoutedRequest {
	/** Its place in the workload. */
	readonly index: number;
	readonly arm: number;
	readonly arrivedUs: number;
	readonly row: WorkloadRow;
	/** Mesh time at which it was first decided to go somewhere; 0 = not yet. */
	dispatchedMs = 0;
	/** When its client gives it up. */
	timeout: Timer | undefined;

	constructor(
		protocol: Protocol,
		index: number,
		arm: number,
		row: WorkloadRow,
		arrivedUs: number,
		nowMs: number,
		caller: Caller,
		route: ModelRoute,
	) {
		super(protocol, chat, 'POST', PATH, {}, connection, nowMs);
		this.index = index;
		this.arm = arm;
		this.row = row;
		this.arrivedUs = arrivedUs;
		this.model = route.requested;
		this.route = route;
		this.stream = true;
		this.caller = caller;
		this.tenantId = caller.tenantId;
		this.tokensIn = row.inputTokens;
		this.lora = row.lora ?? '';
		if (row.priority !== undefined && row.priority !== 0) this.wishes = { ...noWishes, priority: row.priority };
		if (row.session === undefined) return;
		this.session = row.session;
		hashText(row.session, hash);
		this.sessionLow = hash.low;
		this.sessionHigh = hash.high;
	}
}
