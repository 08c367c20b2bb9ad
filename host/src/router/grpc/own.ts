// Owns the services the router answers itself on the data port: gRPC's health and reflection, and KServe's questions about the server as a whole; scoring is
// scoring-service.ts's. Messages are small and bounded; a client that does not take answers is asked nothing more.
import { dialect } from '@infermesh/adapters';
import type { Timer } from '@infermesh/proto';
import { embeddedFiles } from '@infermesh/proto/descriptors';
import {
	ServerLiveRequest,
	ServerLiveResponse,
	ServerMetadataRequest,
	ServerMetadataResponse,
	ServerReadyRequest,
	ServerReadyResponse,
} from '@infermesh/proto/inference';
import {
	HealthCheckRequest,
	HealthCheckResponse,
	HealthCheckResponse_ServingStatus as Status,
} from '@infermesh/proto/standard/health/v1/health';
import { ServerReflectionRequest, ServerReflectionResponse } from '@infermesh/proto/standard/reflection/v1/reflection';
import { reflectionAnswer } from '../../agent-api/reflection-answers.js';
import type { RouterEnv } from '../env.js';
import type { Scoring } from '../scoring/scoring.js';
import { sendEnd } from './answers.js';
import type { GrpcCall } from './call.js';
import { FrameReader } from './frames.js';
import { type GrpcMethod, KSERVE } from './methods.js';
import { awaitTaken, finish, refuse, reply, send } from './own-replies.js';
import { SCORING_SERVICE, ScoringService } from './scoring/service.js';
import { grpcCodes, grpcMessage } from './status.js';

const HEALTH = '/grpc.health.v1.Health/';
const REFLECTION = ['/grpc.reflection.v1.ServerReflection/', '/grpc.reflection.v1alpha.ServerReflection/'];
const MESSAGE_BYTES_MAX = 64 * 1024;
const WATCH_PERIOD_MS = 1000;
/** Version of KServe's protocol, and what passes through to runtimes that have it. */
const SERVER = { name: 'infermesh', version: '2', extensions: ['statistics', 'model_configuration', 'sequence'] };

const method: GrpcMethod = {
	modelPath: undefined,
	fields: [],
	dialect: dialect('grpc_own', { model: 'none', modelRequired: false, work: 'control', stream: 'never' }),
	streams: false,
};

/** Answers one message; may keep the call open. */
type Answer = (call: GrpcCall, message: Buffer) => void;

export interface OwnMethod {
	readonly method: GrpcMethod;
	/** Answered to anyone, also when the router is full: probes have no key. */
	readonly open: boolean;
	/** Takes a call from its caller, to its end. */
	readonly serve: (call: GrpcCall) => void;
}

export class OwnServices {
	readonly #env: RouterEnv;
	readonly #methods: ReadonlyMap<string, OwnMethod>;

