// Owns the building of schemas: TypeBox's own builders as far as they are used here, typed by TypeBox, without loading it. It is 373 modules, which every
// process and every command would load for objects of a few fields; what these build is equal to what it builds, and type.test.ts holds them to it.
import type { TSchema, Type as TypeBox } from 'typebox';

type Json = Readonly<Record<string, unknown>>;
type Used =
	| 'Array'
	| 'Boolean'
	| 'Enum'
	| 'Integer'
	| 'Intersect'
	| 'Literal'
	| 'Null'
	| 'Number'
	| 'Object'
	| 'Optional'
	| 'Record'
	| 'String'
	| 'Tuple'
	| 'Union'
	| 'Unknown'
	| 'Unsafe';

/** Fields that an object need not have. */
const optional = new WeakSet<object>();

function object(properties: Readonly<Record<string, TSchema>>, options: Json = {}): Json {
	const required = Object.keys(properties).filter((name) => !optional.has(properties[name] as object));
	return { type: 'object', ...(required.length > 0 ? { required } : {}), properties, ...options };
}

function notRequired(schema: Json): Json {
	const copy = { ...schema };
	optional.add(copy);
	return copy;
}

/** Keys are any text: the only records there are. */
function record(_key: unknown, value: unknown, options: Json = {}): Json {
	return { type: 'object', patternProperties: { '^.*$': value }, ...options };
}

function tuple(items: readonly unknown[], options: Json = {}): Json {
	return { type: 'array', additionalItems: false, items, minItems: items.length, ...options };
}

const built = {
	Array: (items: unknown, options?: Json) => ({ type: 'array', items, ...options }),
	Boolean: (options?: Json) => ({ type: 'boolean', ...options }),
	Enum: (values: readonly unknown[], options?: Json) => ({ enum: values, ...options }),
	Integer: (options?: Json) => ({ type: 'integer', ...options }),
	Intersect: (all: readonly unknown[], options?: Json) => ({ allOf: all, ...options }),
	Literal: (value: unknown, options?: Json) => ({ type: typeof value, const: value, ...options }),
	Null: (options?: Json) => ({ type: 'null', ...options }),
	Number: (options?: Json) => ({ type: 'number', ...options }),
	Object: object,
	Optional: notRequired,
	Record: record,
	String: (options?: Json) => ({ type: 'string', ...options }),
	Tuple: tuple,
	Union: (any: readonly unknown[], options?: Json) => ({ anyOf: any, ...options }),
	Unknown: (options?: Json) => ({ ...options }),
	Unsafe: (schema: Json) => ({ ...schema }),
};

export const Type = built as unknown as Pick<typeof TypeBox, Used>;
