// Owns the commands on strategies of a running mesh: load, list, stage, rollback, unload.
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { LoadResult, RollbackResult, StageRequest, StrategyView } from '../admin/schemas.js';
import { renderCheck } from '../project/check-project.js';
import { openStrategy } from '../project/prepare.js';
import type { AdmissionReport } from '../strategy/admission/report.js';
import type { StrategySignature } from '../strategy/signing/signature.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { type Column, print, printItems, showMs } from './output.js';
import { readSignature, signWith } from './signing-key.js';
import { decimal, oneOf, STRATEGY_WHAT, setting } from './values.js';

const label = (strategy: StrategyView): string => `${strategy.name}@${strategy.version}`;

function stageText(strategy: StrategyView): string {
	const parts = [strategy.stage];
	if (strategy.canaryPercent !== null) parts.push(`${strategy.canaryPercent}%`);
	if (strategy.models.length > 0) parts.push(`for ${strategy.models.join(', ')}`);
	if (strategy.quarantinedForMs !== null) parts.push(`another ${showMs(strategy.quarantinedForMs)}`);
	return parts.join(' ');
}

const columns: readonly Column<StrategyView>[] = [
	{ title: 'STRATEGY', value: label },
	{ title: 'STAGE', value: stageText },
	{ title: 'ORIGIN', value: ({ grade }) => grade },
	{ title: 'RUNS', value: ({ runs }) => runs },
	{ title: 'DIGEST', value: (strategy) => strategy.digest.slice(0, 12) },
	{ title: 'STRIKES', value: (strategy) => String(strategy.strikes), right: true },
	{ title: 'BYTES', value: (strategy) => String(strategy.bytes), right: true },
	{ title: '', value: (strategy) => (strategy.previous ? 'rollback goes here' : '') },
];

export interface UploadOptions {
	readonly activate: boolean;
	readonly model?: string;
	readonly settings?: Readonly<Record<string, number | boolean>>;
	readonly signature?: StrategySignature;
	readonly inline?: boolean;
}

/** Sends a module to the mesh. Throws IM_STRATEGY_REFUSED with the admission report. */
export function uploadStrategy(
	client: AdminClient,
	wasm: Uint8Array,
	sourceMap: string | undefined,
	options: UploadOptions,
): Promise<LoadResult> {
	return client.post<LoadResult>('/strategies', {
		module: Buffer.from(wasm).toString('base64'),
		activate: options.activate,
		...(sourceMap === undefined ? {} : { sourceMap }),
		...(options.settings === undefined ? {} : { settings: options.settings }),
		...(options.model === undefined ? {} : { model: options.model }),
		...(options.signature === undefined ? {} : { signature: options.signature }),
		...(options.inline === true ? { inline: true } : {}),
	});
}

type LoadOptions = MeshOptions & {
	readonly activate?: boolean;
	readonly model?: string;
	readonly set?: Record<string, number | boolean>;
	readonly key?: string;
	readonly signature?: string;
	readonly inline?: boolean;
};

function signatureOf({ key, signature }: LoadOptions, wasm: Uint8Array): StrategySignature | undefined {
	if (key !== undefined) return signWith(key, wasm);
	return signature === undefined ? undefined : readSignature(signature);
}

async function load(context: CliContext, where: string, options: LoadOptions): Promise<void> {
	const client = new AdminClient(context, options);
	const { wasm, sourceMap } = await openStrategy(where);
	const signature = signatureOf(options, wasm);
	const result = await uploadStrategy(client, wasm, sourceMap, {
		activate: options.activate ?? false,
		...(options.model === undefined ? {} : { model: options.model }),
		...(options.set === undefined ? {} : { settings: options.set }),
		...(signature === undefined ? {} : { signature }),
		...(options.inline === true ? { inline: true } : {}),
	}).catch((error: unknown) => {
		const report = error instanceof MeshError ? error.details?.['report'] : undefined;
		// All refusals with their places, not only the first, which the error names.
		if (report !== undefined) context.stderr.write(renderCheck(report as AdmissionReport));
		throw error;
	});
	const { strategy } = result;
	const next = options.activate === true ? '' : `; next: infermesh strategy stage ${strategy.name} active`;
	print(
		context,
		options,
		result,
		() => `loaded ${label(strategy)} (${stageText(strategy)}), admitted in ${showMs(result.admissionMs)}${next}\n`,
	);
}

