// Owns the wrapping of a gRPC service in one question that is asked before any of its handlers: may this caller be here?
import type {
	ServerWritableStream,
	ServiceDefinition,
	sendUnaryData,
	UntypedHandleCall,
	UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { grpcErrorOf } from './grpc-errors.js';

/** What a handler's call offers to find its peer by. */
export interface CallWithPeer {
	getPeer(): string;
}

type AnyCall = ServerWritableStream<unknown, unknown>;

/** The same service, but for callers at whom `admit` throws: they get its error. */
export function guardService(
	definition: ServiceDefinition,
	handlers: UntypedServiceImplementation,
	admit: (call: CallWithPeer) => void,
): UntypedServiceImplementation {
	return Object.fromEntries(
		Object.entries(definition).flatMap(([name, { responseStream }]) => {
			const handler = handlers[name];
			return handler === undefined ? [] : [[name, guarded(handler, responseStream, admit)] as const];
		}),
	);
}

function guarded(
	handler: UntypedHandleCall,
	responseStream: boolean,
	admit: (call: CallWithPeer) => void,
): UntypedHandleCall {
	const run = handler as (call: AnyCall, callback?: sendUnaryData<unknown>) => void;
	return ((call: AnyCall, callback?: sendUnaryData<unknown>): void => {
		try {
			admit(call);
		} catch (error) {
			if (responseStream) call.emit('error', grpcErrorOf(error));
			else callback?.(grpcErrorOf(error));
			return;
		}
		run(call, callback);
	}) as UntypedHandleCall;
}
