// Owns the small vocabulary the schema is written in: every field carries a default, a unit and a sentence. Leaves meaning to schema.ts.
import type { TSchema } from 'typebox';
import { Type } from '../schema/type.js';

/** What the reference prints beside a JSON Schema field. */
export interface FieldNotes {
	readonly description: string;
	/** Unit of a number; absent for pure counts and texts. */
	readonly 'x-unit'?: string;
	/** The value must never be printed. */
	readonly 'x-secret'?: boolean;
}

function notes(description: string, unit?: string): FieldNotes {
	return unit === undefined ? { description } : { description, 'x-unit': unit };
}

export interface Range {
	readonly min?: number;
	readonly max?: number;
	readonly unit?: string;
}

function bounds(range: Range): { minimum: number; maximum?: number } {
	return { minimum: range.min ?? 0, ...(range.max === undefined ? {} : { maximum: range.max }) };
}

export const integer = (value: number, description: string, range: Range = {}) =>
	Type.Integer({ default: value, ...bounds(range), ...notes(description, range.unit) });

export const number = (value: number, description: string, range: Range = {}) =>
	Type.Number({ default: value, ...bounds(range), ...notes(description, range.unit) });

export const text = (value: string, description: string) => Type.String({ default: value, ...notes(description) });

export const flag = (value: boolean, description: string) => Type.Boolean({ default: value, ...notes(description) });

export const choice = <const V extends readonly string[]>(values: V, value: V[number], description: string) =>
	Type.Enum([...values] as unknown as V, { default: value, ...notes(description) });

/** A text the operator must give. */
export const required = (description: string) => Type.String({ minLength: 1, ...notes(description) });

/** A text that may be left out. */
export const optional = (description: string) => Type.Optional(Type.String({ minLength: 1, ...notes(description) }));

/** A number that may be left out, and has no default of its own. */
export const maybe = (description: string, max: number, unit?: string) =>
	Type.Optional(Type.Number({ minimum: 0, maximum: max, ...notes(description, unit) }));

/** A whole number that may be left out, and has no default of its own. */
export const maybeInteger = (description: string, max: number) =>
	Type.Optional(Type.Integer({ minimum: 0, maximum: max, ...notes(description) }));

/** A secret: a literal, `env:NAME` or `file:PATH`. Resolved at load; never printed. */
export const secret = (description: string) =>
	Type.Optional(
		Type.String({
			minLength: 1,
			...notes(`${description} (literal, \`env:NAME\` or \`file:PATH\`)`),
			'x-secret': true,
		}),
	);

/** A fixed set of keys; all of them may be left out of the file. */
export const section = <const P extends Record<string, TSchema>>(description: string, properties: P) =>
	Type.Object(properties, { additionalProperties: false, default: {}, description });

/** An item of a list, with keys that may be required. */
export const item = <const P extends Record<string, TSchema>>(description: string, properties: P) =>
	Type.Object(properties, { additionalProperties: false, description });

export const list = <const S extends TSchema>(of: S, description: string, most: number) =>
	Type.Array(of, { default: [], maxItems: most, ...notes(description) });

/** Names chosen by the operator, each with a value of one kind. */
export const map = <const S extends TSchema>(of: S, description: string, most: number) =>
	Type.Record(Type.String(), of, { default: {}, maxProperties: most, ...notes(description) });
