// Owns secrets in configuration: what `env:NAME` and `file:PATH` stand for, and what may be printed instead of a value.
import { MeshError } from '@infermesh/proto';
import { configErrors } from './errors.js';

export interface SecretSources {
	readonly env: Readonly<Record<string, string | undefined>>;
	/** Reads a text file; throws when it cannot. */
	readonly readText: (path: string) => string;
}

/** The value behind a reference; a text of another form is the secret itself. `where` names the place for the error. */
export function resolveSecret(reference: string, where: string, sources: SecretSources): string {
	if (reference.startsWith('env:')) {
		const value = sources.env[reference.slice(4)];
		if (value === undefined || value === '')
			throw new MeshError(
				configErrors,
				'IM_CONFIG_SECRET_MISSING',
				`environment variable ${reference.slice(4)} is not set`,
				{ where },
			);
		return value;
	}
	if (!reference.startsWith('file:')) return reference;
	const path = reference.slice(5);
	let value: string;
	try {
		value = sources.readText(path).trim();
	} catch (cause) {
		throw new MeshError(configErrors, 'IM_CONFIG_SECRET_MISSING', `file ${path} cannot be read`, { where, cause });
	}
	if (value === '') throw new MeshError(configErrors, 'IM_CONFIG_SECRET_MISSING', `file ${path} is empty`, { where });
	return value;
}

/** References are safe to show, literals are not. */
export function maskSecret(reference: string): string {
	return /^(env|file):/.test(reference) ? reference : '***';
}
