// Owns validators of schemas: compiled when something is first checked by them, since most of a process's schemas never see a value. That each schema is one
// is for a test to find: to check it here, ajv would first compile a validator of schemas.
import { Ajv, type Options, type ValidateFunction } from 'ajv';

const options: Options = { strict: false, validateSchema: false, meta: false };
const first = new Ajv(options);
const all = new Ajv({ ...options, allErrors: true });
const compiled = { first: new WeakMap<object, ValidateFunction>(), all: new WeakMap<object, ValidateFunction>() };

/** Stops at the first fault, or finds all of them. Values are looked at and not changed. */
export function validatorOf(schema: object, faults: 'first' | 'all'): ValidateFunction {
	const known = compiled[faults];
	let validator = known.get(schema);
	if (validator === undefined) {
		validator = (faults === 'first' ? first : all).compile(schema);
		known.set(schema, validator);
	}
	return validator;
}
