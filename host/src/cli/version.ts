// Owns `infermesh version`.
import { ABI_MAJOR, ABI_MINOR } from '@infermesh/sdk';
import type { Command } from 'commander';
import { act, type Cli, withExample, withJson } from './command.js';
import { type OutputOptions, print } from './output.js';

export function addVersionCommand(program: Command, cli: Cli): void {
	withExample(
		withJson(program.command('version').description('versions of the mesh, its ABI and Node')),
		'infermesh version',
	).action(
		act(cli, (context, options: OutputOptions) => {
			const data = { version: context.version, abi: `${ABI_MAJOR}.${ABI_MINOR}`, node: process.version };
			print(context, options, data, () => `infermesh ${data.version}, strategy ABI ${data.abi}, Node ${data.node}\n`);
		}),
	);
}
