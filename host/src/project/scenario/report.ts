// Owns how scenario results read in a terminal: one line a scenario, and below a failed one what was expected, what came and why.
import { NOT_METERED } from '../../strategy/native/code.js';
import { formatNumber } from './expect.js';
import type { ScenarioFailure, ScenarioOutcome } from './run.js';

const RANKED_SHOWN = 4;

/** Text of one scenario; ends with a line break. */
export function renderScenario(outcome: ScenarioOutcome): string {
	const mark = outcome.ok ? 'ok  ' : 'FAIL';
	const fuel = outcome.fuelMax === null ? NOT_METERED : `fuel ≤ ${outcome.fuelMax}`;
	const lines = [`${mark}  ${outcome.name}  (${outcome.decisions} decisions, ${fuel})`];
	for (const failure of outcome.failures) lines.push(...renderFailure(failure).map((line) => `      ${line}`));
	if (!outcome.ok) lines.push(...outcome.log.map((line) => `      log  ${line}`));
	return `${lines.join('\n')}\n`;
}

function renderFailure(failure: ScenarioFailure): string[] {
	const times =
		failure.repeat > 1 && failure.decision !== undefined
			? `, ${failure.times} of ${failure.repeat} repetitions, first #${failure.repetition}`
			: '';
	const lines = [
		`${failure.where}  ${failure.request}: ${failure.key}${times}`,
		`  - expected  ${failure.expected}`,
		`  + actual    ${failure.actual}`,
	];
	if (failure.trap !== undefined) lines.push(`  trap at     ${failure.trap}`);
	for (const [index, row] of (failure.decision?.ranked ?? []).slice(0, RANKED_SHOWN).entries()) {
		const factors = Object.entries(row.factors).map(([name, value]) => `${name}=${formatNumber(value)}`);
		lines.push(`    #${index + 1} ${row.target}  score ${formatNumber(row.score)}  ${factors.join(' ')}`.trimEnd());
	}
	return lines;
}
