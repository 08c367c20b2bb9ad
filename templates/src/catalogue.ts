// Owns the list of templates: their names and what each is for. The files of a template stand in `templates/<name>/`; a file
// named `gitignore` becomes `.gitignore` (npm drops dotfiles of that name from packages).
import { MeshError } from '@infermesh/proto';
import { templateErrors } from './errors.js';
import type { SdkLanguage } from './sdk-copy.js';

export interface TemplateInfo {
	readonly name: string;
	readonly summary: string;
	/** Used for `strategy.yaml` and the README when the author gives none. */
	readonly description: string;
	/** Which SDK is copied into the project: a folder of the SDK package. */
	readonly sdk: SdkLanguage;
}

export const templates: readonly TemplateInfo[] = [
	{
		name: 'strategy-as',
		summary: 'a weighted strategy: predicted wait, KV pressure, network and errors, with configuration and tests',
		description: 'Sends each request to the target with the least predicted cost.',
		sdk: 'assembly',
	},
	{
		name: 'strategy-as-minimal',
		summary: 'the least that works: the target with the least load',
		description: 'Sends each request to the target with the least load.',
		sdk: 'assembly',
	},
	{
		name: 'strategy-as-affinity',
		summary: 'keeps sessions and shared prompts on the target that holds their cache, until it is too busy',
		description: 'Follows cached prefixes and sessions while the target that holds them is not overloaded.',
		sdk: 'assembly',
	},
	{
		name: 'strategy-c',
		summary: 'a native strategy in C, in a sandbox of its own: the target with the least load for its weight',
		description: 'Sends each request to the target with the least load for its weight.',
		sdk: 'c',
	},
	{
		name: 'strategy-rust',
		summary: 'a native strategy in Rust, in a sandbox of its own: the target with the least load for its weight',
		description: 'Sends each request to the target with the least load for its weight.',
		sdk: 'rust',
	},
	{
		name: 'strategy-rust-wasm',
		summary: 'in Rust, built to WebAssembly: the target with the least load for its weight',
		description: 'Sends each request to the target with the least load for its weight.',
		sdk: 'rust',
	},
];

export const defaultTemplate = 'strategy-as';

/** Throws IM_TEMPLATE_UNKNOWN for a name that is not in the list. */
export function templateInfo(name: string): TemplateInfo {
	const found = templates.find((template) => template.name === name);
	if (found !== undefined) return found;
	throw new MeshError(templateErrors, 'IM_TEMPLATE_UNKNOWN', `there is no template \`${name}\``, {
		where: '--template',
		hint: `use one of ${templates.map((template) => template.name).join(', ')}`,
	});
}
