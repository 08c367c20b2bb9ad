// Owns docs/cli.md: the help of every command, as it is printed.
import type { Command } from 'commander';
import { ADMIN_DEFAULT, TOKEN_FILE } from '../cli/admin-client.js';
import type { Cli } from '../cli/command.js';
import { createProgram } from '../cli/program.js';
import { header } from './markdown.js';

const HELP_WIDTH = 100;

const introduction = `\`npm start -- ARGS\` is \`infermesh up ARGS\`; \`host/bin/infermesh.mjs\` is every command. Commands that print data take \`--json\`: one document on
standard output, lists as \`{"items": [...]}\`; progress and errors go to standard error. A running mesh is found by \`--admin URL\`, else
\`INFERMESH_ADMIN\`, else \`${ADMIN_DEFAULT}\`; its token by \`--token\`, else \`INFERMESH_TOKEN\`, else \`${TOKEN_FILE}\`. Exit codes are in [errors.md](errors.md).`;

function helpOf(command: Command): string {
	let text = '';
	command.configureHelp({ helpWidth: HELP_WIDTH });
	command.configureOutput({
		writeOut: (part) => {
			text += part;
		},
		getOutHelpWidth: () => HELP_WIDTH,
		getOutHasColors: () => false,
	});
	command.outputHelp();
	return text.trimEnd();
}

function walk(command: Command, name: string): string[] {
	const own = `\n## ${name}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`;
	return [own, ...command.commands.flatMap((inner) => walk(inner, `${name} ${inner.name()}`))];
}

/** Commands read their context only when they run, so a page needs none but the version. */
export async function cliPage(): Promise<string> {
	const cli = { context: { version: '' }, exitCode: 0 } as unknown as Cli;
	return header('Command line', '`host/src/cli`', introduction) + walk(await createProgram(cli), 'infermesh').join('');
}
