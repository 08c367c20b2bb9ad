// Owns one call that reports: its opening, its order, its window, its acknowledgements. Acknowledging at most so often is what holds back an adapter that
// would send faster than this node should spend time on it: it may not send beyond the window of the last acknowledgement.
import { type DeltaOf, fromWire, type ReportKind, type WireReport } from '@infermesh/adapters';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { ReportAck } from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import { reportErrors } from './errors.js';
import type { Position, ReportLedger } from './ledger.js';
import type { ReportMetrics, ReportSinks } from './sinks.js';

export interface ReceiverOptions {
	/** Reports an adapter may send beyond the last acknowledgement. */
	readonly window: number;
	/** An acknowledgement goes out at most this often. */
	readonly ackEveryMs: number;
}

export interface ReceiverPorts {
	readonly clock: Clock;
	readonly ledger: ReportLedger;
	readonly sinks: ReportSinks;
	readonly metrics: ReportMetrics;
	readonly send: (ack: ReportAck) => void;
	/** Ends the call with an error; nothing more comes from it. */
	readonly fail: (error: MeshError) => void;
	/** An error without a code as it may be told. */
	readonly toError: (error: unknown) => MeshError;
}

const STREAM_ID = /^[A-Za-z0-9_-]{1,64}$/;
const NAME_CHARS_MAX = 128;
/** Older observations are taken for this old. */
const AGE_MAX_MS = 86_400_000;

export class ReportReceiver {
	readonly #kind: ReportKind;
	readonly #caller: string;
	readonly #options: ReceiverOptions;
	readonly #ports: ReceiverPorts;
	#position: Position | undefined;
	#sinceAck = 0;
	#refused = 0;
	#refusal = '';
	#ackTimer: Timer | undefined;
	#ended = false;

	constructor(kind: ReportKind, caller: string, options: ReceiverOptions, ports: ReceiverPorts) {
		this.#kind = kind;
		this.#caller = caller;
		this.#options = options;
		this.#ports = ports;
	}

	/** The next message of the call. */
	take(message: WireReport): void {
		if (this.#ended) return;
		try {
			if (this.#position === undefined) this.#open(message);
			else this.#report(message, this.#position);
		} catch (error) {
			this.end();
			this.#ports.fail(this.#ports.toError(error));
		}
	}

	/** The call is over. */
	end(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#ackTimer?.cancel();
		if (this.#position !== undefined) this.#position.supersede = undefined;
	}

	#open({ opening }: WireReport): void {
		if (opening === undefined || !STREAM_ID.test(opening.streamId))
			throw new MeshError(reportErrors, 'IM_REPORTS_OPENING');
		const adapter = opening.adapter.replace(/[^\x20-\x7e]/g, '?').slice(0, NAME_CHARS_MAX);
		this.#position = this.#ports.ledger.open(this.#caller, this.#kind, opening.streamId, adapter, () => {
			// The position belongs to the next call from here on.
			this.#position = undefined;
			this.end();
			this.#ports.fail(new MeshError(reportErrors, 'IM_REPORTS_SUPERSEDED'));
		});
		this.#ack();
	}

	#report(message: WireReport, position: Position): void {
		const { metrics } = this.#ports;
		const sequence = Number(message.head?.sequence ?? 0n);
		if (message.head === undefined || !Number.isSafeInteger(sequence) || sequence < 1)
			throw new MeshError(reportErrors, 'IM_REPORTS_OPENING', 'a report without a head or a sequence');
		if (++this.#sinceAck > this.#options.window) throw new MeshError(reportErrors, 'IM_REPORTS_WINDOW');
		const dropped = Number(message.head.dropped);
		if (dropped > position.dropped && Number.isSafeInteger(dropped)) {
			metrics.reportsDropped(this.#kind, dropped - position.dropped);
			position.dropped = dropped;
		}
		if (sequence <= position.lastSequence) metrics.report(this.#kind, 'duplicate');
		else {
			position.lastSequence = sequence;
			this.#apply(message, position.adapter);
		}
		this.#ackTimer ??= this.#ports.clock.after(this.#options.ackEveryMs, () => this.#ack(), { unref: true });
	}

	/** What a sink refuses is refused for good: the adapter is told and goes on. */
	#apply(message: WireReport, adapter: string): void {
		const { clock, metrics, toError } = this.#ports;
		const told = message.head?.ageMs ?? 0;
		const ageMs = Number.isFinite(told) && told > 0 ? Math.min(told, AGE_MAX_MS) : 0;
		try {
			this.#hand(message, clock.nowMs() - ageMs, { caller: this.#caller, adapter, ageMs });
			metrics.report(this.#kind, 'taken');
		} catch (error) {
			const { code, message: why } = toError(error);
			this.#refused++;
			this.#refusal = `${code}: ${why}`.slice(0, 500);
			metrics.report(this.#kind, 'refused');
		}
	}

	#hand({ target, state }: WireReport, observedAtMs: number, origin: Parameters<ReportSinks['io']>[1]): void {
		const { sinks } = this.#ports;
		if (state === undefined) throw new MeshError(reportErrors, 'IM_REPORTS_UNSOUND', 'a report without a state');
		const sound = <K extends ReportKind>(kind: K): DeltaOf[K] => {
			const delta = fromWire(kind, state, observedAtMs);
			if ('problem' in delta) throw new MeshError(reportErrors, 'IM_REPORTS_UNSOUND', delta.problem);
			return delta;
		};
		switch (this.#kind) {
			case 'model':
				sinks.model(target, sound('model'), origin);
				break;
			case 'gpu':
				sinks.gpu(sound('gpu'), origin);
				break;
			case 'comm':
				sinks.comm(sound('comm'), origin);
				break;
			case 'io':
				sinks.io(sound('io'), origin);
				break;
		}
	}

	#ack(): void {
		this.#ackTimer = undefined;
		if (this.#ended || this.#position === undefined) return;
		const ack = {
			ackedSequence: BigInt(this.#position.lastSequence),
			window: this.#options.window,
			refused: this.#refused,
			refusal: this.#refusal,
		};
		this.#sinceAck = 0;
		this.#refused = 0;
		this.#refusal = '';
		this.#ports.send(ack);
	}
}
