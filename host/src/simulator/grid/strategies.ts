// Owns the strategies of a run: from what a user names to compiled modules with their configuration, each under a label of its own.
import { MeshError } from '@infermesh/proto';
import { readManifest } from '@infermesh/sdk';
import type { PreparedStrategy } from '../../project/prepare.js';
import { openStrategy, prepareStrategy, shippedNames } from '../../project/prepare.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import type { StrategyChoice } from '../scenario/document.js';
import { gridErrors } from './errors.js';

export interface SimulatedStrategy {
	/** What the report calls it. */
	readonly label: string;
	readonly prepared: PreparedStrategy;
	readonly module: StrategyModule;
	readonly config: StrategyChoice['config'];
}

const STRATEGIES_MAX = 256;
export const ALL = 'all';

/** What `--strategies` names: `all`, or names separated by commas. Throws IM_SIMULATE_OPTION. */
export function parseStrategies(text: string): StrategyChoice[] {
	const names = text.split(',').map((name) => name.trim());
	if (names.includes('')) throw optionError('names no strategy between two commas', '--strategies');
	return [...new Set(names)].map((name) => ({ name, config: {} }));
}

/** `all` written out: what ships and decides inference. */
async function writtenOut(choices: readonly StrategyChoice[]): Promise<readonly StrategyChoice[]> {
	if (choices.length > 0 && !choices.some(({ name }) => name === ALL)) return choices;
	const others = choices.filter(({ name }) => name !== ALL);
	const all: StrategyChoice[] = [];
	for (const name of shippedNames()) {
		if (others.some((choice) => (choice.label ?? choice.name) === name)) continue;
		const { wasm } = await openStrategy(name);
		if (readManifest(wasm).kind === 'inference') all.push({ name, config: {} });
	}
	return [...others, ...all];
}

/**
 * Prepares `choices` (all that ship when there are none), the baseline first. A baseline that is not among them is added.
 * Throws IM_SIMULATE_OPTION and what preparing throws.
 */
export async function prepareStrategies(
	choices: readonly StrategyChoice[],
	baseline: string,
): Promise<readonly SimulatedStrategy[]> {
	const wanted = await writtenOut(choices);
	const isBaseline = (choice: StrategyChoice): boolean => (choice.label ?? choice.name) === baseline;
	const first = wanted.find(isBaseline) ?? { name: baseline, config: {} };
	const ordered = [first, ...wanted.filter((choice) => !isBaseline(choice))];
	if (ordered.length > STRATEGIES_MAX)
		throw optionError(`${ordered.length} strategies; at most ${STRATEGIES_MAX}`, '--strategies');
	const out: SimulatedStrategy[] = [];
	for (const [index, choice] of ordered.entries()) {
		const prepared = await prepareStrategy(choice.name);
		const label = unique(choice.label ?? shortName(choice.name, prepared), out);
		const module = { ...prepared.withConfig(choice.config), versionId: index + 1 };
		out.push({ label, prepared, module, config: choice.config });
	}
	return out;
}

/** A path is called by the strategy in it. */
function shortName(name: string, { manifest }: PreparedStrategy): string {
	return /^[a-z0-9_-]+$/.test(name) ? name : manifest.name;
}

function unique(label: string, taken: readonly SimulatedStrategy[]): string {
	for (let n = 1; ; n++) {
		const candidate = n === 1 ? label : `${label} (${n})`;
		if (!taken.some((strategy) => strategy.label === candidate)) return candidate;
	}
}

function optionError(message: string, where: string): MeshError {
	return new MeshError(gridErrors, 'IM_SIMULATE_OPTION', message, { where });
}
