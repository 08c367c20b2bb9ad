// Owns the questions of the generator: asked only on a terminal, never with --yes, and only for what was not given.

import path from 'node:path';
import { createInterface } from 'node:readline';
import { MeshError } from '@infermesh/proto';
import { defaultTemplate, templateInfo, templates } from './catalogue.js';
import { templateErrors } from './errors.js';
import type { GenerateOptions } from './generate.js';
import { checkDescription, checkName, proposeName } from './names.js';

/** Where questions go and answers come from. `process` fits. */
export interface Terminal {
	readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
	readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** Wrong answers to one question before it gives up and the last complaint is thrown. */
const TRIES_MAX = 3;

/** Fills in what `options` leaves open by asking; returns them unchanged with `yes` or without a terminal. */
export async function askMissing(options: GenerateOptions, yes: boolean, terminal: Terminal): Promise<GenerateOptions> {
	if (yes || terminal.stdin.isTTY !== true || terminal.stderr.isTTY !== true) return options;
	const lines = createInterface({ input: terminal.stdin, output: terminal.stderr });
	// The iterator keeps what is typed ahead; it ends on Ctrl-C and Ctrl-D.
	const answers = lines[Symbol.asyncIterator]();
	const ask = async (question: string, proposal: string, check: (answer: string) => void): Promise<string> => {
		for (let tries = 1; ; tries++) {
			terminal.stderr.write(`${question} (${proposal}) `);
			const line = await answers.next();
			if (line.done === true) throw new MeshError(templateErrors, 'IM_TEMPLATE_CANCELLED');
			const answer = line.value.trim() || proposal;
			try {
				check(answer);
				return answer;
			} catch (error) {
				if (!(error instanceof MeshError) || tries >= TRIES_MAX) throw error;
				terminal.stderr.write(`${error.format()}\n`);
			}
		}
	};
	try {
		if (options.template === undefined)
			for (const known of templates) terminal.stderr.write(`  ${known.name.padEnd(22)} ${known.summary}\n`);
		const template = options.template ?? (await ask('template:', defaultTemplate, templateInfo));
		const name =
			options.name ?? (await ask('name:', proposeName(path.basename(path.resolve(options.path))), checkName));
		const proposal = templateInfo(template).description;
		const description = options.description ?? (await ask('description:', proposal, checkDescription));
		return { ...options, template, name, description };
	} finally {
		lines.close();
	}
}
