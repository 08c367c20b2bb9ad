// Owns `infermesh record`: recording the decisions of a running node.
import type { Command } from 'commander';
import type { RecorderView } from '../admin/recorder-routes.js';
import { hashModes } from '../recorder/entries.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { print } from './output.js';
import { decimal, oneOf } from './values.js';

interface StartOptions extends MeshOptions {
	readonly sample?: number;
	readonly hashes?: RecorderView['hashes'];
}

export function renderRecorder(view: RecorderView): string {
	const lines = [
		view.recording
			? `recording ${view.name ?? ''} for ${Math.round(view.seconds)} s`
			: view.name === null
				? 'not recording'
				: `not recording; the last was ${view.name}`,
		`  folder     ${view.dir}`,
		`  sample     ${view.sample * 100} % of decisions; hashes of sessions and prompts ${view.hashes}, no prompt text`,
	];
	if (view.name !== null)
		lines.push(
			`  so far     ${view.decisions} decisions, ${view.outcomes} outcomes; lost for want of room ${view.dropped} decisions, ${view.outcomesLost} outcomes; ${(view.bytes / 1e6).toFixed(1)} MB in ${view.files} files`,
			`  chain      ${view.chain.slice(0, 16)}`,
		);
	if (view.error !== null) lines.push(`  failed     ${view.error}`);
	return `${lines.join('\n')}\n`;
}

export function addRecordCommands(program: Command, cli: Cli): void {
	const record = program.command('record').description('record the decisions of a running node, for replay');
	withExample(
		withMesh(record.command('start').description('begin to record into the node’s recorder.dir'))
			.option('--sample <share>', 'share of decisions to record, 0 to 1 (default: recorder.sample)', decimal(1e-6, 1))
			.option(
				'--hashes <mode>',
				'hashes of sessions and prompts: salted, dropped or kept (default: recorder.hashes)',
				oneOf(...hashModes),
			),
		'infermesh record start --sample 0.1',
	).action(
		act(cli, async (context, options: StartOptions) => {
			const { sample, hashes } = options;
			const body = { ...(sample === undefined ? {} : { sample }), ...(hashes === undefined ? {} : { hashes }) };
			const view = await new AdminClient(context, options).post<RecorderView>('/recorder/start', body);
			print(context, options, view, () => renderRecorder(view));
		}),
	);
	withExample(withMesh(record.command('stop').description('end the recording')), 'infermesh record stop --json').action(
		act(cli, async (context, options: MeshOptions) => {
			const view = await new AdminClient(context, options).post<RecorderView>('/recorder/stop', {});
			print(context, options, view, () => renderRecorder(view));
		}),
	);
	withExample(
		withMesh(record.command('status').description('whether the node records, and how much it has')),
		'infermesh record status',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const view = await new AdminClient(context, options).get<RecorderView>('/recorder');
			print(context, options, view, () => renderRecorder(view));
		}),
	);
}
