// The service over real gRPC: what is put is got back whole, and what cannot be got is refused with a status.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
	type ClientReadableStream,
	credentials,
	Server,
	ServerCredentials,
	type ServiceError,
	status,
} from '@grpc/grpc-js';
import { type BlobPiece, BlobsService } from '@infermesh/proto/grpc/agent/v1/agent';
import { BlobsClient } from '@infermesh/proto/grpc/agent/v1/agent-client';
import test, { type ExecutionContext } from 'ava';
import { FileDisk } from '../log/file-disk.js';
import { createBlobService } from './blob-service.js';
import { DiskBlobs } from './disk-blobs.js';
import { blobIdOf } from './memory-blobs.js';

async function open(t: ExecutionContext): Promise<BlobsClient> {
	const root = mkdtempSync(join(tmpdir(), 'infermesh-blobs-'));
	const server = new Server();
	server.addService(BlobsService, { ...createBlobService(new DiskBlobs(new FileDisk(root))) });
	const port = await new Promise<number>((resolve, reject) => {
		server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
			if (error === null) resolve(bound);
			else reject(error);
		});
	});
	const client = new BlobsClient(`127.0.0.1:${port}`, credentials.createInsecure());
	t.teardown(() => {
		client.close();
		server.forceShutdown();
		rmSync(root, { recursive: true });
	});
	return client;
}

function put(client: BlobsClient, bytes: Uint8Array): Promise<string> {
	return new Promise((resolve, reject) => {
		const call = client.put((error, name) => (error === null ? resolve(name.id) : reject(error)));
		for (let at = 0; at < bytes.length; at += 100_000)
			call.write({ data: Buffer.from(bytes.subarray(at, at + 100_000)) });
		call.end();
	});
}

function got(call: ClientReadableStream<BlobPiece>): Promise<Buffer> {
	return new Promise((resolve, reject) => {
		const pieces: Buffer[] = [];
		call.on('data', ({ data }: BlobPiece) => void pieces.push(Buffer.from(data)));
		call.once('error', reject);
		call.once('end', () => resolve(Buffer.concat(pieces)));
	});
}

test('a blob of several pieces comes back as it was', async (t) => {
	const client = await open(t);
	const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, at) => at % 251));
	const id = await put(client, bytes);
	t.is(id, blobIdOf(bytes));
	t.true((await got(client.get({ id }))).equals(bytes));
});

test('a blob that is not held is refused with a status at once, not left to the deadline', async (t) => {
	const client = await open(t);
	const refused = (await t.throwsAsync(got(client.get({ id: blobIdOf(Buffer.of(1)) })))) as ServiceError | undefined;
	t.is(refused?.code, status.NOT_FOUND);
	t.deepEqual(refused?.metadata.get('x-infermesh-error'), ['IM_BLOB_UNKNOWN']);
});
