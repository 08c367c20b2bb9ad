// Reading another node's clock: what is known of it after a round trip.
import { StatusReply } from '@infermesh/proto/grpc/agent/v1/agent';
import test from 'ava';
import { toNodeStatus } from './node-status.js';

const reply = (timeMs: bigint): StatusReply => ({ ...StatusReply.decode(new Uint8Array()), timeMs });

test('a clock is compared with the middle of the round trip, and known to half of it', (t) => {
	const sentMs = 1_000_000;
	const { skewMs, skewErrorMs } = toNodeStatus(reply(1_000_540n), 80, sentMs + 80);
	t.is(skewMs, 500);
	t.is(skewErrorMs, 40);
	// Wherever in the round trip it was read, the truth is within the bound.
	for (const readAfterMs of [0, 80]) t.true(Math.abs(1_000_540 - (sentMs + readAfterMs) - skewMs) <= skewErrorMs);
});
