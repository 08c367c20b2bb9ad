// Owns `infermesh ca` and `infermesh join-token`: how a mesh gets its certificate authority, how a person or tool gets a certificate, and how a new
// node is let in.
import path from 'node:path';
import { generateNodeKey, makeIdentity, pemOfCertificate, writePrivateFile } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { JoinTokenMade } from '../admin/schemas.js';
import { authorityDirectory, authorityExists, authorityFolder } from '../main/fabric/authority-folder.js';
import { fabricNodeErrors } from '../main/fabric/errors.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withJson, withMesh } from './command.js';
import { loadFor } from './config.js';
import type { CliContext } from './context.js';
import { type OutputOptions, print, showTime } from './output.js';
import { duration, whole } from './values.js';

async function init(context: CliContext, options: OutputOptions & { readonly config?: string }): Promise<void> {
	const { config } = loadFor(context, options.config);
	const folder = authorityFolder(config);
	const authority = await authorityDirectory(folder, config.fabric.ca_passphrase).create(
		config.fabric.trust_domain,
		context.clock.wallMs(),
	);
	const made = { folder, trustDomain: authority.trustDomain, fingerprint: authority.fingerprint };
	const kept =
		config.fabric.ca_passphrase === undefined
			? 'sealed with the key file beside it: who can read the folder can sign'
			: 'sealed with the passphrase';
	print(
		context,
		options,
		made,
		() =>
			`certificate authority of ${made.trustDomain} in ${folder}\n  root SHA-256  ${made.fingerprint}\n  at rest       ${kept}\nnext: start this node with the roles coordinator and router, then \`infermesh join-token\` for each other node\n`,
	);
}

interface ClientOptions extends OutputOptions {
	readonly config?: string;
	readonly out?: string;
	readonly ttl: number;
}

/** Works on the authority's folder, as `ca init` does: a certificate that lets its holder change the mesh is not to be had over the network. */
async function client(context: CliContext, name: string, options: ClientOptions): Promise<void> {
	const { config } = loadFor(context, options.config);
	const home = authorityFolder(config);
	if (!authorityExists(home))
		throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NO_AUTHORITY', 'there is none', { where: home });
	const authority = await authorityDirectory(home, config.fabric.ca_passphrase).open();
	const nowMs = context.clock.wallMs();
	const keys = await generateNodeKey();
	const chain = await authority.issueClient(name, keys.publicKey, nowMs, options.ttl);
	const { svid } = makeIdentity(chain, keys.privateKey, authority.bundle, nowMs);
	const folder = options.out ?? path.join(config.state_dir, 'clients');
	const made = {
		id: svid.id.uri,
		expiresAtMs: svid.notAfterMs,
		key: path.join(folder, `${name}.key`),
		certificate: path.join(folder, `${name}.pem`),
		bundle: path.join(folder, 'bundle.pem'),
	};
	writePrivateFile(made.key, keys.privateKey.export({ format: 'pem', type: 'pkcs8' }));
	writePrivateFile(made.certificate, chain.map(pemOfCertificate).join(''));
	writePrivateFile(made.bundle, authority.bundle.roots.map(pemOfCertificate).join(''));
	print(
		context,
		options,
		made,
		() =>
			`${made.id}, until ${showTime(made.expiresAtMs)}\n  key          ${made.key}\n  certificate  ${made.certificate}\n  roots        ${made.bundle}\n`,
	);
}

interface TokenOptions extends MeshOptions {
	readonly ttl: number;
	readonly uses: number;
	readonly label?: string;
}

async function joinToken(context: CliContext, options: TokenOptions): Promise<void> {
	const { ttl, uses, label } = options;
	const made = await new AdminClient(context, options).post<JoinTokenMade>('/join-tokens', {
		ttlMs: ttl,
		uses,
		...(label === undefined ? {} : { label }),
	});
	print(context, options, made, () => `${made.token}\n`);
}

export function addIdentityCommands(program: Command, cli: Cli): void {
	const ca = program.command('ca').description('the built-in certificate authority of a mesh');
	withExample(
		withJson(ca.command('init').description('make the authority, on the node that will hold it')).option(
			'--config <file>',
			'configuration file of that node (default: infermesh.yaml if there is one)',
		),
		'infermesh ca init --config node.yaml',
	).action(act(cli, init));
	withExample(
		withJson(
			ca
				.command('client')
				.description(
					'a certificate with which a person or tool may change the mesh over the Agent API, on the node with the authority',
				)
				.argument('<name>', 'whom it is for: the name under which the log and the records know who decided something'),
		)
			.option(
				'--ttl <duration>',
				'how long it is good for, at most 30d; it cannot be revoked before',
				duration,
				86_400_000,
			)
			.option('--out <folder>', 'where key, certificate and roots go (default: clients/ in the state folder)')
			.option('--config <file>', 'configuration file of that node (default: infermesh.yaml if there is one)'),
		'infermesh ca client ann --ttl 7d --config node.yaml',
	).action(act(cli, client));
	withExample(
		withMesh(
			program
				.command('join-token')
				.description('a token that lets new nodes in; ask the node that holds the certificate authority'),
		)
			.option('--ttl <duration>', 'how long it is good for', duration, 3_600_000)
			.option('--uses <number>', 'how many nodes it lets in', whole(1, 1000), 1)
			.option('--label <text>', 'a note, shown in the audit'),
		'infermesh join-token --ttl 15m',
		'infermesh agent --config node-2.yaml --join 10.0.0.1:8082 --join-token imj1.…',
	).action(act(cli, joinToken));
}
