// Owns the scoring API over gRPC: which calls there are, and what each asks of scoring.ts. How a call goes on is grpc-talk.ts's.
import { constants } from 'node:http2';
import type { InferenceRequest, ReportOutcomeRequest } from '@infermesh/proto/grpc/scoring/v1/scoring';
import type { BodyRequest } from '../../body-request.js';
import type { RouterEnv } from '../../env.js';
import type { Refusal } from '../../errors.js';
import { barred, whenRead } from '../../scoring/scored-request.js';
import type { Refused, Scoring } from '../../scoring/scoring.js';
import type { GrpcCall } from '../call.js';
import { refuse } from '../own-replies.js';
import { type Answerer, GrpcTalk } from './grpc-talk.js';
import {
	admitMessages,
	field,
	type Messages,
	outcomeOf,
	type Reported,
	reportMessages,
	scoreMessages,
} from './messages.js';

export const SCORING_SERVICE = 'infermesh.scoring.v1.Scoring';

const ADMIT_STREAM = `/${SCORING_SERVICE}/AdmitStream`;

export class ScoringService {
	readonly #env: RouterEnv;
	readonly #scoring: Scoring;
	readonly #calls = new Map<string, { readonly answer: Answerer; readonly streams: boolean }>();

	constructor(env: RouterEnv, scoring: Scoring) {
		this.#env = env;
		this.#scoring = scoring;
		this.#add('ScoreTargets', scoreMessages, (call, { request }) =>
			this.#read(call, request, (read) => scoring.score(read)),
		);
		this.#add('Admit', admitMessages, (call, { request }) =>
			this.#read(call, request, (read) => scoring.admit(read, this.#holderFor(call))),
		);
		this.#add('ReportOutcome', reportMessages, (_call, report) => this.#report(report));
	}

	get paths(): readonly string[] {
		return [...this.#calls.keys()];
	}

	/** Takes a call of an authenticated caller. */
	serve(path: string, call: GrpcCall): void {
		const denied = this.#scoring.denied(call.caller);
		const known = this.#calls.get(path);
		if (denied !== undefined || known === undefined) return refuse(call, denied ?? { code: 'IM_REQUEST_GRPC_METHOD' });
		new GrpcTalk(this.#env, call, known.answer, known.streams).begin();
		if (path === ADMIT_STREAM) this.#holdByStream(call);
	}

	/** What a call admits is held by its stream while that is open, and by its connection otherwise. */
	#holderFor(call: GrpcCall): object {
		if (call.standing) return call;
		this.#watch(call);
		return call.connection;
	}

	/** A stream that ends well leaves what it admitted to its connection, on which reports may follow; one that breaks has nobody who reports. */
	#holdByStream(call: GrpcCall): void {
		const { stream2, connection } = call;
		this.#watch(call);
		stream2.once('close', () => {
			const well = call.statusCode >= 0 && stream2.rstCode === constants.NGHTTP2_NO_ERROR;
			this.#scoring.streamEnded(call, well ? connection : undefined);
		});
	}

	#watch({ connection, stream2 }: GrpcCall): void {
		this.#scoring.connections.watch(connection, stream2.session);
	}

	/** Adds a method and its streaming variant. */
	#add<Q extends { readonly id: bigint }, A extends object>(
		name: string,
		messages: Messages<Q, A>,
		ask: (call: GrpcCall, question: Q) => A | Refused,
	): void {
		const answer: Answerer = (call, bytes) => {
			const question = decoded(messages, bytes);
			if (question === undefined) return undefined;
			const refused = barred(this.#env, this.#scoring, call);
			const asked = refused === undefined ? ask(call, question) : { refusal: refused };
			if (!isRefused(asked)) return { message: messages.answer(question.id, asked), refusal: undefined };
			return { message: messages.refusal(question.id, asked.refusal), refusal: asked.refusal };
		};
		const path = `/${SCORING_SERVICE}/${name}`;
		this.#calls.set(path, { answer, streams: false });
		this.#calls.set(`${path}Stream`, { answer, streams: true });
	}

	#read<A extends object>(
		call: GrpcCall,
		described: InferenceRequest | undefined,
		then: (request: BodyRequest) => A | Refused,
	): A | Refused {
		if (described === undefined) return { refusal: field('request', 'a request') };
		return whenRead(this.#env, call, described, then);
	}

	#report({ decision, firstToken, renew, outcome }: ReportOutcomeRequest): Reported | Refused {
		if (renew === true) return reported(decision, true, this.#scoring.renewed(decision));
		if (firstToken === true) return reported(decision, true, this.#scoring.firstToken(decision));
		if (outcome === undefined) return { refusal: field('event', '`first_token`, `renew` or `outcome`') };
		const read = outcomeOf(outcome);
		return 'code' in read ? { refusal: read } : reported(decision, false, this.#scoring.ended(decision, read));
	}
}

function decoded<Q extends { readonly id: bigint }, A>(messages: Messages<Q, A>, bytes: Uint8Array): Q | undefined {
	try {
		return messages.decode(bytes);
	} catch {
		return undefined;
	}
}

function reported(decision: string, open: boolean, refusal: Refusal | undefined): Reported | Refused {
	return refusal === undefined ? { decision, open } : { refusal };
}

function isRefused(answer: object): answer is Refused {
	return 'refusal' in answer;
}
