import { Ajv } from 'ajv';
import test from 'ava';
import { adminRoutes } from '../admin/routes.js';
import { streamRoutes } from '../admin/streams.js';
import { configSchema } from '../config/schema.js';
import { recordKinds } from '../records/kinds.js';
import { Type } from './type.js';
import { validatorOf } from './validators.js';

/** All that is checked by these validators, by name. */
function schemas(): [string, object][] {
	const ofRoutes = [...adminRoutes, ...streamRoutes].flatMap((route) =>
		(['params', 'query', 'body'] as const).map((part): [string, unknown] => [
			`${route.path} ${part}`,
			Reflect.get(route, part),
		]),
	);
	const ofRecords = Object.entries(recordKinds).map(([name, { schema }]): [string, unknown] => [name, schema]);
	return [...ofRoutes, ...ofRecords, ['configuration', configSchema]].filter(
		(named): named is [string, object] => named[1] !== undefined,
	);
}

test('every schema is one: they are not looked at when a node starts', (t) => {
	const checking = new Ajv({ strict: false });
	const named = schemas();
	t.true(named.length > 60, String(named.length));
	for (const [name, schema] of named) t.true(checking.validateSchema(schema), `${name}: ${checking.errorsText()}`);
});

test('a validator tells the first fault or all of them, and leaves the value as it was', (t) => {
	const schema = Type.Object({ a: Type.Number(), b: Type.Boolean({ default: true }) }, { additionalProperties: false });
	const given = { a: '1', c: 2 };
	for (const [faults, expected] of [
		['first', 1],
		['all', 3],
	] as const) {
		const validate = validatorOf(schema, faults);
		t.false(validate(given));
		t.is(validate.errors?.length, expected);
		t.is(validatorOf(schema, faults), validate);
	}
	t.deepEqual(given, { a: '1', c: 2 });
});
