// Owns typed access to the fields of a parsed request body: each getter returns the value, its absence, or a clear
// refusal that names the field. OpenAI clients send null for "not given", so null counts as absent everywhere.
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';

export type Body = Readonly<Record<string, unknown>>;

export function refuse(field: string, problem: string): never {
	throw new MeshError(engineErrors, 'IM_ENGINE_REQUEST_INVALID', `${field} ${problem}`, { where: field });
}

export function isObject(value: unknown): value is Body {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function optionalObject(body: Body, field: string): Body | undefined {
	const value = body[field];
	if (value === undefined || value === null) return undefined;
	return isObject(value) ? value : refuse(field, 'must be an object');
}

export function optionalString(body: Body, field: string): string | undefined {
	const value = body[field];
	if (value === undefined || value === null) return undefined;
	return typeof value === 'string' ? value : refuse(field, 'must be a string');
}

export function requiredString(body: Body, field: string): string {
	return optionalString(body, field) ?? refuse(field, 'is required');
}

export function optionalBoolean(body: Body, field: string): boolean {
	const value = body[field];
	if (value === undefined || value === null) return false;
	return typeof value === 'boolean' ? value : refuse(field, 'must be true or false');
}

export function optionalInteger(body: Body, field: string, minimum: number, maximum: number): number | undefined {
	const value = body[field];
	if (value === undefined || value === null) return undefined;
	if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum) return value;
	return refuse(field, `must be an integer from ${minimum} to ${maximum}`);
}

/** A string or a list of at most `most` strings, as a list; empty when absent. */
export function stringList(body: Body, field: string, most: number): string[] {
	const value = body[field];
	if (value === undefined || value === null) return [];
	const list: unknown[] = Array.isArray(value) ? value : [value];
	if (list.length > most) refuse(field, `must have at most ${most} entries`);
	for (const entry of list) if (typeof entry !== 'string') refuse(field, 'must be a string or a list of strings');
	return list as string[];
}
