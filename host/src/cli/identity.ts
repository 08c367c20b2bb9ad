// Owns `infermesh ca init` and `infermesh join-token`: how a mesh gets its certificate authority, and how a new node is let in.
import path from 'node:path';
import type { Command } from 'commander';
import type { JoinTokenMade } from '../admin/schemas.js';
import { authorityDirectory } from '../main/fabric/authority-folder.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withJson, withMesh } from './command.js';
import { loadFor } from './config.js';
import type { CliContext } from './context.js';
import { type OutputOptions, print } from './output.js';
import { duration, whole } from './values.js';

async function init(context: CliContext, options: OutputOptions & { readonly config?: string }): Promise<void> {
	const { config } = loadFor(context, options.config);
	const folder = config.fabric.ca_dir ?? path.join(config.state_dir, 'ca');
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
