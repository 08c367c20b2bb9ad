// Owns what gRPC's reflection says, from the descriptors the generator has embedded: services, and the files that describe a name. Leaves streams to those who
// serve it.
import { type EmbeddedFile, embeddedFiles } from '@infermesh/proto/descriptors';
import type {
	ServerReflectionRequest,
	ServerReflectionResponse,
} from '@infermesh/proto/standard/reflection/v1/reflection';

/** gRPC's code. */
const NOT_FOUND = 5;

const files: ReadonlyMap<string, EmbeddedFile> = new Map(embeddedFiles.map((file) => [file.name, file]));
const fileOfSymbol: ReadonlyMap<string, EmbeddedFile> = new Map(
	embeddedFiles.flatMap((file) => file.symbols.map((symbol) => [symbol, file] as const)),
);

/** One answer to one question. `services`: full names of those there are. */
export function reflectionAnswer(
	request: ServerReflectionRequest,
	services: readonly string[],
): ServerReflectionResponse {
	const answer = { validHost: request.host, originalRequest: request };
	const { fileByFilename, fileContainingSymbol, listServices } = request;
	if (listServices !== undefined)
		return { ...answer, listServicesResponse: { service: services.map((name) => ({ name })) } };
	if (fileByFilename !== undefined) return { ...answer, ...described(files.get(fileByFilename), fileByFilename) };
	if (fileContainingSymbol !== undefined)
		return { ...answer, ...described(fileOfSymbol.get(fileContainingSymbol), fileContainingSymbol) };
	return { ...answer, errorResponse: { errorCode: NOT_FOUND, errorMessage: 'there are no extensions here' } };
}

function described(
	file: EmbeddedFile | undefined,
	asked: string,
): Pick<ServerReflectionResponse, 'fileDescriptorResponse' | 'errorResponse'> {
	if (file === undefined)
		return { errorResponse: { errorCode: NOT_FOUND, errorMessage: `${asked.slice(0, 200)} is not known here` } };
	const needed = new Set<EmbeddedFile>([file]);
	// Grows while it is walked: imports of imports too.
	for (const { dependencies } of needed) for (const name of dependencies) needed.add(files.get(name) as EmbeddedFile);
	return {
		fileDescriptorResponse: { fileDescriptorProto: [...needed].map(({ base64 }) => Buffer.from(base64, 'base64')) },
	};
}
