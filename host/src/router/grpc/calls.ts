// Owns the order in which a gRPC call passes the stages: method → headers → authenticate → first message → model, then, in routing.ts and shared with HTTP, decide →
// dispatch → outcome. It is also what gRPC does where protocols differ: attempts, answers, cuts. A stream stays with its first message's model.
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { attemptsOf, stopAttempts } from '../attempts.js';
import { authenticate } from '../authenticate.js';
import { resolveRoute } from '../decide.js';
import { type RouterEnv, stageEnded } from '../env.js';
import { type Refusal, routerErrors } from '../errors.js';
import { resetStream } from '../http2/compat.js';
import { countIds } from '../id-bytes.js';
import { recallPrompt, setSession } from '../parse.js';
import { BYTES_PER_TOKEN } from '../prompt-buffer.js';
import { forwardable, listFits, readNames } from '../request-headers.js';
import type { Protocol, RunningAttempt } from '../routed-request.js';
import type { Routing } from '../routing.js';
import type { AttemptPlan } from '../upstream-response.js';
import { passedOn, refusalCode, refusalTrailers, sendEnd, sendHead } from './answers.js';
import { GrpcAttempt } from './attempt.js';
import { GrpcCall } from './call.js';
import { predictionsFields } from './first-fields.js';
import { FirstMessage } from './first-message.js';
import { FirstReader } from './first-reader.js';
import { FRAME_HEAD_BYTES } from './frames.js';
import { MessageCounter } from './message-counter.js';
import { grpcMethod, grpcMethods, OTHER_METHOD, otherMethod } from './methods.js';
import type { OwnServices } from './own.js';
import { finish } from './own-replies.js';
import { grpcCodes, grpcStatusOf, httpOfGrpc } from './status.js';
import type { TextPieces } from './tensor-texts.js';
import { parseTimeout } from './timeout.js';
import { inputsLayout } from './torchserve-inputs.js';

const NAME_BYTES_MAX = 512;
const NO_BODY = {};

export class GrpcCalls implements Protocol {
	readonly #env: RouterEnv;
	readonly #routing: Routing;
	readonly #own: OwnServices;

	constructor(env: RouterEnv, routing: Routing, own: OwnServices) {
		this.#env = env;
		this.#routing = routing;
		this.#own = own;
	}

	/** Takes a stream whose content type is gRPC's. Never throws. */
	handle(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
		const env = this.#env;
		const path = String(headers[constants.HTTP2_HEADER_PATH] ?? '/');
		const own = this.#own.find(path);
		const method = own?.method ?? grpcMethod(path, env.options.grpc.deny);
		const call = new GrpcCall(this, stream, method ?? otherMethod, path, headers, env.ports.clock.nowMs());
		call.label = own !== undefined || grpcMethods.has(path) ? path : OTHER_METHOD;
		this.#enter(call);
		try {
			if (own?.open === true) return own.serve(call);
			const refusal = this.#routing.saturated() ?? this.#identify(call, rawHeaders);
			if (refusal !== undefined) return this.refuse(call, refusal);
			if (own !== undefined) return own.serve(call);
			if (method === undefined || headers[constants.HTTP2_HEADER_METHOD] !== 'POST')
				return this.refuse(call, { code: 'IM_REQUEST_GRPC_METHOD' });
			this.#receive(call);
		} catch (error) {
			this.#routing.broken(call, error);
		}
	}

