// Owns one attempt of a gRPC call at one target: a stream of its own there, joined to the client's. Bytes pass as they are with the flow control of either side
// holding back the other; resets pass both ways. The head is held until the first message or the end, so that a target that dies or refuses before
// it is retried. It ends exactly once; whether a failed attempt is retried is routing.ts's.
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { attemptsOf } from '../attempts.js';
import { BaseAttempt } from '../base-attempt.js';
import { type RouterEnv, stageEnded } from '../env.js';
import type { RouterErrorCode } from '../errors.js';
import { reportLoad } from '../outcome.js';
import type { AttemptEnd, RunningAttempt } from '../routed-request.js';
import { UpstreamFault } from '../upstream/faults.js';
import type { TargetStream } from '../upstream/sessions.js';
import type { AttemptPlan } from '../upstream-response.js';
import { passedOn, sendEnd, sendHead } from './answers.js';
import type { GrpcCall } from './call.js';
import { FrameWalker } from './frames.js';
import { targetHeaders, writeSent } from './request.js';
import { grpcCodes, grpcOfHttp, grpcOfReset, grpcStatusOf, httpOfGrpc } from './status.js';

export class GrpcAttempt extends BaseAttempt {
	/** gRPC's status for the client when the attempt failed; -1 = that of the failure. */
	statusCode = -1;
	/** What the target ended with; empty until it has. */
	trailers: IncomingHttpHeaders = {};
	readonly #env: RouterEnv;
	readonly #call: GrpcCall;
	#upstream: TargetStream | undefined;
	#head: IncomingHttpHeaders | undefined;
	/** The messages passed on. */
	readonly #frames = new FrameWalker();
	/** Something came since the last look. */
	#active = false;
	#activeAtMs = 0;
	#paused = false;
	/** Since when the target takes nothing of the client's; 0 = it does. */
	#refusingSinceMs = 0;

	constructor(
		env: RouterEnv,
		call: GrpcCall,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	) {
		super(env, plan, ledgerEntry, onEnd);
		this.#env = env;
		this.#call = call;
	}

	/** Messages of a stream stand for a token each; a single answer says nothing of how many it has. */
	get events(): number {
		return this.#call.grpc.streams ? this.#frames.messages : 0;
	}

