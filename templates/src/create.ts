// Owns the command behind `npm create infermesh-strategy`: arguments in, project written, next commands printed.
import { parseArgs } from 'node:util';
import { MeshError } from '@infermesh/proto';
import { askMissing, type Terminal } from './ask.js';
import { templates } from './catalogue.js';
import { templateErrors } from './errors.js';
import { type GenerateOptions, type GenerateResult, generate } from './generate.js';

export interface CreateIo extends Terminal {
	readonly stdout: NodeJS.WritableStream;
	cwd(): string;
}

const help = `create-infermesh-strategy PATH [options]

Writes a strategy project that builds, tests and loads at once.

  --template NAME      ${templates.map((template) => template.name).join(' | ')}
  --name NAME          name of the strategy; default: the folder's
  --description TEXT   one line
  --yes                ask nothing
  --force              overwrite changed files
  --json               print the result as JSON

example: npm create infermesh-strategy my-strategy -- --template strategy-as-minimal --yes
`;

/** Runs the command; returns the exit code (0 done, 1 failed, 2 usage). Never throws a `MeshError`. */
export async function runCreate(argv: readonly string[], io: CreateIo): Promise<number> {
	try {
		const parsed = parse(argv);
		if (parsed === 'help') {
			io.stdout.write(help);
			return 0;
		}
		const options = await askMissing({ ...parsed.options, cwd: io.cwd() }, parsed.yes, io);
		const result = generate(options);
		io.stdout.write(parsed.json ? `${JSON.stringify(result, null, '\t')}\n` : renderGenerated(result));
		return 0;
	} catch (error) {
		if (!(error instanceof MeshError)) throw error;
		io.stderr.write(`${error.format()}\n`);
		return error.code === 'IM_TEMPLATE_USAGE' ? 2 : 1;
	}
}

type Parsed = { readonly options: GenerateOptions; readonly yes: boolean; readonly json: boolean } | 'help';

function parse(argv: readonly string[]): Parsed {
	const { values, positionals } = parseOrRefuse(argv);
	if (values.help === true) return 'help';
	const place = positionals[0];
	if (place === undefined || positionals.length > 1) {
		const message = place === undefined ? 'no PATH was given' : 'more than one PATH was given';
		throw new MeshError(templateErrors, 'IM_TEMPLATE_USAGE', message);
	}
	const options: GenerateOptions = {
		path: place,
		...(values.template === undefined ? {} : { template: values.template }),
		...(values.name === undefined ? {} : { name: values.name }),
		...(values.description === undefined ? {} : { description: values.description }),
		force: values.force === true,
	};
	return { options, yes: values.yes === true, json: values.json === true };
}

function parseOrRefuse(argv: readonly string[]) {
	try {
		return parseArgs({
			args: [...argv],
			allowPositionals: true,
			options: {
				template: { type: 'string' },
				name: { type: 'string' },
				description: { type: 'string' },
				yes: { type: 'boolean', short: 'y' },
				force: { type: 'boolean' },
				json: { type: 'boolean' },
				help: { type: 'boolean', short: 'h' },
			},
		});
	} catch (cause) {
		throw new MeshError(templateErrors, 'IM_TEMPLATE_USAGE', cause instanceof Error ? cause.message : undefined, {
			cause,
		});
	}
}

/** What a terminal shows of a generated project: every file, what was left alone, and the next three commands. */
export function renderGenerated(result: GenerateResult): string {
	const lines = [`${result.name}: ${result.template} in ${result.dir}`];
	for (const file of result.written) lines.push(`  wrote      ${file}`);
	for (const file of result.kept) lines.push(`  kept       ${file} (changed by you; --force overwrites it)`);
	if (result.unchanged.length > 0) lines.push(`  unchanged  ${result.unchanged.length} files`);
	lines.push('', 'next:', ...result.next.map((command) => `  ${command}`), '');
	return lines.join('\n');
}
