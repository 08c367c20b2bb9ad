// Owns gRPC's own reflection service of the agent: which services this node has, and the files that describe them, so that `grpcurl` and its like
// need no .proto files. Both names of it say the same; what is said is reflection-answers.ts's.
import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import { grpcErrorOf } from '@infermesh/fabric';
import type { MeshError } from '@infermesh/proto';
import type {
	ServerReflectionRequest,
	ServerReflectionResponse,
	ServerReflectionServer,
} from '@infermesh/proto/standard/reflection/v1/reflection';
import { reflectionAnswer } from './reflection-answers.js';
import type { OpenStreams } from './streams.js';

export interface ReflectionParts {
	/** Full names of the services this node has. */
	readonly services: () => readonly string[];
	readonly streams: OpenStreams;
	readonly toError: (error: unknown) => MeshError;
}

export function createReflectionService({ services, streams, toError }: ReflectionParts): ServerReflectionServer {
	const talk: handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse> = (call) => {
		try {
			streams.admit(call);
		} catch (error) {
			call.emit('error', grpcErrorOf(toError(error)));
			return;
		}
		answerEach(call, (request) => reflectionAnswer(request, services()));
	};
	return { serverReflectionInfo: talk };
}

/** One answer a question, in order; no further question is read while the answer before waits to be taken. */
function answerEach<Q, A>(call: ServerDuplexStream<Q, A>, answer: (question: Q) => A): void {
	call.on('data', (question: Q) => {
		if (call.write(answer(question))) return;
		call.pause();
		call.once('drain', () => call.resume());
	});
	call.on('end', () => call.end());
}
