import test from 'ava';
import { Type as TypeBox } from 'typebox';
import { Type } from './type.js';

/** One schema of every builder, nested, with and without options. */
function schemas(type: typeof Type): unknown {
	const described = { description: 'What it is.' };
	return type.Object(
		{
			array: type.Array(type.String(), { maxItems: 3 }),
			boolean: type.Boolean({ default: true }),
			enum: type.Enum(['a', 'b'], described),
			integer: type.Integer({ minimum: 1 }),
			intersect: type.Intersect([type.Object({ a: type.Number() }), type.Object({ b: type.Null() })], described),
			literal: type.Union([type.Literal(1), type.Literal('one'), type.Literal(true)], described),
			nothing: type.Optional(type.Null(described)),
			number: type.Optional(type.Number({ exclusiveMinimum: 0 })),
			object: type.Object({ all: type.Optional(type.Boolean()), of: type.Optional(type.String()) }),
			empty: type.Object({}, { additionalProperties: false }),
			record: type.Record(type.String(), type.Object({ deep: type.Integer() }), { maxProperties: 2 }),
			string: type.String({ pattern: '^a+$' }),
			tuple: type.Tuple([type.Number(), type.Optional(type.String())], described),
			unknown: type.Unknown(described),
			unsafe: type.Unsafe<readonly number[]>({ type: ['string', 'array'], items: type.Number() }),
			optionalUnsafe: type.Optional(type.Unsafe<number>(type.Object({ version: type.Literal(1) }, described))),
			// What is not required in one object is no less so in another.
			again: type.Array(type.Optional(type.Number())),
		},
		{ additionalProperties: false, ...described },
	);
}

test('what is built is what TypeBox builds, to the order of its keys', (t) => {
	t.is(JSON.stringify(schemas(Type), undefined, 1), JSON.stringify(schemas(TypeBox), undefined, 1));
});

test('a schema that is made optional stays required where it was', (t) => {
	const name = Type.String();
	const object = Type.Object({ given: name, perhaps: Type.Optional(name) });
	t.deepEqual(object.required, ['given']);
});
