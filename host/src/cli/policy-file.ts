// Owns the reading of a policy as an operator writes it, in YAML or JSON: what is wrong with it is told with line and column, and with the name that was
// probably meant.
import { MeshError } from '@infermesh/proto';
import { type Problem, readYaml, schemaCheck, schemaProblems } from '../project/scenario/yaml-source.js';
import { type PolicyKind, policySchemas } from '../records/kinds.js';
import type { CliContext } from './context.js';
import { cliErrors } from './errors.js';

export interface PolicySource {
	readonly file?: string;
	readonly value?: string;
}

/** Longest policy text that is read from standard input. */
const STDIN_BYTES_MAX = 4 * 1024 * 1024;

async function readInput(context: CliContext): Promise<string> {
	const pieces: Buffer[] = [];
	let bytes = 0;
	for await (const piece of context.stdin) {
		const buffer = Buffer.from(piece as string | Uint8Array);
		bytes += buffer.length;
		if (bytes > STDIN_BYTES_MAX)
			throw new MeshError(cliErrors, 'IM_CLI_POLICY', `standard input has more than ${STDIN_BYTES_MAX} bytes`);
		pieces.push(buffer);
	}
	return Buffer.concat(pieces).toString('utf8');
}

async function textOf(context: CliContext, { file, value }: PolicySource): Promise<readonly [string, string]> {
	if ((file === undefined) === (value === undefined))
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'give the policy by --file or by --value');
	if (value !== undefined) return ['--value', value];
	return file === '-' ? ['-', await readInput(context)] : [file as string, context.readText(file as string)];
}

function refusal([first, ...others]: readonly Problem[]): MeshError {
	const message = [first?.message ?? '', ...others.map(({ where, message }) => `${where}: ${message}`)].join('\n  ');
	return new MeshError(cliErrors, 'IM_CLI_POLICY', message, first === undefined ? {} : { where: first.where });
}

/** The policy that was given. IM_CLI_POLICY with every problem, IM_CLI_USAGE. */
export async function readPolicy(context: CliContext, kind: PolicyKind, source: PolicySource): Promise<unknown> {
	const [name, text] = await textOf(context, source);
	const read = readYaml(name, text);
	if (!read.ok) throw refusal(read.problems);
	const problems = schemaProblems(schemaCheck(policySchemas[kind]), read.source);
	if (problems.length > 0) throw refusal(problems);
	return read.source.value;
}
