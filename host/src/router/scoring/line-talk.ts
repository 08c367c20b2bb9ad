// Owns a stream of the scoring API over HTTP: questions and reports come as lines of JSON, and each has one answer, a line, in its order. Errors are in the answers, and end
// nothing but what cannot be read on. What the stream has admitted is held by it while it is open. How it goes on is conversation.ts's.
import type { RouterEnv } from '../env.js';
import type { Refusal } from '../errors.js';
import type { Exchange, Standing } from '../exchange.js';
import { stopUpload } from '../http2/compat.js';
import { sendRefusal } from '../respond.js';
import { Conversation, ENVELOPE_BYTES_MAX, type Talk } from './conversation.js';
import { field, heldByConnection, outcomeAnswer, type ScoringAnswer } from './http.js';
import { type LineId, LineReader, readLine } from './line-reader.js';
import { areLines, LINES_TYPE, type ScoringVerb } from './paths.js';
import { barred, whenRead } from './scored-request.js';
import { type Scoring, toldRefusal } from './scoring.js';

/** Node breaks an upload of HTTP/1.1 that takes `requestTimeoutMs`: a stream there ends well after this part of it. */
const UPLOAD_SHARE = 0.75;

export class LineTalk implements Talk, Standing {
	readonly request: Exchange;
	readonly #env: RouterEnv;
	readonly #scoring: Scoring;
	readonly #verb: ScoringVerb;
	readonly #lines: LineReader;
	readonly #conversation: Conversation;
	/** All that came has been answered. */
	#well = false;

	constructor(env: RouterEnv, scoring: Scoring, exchange: Exchange, verb: ScoringVerb) {
		this.request = exchange;
		this.#env = env;
		this.#scoring = scoring;
		this.#verb = verb;
		this.#lines = new LineReader(env.options.bodyBytesMax + ENVELOPE_BYTES_MAX);
		this.#conversation = new Conversation(env, this);
	}

	begin(): void {
		const { request } = this;
		const { req, res, connection, headers } = request;
		const held = this.#mayBegin(headers['content-type']) ?? heldByConnection(this.#scoring, request);
		if (typeof held === 'object') return this.#refuseToBegin(held);
		request.standing = this;
		request.committed = true;
		res.writeHead(200, ['content-type', LINES_TYPE, 'x-request-id', request.requestId]);
		res.flushHeaders();
		req.on('data', (chunk: Buffer) => this.#conversation.take(chunk));
		req.on('end', () => this.#conversation.end());
		res.on('close', () => {
			// A reset by its client looks like the end of its questions until it is looked at.
			const well = this.#well && res.writableFinished && (request.stream2?.rstCode ?? 0) === 0;
			this.#scoring.streamEnded(request, well ? (held ? connection : 'nobody') : undefined);
		});
	}

	get partialBytes(): number {
		return this.#lines.partialBytes;
	}

	read(chunk: Buffer): readonly Buffer[] | Refusal {
		return this.#lines.read(chunk);
	}

	last(): Buffer | undefined {
		return this.#lines.last();
	}

	say(question: Buffer): void {
		const { id, answer } = this.#answer(question);
		this.#tell('refusal' in answer ? { id, error: toldRefusal(answer.refusal) } : { id, ...answer });
	}

	pause(): void {
		this.request.req.pause();
	}

	resume(): void {
		this.request.req.resume();
	}

	over(): void {
		this.#well = true;
		this.#end();
	}

	refuse(refusal: Refusal): void {
		const { request } = this;
		request.refusal = refusal;
		this.#tell({ error: toldRefusal(refusal) });
		this.#end();
	}

	/** Ends it well when the router closes, or before Node breaks its upload: what has no answer then was not asked. */
	check(nowMs: number): boolean {
		const { finished, startMs, stream2 } = this.request;
		const { closing, options } = this.#env;
		const overdue = stream2 === undefined && nowMs - startMs > options.requestTimeoutMs * UPLOAD_SHARE;
		if (finished || !(closing || overdue)) return false;
		this.over();
		return true;
	}

	#mayBegin(contentType: string | undefined): Refusal | undefined {
		const { caller } = this.request;
		const denied = this.#scoring.denied(caller);
		return denied ?? (areLines(contentType) ? undefined : field('content-type', `\`${LINES_TYPE}\``));
	}

	#refuseToBegin(refusal: Refusal): void {
		const { ports, options } = this.#env;
		sendRefusal(this.request, refusal, undefined, ports.clock.nowMs(), options.lingerMs);
	}

	#answer(question: Buffer): { readonly id: LineId; readonly answer: ScoringAnswer } {
		const line = readLine(question);
		const { id } = line;
		const refusal = barred(this.#env, this.#scoring, this.request);
		if (refusal !== undefined) return { id, answer: { refusal } };
		if ('refusal' in line) return { id, answer: line };
		if ('report' in line) return { id, answer: outcomeAnswer(this.#scoring, line.report) };
		if (this.#verb === 'outcome') return { id, answer: { refusal: field('decision', 'the id that `admit` gave') } };
		const scored = this.#verb === 'score';
		return {
			id,
			answer: whenRead(this.#env, this.request, line.request, (read) =>
				scored ? this.#scoring.score(read) : this.#scoring.admit(read, this.request),
			),
		};
	}

	/** Asks the client nothing more until it has taken what there is. */
	#tell(answer: object): void {
		const { request } = this;
		const { res } = request;
		if (res.destroyed || res.write(`${JSON.stringify(answer)}\n`) || request.blockedSinceMs !== 0) return;
		request.blockedSinceMs = this.#env.ports.clock.nowMs();
		this.pause();
		res.once('drain', () => {
			request.blockedSinceMs = 0;
			this.#conversation.goOn();
		});
	}

	/** No more is said. What the client still sends is read and thrown away, or is not sent. */
	#end(): void {
		const { request } = this;
		request.finished = true;
		request.res.end();
		request.req.resume();
		if (request.stream2 !== undefined && !request.req.readableEnded) stopUpload(request.stream2);
	}
}