type StageOptions = MeshOptions & { readonly percent?: number; readonly model?: string; readonly force?: boolean };

async function stage(
	context: CliContext,
	name: string,
	to: StageRequest['stage'],
	options: StageOptions,
): Promise<void> {
	const request: StageRequest = {
		stage: to,
		...(options.percent === undefined ? {} : { percent: options.percent }),
		...(options.model === undefined ? {} : { model: options.model }),
		...(options.force === true ? { force: true } : {}),
	};
	const client = new AdminClient(context, options);
	const strategy = await client.post<StrategyView>(`/strategies/${encodeURIComponent(name)}/stage`, request);
	print(context, options, strategy, () => `${label(strategy)} is ${stageText(strategy)}\n`);
}

export function addStrategyMeshCommands(strategy: Command, cli: Cli): void {
	withExample(
		withMesh(
			strategy
				.command('load')
				.description('admit and warm a strategy in the running mesh; no traffic without --activate')
				.argument('<what>', STRATEGY_WHAT),
		)
			.option('--activate', 'let it decide at once')
			.option('--model <name>', 'narrow --activate to one model')
			.option('--set <name=value>', 'a value of its configuration, repeatable', setting)
			.option('--key <file>', 'sign it with this private key')
			.option('--signature <file>', 'its signature, as `strategy sign` writes it')
			.option('--inline', 'run a native library inside the mesh process; its key has to be trusted'),
		'infermesh strategy load ./my-strategy --activate',
	).action(act(cli, (context, where: string, options: LoadOptions) => load(context, where, options)));
	withExample(
		withMesh(strategy.command('list').description('strategies loaded in the running mesh')),
		'infermesh strategy list --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: StrategyView[] }>('/strategies');
			printItems(context, options, items, columns, 'nothing is loaded; the built-in fallback decides');
		}),
	);
	withExample(
		withMesh(
			strategy
				.command('stage')
				.description('give a loaded strategy a stage')
				.argument('<name>', 'name or name@version')
				.argument(
					'<stage>',
					'active, canary, shadow or loaded (no traffic)',
					oneOf('active', 'canary', 'shadow', 'loaded'),
				),
		)
			.option('--percent <number>', 'share of the traffic, for canary', decimal(0, 100))
			.option('--model <name>', 'for one model instead of the whole mesh')
			.option('--force', 'with stage loaded: stop experiments that run on it first'),
		'infermesh strategy stage my-strategy canary --percent 5',
	).action(
		act(cli, (context, name: string, to: StageRequest['stage'], options: StageOptions) =>
			stage(context, name, to, options),
		),
	);
	withExample(
		withMesh(strategy.command('rollback').description('go back to the strategy that decided before'))
			.option('--model <name>', 'for one model instead of the whole mesh')
			.option('--force', 'stop experiments that run on it first'),
		'infermesh strategy rollback',
	).action(
		act(cli, async (context, options: MeshOptions & { readonly model?: string; readonly force?: boolean }) => {
			const { model, force } = options;
			const body = { ...(model === undefined ? {} : { model }), ...(force === true ? { force } : {}) };
			const result = await new AdminClient(context, options).post<RollbackResult>('/rollback', body);
			const now = result.strategy === null ? 'the built-in fallback' : label(result.strategy);
			print(context, options, result, () => `${now} decides again\n`);
		}),
	);
	withExample(
		withMesh(
			strategy
				.command('unload')
				.description('forget a strategy that has no stage')
				.argument('<name>', 'name or name@version'),
		),
		'infermesh strategy unload my-strategy',
	).action(
		act(cli, async (context, name: string, options: MeshOptions) => {
			const gone = await new AdminClient(context, options).delete<StrategyView>(
				`/strategies/${encodeURIComponent(name)}`,
			);
			print(context, options, gone, () => `unloaded ${label(gone)}\n`);
		}),
	);
}
