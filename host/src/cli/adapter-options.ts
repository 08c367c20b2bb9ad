// Owns how an adapter is named and set on the command line.
import { detectAdapter, openAdapter, systemEffects } from '@infermesh/adapters';
import type { CliContext } from './context.js';
import type { OutputOptions } from './output.js';
import { pair } from './values.js';

export interface AdapterOptions extends OutputOptions {
	readonly set?: readonly string[];
	readonly node?: string;
	readonly job?: string;
}

/** What S3's own tools take from the environment. */
const fromEnvironment: Readonly<Record<string, Readonly<Record<string, string>>>> = {
	s3: {
		access_key_id: 'AWS_ACCESS_KEY_ID',
		secret_access_key: 'AWS_SECRET_ACCESS_KEY',
		session_token: 'AWS_SESSION_TOKEN',
		region: 'AWS_REGION',
	},
};

/** The adapter that is meant, opened. Values may be `env:NAME` and `file:PATH`, so that secrets need not stand in a command. */
export async function openFromOptions(context: CliContext, kindOrUrl: string, options: AdapterOptions) {
	const effects = systemEffects(context.clock, context.randomBytes);
	const { kind, settings: implied } = await detectAdapter(kindOrUrl, effects);
	const settings: Record<string, string> = { ...implied };
	for (const [name, variable] of Object.entries(fromEnvironment[kind.name] ?? {})) {
		const value = context.env[variable];
		if (value !== undefined && value !== '') settings[name] = value;
	}
	for (const text of options.set ?? []) {
		const [name, value] = pair(text);
		settings[name] = resolved(context, value);
	}
	const { node = '', job: jobId = '' } = options;
	return { kind, adapter: await openAdapter(kind.name, settings, { effects, node, jobId }) };
}

function resolved(context: CliContext, value: string): string {
	if (value.startsWith('env:')) return context.env[value.slice(4)] ?? '';
	return value.startsWith('file:') ? context.readText(value.slice(5)).trim() : value;
}
