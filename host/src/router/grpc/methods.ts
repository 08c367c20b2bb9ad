// Owns what the router knows of gRPC methods: where the first message of each names its model, which ones change a server and are not passed on, and
// which ones the router answers itself. Field numbers are those of the protocols' published messages.
import { type Dialect, dialect } from '@infermesh/adapters';
import { type FirstField, kserveFields, modelAt, predictFields, predictionsFields } from './first-fields.js';

export interface GrpcMethod {
	/** Field numbers from the first message down to the model's name; undefined: the call does not name it. */
	readonly modelPath: readonly number[] | undefined;
	/** What is read of its first message; empty where the call does not name its model. */
	readonly fields: readonly FirstField[];
	readonly dialect: Dialect;
	/** Answers come as a stream. */
	readonly streams: boolean;
}

const call = { model: 'none', modelRequired: false, stream: 'never', idempotent: false } as const;
/** Of these it is known that a copy does no harm, but for sequences of stateful models, which calls tell. */
const inference = dialect('grpc', { ...call, idempotent: true, operation: 'generate_content' });
/** What a handler or a session makes of a call is its own affair: it is sent to one target at a time. */
const opaque = dialect('grpc_opaque', { ...call, operation: 'generate_content' });
const control = dialect('grpc_control', { ...call, work: 'control' });

const TOP: readonly number[] = [1];
const IN_SPEC: readonly number[] = [1, 1];
const IN_TASKS: readonly number[] = [1, 1, 1];

export const KSERVE = '/inference.GRPCInferenceService/';
const TF_PREDICTION = '/tensorflow.serving.PredictionService/';
const TF_MODEL = '/tensorflow.serving.ModelService/';
const TF_SESSION = '/tensorflow.serving.SessionService/';
const TORCHSERVE = '/org.pytorch.serve.grpc.inference.InferenceAPIsService/';

function method(
	modelPath: readonly number[] | undefined,
	of: Dialect,
	streams = false,
	fields = modelPath === undefined ? [] : modelAt(modelPath),
): GrpcMethod {
	return { modelPath, fields, dialect: of, streams };
}

export const grpcMethods: ReadonlyMap<string, GrpcMethod> = new Map([
	[`${KSERVE}ModelInfer`, method(TOP, inference, false, kserveFields)],
	[`${KSERVE}ModelStreamInfer`, method(TOP, inference, true, kserveFields)],
	[`${KSERVE}ModelReady`, method(TOP, control)],
	[`${KSERVE}ModelMetadata`, method(TOP, control)],
	[`${KSERVE}ModelConfig`, method(TOP, control)],
	[`${KSERVE}ModelStatistics`, method(TOP, control)],
	[`${TF_PREDICTION}Predict`, method(IN_SPEC, inference, false, predictFields)],
	[`${TF_PREDICTION}PredictStreamed`, method(IN_SPEC, inference, true, predictFields)],
	[`${TF_PREDICTION}Classify`, method(IN_SPEC, inference)],
	[`${TF_PREDICTION}Regress`, method(IN_SPEC, inference)],
	[`${TF_PREDICTION}MultiInference`, method(IN_TASKS, inference)],
	[`${TF_PREDICTION}GetModelMetadata`, method(IN_SPEC, control)],
	[`${TF_SESSION}SessionRun`, method(IN_SPEC, opaque)],
	[`${TF_MODEL}GetModelStatus`, method(IN_SPEC, control)],
	[`${TORCHSERVE}Predictions`, method(TOP, opaque, false, predictionsFields)],
	[`${TORCHSERVE}StreamPredictions`, method(TOP, opaque, true, predictionsFields)],
	[`${TORCHSERVE}StreamPredictions2`, method(TOP, opaque, true, predictionsFields)],
]);

/** A method of a service nothing is known of: the model is named by header, or it is the only one. */
export const otherMethod = method(undefined, opaque);

/** Of these services only the methods above pass: the others change the server, or are about one server alone. */
const CLOSED = [KSERVE, TF_PREDICTION, TF_MODEL, TF_SESSION, TORCHSERVE, '/org.pytorch.serve.grpc.management.'];
const PLAIN_PATH = /^\/[\w.]+\/\w+$/;
/** What metrics call methods that are not in the table. */
export const OTHER_METHOD = 'grpc';

/** What is known of a method; undefined when it is not passed on. `denied`: paths, or services with a slash at the end. */
export function grpcMethod(path: string, denied: readonly string[]): GrpcMethod | undefined {
	const known = grpcMethods.get(path);
	const mayPass = known !== undefined || (PLAIN_PATH.test(path) && !CLOSED.some((service) => path.startsWith(service)));
	if (!mayPass || denied.some((entry) => (entry.endsWith('/') ? path.startsWith(entry) : path === entry)))
		return undefined;
	return known ?? otherMethod;
}
