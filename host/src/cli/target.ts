// Owns `infermesh target`: adding, listing, draining and removing upstreams of a running mesh.
import { parseKvEndpoint, runtimeNames } from '@infermesh/adapters';
import { MeshError } from '@infermesh/proto';
import { type Command, InvalidArgumentError } from 'commander';
import type { MeshStatus, TargetRequest, TargetView } from '../admin/schemas.js';
import { fleetErrors } from '../fleet/errors.js';
import { httpVersions } from '../router/upstream/http-version.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED, EXIT_OK } from './errors.js';
import { type Column, print, printItems, showMs, showNumber } from './output.js';
import { pause } from './pause.js';
import { collect, decimal, duration, oneOf, whole } from './values.js';

const columns: readonly Column<TargetView>[] = [
	{ title: 'TARGET', value: (target) => target.id },
	{ title: 'MODELS', value: (target) => target.models.join(',') },
	{
		title: 'STATE',
		value: ({ state, heldBy }) => (heldBy.length === 0 ? state : `${state} (${heldBy.join(', ')})`),
	},
	{ title: 'IN FLIGHT', value: (target) => showNumber(target.inFlight), right: true },
	{ title: 'LOAD', value: (target) => showNumber(target.load), right: true },
	{ title: 'QUEUED', value: (target) => showNumber(target.queueDepth), right: true },
	{ title: 'KV', value: (target) => `${showNumber(target.kvUsage * 100)}%`, right: true },
	{ title: 'TTFT', value: (target) => showMs(target.ttftMs), right: true },
	{ title: 'TPOT', value: (target) => showMs(target.tpotMs), right: true },
	{
		title: 'REPORT AGE',
		value: (target) => (target.telemetryAgeMs === null ? 'none' : showMs(target.telemetryAgeMs)),
		right: true,
	},
	{ title: 'URL', value: (target) => target.url },
];

type DrainOptions = MeshOptions & { readonly timeout?: number };

const pathOf = (id: string): string => `/targets/${encodeURIComponent(id)}`;

type AddOptions = MeshOptions & Omit<TargetRequest, 'url' | 'models'> & { readonly model?: readonly string[] };

async function add(context: CliContext, url: string, options: AddOptions): Promise<void> {
	const { admin: _admin, token: _token, json: _json, model, ...rest } = options;
	const request: TargetRequest = { ...rest, url, ...(model === undefined ? {} : { models: [...model] }) };
	const target = await new AdminClient(context, options).post<TargetView>('/targets', request);
	print(
		context,
		options,
		target,
		() => `added ${target.id}: ${target.models.join(', ')} at ${target.url}, ${target.state}\n`,
	);
}

/** `tcp://host:port` of a publisher, with that of its replay socket behind a comma. */
function collectPublishers(text: string, before: TargetRequest['kvEvents']): NonNullable<TargetRequest['kvEvents']> {
	const [endpoint = '', replay, more] = text.split(',');
	for (const one of [endpoint, ...(replay === undefined ? [] : [replay])])
		if (more !== undefined || parseKvEndpoint(one) === undefined)
			throw new InvalidArgumentError('It must be tcp://host:port, or two of them with a comma between.');
	return [...(before ?? []), replay === undefined ? { endpoint } : { endpoint, replay }];
}

async function change(
	context: CliContext,
	id: string,
	options: MeshOptions,
	action: 'drain' | 'undrain' | 'rm',
): Promise<void> {
	const client = new AdminClient(context, options);
	const path = pathOf(id);
	const target =
		action === 'rm' ? await client.delete<TargetView>(path) : await client.post<TargetView>(`${path}/${action}`);
	const inFlight = target.inFlight > 0 ? `; ${target.inFlight} requests there end by themselves` : '';
	const done = { rm: 'removed', drain: 'draining', undrain: 'serving again:' }[action];
	print(context, options, target, () => `${done} ${target.id}${action === 'undrain' ? '' : inFlight}\n`);
}

const POLL_MS = 250;
/** Nothing may be in flight for so long: other routers hear of the drain, and are heard of, moments later. */
const QUIET_MS = 1000;

