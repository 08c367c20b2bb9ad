// Owns `infermesh engine`: one emulated engine in the foreground.
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { engineProfiles } from '../engine/model/profiles.js';
import type { FaultSettings } from '../engine/server/faults.js';
import type { MetricsDialect } from '../engine/server/options.js';
import { startEngine } from '../engine/server/start-engine.js';
import { developmentEngineDefaults } from '../main/development-options.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { type OutputOptions, print } from './output.js';
import { aborted } from './signals.js';
import { collect, decimal, oneOf, whole } from './values.js';

interface EngineFlags extends OutputOptions {
	readonly host: string;
	readonly port: number;
	readonly model?: readonly string[];
	readonly profile: string;
	readonly speed: number;
	readonly seed: number;
	readonly apiKey?: string;
	readonly kvEvents?: number;
	readonly kvEncoding: 'map' | 'array';
	readonly metrics: MetricsDialect;
	readonly fault?: FaultSettings;
	readonly listProfiles?: boolean;
}

/** `NAME=JSON`, for example `error={"status":500,"probability":0.1}`; a bare number is a probability, a bare name means always. */
export function parseFault(text: string, before: FaultSettings | undefined): FaultSettings {
	const [name = '', ...rest] = text.split('=');
	const raw = rest.join('=');
	let value: unknown;
	try {
		value = raw === '' ? {} : JSON.parse(raw);
	} catch {
		throw new InvalidArgumentError(`${name} must be followed by JSON, as in error={"status":500,"probability":0.1}.`);
	}
	const settings = typeof value === 'number' ? { probability: value } : value;
	return { ...before, [name]: settings };
}

async function engine(context: CliContext, options: EngineFlags): Promise<void> {
	if (options.listProfiles === true) {
		const items = engineProfiles().map(({ name, description }) => ({ name, description }));
		print(context, options, { items }, () =>
			items.map((item) => `${item.name.padEnd(16)} ${item.description}\n`).join(''),
		);
		return;
	}
	const models = options.model ?? [developmentEngineDefaults.model];
	const running = await startEngine({
		clock: context.clock,
		models,
		profile: options.profile,
		host: options.host,
		port: options.port,
		speed: options.speed,
		seed: options.seed,
		metricsDialect: options.metrics,
		...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
		...(options.kvEvents === undefined
			? {}
			: {
					kvEvents: {
						port: options.kvEvents,
						replayPort: options.kvEvents === 0 ? 0 : options.kvEvents + 1,
						encoding: options.kvEncoding,
					},
				}),
		...(options.fault === undefined ? {} : { faults: options.fault }),
	});
	const data = {
		url: running.url,
		port: running.port,
		models,
		profile: options.profile,
		speed: options.speed,
		kvEvents: running.kvEvents ?? null,
	};
	print(
		context,
		options,
		data,
		() =>
			`emulated engine ${options.profile} serves ${models.join(', ')} at ${running.url} (speed ${options.speed})${running.kvEvents === undefined ? '' : `, KV events at ${running.kvEvents.endpoint},${running.kvEvents.replay}`}; stop with Ctrl-C\n`,
	);
	await aborted(context.signal);
	await running.close();
}

export function addEngineCommand(program: Command, cli: Cli): void {
	withExample(
		withJson(
			program.command('engine').description('an emulated engine: OpenAI API and metrics on a model of a GPU server'),
		)
			.option('--host <address>', 'address to listen on', '127.0.0.1')
			.option('--port <number>', 'port; 0 takes a free one', whole(0, 65_535), developmentEngineDefaults.port)
			.option('--model <name>', `model it serves, repeatable (default: ${developmentEngineDefaults.model})`, collect)
			.option('--profile <name>', 'model and GPUs it behaves like', developmentEngineDefaults.profile)
			.option('--list-profiles', 'print the profiles there are')
			.option('--speed <factor>', 'model time runs this many times faster than real time', decimal(0.001, 10_000), 1)
			.option('--seed <number>', 'seed of texts, lengths and faults', whole(0, 0xffff_ffff), 0)
			.option('--api-key <key>', 'ask for this bearer token')
			.option(
				'--metrics <dialect>',
				'names at /metrics: vllm, vllm-legacy or sglang',
				oneOf('vllm', 'vllm-legacy', 'sglang'),
				'vllm',
			)
			.option(
				'--kv-events <port>',
				'publish KV events there, and replay them at the next port; 0 takes free ones',
				whole(0, 65_534),
			)
			.option('--kv-encoding <form>', 'of KV events: map or array', oneOf('map', 'array'), 'map')
			.option(
				'--fault <name=json>',
				'a fault switch, repeatable: slow error hang hangAfterTokens dieAfterTokens wrongLength resetOnAccept',
				parseFault,
			),
		'infermesh engine --port 8100 --profile h100-70b-tp4 --speed 5 --fault \'error={"status":500,"probability":0.01}\'',
	).action(act(cli, engine));
}
