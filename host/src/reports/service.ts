// Owns the service `infermesh.telemetry.v1.Telemetry`: the four streams of reports, each call with a receiver of its own.
import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import type { ReportKind, WireReport } from '@infermesh/adapters';
import { grpcErrorOf } from '@infermesh/fabric';
import type { Clock, MeshError } from '@infermesh/proto';
import type { ReportAck, TelemetryServer } from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import type { AgentCall } from '../agent-api/callers.js';
import type { OpenStreams } from '../agent-api/streams.js';
import type { ReportLedger } from './ledger.js';
import { type ReceiverOptions, ReportReceiver } from './receiver.js';
import type { ReportMetrics, ReportSinks } from './sinks.js';

export interface TelemetryServiceParts {
	/** Who reports. Throws what a caller that may not is told. */
	readonly mayReport: (call: AgentCall) => string;
	readonly streams: OpenStreams;
	readonly ledger: ReportLedger;
	readonly sinks: ReportSinks;
	readonly options: ReceiverOptions;
	readonly clock: Clock;
	readonly metrics: ReportMetrics;
	readonly toError: (error: unknown) => MeshError;
	/** Told of each call that has ended: ok, or the code it was refused by. */
	readonly called: (method: string, result: string) => void;
}

type Call = ServerDuplexStream<unknown, ReportAck>;

export function createTelemetryService(parts: TelemetryServiceParts): TelemetryServer {
	const reports = (kind: ReportKind, method: string) =>
		((call: Call) => serve(kind, method, call, parts)) as handleBidiStreamingCall<never, ReportAck>;
	return {
		reportModelState: reports('model', 'ReportModelState'),
		reportGpuState: reports('gpu', 'ReportGpuState'),
		reportCommStats: reports('comm', 'ReportCommStats'),
		reportIoState: reports('io', 'ReportIoState'),
	};
}

function serve(kind: ReportKind, method: string, call: Call, parts: TelemetryServiceParts): void {
	const { streams, mayReport, toError, called, options } = parts;
	let told = false;
	const over = (result: string): void => {
		if (!told) called(method, result);
		told = true;
	};
	const fail = (error: MeshError): void => {
		over(error.code);
		call.emit('error', grpcErrorOf(error));
	};
	let signal: AbortSignal;
	let caller: string;
	try {
		caller = mayReport(call);
		signal = streams.admit(call);
	} catch (error) {
		fail(toError(error));
		return;
	}
	const send = (ack: ReportAck): void => {
		// Who does not read acknowledgements is not read from either.
		if (call.write(ack)) return;
		call.pause();
		call.once('drain', () => call.resume());
	};
	const receiver = new ReportReceiver(kind, caller, options, { ...parts, send, fail });
	signal.addEventListener('abort', () => {
		receiver.end();
		over('ok');
	});
	call.on('data', (message: unknown) => receiver.take(messageOf(message)));
	call.on('end', () => {
		receiver.end();
		call.end();
	});
}

/** Messages of all four kinds alike: only those about targets name one. */
function messageOf(message: unknown): WireReport {
	const { opening, head, target = '', state } = message as Partial<WireReport>;
	return { opening, head, target, state };
}