/** Drains a target and waits until no router has anything in flight there. */
async function drainAndWait(
	context: CliContext,
	id: string,
	options: DrainOptions,
	timeoutMs: number,
): Promise<number> {
	const client = new AdminClient(context, options);
	const { dataUrl, node } = await client.get<MeshStatus>('/status');
	if (dataUrl === null)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', `${node} runs no router and does not know what is in flight`, {
			where: '--admin',
			hint: 'name a router’s admin API; `infermesh nodes list` shows the roles of all',
		});
	let target = await client.post<TargetView>(`${pathOf(id)}/drain`);
	const beganMs = context.clock.nowMs();
	let quietSinceMs = beganMs;
	let shown = -1;
	for (;;) {
		const nowMs = context.clock.nowMs();
		if (target.inFlight > 0) quietSinceMs = nowMs;
		if (target.inFlight !== shown) context.stderr.write(`${id}: ${target.inFlight} in flight\n`);
		shown = target.inFlight;
		if (nowMs - quietSinceMs >= QUIET_MS) break;
		if (context.signal.aborted) {
			context.stderr.write('no longer waited for; the target stays drained\n');
			return EXIT_FAILED;
		}
		if (nowMs - beganMs >= timeoutMs)
			throw new MeshError(fleetErrors, 'IM_TARGET_DRAIN_TIMEOUT', `${id}: ${target.inFlight} in flight`);
		await pause(context, POLL_MS);
		const { items } = await client.get<{ items: TargetView[] }>('/targets');
		const found = items.find((one) => one.id === id);
		if (found === undefined) throw new MeshError(fleetErrors, 'IM_TARGET_UNKNOWN', `${id} has been removed meanwhile`);
		if (!found.draining) throw new MeshError(fleetErrors, 'IM_TARGET_UNDRAINED', `${id} serves again`);
		target = found;
	}
	print(context, options, target, () => `${id} is drained: nothing is in flight there\n`);
	return EXIT_OK;
}

export function addTargetCommands(program: Command, cli: Cli): void {
	const target = program.command('target').description('the upstreams of a running mesh');
	withExample(
		withMesh(target.command('add').description('add an OpenAI-compatible server').argument('<url>', 'http://host:port'))
			.option('--id <id>', 'public name (default: host and port)')
			.option('--model <name>', 'model it serves, repeatable (default: ask its /v1/models)', collect)
			.option(
				'--runtime <name>',
				`auto, ${runtimeNames.join(', ')} or openai`,
				oneOf('auto', ...runtimeNames, 'openai'),
			)
			.option('--api-key <key>', 'sent to it in place of the client’s own credentials')
			.option('--http <version>', `HTTP’s version to it: ${httpVersions.join(', ')}`, oneOf(...httpVersions))
			.option('--grpc <url>', 'where it speaks gRPC: a URL, or `same`')
			.option('--upstream-model <name>', 'its own name of the model, when it differs')
			.option('--data-parallel-rank <number>', 'the one rank of the engine it stands for', whole(0, 65_535))
			.option('--revision <name>', 'model revision, a label')
			.option('--quant <name>', 'quantisation, a label')
			.option('--weight <number>', 'operator weight; 1 = normal', decimal(0, 1000))
			.option('--role <role>', 'both, prefill or decode', oneOf('both', 'prefill', 'decode'))
			.option('--node <name>', 'node it runs on')
			.option('--zone <name>', 'zone it runs in')
			.option('--region <name>', 'region it runs in')
			.option('--cost-per-hour <number>', 'price of an hour, in any one currency', decimal(0))
			.option('--gpus <uuid>', 'device it runs on, by UUID or number in its node, repeatable', collect)
			.option('--gpu-share <number>', 'share of its devices that is its own, as under MPS', decimal(0, 1))
			.option('--metrics-path <path>', 'path of its metrics; empty = none')
			.option(
				'--kv-events <endpoints>',
				'tcp://host:port of its KV events, repeatable; “,tcp://host:port” behind it for the replay socket',
				collectPublishers,
			)
			.option('--health-path <path>', 'path of its health check; empty = none'),
		'infermesh target add http://10.0.0.5:8000 --id gpu-5 --model llama-3.1-8b --runtime vllm',
	).action(act(cli, (context, url: string, options: AddOptions) => add(context, url, options)));
	withExample(
		withMesh(target.command('list').description('all targets with their signals')),
		'infermesh target list --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: TargetView[] }>('/targets');
			printItems(context, options, items, columns, 'no targets; add one with `infermesh target add URL`');
		}),
	);
	const changes = [
		['rm', 'remove a target; what is in flight there ends by itself'],
		['undrain', 'send a drained target requests again'],
	] as const;
	withExample(
		withMesh(
			target
				.command('drain')
				.description('send a target no new requests; streams there finish')
				.argument('<id>', 'target id'),
		).option(
			'--timeout <duration>',
			'wait until nothing is in flight there, at most this long, and show progress',
			duration,
		),
		'infermesh target drain gpu-5 --timeout 5m',
	).action(
		act(cli, (context, id: string, options: DrainOptions) =>
			options.timeout === undefined
				? change(context, id, options, 'drain')
				: drainAndWait(context, id, options, options.timeout),
		),
	);
	for (const [action, description] of changes)
		withExample(
			withMesh(target.command(action).description(description).argument('<id>', 'target id')),
			`infermesh target ${action} gpu-5`,
		).action(act(cli, (context, id: string, options: MeshOptions) => change(context, id, options, action)));
}
