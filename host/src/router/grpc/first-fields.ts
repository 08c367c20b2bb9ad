// Owns what is wanted of a call's first message, as data: the model's name, and where the message has them the texts and token ids of its tensors and the parameters that
// say something to a router. Field numbers are those of the protocols' published messages.
import type { WantedField } from './field-scanner.js';

/** What a wanted field says. `around`: nothing itself, there is something in it. */
export type Meaning =
	| 'model'
	| 'tensor'
	| 'tensor_name'
	| 'datatype'
	| 'shape'
	| 'element'
	| 'ids'
	| 'raw'
	| 'parameter'
	| 'parameter_name'
	| 'parameter_value'
	| 'sequence'
	| 'around';

export type FirstField = WantedField<Meaning>;

/** The model's name alone, these field numbers down. */
export function modelAt(path: readonly number[]): readonly FirstField[] {
	const [field = 0, ...deeper] = path;
	if (deeper.length === 0) return [{ field, kind: 'text', means: 'model', strict: true }];
	return [{ field, kind: 'message', means: 'around', fields: modelAt(deeper) }];
}

/** `ModelInferRequest` of KServe v2, which Triton and OVMS speak: texts are tensors of type BYTES and token ids such of integers, with their elements as fields or all in one. */
export const kserveFields: readonly FirstField[] = [
	...modelAt([1]),
	{
		field: 4,
		kind: 'message',
		means: 'parameter',
		fields: [
			{ field: 1, kind: 'text', means: 'parameter_name' },
			{
				field: 2,
				kind: 'message',
				means: 'around',
				fields: [
					{ field: 2, kind: 'number', means: 'parameter_value' },
					{ field: 3, kind: 'text', means: 'parameter_value' },
					{ field: 5, kind: 'number', means: 'parameter_value' },
				],
			},
		],
	},
	{
		field: 5,
		kind: 'message',
		means: 'tensor',
		fields: [
			{ field: 1, kind: 'text', means: 'tensor_name' },
			{ field: 2, kind: 'text', means: 'datatype' },
			{ field: 3, kind: 'bytes', means: 'shape' },
			{
				field: 5,
				kind: 'message',
				means: 'around',
				// `int_contents`, `int64_contents`, `uint_contents`, `uint64_contents`: packed, as everybody writes them.
				fields: [
					{ field: 8, kind: 'bytes', means: 'element' },
					...[2, 3, 4, 5].map((field) => ({ field, kind: 'bytes', means: 'ids' }) as const),
				],
			},
		],
	},
	{ field: 7, kind: 'bytes', means: 'raw' },
];

/** `PredictRequest` of TensorFlow Serving: a map of tensors, whose `string_val` only those of type DT_STRING have. */
export const predictFields: readonly FirstField[] = [
	...modelAt([1, 1]),
	{
		field: 2,
		kind: 'message',
		means: 'tensor',
		fields: [
			{ field: 1, kind: 'text', means: 'tensor_name' },
			{ field: 2, kind: 'message', means: 'around', fields: [{ field: 8, kind: 'bytes', means: 'element' }] },
		],
	},
];

/** `PredictionsRequest` of TorchServe: a map of inputs, bytes that a handler reads as it likes. `StreamPredictions2` names a sequence. */
export const predictionsFields: readonly FirstField[] = [
	...modelAt([1]),
	{
		field: 3,
		kind: 'message',
		means: 'tensor',
		fields: [
			{ field: 1, kind: 'text', means: 'tensor_name' },
			{ field: 2, kind: 'bytes', means: 'element' },
		],
	},
	{ field: 4, kind: 'text', means: 'sequence' },
];
