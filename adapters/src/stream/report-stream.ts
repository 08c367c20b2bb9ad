// Owns one stream of reports to an agent: opens it, sends what the outbox holds at the pace the agent allows, and opens it again, with a growing pause,
// when it breaks. The call itself comes from outside (grpc-js, over whatever credentials the caller has).
import type { Clock, Random, Timer } from '@infermesh/proto';
import type * as wire from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import { Outbox } from './outbox.js';
import { type Report, type ReportKind, toWire, type WireState } from './wire.js';

/** A message of any of the four kinds. */
export interface WireReport {
	readonly opening: wire.ReportOpening | undefined;
	readonly head: wire.ReportHead | undefined;
	readonly target: string;
	readonly state: WireState | undefined;
}

/** A bidirectional call as grpc-js makes it. */
export interface ReportCall {
	write(report: WireReport): boolean;
	end(): void;
	cancel(): void;
	on(event: 'data', listener: (ack: wire.ReportAck) => void): unknown;
	on(event: 'error', listener: (error: Error) => void): unknown;
	on(event: 'end' | 'drain', listener: () => void): unknown;
}

export interface ReportStreamOptions {
	readonly kind: ReportKind;
	/** Name of the adapter, as the agent shows it. */
	readonly adapter: string;
	/** Reports held until they are acknowledged. */
	readonly heldMax: number;
	/** Sent and not acknowledged within this time: the connection is taken for dead. */
	readonly ackTimeoutMs: number;
	readonly retryMinMs: number;
	readonly retryMaxMs: number;
}

export const reportStreamDefaults = Object.freeze({
	heldMax: 256,
	ackTimeoutMs: 15_000,
	retryMinMs: 200,
	retryMaxMs: 30_000,
});

export interface ReportStreamPorts {
	readonly clock: Clock;
	readonly random: Random;
	/** Opens a call of the kind. May throw. */
	readonly connect: () => ReportCall;
	/** The agent refused reports for good, and why the last one. */
	readonly refused?: (count: number, reason: string) => void;
	/** A call broke; it is tried again. */
	readonly broken?: (error: Error) => void;
}

/** Calls in a row that broke after they had sent something and before any of it was acknowledged: then the oldest report is given up. */
const FRUITLESS_MAX = 8;
const ID_CHARS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const ID_LENGTH = 20;

export class ReportStream<K extends ReportKind = ReportKind> {
	readonly #options: ReportStreamOptions;
	readonly #ports: ReportStreamPorts;
	readonly #outbox: Outbox<Report<K>>;
	readonly #streamId: string;
	#call: ReportCall | undefined;
	#ackTimer: Timer | undefined;
	#retryTimer: Timer | undefined;
	#retryMs: number;
	#blocked = false;
	#closed = false;
	#refused = 0;
	/** Calls in a row that opened, sent, and got nothing acknowledged. */
	#fruitless = 0;
	#emptied: (() => void)[] = [];