	constructor(env: RouterEnv, scoring: Scoring) {
		this.#env = env;
		const own = (open: boolean, answer: Answer): OwnMethod => ({
			method,
			open,
			serve: (call) => this.#answerEach(call, answer),
		});
		const scorer = new ScoringService(env, scoring);
		this.#methods = new Map([
			[`${HEALTH}Check`, own(true, (call, message) => this.#check(call, message))],
			[`${HEALTH}Watch`, own(true, (call, message) => this.#watch(call, message))],
			[`${KSERVE}ServerLive`, own(true, (call, message) => this.#live(call, message))],
			[`${KSERVE}ServerReady`, own(true, (call, message) => this.#ready(call, message))],
			[`${KSERVE}ServerMetadata`, own(false, (call, message) => this.#metadata(call, message))],
			...REFLECTION.map(
				(service) =>
					[`${service}ServerReflectionInfo`, own(false, (call, message) => this.#reflect(call, message))] as const,
			),
			...scorer.paths.map(
				(path) => [path, { method, open: false, serve: (call: GrpcCall) => scorer.serve(path, call) }] as const,
			),
		]);
	}

	find(path: string): OwnMethod | undefined {
		return this.#methods.get(path);
	}

	/** Answers each message of a call as it comes. */
	#answerEach(call: GrpcCall, answer: Answer): void {
		const { stream2 } = call;
		const frames = new FrameReader(MESSAGE_BYTES_MAX);
		stream2.on('data', (chunk: Buffer) => {
			if (call.finished) return;
			try {
				for (const message of frames.push(chunk)) answer(call, message);
			} catch {
				refuse(call, { code: 'IM_REQUEST_GRPC' });
			}
		});
		stream2.on('end', () => {
			call.clientEnded = true;
			if (call.finished || watched.has(call)) return;
			if (frames.partialBytes > 0 || !stream2.headersSent) refuse(call, { code: 'IM_REQUEST_GRPC' });
			else finish(call);
		});
	}

	#send(call: GrpcCall, message: Uint8Array): void {
		if (!send(call, message)) awaitTaken(call, this.#env.ports.clock.nowMs(), () => call.stream2.resume());
	}

	get #serving(): boolean {
		return !this.#env.closing && this.#env.ports.directory.models().length > 0;
	}

	/** The router as a whole, or one of its services; undefined when it has no such service. */
	#status(service: string): Status | undefined {
		if (service !== '' && !ownServices.includes(service)) return undefined;
		return this.#serving ? Status.SERVING : Status.NOT_SERVING;
	}

	#check(call: GrpcCall, message: Buffer): void {
		const { service } = HealthCheckRequest.decode(message);
		const status = this.#status(service);
		if (status !== undefined) return reply(call, HealthCheckResponse.encode({ status }).finish());
		const code = grpcCodes.NOT_FOUND;
		sendEnd(
			call,
			code,
			{ 'grpc-status': String(code), 'grpc-message': grpcMessage('There is no such service here.') },
			undefined,
		);
	}

	#watch(call: GrpcCall, message: Buffer): void {
		const { service } = HealthCheckRequest.decode(message);
		if (watched.has(call)) throw new RangeError('one request only');
		watched.add(call);
		let told: Status | undefined;
		const tell = (): void => {
			const status = this.#status(service) ?? Status.SERVICE_UNKNOWN;
			if (status === told || call.finished) return;
			told = status;
			this.#send(call, HealthCheckResponse.encode({ status }).finish());
		};
		tell();
		const timer: Timer = this.#env.ports.clock.every(WATCH_PERIOD_MS, tell, { unref: true });
		call.stream2.once('close', () => timer.cancel());
	}

	#live(call: GrpcCall, message: Buffer): void {
		ServerLiveRequest.decode(message);
		reply(call, ServerLiveResponse.encode({ live: true }).finish());
	}

	#ready(call: GrpcCall, message: Buffer): void {
		ServerReadyRequest.decode(message);
		reply(call, ServerReadyResponse.encode({ ready: this.#serving }).finish());
	}

	#metadata(call: GrpcCall, message: Buffer): void {
		ServerMetadataRequest.decode(message);
		reply(call, ServerMetadataResponse.encode(SERVER).finish());
	}

	#reflect(call: GrpcCall, message: Buffer): void {
		const asked = ServerReflectionRequest.decode(message);
		this.#send(call, ServerReflectionResponse.encode(reflectionAnswer(asked, ownServices)).finish());
	}
}

/** Calls that stay open after the client has asked. */
const watched = new WeakSet<GrpcCall>();

/** Services that clients find here: the router's own, and those that it has the description of and passes on. */
const passed: ReadonlySet<string> = new Set(['inference.GRPCInferenceService', 'tensorflow.serving.PredictionService']);
const ownServices: readonly string[] = embeddedFiles
	.flatMap(({ services }) => services)
	.filter((name) => name.startsWith('grpc.') || name === SCORING_SERVICE || passed.has(name))
	.sort();