	start(): void {
		const { target } = this;
		const call = this.#call;
		try {
			const headers = targetHeaders(this.#env, call, this);
			this.#upstream = this.#env.upstreams.sessions.open(target.grpcOrigin ?? target.origin, headers);
		} catch (error) {
			const kind = error instanceof UpstreamFault ? error.kind : 'internal';
			const code =
				kind === 'saturated'
					? 'IM_UPSTREAM_SATURATED'
					: kind === 'connect'
						? 'IM_UPSTREAM_CONNECT'
						: 'IM_ROUTE_INTERNAL';
			return this.finish('failed', code);
		}
		const { stream } = this.#upstream;
		this.#listen(stream);
		const room = writeSent(call, this, stream);
		if (call.clientEnded) stream.end();
		if (!room) this.#awaitRoom(stream);
		this.#heedRoom();
	}

	/** More of what the client sends. */
	write(bytes: Buffer): void {
		const stream = this.#upstream?.stream;
		if (stream === undefined || stream.destroyed || stream.write(bytes)) return;
		this.#awaitRoom(stream);
		this.#heedRoom();
	}

	/** The client sends no more. */
	endWrite(): void {
		const stream = this.#upstream?.stream;
		if (stream !== undefined && !stream.destroyed) stream.end();
	}

	stop(end: 'failed' | 'cancelled', failure?: RouterErrorCode): void {
		this.finish(end, failure);
		this.#reset();
	}

	/**
	 * While the client may still send, silence is the target's right; whether it lives, pings of the session tell. It must take what is sent, and after the end it owes a
	 * response.
	 */
	overdue(nowMs: number): RouterErrorCode | undefined {
		const { firstByteTimeoutMs, idleTimeoutMs } = this.#env.options.upstream;
		if (this.#refusingSinceMs !== 0 && nowMs - this.#refusingSinceMs > idleTimeoutMs) return 'IM_UPSTREAM_IDLE_TIMEOUT';
		if (this.#active || this.#paused || !this.#call.clientEnded) {
			this.#active = false;
			if (this.#frames.messages > 0) this.#activeAtMs = nowMs;
			return undefined;
		}
		const sinceMs = Math.max(this.startedMs, this.#call.clientEndedMs);
		if (this.#activeAtMs === 0)
			return nowMs - sinceMs > firstByteTimeoutMs ? 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT' : undefined;
		return nowMs - Math.max(sinceMs, this.#activeAtMs) > idleTimeoutMs ? 'IM_UPSTREAM_IDLE_TIMEOUT' : undefined;
	}

	#listen(stream: ClientHttp2Stream): void {
		stream.on('response', (headers) => this.#onHead(headers));
		stream.on('data', (bytes: Buffer) => this.#onData(stream, bytes));
		stream.on('trailers', (trailers: IncomingHttpHeaders) => {
			this.trailers = trailers;
		});
		stream.on('end', () => this.#onStreamEnd());
		stream.on('error', () => undefined);
		stream.on('close', () => this.#onClose(stream));
	}

	#awaitRoom(stream: ClientHttp2Stream): void {
		if (this.#refusingSinceMs !== 0) return;
		this.#refusingSinceMs = this.#env.ports.clock.nowMs();
		stream.once('drain', () => {
			this.#refusingSinceMs = 0;
			if (this.end === undefined) this.#heedRoom();
		});
	}

	/**
	 * Takes more of the client's, or does not. While all that was sent is held for whoever may need it, one target that takes it is enough: a copy is there because
	 * another is slow. Beyond that all of them have to.
	 */
	#heedRoom(): void {
		const call = this.#call;
		const live = (attemptsOf(call) as readonly GrpcAttempt[]).filter(({ end }) => end === undefined);
		const takes = (attempt: GrpcAttempt): boolean => attempt.#upstream !== undefined && attempt.#refusingSinceMs === 0;
		const goesOn = call.replayable && !call.committed ? live.some(takes) : live.every(takes);
		if (live.length > 0 && goesOn) call.stream2.resume();
		else call.stream2.pause();
	}

	#onHead(headers: IncomingHttpHeaders): void {
		if (this.end !== undefined) return;
		stageEnded(this.#env, this.#call, 'first_byte');
		this.#active = true;
		this.#head = headers;
		this.headers = headers;
		const http = Number(headers[constants.HTTP2_HEADER_STATUS]);
		if (http === 200 && (headers['content-type'] ?? '').startsWith('application/grpc')) {
			if (headers['grpc-status'] !== undefined) this.trailers = headers;
			return;
		}
		this.statusCode = http === 200 ? grpcCodes.UNKNOWN : grpcOfHttp(http);
		this.status = http === 200 ? 502 : http;
		this.stop('failed', http === 429 || http === 503 ? 'IM_UPSTREAM_SATURATED' : 'IM_UPSTREAM_PROTOCOL');
	}

	#onData(stream: ClientHttp2Stream, bytes: Buffer): void {
		if (this.end !== undefined) return;
		const call = this.#call;
		this.#active = true;
		this.chunks++;
		this.#frames.push(bytes);
		if (!call.committed) this.#commit();
		if (call.stream2.destroyed || call.stream2.write(bytes) || this.#paused) return;
		this.#paused = true;
		call.blockedSinceMs = this.#env.ports.clock.nowMs();
		stream.pause();
		call.stream2.once('drain', () => {
			this.#paused = false;
			call.blockedSinceMs = 0;
			stream.resume();
		});
	}

	/** Of several attempts the one that comes to this first has won. */
	#commit(): void {
		const { clock, ledger } = this.#env.ports;
		this.#call.race?.won(this);
		this.firstTokenMs = clock.nowMs();
		this.status = 200;
		ledger.firstToken(this.ledgerEntry);
		reportLoad(this.#env, this, this.#call.grpc.streams);
		sendHead(this.#call, this, this.#head ?? {});
	}

	#onStreamEnd(): void {
		if (this.end !== undefined) return;
		const code = grpcStatusOf(this.trailers['grpc-status']);
		// Without a status a reset may follow: how the stream closes tells, and it closes once this side has ended too.
		if (code === undefined) return void this.#env.ports.clock.after(0, () => this.endWrite());
		this.status = httpOfGrpc(code);
		if (!this.#call.committed) {
			if (this.status < 500 && this.status !== 429) this.#call.race?.won(this);
			return this.finish('held');
		}
		sendEnd(this.#call, code, passedOn(this.trailers), this);
		this.finish('relayed');
	}

	/** Closed without having ended: reset, or its connection broke. */
	#onClose(stream: ClientHttp2Stream): void {
		if (this.end !== undefined) return;
		const { rstCode } = stream;
		if (this.#upstream?.connected() !== true) return this.#failed(grpcCodes.UNAVAILABLE, 'IM_UPSTREAM_CONNECT');
		// Only on a connection that lives does the code come from the target; one that breaks, or is told to go, ends its streams with any, or with none.
		const broken = rstCode === constants.NGHTTP2_NO_ERROR || !this.#upstream.alive();
		this.resetUnanswered = this.#head === undefined && (broken || rstCode === constants.NGHTTP2_REFUSED_STREAM);
		const noRoom = !broken && rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM;
		const code = broken ? grpcCodes.UNAVAILABLE : grpcOfReset(rstCode);
		this.#failed(code, noRoom ? 'IM_UPSTREAM_SATURATED' : 'IM_UPSTREAM_DIED');
	}

	#failed(code: number, failure: RouterErrorCode): void {
		this.statusCode = code;
		this.finish('failed', failure);
	}

	#reset(): void {
		const stream = this.#upstream?.stream;
		if (stream !== undefined && !stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
	}

	protected override finishing(end: AttemptEnd): void {
		if (end !== 'relayed') this.#heedRoom();
	}
}
