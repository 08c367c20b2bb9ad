// Owns `infermesh signing-key` and `infermesh strategy sign`: keys that vouch for strategies, and their signatures. The private half of a key never leaves
// the machine it was made on.
import type { KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { Listed, SigningKeyRow } from '../admin/mesh-schemas.js';
import { openStrategy } from '../project/prepare.js';
import { signingErrors } from '../strategy/signing/errors.js';
import {
	keyId,
	newKeyPair,
	readPrivateKey,
	readPublicKey,
	type StrategySignature,
	signModule,
} from '../strategy/signing/signature.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withJson, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { type Column, type OutputOptions, print, printListing, showTime } from './output.js';
import { oneOf, STRATEGY_WHAT } from './values.js';

const PRIVATE_MODE = 0o600;

const columns: readonly Column<SigningKeyRow>[] = [
	{ title: 'KEY', value: (key) => key.id },
	{ title: 'NAME', value: (key) => key.name },
	{ title: 'GRADE', value: (key) => key.grade },
	{ title: 'TRUSTED BY', value: (key) => key.trustedBy },
	{ title: 'SINCE', value: (key) => showTime(key.trustedAtMs) },
];

/** Text of a key's file. Throws IM_SIGNING_KEY. */
export function readKeyFile(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch (cause) {
		throw new MeshError(signingErrors, 'IM_SIGNING_KEY', 'the file cannot be read', { where: file, cause });
	}
}

/** The private key in a file. Throws IM_SIGNING_KEY. */
export function readSigningKey(file: string): KeyObject {
	return readPrivateKey(readKeyFile(file), file);
}

/** Signs a module with the private key in a file. Throws IM_SIGNING_KEY. */
export function signWith(file: string, module: Uint8Array): StrategySignature {
	return signModule(module, readSigningKey(file));
}

/** Reads what `strategy sign` wrote. Throws IM_SIGNING_SIGNATURE. */
export function readSignature(file: string): StrategySignature {
	try {
		const { key, value } = JSON.parse(readFileSync(file, 'utf8')) as Partial<StrategySignature>;
		if (typeof key === 'string' && typeof value === 'string') return { key, value };
	} catch (cause) {
		throw new MeshError(signingErrors, 'IM_SIGNING_SIGNATURE', 'the file cannot be read', { where: file, cause });
	}
	throw new MeshError(signingErrors, 'IM_SIGNING_SIGNATURE', 'it is no signature', { where: file });
}

function writeNew(file: string, text: string, mode?: number): void {
	try {
		// Never over a key that exists: what it has signed could not be signed again.
		writeFileSync(file, text, { flag: 'wx', ...(mode === undefined ? {} : { mode }) });
	} catch (cause) {
		throw new MeshError(signingErrors, 'IM_SIGNING_KEY', 'the file is there already or cannot be written', {
			where: file,
			cause,
		});
	}
}

function makeKey(context: CliContext, name: string, options: OutputOptions): void {
	const pair = newKeyPair();
	const [privateFile, publicFile] = [`${name}.key`, `${name}.pub`];
	writeNew(privateFile, pair.privatePem, PRIVATE_MODE);
	writeNew(publicFile, pair.publicPem);
	const made = { id: pair.id, privateKey: path.resolve(privateFile), publicKey: path.resolve(publicFile) };
	print(
		context,
		options,
		made,
		() =>
			`key ${pair.id}\n  ${privateFile}  signs: keep it to yourself\n  ${publicFile}  is what a mesh trusts: infermesh signing-key trust ${publicFile}\n`,
	);
}

type TrustOptions = MeshOptions & { readonly name?: string; readonly grade: 'signed' | 'trusted' };

async function trust(context: CliContext, file: string, options: TrustOptions): Promise<void> {
	const publicKey = readKeyFile(file);
	keyId(readPublicKey(publicKey, file));
	const key = await new AdminClient(context, options).post<SigningKeyRow>('/signing-keys', {
		name: options.name ?? path.basename(file, '.pub'),
		publicKey,
		grade: options.grade,
	});
	print(context, options, key, () => `strategies signed by ${key.name} (${key.id}) are ${key.grade} from now on\n`);
}

type SignOptions = OutputOptions & { readonly key: string; readonly out?: string };

async function signStrategy(context: CliContext, where: string, options: SignOptions): Promise<void> {
	const { wasm } = await openStrategy(where);
	const signature = signWith(options.key, wasm);
	const out = options.out ?? `${path.basename(where).replace(/\.(?:wasm|so)$/, '')}.sig`;
	writeFileSync(out, `${JSON.stringify(signature)}\n`);
	print(context, options, { ...signature, file: path.resolve(out) }, () => `${out}: signed by ${signature.key}\n`);
}

export function addSigningKeyCommands(program: Command, cli: Cli): void {
	const key = program.command('signing-key').description('keys that vouch for strategies');
	withExample(
		withJson(
			key
				.command('new')
				.description('make a pair of keys here: NAME.key and NAME.pub')
				.argument('<name>', 'of the files'),
		),
		'infermesh signing-key new release',
	).action(act(cli, (context, name: string, options: OutputOptions) => makeKey(context, name, options)));
	withExample(
		withMesh(
			key
				.command('trust')
				.description('let a running mesh know a key, or give it another grade')
				.argument('<file>', 'its public half, as PEM'),
		)
			.option('--name <name>', 'whose it is (default: the name of the file)')
			.option(
				'--grade <grade>',
				'what its strategies are: signed, or trusted to run inside the process',
				oneOf('signed', 'trusted'),
				'signed',
			),
		'infermesh signing-key trust release.pub --grade trusted',
	).action(act(cli, trust));
	withExample(
		withMesh(key.command('list').description('keys that a running mesh knows')),
		'infermesh signing-key list',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const keys = await new AdminClient(context, options).get<Listed<SigningKeyRow>>('/signing-keys');
			printListing(context, options, keys, columns, 'no keys: every strategy is unsigned');
		}),
	);
	withExample(
		withMesh(
			key
				.command('distrust')
				.description('let a running mesh forget a key that no loaded strategy rests on')
				.argument('<id>', 'id of the key'),
		),
		'infermesh signing-key distrust 5f0c…',
	).action(
		act(cli, async (context, id: string, options: MeshOptions) => {
			await new AdminClient(context, options).delete(`/signing-keys/${encodeURIComponent(id)}`);
			print(context, options, { id, deleted: true }, () => `key ${id} vouches for nothing from now on\n`);
		}),
	);
}

export function addStrategySignCommand(strategy: Command, cli: Cli): void {
	withExample(
		withJson(
			strategy
				.command('sign')
				.description('sign a module or native library as it is now')
				.argument('<what>', STRATEGY_WHAT),
		)
			.requiredOption('--key <file>', 'private key, as `signing-key new` makes it')
			.option('--out <file>', 'where the signature goes (default: the name with .sig)'),
		'infermesh strategy sign ./my-strategy --key release.key',
	).action(act(cli, signStrategy));
}
