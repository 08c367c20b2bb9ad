// Owns `infermesh strategy shadow`: what shadows have done, and what that does and does not say.
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import type { ShadowView } from '../admin/shadow-routes.js';
import { formatMs } from '../load/report/format.js';
import { NOT_METERED } from '../strategy/native/code.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { cliErrors } from './errors.js';
import { print } from './output.js';

const percent = (ratio: number): string => `${(ratio * 100).toFixed(1)} %`;
const us = (value: number): string => formatMs(value / 1000);
const ms = (value: number): string => `${Number(value.toPrecision(4))} ms`;

/** A module spends some in each run: only a native library, of which none is counted, has spent nothing. */
function fuelText({ ran, fuel: { mean, max } }: ShadowView): string {
	return ran > 0 && max === 0 ? NOT_METERED : `fuel mean ${Math.round(mean)}, most ${max}`;
}

export function renderShadow(view: ShadowView): string {
	const { latencyUs, predicted, queues, reruns, skipped } = view;
	const faults = Object.entries(view.faults).map(([cause, count]) => `${cause} ${count}`);
	const difference = predicted.shadowMs - predicted.liveMs;
	const herding = { yes: 'HERDS', no: 'does not herd', unknown: 'cannot tell' }[queues.herding];
	return `${[
		`${view.strategy} in the shadow of ${view.model}, ${Math.round(view.seconds)} s, ${view.workers} ${view.workers === 1 ? 'worker' : 'workers'}`,
		`  ran         ${view.ran} of ${view.live} live decisions (${skipped.cap} not for its share of the core, ${skipped.busy} not while it was busy)`,
		`  agreement   ${percent(view.agreement)} first choice; ${percent(view.overlap)} of the ranked targets; ${view.verdictsDiffered} other verdicts`,
		`  faults      ${faults.length === 0 ? 'none' : faults.join(', ')}`,
		`  determinism ${reruns.total} re-runs, ${reruns.differed} differed`,
		`  decision    p50 ${us(latencyUs.p50)}, p99 ${us(latencyUs.p99)}, p99.9 ${us(latencyUs.p999)}; ${fuelText(view)}`,
		`  cost        ${percent(view.cpuShare)} of a core, ${us(view.cpuUsPerDecision)} for each live decision, by the clock`,
		`  predicted   ${ms(predicted.liveMs)} a request as decided, ${difference < 0 ? '' : '+'}${ms(difference)} with it (common predictor, ${predicted.requests} requests)`,
		`  queues      ${herding}${queues.why === '' ? '' : `: ${queues.why}`}`,
		`              wait ${ms(queues.live.waitMeanMs)} → ${ms(queues.shadow.waitMeanMs)}, imbalance ${queues.live.imbalance.toFixed(2)} → ${queues.shadow.imbalance.toFixed(2)}, largest share ${percent(queues.live.largestShare)} → ${percent(queues.shadow.largestShare)}; sent at random: wait ${ms(queues.even.waitMeanMs)}, imbalance ${queues.even.imbalance.toFixed(2)}`,
		...view.claims.map((claim) => `  note        ${claim}`),
	].join('\n')}\n`;
}

export function addStrategyShadowCommand(strategy: Command, cli: Cli): void {
	withExample(
		withMesh(
			strategy
				.command('shadow')
				.description('what shadows have done since they were staged, and what it says')
				.argument('[name]', 'name or name@version (default: all shadows)'),
		),
		'infermesh strategy shadow my-strategy',
	).action(
		act(cli, async (context, name: string | undefined, options: MeshOptions) => {
			const { items } = await new AdminClient(context, options).get<{ items: ShadowView[] }>('/shadows');
			const found = items.filter(
				({ strategy: label }) => name === undefined || label === name || label.startsWith(`${name}@`),
			);
			if (found.length === 0 && name !== undefined)
				throw new MeshError(cliErrors, 'IM_CLI_NO_SHADOW', `${name} has not run as a shadow`);
			print(context, options, { items: found }, () =>
				found.length === 0 ? 'no shadow has run\n' : found.map(renderShadow).join('\n'),
			);
		}),
	);
}
