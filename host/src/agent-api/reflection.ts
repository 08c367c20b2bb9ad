// Owns gRPC's own reflection service, from the descriptors the generator has embedded: which services this node has, and the files that describe them,
// so that `grpcurl` and its like need no .proto files. Both names of it say the same.
import { type handleBidiStreamingCall, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { grpcErrorOf } from '@infermesh/fabric';
import type { MeshError } from '@infermesh/proto';
import { type EmbeddedFile, embeddedFiles } from '@infermesh/proto/descriptors';
import type {
	ServerReflectionRequest,
	ServerReflectionResponse,
	ServerReflectionServer,
} from '@infermesh/proto/standard/reflection/v1/reflection';
import type { OpenStreams } from './streams.js';

export interface ReflectionParts {
	/** Full names of the services this node has. */
	readonly services: () => readonly string[];
	readonly streams: OpenStreams;
	readonly toError: (error: unknown) => MeshError;
}

const files: ReadonlyMap<string, EmbeddedFile> = new Map(embeddedFiles.map((file) => [file.name, file]));
const fileOfSymbol: ReadonlyMap<string, EmbeddedFile> = new Map(
	embeddedFiles.flatMap((file) => file.symbols.map((symbol) => [symbol, file] as const)),
);

export function createReflectionService({ services, streams, toError }: ReflectionParts): ServerReflectionServer {
	const talk: handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse> = (call) => {
		try {
			streams.admit(call);
		} catch (error) {
			call.emit('error', grpcErrorOf(toError(error)));
			return;
		}
		answerEach(call, (request) => answerTo(request, services()));
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

function answerTo(request: ServerReflectionRequest, services: readonly string[]): ServerReflectionResponse {
	const answer = { validHost: request.host, originalRequest: request };
	const { fileByFilename, fileContainingSymbol, listServices } = request;
	if (listServices !== undefined)
		return { ...answer, listServicesResponse: { service: services.map((name) => ({ name })) } };
	if (fileByFilename !== undefined) return { ...answer, ...described(files.get(fileByFilename), fileByFilename) };
	if (fileContainingSymbol !== undefined)
		return { ...answer, ...described(fileOfSymbol.get(fileContainingSymbol), fileContainingSymbol) };
	return { ...answer, errorResponse: { errorCode: status.NOT_FOUND, errorMessage: 'there are no extensions here' } };
}

function described(
	file: EmbeddedFile | undefined,
	asked: string,
): Pick<ServerReflectionResponse, 'fileDescriptorResponse' | 'errorResponse'> {
	if (file === undefined)
		return { errorResponse: { errorCode: status.NOT_FOUND, errorMessage: `${asked.slice(0, 200)} is not known here` } };
	const needed = new Set<EmbeddedFile>([file]);
	// Grows while it is walked: imports of imports too.
	for (const { dependencies } of needed) for (const name of dependencies) needed.add(files.get(name) as EmbeddedFile);
	return {
		fileDescriptorResponse: { fileDescriptorProto: [...needed].map(({ base64 }) => Buffer.from(base64, 'base64')) },
	};
}
