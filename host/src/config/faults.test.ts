import { Ajv, type ErrorObject } from 'ajv';
import test from 'ava';
import * as fc from 'fast-check';
import { faultsOfGiven } from './faults.js';
import { Origins } from './origins.js';
import { configSchema } from './schema.js';
import { fillDefaults, type SchemaNode } from './tree.js';

const root = configSchema as unknown as SchemaNode;
const whole = new Ajv({ allErrors: true, strict: false }).compile(configSchema);

/** The parts a message is made of. Keys that the schema does not have are found elsewhere; members of a choice are told with the choice. */
function told(errors: readonly ErrorObject[]): readonly string[] {
	return errors
		.filter(({ keyword, schemaPath }) => keyword !== 'additionalProperties' && !schemaPath.includes('/anyOf/'))
		.map(({ keyword, instancePath, params, message }) => JSON.stringify({ keyword, instancePath, params, message }))
		.sort();
}

const leaf = fc.oneof(
	fc.constantFrom(-1, 0, 0.5, 1, 7, 1e12, true, false, '', 'a', 'info', 'local', '10', null),
	fc.string({ maxLength: 8 }),
);

/** Configurations of the schema's own keys, right and wrong values among them. */
function valueOf(schema: SchemaNode): fc.Arbitrary<unknown> {
	const { properties, patternProperties, items } = schema;
	const right = fc.constantFrom<unknown>(schema.default ?? null, ...(schema.enum ?? []));
	if (properties !== undefined)
		return fc.oneof(
			{ weight: 8, arbitrary: someOf(properties) },
			{ weight: 1, arbitrary: fc.oneof(leaf, fc.constant([])) },
		);
	const [value] = Object.values(patternProperties ?? {});
	if (value !== undefined)
		return fc.oneof(fc.dictionary(fc.string({ maxLength: 4 }), valueOf(value), { maxKeys: 2 }), leaf);
	if (items !== undefined) return fc.oneof(fc.array(valueOf(items), { maxLength: 3 }), leaf);
	return fc.oneof(right, leaf, fc.constant({ a: 1 }));
}

/** Up to three of the keys, each with a value. */
function someOf(properties: Readonly<Record<string, SchemaNode>>): fc.Arbitrary<unknown> {
	return fc
		.subarray(Object.keys(properties), { maxLength: Math.min(3, Object.keys(properties).length) })
		.chain((keys) => fc.record(Object.fromEntries(keys.map((key) => [key, valueOf(properties[key] ?? {})]))));
}

test('the defaults have no faults: they are not looked at again', (t) => {
	t.true(whole(fillDefaults(root, {}, [], new Origins())), JSON.stringify(whole.errors));
});

test('what is found in parts is what is found in the whole', (t) => {
	const seed = Date.now() | 0;
	t.log(`seed ${seed}`);
	let wrong = 0;
	fc.assert(
		fc.property(someOf(root.properties ?? {}), (given) => {
			const filled = fillDefaults(root, given, [], new Origins());
			const expected = whole(filled) ? [] : told(whole.errors ?? []);
			if (expected.length > 0) wrong++;
			const found = told(faultsOfGiven(root, given, filled));
			t.deepEqual(found, expected, JSON.stringify(given));
		}),
		{ seed, numRuns: 200 },
	);
	t.true(wrong > 20, `${wrong} of them had faults`);
});
