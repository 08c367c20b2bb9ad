// Owns `infermesh up`, the development mesh in one process with emulated engines, and `infermesh agent`, the daemon from a configuration file.
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load.js';
import { isLoopback } from '../config/rules.js';
import type { FlagValue } from '../config/sources.js';
import type { DevelopmentEngines } from '../main/development.js';
import { developmentEngineDefaults } from '../main/development-options.js';
import { createLog, type Log, type LogLevel } from '../telemetry/logger.js';
import { act, type Cli, withExample, withJson } from './command.js';
import { loadFor } from './config.js';
import type { CliContext, RunningMesh } from './context.js';
import { startEngines } from './engines.js';
import { cliErrors } from './errors.js';
import { type OutputOptions, print } from './output.js';
import { aborted } from './signals.js';
import { NODES_MAX, type RunningNode, upNodes } from './up-nodes.js';
import { collect, decimal, oneOf, pair, whole } from './values.js';

const engineDefaults = developmentEngineDefaults;

/** First port of engines beside several nodes: beyond those of the ninth. */
const ENGINE_PORT_BESIDE_NODES = 8200;

interface UpOptions extends OutputOptions {
	readonly config?: string;
	readonly backend?: readonly string[];
	readonly engines?: number;
	readonly nodes?: number;
	readonly engineProfile: string;
	readonly engineSpeed: number;
	readonly enginePort: number;
	readonly engineModel: string;
	readonly port?: number;
	readonly adminPort?: number;
	readonly workers?: number;
	readonly strategy?: string;
	readonly logLevel?: string;
}

/** `URL[,model=NAME][,id=ID][,runtime=vllm][,zone=Z]` → an entry of `targets`. */
export function parseBackend(text: string): Record<string, unknown> {
	const [url = '', ...rest] = text.split(',');
	const target: Record<string, unknown> = { url };
	const models: string[] = [];
	for (const [name, value] of rest.map(pair)) {
		if (name === 'model') models.push(value);
		else target[name] = name === 'weight' ? Number(value) : value;
	}
	return models.length > 0 ? { ...target, models } : target;
}

function upFlags(options: UpOptions): FlagValue[] {
	const flags: [path: string, value: unknown, flag: string][] = [
		['data.port', options.port, '--port'],
		['admin.port', options.adminPort, '--admin-port'],
		['data.workers', options.workers, '--workers'],
		['strategy.active', options.strategy, '--strategy'],
		['telemetry.log_level', options.logLevel, '--log-level'],
		['targets', options.backend?.map(parseBackend), '--backend'],
	];
	return flags.filter(([, value]) => value !== undefined).map(([path, value, flag]) => ({ path, value, flag }));
}

function refuseExposure(loaded: LoadedConfig): void {
	for (const [name, host] of [
		['data.host', loaded.config.data.host],
		['admin.host', loaded.config.admin.host],
	] as const)
		if (!isLoopback(host))
			throw new MeshError(cliErrors, 'IM_CLI_NOT_LOOPBACK', `${name} is ${host}`, {
				where: loaded.origins.of(name.split('.')).label,
			});
}

/** Engines run when asked for, or when nothing else is given to route to. */
function engineCount(options: UpOptions, loaded: LoadedConfig): number {
	if (options.engines !== undefined) return options.engines;
	return loaded.config.targets.length > 0 ? 0 : engineDefaults.count;
}

function startEmulated(options: UpOptions, count: number): Promise<DevelopmentEngines> {
	return startEngines({
		count,
		model: options.engineModel,
		profile: options.engineProfile,
		speed: options.engineSpeed,
		// Ports of several nodes, ten apart from 8080, run through those where engines begin otherwise.
		port:
			options.enginePort === engineDefaults.port && (options.nodes ?? 1) > 1
				? ENGINE_PORT_BESIDE_NODES
				: options.enginePort,
	});
}

/** The engines as entries of `targets`. */
function emulatedTargets(running: DevelopmentEngines) {
	return running.engines.map(({ id, url, model }) => ({
		id,
		url,
		models: [model],
		runtime: 'vllm',
		grpc: 'same',
		node: 'local',
	}));
}

/** The configured targets and the engines, as one list for the configuration. */
function engineTargets(loaded: LoadedConfig, running: DevelopmentEngines): FlagValue {
	return { path: 'targets', value: [...loaded.config.targets, ...emulatedTargets(running)], flag: '--engines' };
}

