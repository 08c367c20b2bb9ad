// Owns what tests of HTTP/2 to targets share: a rig of upstreams with what exchanges brought, and `node:http2` engines.
import type { ExecutionContext } from 'ava';
import { routerDefaults } from '../options.js';
import type { TestCertificate } from '../testing/certificate.js';
import { type FakeHttp2, fakeHttp2, type StreamHandler } from '../testing/http2.js';
import { testClock, until } from '../testing/kit.js';
import type { UpstreamCall, UpstreamHandler } from './connection.js';
import type { UpstreamFault } from './faults.js';
import type { UpstreamRequest } from './request-head.js';
import type { ResponseHeaders } from './response-parser.js';
import { type HttpPlace, type StreamBounds, Upstreams } from './upstreams.js';

export const hello: UpstreamRequest = {
	method: 'POST',
	path: '/v1/x?y=1',
	headers: ['content-type', 'text/plain', 'x-two', 'a', 'x-two', 'b'],
	body: Buffer.from('hello'),
};

/** What an exchange brought. */
export class Seen implements UpstreamHandler {
	status = 0;
	headers: ResponseHeaders = {};
	body = '';
	ends = 0;
	readonly faults: string[] = [];
	call: UpstreamCall | undefined;

	onHead(status: number, headers: ResponseHeaders): void {
		this.status = status;
		this.headers = headers;
	}
	onBody(bytes: Buffer): void {
		this.body += bytes.toString('latin1');
	}
	onEnd(): void {
		this.ends++;
	}
	onFault(fault: UpstreamFault): void {
		this.faults.push(fault.kind);
	}
	get over(): boolean {
		return this.ends + this.faults.length > 0;
	}
}

export interface Rig {
	readonly upstreams: Upstreams;
	readonly send: (place: HttpPlace, request?: UpstreamRequest) => Seen;
	readonly exchange: (place: HttpPlace, request?: UpstreamRequest) => Promise<Seen>;
}

export function rig(
	t: ExecutionContext,
	bounds: Partial<StreamBounds> = {},
	certificate?: TestCertificate,
	nowMs: () => number = () => testClock.nowMs(),
): Rig {
	const { grpc, upstream } = routerDefaults;
	const upstreams = new Upstreams(
		{ ...upstream, ...(certificate === undefined ? {} : { tls: certificate }) },
		{ ...grpc, ageMaxMs: grpc.sessionAgeMaxMs, ...bounds },
		{ ...testClock, nowMs },
	);
	t.teardown(() => upstreams.destroy());
	const send = (place: HttpPlace, request = hello): Seen => {
		const seen = new Seen();
		seen.call = upstreams.dispatch(place, request, seen);
		return seen;
	};
	const exchange = async (place: HttpPlace, request = hello): Promise<Seen> => {
		const seen = send(place, request);
		await until('it is over', () => seen.over);
		return seen;
	};
	return { upstreams, send, exchange };
}

export async function engine(t: ExecutionContext, handler: StreamHandler, tls?: TestCertificate): Promise<FakeHttp2> {
	const made = await fakeHttp2(handler, tls);
	t.teardown(() => made.close());
	return made;
}

export const h2 = ({ origin }: { readonly origin: string }): HttpPlace => ({ origin, http: 'h2' });

/** Answers with the body it got. */
export const echo: StreamHandler = (stream) => {
	const chunks: Buffer[] = [];
	stream.on('data', (chunk: Buffer) => chunks.push(chunk));
	stream.on('end', () => {
		stream.respond({ ':status': 200, 'content-type': 'text/plain', 'x-multi': ['a', 'b'] });
		stream.end(Buffer.concat(chunks));
	});
};
