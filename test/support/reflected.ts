// Owns a client that knows nothing but an address and a service's name: it asks the server for its descriptors and calls by them, as `grpcurl` does.

import { create, createFileRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type ChannelCredentials, Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { meshChannel } from '@infermesh/host/grpc-testing';
import {
	type ServerReflectionRequest,
	type ServerReflectionResponse,
} from '@infermesh/proto/standard/reflection/v1/reflection';
import { ServerReflectionClient } from '@infermesh/proto/standard/reflection/v1/reflection-client';

const nothing: ServerReflectionRequest = {
	host: '',
	fileByFilename: undefined,
	fileContainingSymbol: undefined,
	fileContainingExtension: undefined,
	allExtensionNumbersOfType: undefined,
	listServices: undefined,
};

async function reflect(
	address: string,
	who: ChannelCredentials,
	question: Partial<ServerReflectionRequest>,
): Promise<ServerReflectionResponse> {
	const client = new ServerReflectionClient(address, who, meshChannel());
	try {
		const call = client.serverReflectionInfo(new Metadata());
		call.write({ ...nothing, ...question });
		call.end();
		for await (const answer of call) return answer as ServerReflectionResponse;
		throw new Error('no answer');
	} finally {
		client.close();
	}
}

export async function servicesAt(address: string, who: ChannelCredentials): Promise<readonly string[]> {
	const { listServicesResponse } = await reflect(address, who, { listServices: '*' });
	return (listServicesResponse?.service ?? []).map(({ name }) => name);
}

/** Calls a unary method by its name; request and answer in the JSON form of protobuf. */
export async function callByName(
	address: string,
	who: ChannelCredentials,
	service: string,
	method: string,
	request: JsonValue,
): Promise<JsonValue> {
	const { fileDescriptorResponse } = await reflect(address, who, { fileContainingSymbol: service });
	// The file asked for comes first; a registry wants what is imported before what imports it.
	const file = (fileDescriptorResponse?.fileDescriptorProto ?? [])
		.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
		.reverse();
	const found = createFileRegistry(create(FileDescriptorSetSchema, { file }))
		.getService(service)
		?.methods.find(({ name }) => name === method);
	if (found === undefined) throw new Error(`${service} has no ${method}`);
	const client = new Client(address, who, meshChannel());
	try {
		return await new Promise((resolve, reject) =>
			client.makeUnaryRequest(
				`/${service}/${method}`,
				(message: JsonValue) => Buffer.from(toBinary(found.input, fromJson(found.input, message))),
				(bytes: Buffer) => toJson(found.output, fromBinary(found.output, bytes)),
				request,
				(error: ServiceError | null, answer?: JsonValue) => (error === null ? resolve(answer ?? null) : reject(error)),
			),
		);
	} finally {
		client.close();
	}
}
