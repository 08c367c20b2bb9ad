// Owns what a strategy may be called and how a name is proposed for a folder.
import { MeshError } from '@infermesh/proto';
import { STRATEGY_NAME_PATTERN } from '@infermesh/sdk';
import { templateErrors } from './errors.js';

const NAME_LENGTH_MAX = 64;
const DESCRIPTION_LENGTH_MAX = 200;
const namePattern = new RegExp(STRATEGY_NAME_PATTERN);

/** Names of shipped strategies: an author's own must differ, so that `name@version` says whose it is. */
export const reservedNames: ReadonlySet<string> = new Set([
	'aibrix_prefix',
	'baseline_rr',
	'consistent_hash',
	'dynamo_linear',
	'dynamo_lmetric',
	'hybrid_mesh',
	'least_pending_tokens',
	'least_queue',
	'least_request',
	'llmd_affinity',
	'llmd_default',
	'min_ttft',
	'power_of_two',
	'preble',
	'production_stack_loadaware',
	'random',
	'session_affinity',
	'smg_cache_aware',
	'smg_least_load',
	'vllm_smetric',
]);

/** A legal name made of a folder's name: lower case, other characters as `-`; may be empty. */
export function proposeName(folderName: string): string {
	const plain = folderName
		.toLowerCase()
		.replaceAll(/[^a-z0-9_-]+/g, '-')
		.replaceAll(/[-_]{2,}/g, '-')
		.replace(/^[^a-z]+/, '')
		.slice(0, NAME_LENGTH_MAX);
	return plain.replace(/[-_]+$/, '');
}

/** Throws IM_TEMPLATE_NAME_INVALID or IM_TEMPLATE_NAME_RESERVED. */
export function checkName(name: string): void {
	if (name.length < 2 || name.length > NAME_LENGTH_MAX || !namePattern.test(name)) {
		const proposal = proposeName(name);
		throw new MeshError(templateErrors, 'IM_TEMPLATE_NAME_INVALID', `\`${name}\` is not a strategy name`, {
			where: '--name',
			...(proposal.length >= 2 && proposal !== name ? { hint: `for example --name ${proposal}` } : {}),
		});
	}
	if (reservedNames.has(name)) {
		throw new MeshError(templateErrors, 'IM_TEMPLATE_NAME_RESERVED', `\`${name}\` ships with the mesh`, {
			where: '--name',
			hint: `choose another, for example --name my_${name}`,
		});
	}
}

/** Throws IM_TEMPLATE_DESCRIPTION_INVALID: a description is one printable line. */
export function checkDescription(description: string): void {
	const printable = !/\p{Cc}/u.test(description);
	if (printable && description.trim() !== '' && description.length <= DESCRIPTION_LENGTH_MAX) return;
	throw new MeshError(templateErrors, 'IM_TEMPLATE_DESCRIPTION_INVALID', undefined, { where: '--description' });
}