	#enter(call: GrpcCall): void {
		this.#routing.enter(call);
		call.stream2.on('close', () => {
			call.first?.stop();
			this.#routing.leave(call, httpOfGrpc(call.statusCode));
			call.sent = [];
			call.texts = [];
			call.ids = [];
			call.layout = undefined;
		});
	}

	#identify(call: GrpcCall, rawHeaders: readonly string[]): Refusal | undefined {
		const env = this.#env;
		if (!listFits(env, rawHeaders)) return { code: 'IM_REQUEST_HEADERS' };
		call.forwarded = forwardable(rawHeaders, undefined);
		readNames(env, call);
		stageEnded(env, call, 'headers');
		const refused = authenticate(env, call);
		stageEnded(env, call, 'authenticate');
		if (refused !== undefined) return refused;
		return readDeadline(call);
	}

	/** Waits for the first message, where it names the model; otherwise the header does, or there is only one. */
	#receive(call: GrpcCall): void {
		const { stream2, grpc, headers } = call;
		const waits = call.modelHeader === '' && grpc.modelPath !== undefined;
		if (waits) {
			const limits = {
				messageBytesMax: this.#env.options.bodyBytesMax,
				inflatedBytesMax: this.#env.options.grpc.inflatedBytesMax,
				nameBytesMax: NAME_BYTES_MAX,
				promptBytesMax: this.#env.options.promptBytesMax,
			};
			const encoding = headers['grpc-encoding'];
			call.receiving = true;
			call.first = new FirstMessage(grpc.fields, typeof encoding === 'string' ? encoding : undefined, limits, (read) =>
				this.#routing.guarded(call, () => this.#received(call, read)),
			);
		}
		stream2.on('data', (chunk: Buffer) => this.#routing.guarded(call, () => this.#data(call, chunk)));
		stream2.on('end', () => this.#routing.guarded(call, () => this.#ended(call)));
		if (stream2.endAfterHeaders) stream2.resume();
		if (!waits) this.#received(call, undefined);
	}

	/** Bytes of the client's. Those that may be sent again are kept; all go to the target as soon as there is one. */
	#data(call: GrpcCall, chunk: Buffer): void {
		if (call.finished) return;
		const kept = this.#keep(call, chunk);
		if (call.receiving) {
			if (!kept) return this.refuse(call, this.#routing.full());
			call.first?.push(chunk);
			return;
		}
		call.counter?.push(chunk);
		const attempts = attemptsOf(call) as readonly GrpcAttempt[];
		for (const attempt of attempts) attempt.write(chunk);
		if (attempts.length === 0 && !kept) this.refuse(call, this.#routing.full());
	}

	/** False when the bytes are not kept: from then on the call cannot go to another target. */
	#keep(call: GrpcCall, chunk: Buffer): boolean {
		const env = this.#env;
		if (!call.replayable || call.committed) {
			this.#drop(call);
			return false;
		}
		const { bodyBytesMax, bodyBytesTotalMax, grpc } = env.options;
		// What follows the first message is kept within a bound of its own: it may be a stream without end.
		const most = call.receiving
			? bodyBytesMax + FRAME_HEAD_BYTES + chunk.length
			: call.firstBytes + grpc.replayBytesMax;
		if (call.sentBytes + chunk.length > most || env.bodyBytes + chunk.length > bodyBytesTotalMax) {
			this.#drop(call);
			return false;
		}
		call.sent.push(chunk);
		call.sentBytes += chunk.length;
		call.bodyBytes += chunk.length;
		env.bodyBytes += chunk.length;
		return true;
	}

	/** Forgets what was sent: it will not be sent again. */
	#drop(call: GrpcCall): void {
		call.replayable = false;
		this.#env.bodyBytes -= call.bodyBytes;
		call.bodyBytes = 0;
		call.sent = [];
		call.texts = [];
		call.ids = [];
		call.layout = undefined;
	}

	#ended(call: GrpcCall): void {
		call.clientEnded = true;
		call.clientEndedMs = this.#env.ports.clock.nowMs();
		if (call.receiving) call.first?.end();
		else for (const attempt of attemptsOf(call) as readonly GrpcAttempt[]) attempt.endWrite();
	}

	/** The first message has been read, or is not to be: the call is routed. */
	#received(call: GrpcCall, read: FirstReader | Refusal | undefined): void {
		const env = this.#env;
		const { first } = call;
		call.receiving = false;
		call.first = undefined;
		if (call.finished) return;
		stageEnded(env, call, 'receive');
		if (read instanceof FirstReader && first !== undefined) {
			call.firstBytes = FRAME_HEAD_BYTES + first.messageBytes;
			call.firstCompressed = first.compressed;
			this.#readFirst(call, read, first.messageBytes);
			if (call.model === '')
				return this.refuse(call, { code: 'IM_REQUEST_FIELD', message: 'The message names no model.' });
		} else if (read !== undefined) return this.refuse(call, read as Refusal);
		else {
			call.model = call.modelHeader;
			setSession(call, NO_BODY);
		}
		call.lora = call.loraHeader;
		const refusal = resolveRoute(env, call);
		stageEnded(env, call, 'parse');
		if (refusal !== undefined) return this.refuse(call, refusal);
		this.#readIds(call);
		// The client waits until there is a target to take more.
		call.stream2.pause();
		this.#routing.begin(call);
		// After it, so that a decision does not hang on how much has come beyond what it is made by.
		if (!call.finished) this.#countOn(call);
	}

	/** What the first message says. A message without a prompt counts by its bytes. */
	#readFirst(call: GrpcCall, read: FirstReader, messageBytes: number): void {
		const env = this.#env;
		call.model = read.model ?? '';
		call.modelInMessage = true;
		call.tokensOutMax = read.tokensOutMax;
		call.inSequence = read.sequence !== '';
		setSession(call, NO_BODY, read.sequence);
		const ids = read.ids.prompt();
		const { texts, bytes } = read.texts.prompt();
		call.tokensIn = countIds(ids) || tokensOf(env, bytes, messageBytes);
		// What was inflated is held for this alone, and counts.
		const { copiedBytes } = ids.length > 0 ? read.ids : read.texts;
		if (env.bodyBytes + copiedBytes > env.options.bodyBytesTotalMax) return;
		env.bodyBytes += copiedBytes;
		call.bodyBytes += copiedBytes;
		call.ids = ids;
		if (ids.length > 0) return;
		if (call.grpc.fields !== predictionsFields) call.texts = texts;
		else this.#readInputs(call, texts, bytes, messageBytes);
	}

	/** A prompt that is token ids is known by them where some engine says what it holds; elsewhere they are laid out for each decision, and not kept. */
	#readIds(call: GrpcCall): void {
		const env = this.#env;
		const { route, ids } = call;
		const { prefixes } = env.ports;
		if (ids.length !== 1 || route === undefined) return;
		if (!prefixes.wantsTokens(route.pool) && !route.fallbacks.some((pool) => prefixes.wantsTokens(pool))) return;
		recallPrompt(env, call);
		call.tokenIds = env.prompt.exactIds();
	}

	/** TorchServe's inputs are a prompt where they are text. */
	#readInputs(call: GrpcCall, texts: readonly TextPieces[], bytes: number, messageBytes: number): void {
		const env = this.#env;
		call.layout = inputsLayout(texts, env.options);
		call.tokensIn = tokensOf(env, 0, messageBytes);
		if (call.layout === undefined) return;
		call.texts = texts;
		recallPrompt(env, call);
		const kept = texts.flat().reduce((sum, { length }) => sum + length, 0);
		if (env.prompt.tokens > 0) call.tokensIn = env.prompt.tokens + Math.ceil((bytes - kept) / BYTES_PER_TOKEN);
	}

	/** From here on every message of the client's counts as it passes. */
	#countOn(call: GrpcCall): void {
		const env = this.#env;
		const options = {
			fields: call.grpc.fields,
			nameBytesMax: NAME_BYTES_MAX,
			tokensOf: (read: FirstReader | undefined, messageBytes: number) =>
				countIds(read?.ids.prompt() ?? []) || tokensOf(env, read?.texts.prompt().bytes ?? 0, messageBytes),
		};
		call.counter = new MessageCounter(options, (tokens) => {
			call.tokensIn += tokens;
			env.admission.more(call, tokens);
		});
		let before = call.firstBytes;
		for (const chunk of call.sent) {
			if (before < chunk.length) call.counter.push(chunk.subarray(Math.max(0, before)));
			before -= chunk.length;
		}
	}

	attempt(
		call: GrpcCall,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	): GrpcAttempt {
		return new GrpcAttempt(this.#env, call, plan, ledgerEntry, onEnd);
	}

	answer(call: GrpcCall, attempt: GrpcAttempt): void {
		const { failure, trailers } = attempt;
		if (failure !== undefined) {
			const refusal = this.#upstreamRefusal(attempt);
			call.refusal = refusal;
			const code = attempt.statusCode < 0 ? refusalCode(refusal) : attempt.statusCode;
			return sendEnd(call, code, refusalTrailers(refusal, code), attempt);
		}
		const code = grpcStatusOf(trailers['grpc-status']) ?? grpcCodes.UNKNOWN;
		// A good end without a message has a head as any other.
		if (code === grpcCodes.OK) sendHead(call, attempt, attempt.headers);
		sendEnd(call, code, passedOn(trailers), attempt);
	}

	#upstreamRefusal({ failure = 'IM_ROUTE_INTERNAL' }: GrpcAttempt): Refusal {
		const { retryable, grpcStatus } = routerErrors[failure];
		const again = retryable && (grpcStatus === 'RESOURCE_EXHAUSTED' || grpcStatus === 'UNAVAILABLE');
		return again ? { code: failure, retryAfterS: this.#env.options.saturatedRetryAfterS } : { code: failure };
	}

	refuse(call: GrpcCall, refusal: Refusal): void {
		if (call.finished) return;
		call.receiving = false;
		call.first?.stop();
		call.refusal = refusal;
		const code = refusalCode(refusal);
		sendEnd(call, code, refusalTrailers(refusal, code), undefined);
	}

	check(call: GrpcCall, now: number): boolean {
		if (call.finished) return false;
		if (call.standing && this.#env.closing) {
			finish(call);
			return true;
		}
		if (now > call.deadlineAtMs) {
			if (call.attempt !== undefined) stopAttempts(call, 'failed', 'IM_ROUTE_DEADLINE');
			else if (!call.held) this.refuse(call, { code: 'IM_ROUTE_DEADLINE' });
			else return false;
			return true;
		}
		if (!call.receiving || now - call.startMs <= this.#env.options.requestTimeoutMs) return false;
		this.refuse(call, { code: 'IM_REQUEST_TIMEOUT' });
		return true;
	}

	abort(call: GrpcCall): void {
		resetStream(call.stream2);
	}
}

/** The time the caller gives the call; the mesh's own header may shorten it. */
function readDeadline(call: GrpcCall): Refusal | undefined {
	const header = call.headers['grpc-timeout'];
	if (header === undefined) return undefined;
	const timeoutMs = typeof header === 'string' ? parseTimeout(header) : undefined;
	if (timeoutMs === undefined) return { code: 'IM_REQUEST_FIELD', message: '`grpc-timeout` is no timeout.' };
	const { deadlineMs } = call.wishes;
	const least = Math.max(timeoutMs, Number.MIN_VALUE);
	call.wishes = { ...call.wishes, deadlineMs: deadlineMs > 0 ? Math.min(deadlineMs, least) : least };
	call.deadlineAtMs = call.startMs + call.wishes.deadlineMs;
	return undefined;
}

/** Tokens of a message's prompt. One without weighs, for want of anything better, its bytes as text, as far as prompts are looked at. */
function tokensOf(env: RouterEnv, promptBytes: number, messageBytes: number): number {
	const bytes = promptBytes > 0 ? promptBytes : Math.min(messageBytes, env.options.promptBytesMax);
	return Math.ceil(bytes / BYTES_PER_TOKEN);
}
