// Owns the signing of reports on the command line, for every command that writes one, and `infermesh report verify`.
import { readFileSync, statSync } from 'node:fs';
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { Listed, SigningKeyRow } from '../admin/mesh-schemas.js';
import { signedErrors } from '../signed/errors.js';
import {
	readSigned,
	type SignedDocument,
	type SignedStatement,
	signDocument,
	signedMeaning,
	verifySigned,
} from '../signed/signed-document.js';
import { readPublicKey } from '../strategy/signing/signature.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { print, showTime } from './output.js';
import { readKeyFile, readSigningKey } from './signing-key.js';

/** A gate's report with all of its replications is a few MiB. */
const FILE_BYTES_MAX = 64 << 20;

export interface SignFlags {
	readonly sign?: string;
	readonly out?: string;
}

/** Adds `--sign` and `--out`. */
export function withSign(command: Command): Command {
	return command
		.option('--sign <file>', 'sign it with this private key, as `signing-key new` makes it')
		.option('--out <file>', 'write the report there, as JSON; signed with --sign');
}

/**
 * The document as it is to be printed as JSON: in its signed form where `--sign` was given. Written to `--out`, too. Throws IM_SIGNING_KEY, and IM_CLI_* where the file
 * cannot be written.
 */
export function signedOf(
	context: CliContext,
	{ sign, out }: SignFlags,
	what: Pick<SignedStatement, 'kind' | 'subject'>,
	document: unknown,
): unknown {
	const signedAtMs = Math.floor(context.clock.wallMs());
	// As it will be read: what JSON leaves out is not signed.
	const plain = JSON.parse(JSON.stringify(document)) as unknown;
	const made = sign === undefined ? document : signDocument(plain, { ...what, signedAtMs }, readSigningKey(sign));
	if (out !== undefined) {
		context.writeFile(out, `${JSON.stringify(made, null, '\t')}\n`);
		const by = sign === undefined ? '' : `, signed by ${(made as SignedDocument).signature.key}`;
		context.stderr.write(`report: ${out}${by}\n`);
	}
	return made;
}

type VerifyOptions = MeshOptions & { readonly key?: string };

function readReport(file: string): string {
	try {
		const { size } = statSync(file);
		if (size > FILE_BYTES_MAX) throw new RangeError(`it has ${size} bytes, more than ${FILE_BYTES_MAX}`);
		return readFileSync(file, 'utf8');
	} catch (cause) {
		const why = cause instanceof RangeError ? cause.message : 'the file cannot be read';
		throw new MeshError(signedErrors, 'IM_REPORT_FORMAT', why, { where: file, cause });
	}
}

/** PEM of the key that is trusted, and whose it is: the one given, or the one that the mesh knows under this id. */
async function trusted(context: CliContext, id: string, file: string, options: VerifyOptions) {
	if (options.key !== undefined) return { pem: readKeyFile(options.key), name: options.key };
	const { items } = await new AdminClient(context, options).get<Listed<SigningKeyRow>>('/signing-keys');
	const found = items.find((key) => key.id === id);
	if (found !== undefined) return { pem: found.publicKey, name: found.name };
	throw new MeshError(signedErrors, 'IM_REPORT_KEY', `the mesh does not know key ${id}`, { where: file });
}

async function verifyReport(context: CliContext, file: string, options: VerifyOptions): Promise<void> {
	const signed = readSigned(readReport(file), file);
	const { statement, signature } = signed;
	const { pem, name } = await trusted(context, signature.key, file, options);
	verifySigned(signed, readPublicKey(pem, name), file);
	print(
		context,
		options,
		{ verified: true, key: signature.key, name, statement, meaning: signedMeaning },
		() =>
			`${file}: ${statement.kind} ${statement.subject}, signed by ${name} (${signature.key}) at ${showTime(statement.signedAtMs)}\n  ${signedMeaning}\n`,
	);
}

export function addReportCommands(program: Command, cli: Cli): void {
	const report = program.command('report').description('signed reports of experiments and gates');
	withExample(
		withMesh(
			report
				.command('verify')
				.description('check that a report is what was signed, by a key that you or the mesh trusts')
				.argument('<file>', 'as --sign with --out wrote it'),
		).option('--key <file>', 'public half of the key you trust; without it the mesh is asked which it knows'),
		'infermesh report verify gate.json --key release.pub',
	).action(act(cli, verifyReport));
}
