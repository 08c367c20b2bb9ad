// Owns one renewal of a lease. etcd knows renewals only as a stream; one question and one answer of it are used, so that every renewal can go to
// another member.
import type { Metadata } from '@grpc/grpc-js';
import type { Clock } from '@infermesh/proto';
import type { LeaseClient, LeaseKeepAliveResponse } from '@infermesh/proto/etcd/etcdserverpb/rpc';

/** Answers the time to live in seconds; 0 or less when the lease has ended. Rejects with gRPC's error. */
export function keepAliveOnce(
	client: LeaseClient,
	id: bigint,
	metadata: Metadata,
	clock: Clock,
	timeoutMs: number,
): Promise<number> {
	return new Promise((resolve, reject) => {
		const call = client.leaseKeepAlive(metadata, { deadline: clock.wallMs() + timeoutMs });
		call.on('data', (response: LeaseKeepAliveResponse) => {
			resolve(Number(response.TTL));
			call.cancel();
		});
		call.on('error', reject);
		call.on('end', () => reject(new Error('etcd ended the renewal without an answer')));
		call.write({ ID: id });
	});
}
