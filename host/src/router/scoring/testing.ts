// Owns what tests of the scoring API share, over HTTP and over gRPC: a router of two targets whose strategy ranks the second first, and a caller that says more
// than it hears. Test support only.
import type { ClientHttp2Stream } from 'node:http2';
import type { Decision } from '../../strategy/runtime/decision.js';
import { startRouter, type TestRouter, type TestRouterOptions } from '../testing/kit.js';

const origins = ['http://127.0.0.1:1', 'http://127.0.0.1:2'];

/** Ranks the second target first. */
function second(out: Decision): void {
	out.verdict = 'route';
	out.count = 2;
	out.chosen = 0;
	out.rows.set([1, 0]);
	out.scores.set([0.75, 0.25]);
	out.cause = 'none';
	out.strategy = 'second@1.0.0';
}

export async function scoringRouter(
	t: { teardown(fn: () => Promise<void>): void },
	options: Partial<TestRouterOptions> = {},
): Promise<TestRouter> {
	const made = await startRouter({ origins, decide: second, ...options });
	t.teardown(() => made.close());
	return made;
}

/** Says `bytes` again and again, as fast as they are taken, until the stream is gone; resolves with what it was reset for. */
export function flood(stream: ClientHttp2Stream, bytes: Uint8Array | string): Promise<number | undefined> {
	stream.on('error', () => undefined);
	const closed = new Promise<number | undefined>((resolve) => stream.on('close', () => resolve(stream.rstCode)));
	const write = (): void => {
		while (!stream.destroyed && stream.write(bytes));
		stream.once('drain', write);
	};
	write();
	return closed;
}
