// Owns `infermesh explain`: why a request went where it did, as remembered by the worker that decided.
import { NO_ROW } from '@infermesh/sdk';
import type { Command } from 'commander';
import { NOT_METERED } from '../strategy/native/code.js';
import type { ExplainedDecision } from '../strategy/runtime/explain-ring.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import { print, renderTable, showMs } from './output.js';

const round = (value: number): string => String(Number(value.toPrecision(5)));

export function renderExplained(decision: ExplainedDecision): string {
	const lines = [
		`decision   ${decision.id}`,
		`at         ${decision.at}`,
		`request    ${decision.requestId}  ${decision.path}  model ${decision.model}  tenant ${decision.tenant}`,
		...(decision.previous === null ? [] : [`after      ${decision.previous}, whose attempts failed`]),
		`strategy   ${decision.strategy}${decision.digest === '' ? '' : `  (digest ${decision.digest.slice(0, 12)})`}`,
		`verdict    ${decision.verdict}${decision.fallbackCause === 'none' ? '' : `; fallback answered: ${decision.fallbackCause}`}`,
		`cost       ${decision.durationUs.toFixed(2)} µs, ${decision.fuel === 0 ? NOT_METERED : `${decision.fuel} fuel`}, ${decision.eligible} eligible targets`,
	];
	if (decision.chosen !== null)
		lines.push(
			`chosen     ${decision.chosen}${decision.propensity < 1 ? ` (explored, propensity ${round(decision.propensity)})` : ''}`,
		);
	if (decision.runnerUp !== null && decision.margin !== null)
		lines.push(`runner-up  ${decision.runnerUp}, ${round(decision.margin)} behind`);
	if (decision.cachedTokens > 0)
		lines.push(`prefix     ${decision.cachedTokens} tokens expected in its cache (${decision.cachedSource})`);
	const request = Object.entries(decision.request).filter(([, value]) => value !== 0 && value !== NO_ROW);
	if (request.length > 0) lines.push(`inputs     ${request.map(([name, value]) => `${name}=${value}`).join(' ')}`);
	const factors = [...new Set(decision.candidates.flatMap((candidate) => Object.keys(candidate.factors)))];
	const columns = [...new Set(decision.candidates.flatMap((candidate) => Object.keys(candidate.columns)))];
	const table = (names: readonly string[], of: 'factors' | 'columns'): string =>
		renderTable(decision.candidates, [
			{ title: 'target', value: (candidate) => candidate.target },
			{ title: 'score', value: (candidate) => round(candidate.score), right: true },
			...names.map((name) => ({
				title: name,
				value: (candidate: (typeof decision.candidates)[number]) =>
					candidate[of][name] === undefined ? '' : round(candidate[of][name]),
				right: true,
			})),
		]);
	if (decision.candidates.length > 0)
		lines.push('', 'scores (lower is better) and their factors', table(factors, 'factors').trimEnd());
	if (columns.length > 0) lines.push('', 'what the strategy saw', table(columns, 'columns').trimEnd());
	if (decision.attempts.length > 0) lines.push('', 'what became of it');
	for (const attempt of decision.attempts)
		lines.push(
			`  ${attempt.target}  ${attempt.status} ${attempt.httpStatus}  TTFT ${showMs(attempt.ttftMs)}  TPOT ${showMs(attempt.tpotMs)}  E2E ${showMs(attempt.e2eMs)}  ${attempt.tokensIn} in (${attempt.tokensCached} cached), ${attempt.tokensOut} out${legOf(attempt)}${raceOf(attempt)}`,
		);
	return `${lines.join('\n')}\n`;
}

function legOf({ leg }: ExplainedDecision['attempts'][number]): string {
	return leg === 'whole' ? '' : `; the ${leg} of a pair`;
}

function raceOf({ hedge, lost, wastedTokens }: ExplainedDecision['attempts'][number]): string {
	if (hedge === 'none') return '';
	const which = hedge === 'copy' ? 'copy' : 'first of several';
	return lost ? `; ${which}, lost the race: about ${wastedTokens} tokens in vain` : `; ${which}`;
}

export function addExplainCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(
			program
				.command('explain')
				.description('why a request went where it did')
				.argument('<decision>', 'id from the response header x-infermesh-decision'),
		),
		'infermesh explain 01890a5d-ac96-774b-bcce-b302099a8057',
	).action(
		act(cli, async (context, id: string, options: MeshOptions) => {
			const decision = await new AdminClient(context, options).get<ExplainedDecision>(
				`/decisions/${encodeURIComponent(id)}`,
			);
			print(context, options, decision, () => renderExplained(decision));
		}),
	);
}