function logOf(context: CliContext, loaded: LoadedConfig, quiet: boolean): Log {
	const level = loaded.config.telemetry.log_level as LogLevel;
	const chosen = loaded.origins.of(['telemetry', 'log_level']).kind !== 'default';
	return createLog({
		level: quiet && !chosen ? 'warn' : level,
		destination: context.stderr,
		wallMs: () => context.clock.wallMs(),
	});
}

/** A listening socket that cannot be had is the commonest failure of a start: it gets its own words. */
async function start(
	context: CliContext,
	loaded: LoadedConfig,
	log: Log,
	development: boolean,
	fabric: 'alone' | 'mesh' = 'alone',
): Promise<RunningMesh> {
	try {
		const keepIn = path.resolve(loaded.config.state_dir);
		return await context.startMesh(loaded, { log, development, fabric, keepIn, signal: context.signal });
	} catch (cause) {
		if (cause instanceof MeshError || (cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
		throw new MeshError(cliErrors, 'IM_CLI_PORT_IN_USE', (cause as Error).message, { cause });
	}
}

function banner(mesh: RunningMesh, loaded: LoadedConfig, options: UpOptions, engines: number): string {
	const model = loaded.config.targets.flatMap((target) => target.models)[0] ?? options.engineModel;
	const others = loaded.config.targets.length - engines;
	const emulated =
		engines === 0 ? [] : [`${engines} emulated engines (${options.engineProfile}, speed ${options.engineSpeed})`];
	const real = others === 0 ? [] : [`${others} backends`];
	return [
		'',
		'InferMesh development mesh: loopback only, no credentials asked, not for production',
		'',
		`  data      ${mesh.dataUrl === undefined ? 'no router among the roles' : `${mesh.dataUrl}/v1   (OpenAI API)`}`,
		`  admin     ${mesh.adminUrl}      (status page)`,
		`  metrics   ${mesh.adminUrl}/metrics`,
		`  targets   ${[...emulated, ...real].join(', ') || 'none; add one with `infermesh target add URL`'}`,
		`  strategy  ${loaded.config.strategy.active}`,
		...(mesh.dataUrl === undefined ? [] : ['', ...tryIt(mesh.dataUrl, model)]),
		'',
		'Ctrl-C stops it.',
		'',
	].join('\n');
}

function tryIt(dataUrl: string, model: string): readonly string[] {
	return [
		'try',
		`  curl -N ${dataUrl}/v1/chat/completions -H 'content-type: application/json' \\`,
		`    -d '{"model":"${model}","stream":true,"messages":[{"role":"user","content":"hello"}]}'`,
	];
}

function nodesBanner(nodes: readonly RunningNode[], options: UpOptions, targets: number): string {
	const [first] = nodes;
	return [
		'',
		`InferMesh development mesh of ${nodes.length} nodes: loopback only, no credentials asked, not for production`,
		'',
		...nodes.map(({ name, data, admin, pid }) => `  ${name}    data ${data}/v1   admin ${admin}   pid ${pid}`),
		`  targets   ${targets}, announced by turns`,
		`  logs      ${first === undefined ? '' : first.log.replace(first.name, 'NODE')}`,
		'',
		...tryIt(nodes.at(-1)?.data ?? '', options.engineModel),
		`  infermesh nodes list`,
		'',
		'Ctrl-C stops it.',
		'',
	].join('\n');
}

async function up(context: CliContext, options: UpOptions): Promise<void> {
	const flags = upFlags(options);
	const given = loadFor(context, options.config, flags);
	refuseExposure(given);
	const count = engineCount(options, given);
	const engines = count === 0 ? undefined : await startEmulated(options, count);
	if (options.nodes !== undefined && options.nodes > 1) {
		const targets =
			engines === undefined ? given.config.targets : [...given.config.targets, ...emulatedTargets(engines)];
		const several = {
			nodes: options.nodes,
			dataPort: given.config.data.port,
			adminPort: given.config.admin.port,
			workers: options.workers,
			strategy: options.strategy,
			stateDir: path.resolve(given.config.state_dir, 'nodes'),
			targets,
		};
		return upNodes(context, several, engines, (nodes) =>
			print(
				context,
				options,
				{ nodes, engines: engines?.engines.map((engine) => engine.url) ?? [], pid: process.pid },
				() => nodesBanner(nodes, options, targets.length),
			),
		);
	}
	try {
		const loaded =
			engines === undefined ? given : loadFor(context, options.config, [...flags, engineTargets(given, engines)]);
		const mesh = await start(context, loaded, logOf(context, loaded, true), true);
		const data = {
			data: mesh.dataUrl,
			admin: mesh.adminUrl,
			metrics: `${mesh.adminUrl}/metrics`,
			engines: engines?.engines.map((engine) => engine.url) ?? [],
			pid: process.pid,
		};
		print(context, options, data, () => banner(mesh, loaded, options, count));
		await aborted(context.signal);
		context.stderr.write('stopping: streams may end first; Ctrl-C again stops at once\n');
		await mesh.close();
	} finally {
		await engines?.close();
	}
}

interface AgentOptions extends OutputOptions {
	readonly config?: string;
	readonly join?: readonly string[];
	readonly joinToken?: string;
}

async function agent(context: CliContext, options: AgentOptions): Promise<void> {
	const flags: FlagValue[] = [
		...(options.join === undefined ? [] : [{ path: 'fabric.join', value: options.join, flag: '--join' }]),
		...(options.joinToken === undefined
			? []
			: [{ path: 'fabric.join_token', value: options.joinToken, flag: '--join-token' }]),
	];
	const loaded = loadFor(context, options.config, flags);
	const log = logOf(context, loaded, false);
	const mesh = await start(context, loaded, log, false, 'mesh');
	log.info({ data: mesh.dataUrl, admin: mesh.adminUrl, config: loaded.file ?? 'defaults' }, 'mesh started');
	await aborted(context.signal);
	log.info({}, 'mesh stopping');
	await mesh.close();
	log.info({}, 'mesh stopped');
}

export function addUpCommands(program: Command, cli: Cli): void {
	withExample(
		withJson(
			program
				.command('up')
				.description(
					'a development mesh in the foreground, loopback only, with emulated engines when no backend is given',
				),
		)
			.option('--backend <url>', 'an OpenAI-compatible server, repeatable: URL[,model=NAME][,id=ID]', collect)
			.option(
				'--engines <number>',
				`emulated engines (default: ${engineDefaults.count}, or none with --backend)`,
				whole(0, 64),
			)
			.option('--engine-profile <name>', 'model and GPUs they behave like', engineDefaults.profile)
			.option(
				'--engine-speed <factor>',
				'their time runs this many times faster than real time',
				decimal(0.001, 10_000),
				1,
			)
			.option('--engine-port <number>', 'port of the first; 0 takes free ones', whole(0, 65_535), engineDefaults.port)
			.option('--engine-model <name>', 'model they serve', engineDefaults.model)
			.option('--port <number>', 'data port (default: 8080; 0 takes a free one)', whole(0, 65_535))
			.option('--admin-port <number>', 'admin port (default: 8081; 0 takes a free one)', whole(0, 65_535))
			.option(
				'--nodes <number>',
				'nodes of the mesh, each a process, ports ten apart (default: 1)',
				whole(1, NODES_MAX),
			)
			.option('--workers <number>', 'data-plane threads (default: cores − 1)', whole(0, 64))
			.option('--strategy <what>', 'strategy that decides: shipped name, .wasm or .so file, or project folder')
			.option(
				'--log-level <level>',
				'trace, debug, info, warn, error or silent (default: warn)',
				oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'),
			)
			.option('--config <file>', 'configuration file (default: infermesh.yaml if there is one)'),
		'infermesh up --backend http://127.0.0.1:8000,model=llama-3.1-8b --strategy least_queue',
	).action(act(cli, up));
	withExample(
		program
			.command('agent')
			.description('the mesh daemon from a configuration file (the same as `meshd`)')
			.option('--config <file>', 'configuration file (default: infermesh.yaml if there is one)')
			.option('--join <address>', 'agent of a node of the mesh to join, host:port, repeatable', collect)
			.option('--join-token <token>', 'from `infermesh join-token`; needed the first time'),
		'infermesh agent --config node.yaml',
		'infermesh agent --config node-2.yaml --join 10.0.0.1:8082 --join-token imj1.…',
	).action(act(cli, agent));
}