	constructor(
		options: Partial<ReportStreamOptions> & Pick<ReportStreamOptions, 'kind' | 'adapter'>,
		ports: ReportStreamPorts,
	) {
		this.#options = { ...reportStreamDefaults, ...options };
		this.#ports = ports;
		this.#outbox = new Outbox({ heldMax: this.#options.heldMax });
		this.#retryMs = this.#options.retryMinMs;
		this.#streamId = Array.from({ length: ID_LENGTH }, () => ID_CHARS[ports.random.nextU32() % ID_CHARS.length]).join(
			'',
		);
	}

	/** Reports dropped for want of room, and refused by the agent, since the start; and those not acknowledged yet. */
	get counts(): { readonly dropped: number; readonly refused: number; readonly held: number } {
		return { dropped: this.#outbox.dropped, refused: this.#refused, held: this.#outbox.held };
	}

	/** Takes a report. `key` says what it is about: for want of room a newer report takes the place of an older one of its key. */
	report(key: string, target: string, delta: Report<K>['delta']): void {
		if (this.#closed) return;
		const report = { kind: this.#options.kind as K, target, delta };
		this.#outbox.add(key, report, delta.observedAtMs);
		if (this.#call === undefined && this.#retryTimer === undefined) this.#open();
		else this.#send();
	}

	/** Resolves when all is acknowledged. */
	async flushed(): Promise<void> {
		if (this.#outbox.held > 0) await new Promise<void>((resolve) => void this.#emptied.push(resolve));
	}

	/** Ends the stream; what is not acknowledged is lost. */
	close(): void {
		this.#closed = true;
		this.#retryTimer?.cancel();
		this.#ackTimer?.cancel();
		const call = this.#call;
		this.#call = undefined;
		call?.end();
		call?.cancel();
	}

	#open(): void {
		this.#retryTimer = undefined;
		this.#blocked = false;
		this.#outbox.disconnected();
		let call: ReportCall;
		try {
			call = this.#ports.connect();
		} catch (error) {
			this.#break(error);
			return;
		}
		this.#call = call;
		const current = (work: () => void): void => {
			if (this.#call === call) work();
		};
		call.on('data', (ack) => current(() => this.#acked(ack)));
		call.on('error', (error) => current(() => this.#break(error)));
		call.on('end', () => current(() => this.#break(new Error('the agent has ended the stream'))));
		call.on('drain', () =>
			current(() => {
				this.#blocked = false;
				this.#send();
			}),
		);
		const opening = { streamId: this.#streamId, adapter: this.#options.adapter };
		call.write({ opening, head: undefined, target: '', state: undefined });
		this.#expectAck();
	}

	#acked({ ackedSequence, window, refused, refusal }: wire.ReportAck): void {
		this.#ackTimer?.cancel();
		this.#ackTimer = undefined;
		const heldBefore = this.#outbox.held;
		this.#outbox.acked(Number(ackedSequence), window);
		// An agent that answers and breaks again is not well yet.
		if (this.#outbox.held < heldBefore || heldBefore === 0) this.#progressed();
		if (refused > 0) {
			this.#refused += refused;
			this.#ports.refused?.(refused, refusal);
		}
		this.#send();
		if (this.#outbox.waiting) this.#expectAck();
		if (this.#outbox.held > 0) return;
		for (const emptied of this.#emptied.splice(0)) emptied();
	}

	#progressed(): void {
		this.#retryMs = this.#options.retryMinMs;
		this.#fruitless = 0;
	}

	#send(): void {
		const call = this.#call;
		if (call === undefined) return;
		while (!this.#blocked) {
			const next = this.#outbox.next();
			if (next === undefined) return;
			const { kind, target, delta } = next.item;
			const head = {
				sequence: BigInt(next.sequence),
				ageMs: Math.max(0, this.#ports.clock.nowMs() - next.observedAtMs),
				dropped: BigInt(this.#outbox.dropped),
			};
			this.#blocked = !call.write({ opening: undefined, head, target, state: toWire(kind, delta) });
			this.#expectAck();
		}
	}

	#expectAck(): void {
		const { ackTimeoutMs } = this.#options;
		this.#ackTimer ??= this.#ports.clock.after(
			ackTimeoutMs,
			() => this.#break(new Error(`nothing was acknowledged in ${ackTimeoutMs} ms`)),
			{ unref: true },
		);
	}

	#break(cause: unknown): void {
		const call = this.#call;
		this.#call = undefined;
		this.#ackTimer?.cancel();
		this.#ackTimer = undefined;
		call?.cancel();
		if (this.#outbox.waiting && ++this.#fruitless >= FRUITLESS_MAX) {
			this.#outbox.dropOldest();
			this.#fruitless = 0;
		}
		this.#outbox.disconnected();
		if (this.#closed) return;
		this.#ports.broken?.(cause instanceof Error ? cause : new Error(String(cause)));
		// Half to all of it at random, so that the adapters of a node do not come back together.
		const delayMs = this.#retryMs * (0.5 + this.#ports.random.nextFloat() / 2);
		this.#retryMs = Math.min(this.#options.retryMaxMs, this.#retryMs * 2);
		this.#retryTimer = this.#ports.clock.after(delayMs, () => this.#open());
	}
}
