// Owns running the unit scenarios of a project on the module that would be loaded: build, admit, run every `test/*.scenario.yaml`.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { projectErrors } from './errors.js';
import { type PreparedStrategy, type PrepareOptions, prepareStrategy } from './prepare.js';
import { manifestProblems, parseScenario, SCENARIO_BYTES_MAX, type Scenario } from './scenario/parse.js';
import { renderScenario } from './scenario/report.js';
import { runScenario, type ScenarioOutcome, scenarioDefaults } from './scenario/run.js';
import type { Problem } from './scenario/yaml-source.js';

export interface TestOptions extends PrepareOptions {
	/** Only scenarios whose name or file contains this. */
	readonly only?: string;
}

/** A scenario file that could not be run. */
export interface BrokenScenario {
	readonly file: string;
	readonly problems: readonly Problem[];
}

export interface TestReport {
	readonly strategy: string;
	readonly digest: string;
	readonly ok: boolean;
	readonly passed: number;
	readonly failed: number;
	readonly scenarios: readonly ScenarioOutcome[];
	/** Files with mistakes in them; they count as failed. */
	readonly broken: readonly BrokenScenario[];
}

/** Scenario files of a project, at most. */
const FILES_MAX = 1000;
export const SCENARIO_SUFFIX = '.scenario.yaml';

/** Runs the scenarios of the project in `dir`. Throws `MeshError` when it does not build, is refused, or has no scenario. */
export async function testProject(dir: string, options: TestOptions = {}): Promise<TestReport> {
	const strategy = await prepareStrategy(dir, options);
	return runTests(strategy, options.only);
}

/** As `testProject`, with a strategy already prepared from a project folder. */
export function runTests(strategy: PreparedStrategy, only?: string): TestReport {
	const root = strategy.dir;
	if (root === undefined) {
		const hint = 'name the project folder: scenarios stand in its test/';
		throw new MeshError(projectErrors, 'IM_SCENARIO_NONE', 'a module carries no scenarios', {
			where: strategy.where,
			hint,
		});
	}
	const files = scenarioFiles(root);
	if (files.length === 0)
		throw new MeshError(projectErrors, 'IM_SCENARIO_NONE', undefined, { where: path.join(root, 'test') });
	const scenarios: ScenarioOutcome[] = [];
	const broken: BrokenScenario[] = [];
	for (const file of files) {
		const shown = path.join(path.relative('', root), file);
		const loaded = loadScenario(path.join(root, file), shown, strategy);
		if ('problems' in loaded) broken.push(loaded);
		else if (only === undefined || loaded.file.includes(only) || loaded.spec.name.includes(only))
			scenarios.push(runOne(loaded, strategy));
	}
	const passed = scenarios.filter((scenario) => scenario.ok).length;
	const failed = scenarios.length - passed + broken.length;
	if (scenarios.length + broken.length === 0)
		throw new MeshError(projectErrors, 'IM_SCENARIO_NONE', `no scenario matches \`${only ?? ''}\``, {
			where: path.join(root, 'test'),
		});
	const { label, digest } = strategy.module;
	return { strategy: label, digest, ok: failed === 0, passed, failed, scenarios, broken };
}

/** Whether a project folder has scenarios; a bare module has none. */
export function hasScenarios(dir: string | undefined): boolean {
	return dir !== undefined && scenarioFiles(dir).length > 0;
}

/** Text of a test run: failures in full, and a last line `N passed, N failed`. */
export function renderTests(report: TestReport): string {
	const broken = report.broken.map(
		(file) =>
			`FAIL  ${file.file}\n${file.problems.map((problem) => `      ${problem.where}: ${problem.message}\n`).join('')}`,
	);
	return [
		...report.scenarios.map(renderScenario),
		...broken,
		`${report.strategy}: ${report.passed} passed, ${report.failed} failed\n`,
	].join('');
}

function runOne(scenario: Scenario, strategy: PreparedStrategy): ScenarioOutcome {
	return runScenario(scenario, strategy.withConfig(scenario.spec.config ?? {}), {
		...scenarioDefaults,
		describeTrap: (trap) => strategy.describeTrap(trap),
	});
}

function loadScenario(file: string, shown: string, strategy: PreparedStrategy): Scenario | BrokenScenario {
	if (statSync(file).size > SCENARIO_BYTES_MAX)
		return {
			file: shown,
			problems: [{ where: shown, message: `the file is larger than ${SCENARIO_BYTES_MAX} bytes` }],
		};
	const parsed = parseScenario(shown, readFileSync(file, 'utf8'));
	if (!parsed.ok) return { file: shown, problems: parsed.problems };
	const problems = manifestProblems(parsed.scenario, strategy.manifest);
	return problems.length > 0 ? { file: shown, problems } : parsed.scenario;
}

/** Paths below `root`, sorted, so that the order of a run never changes. */
function scenarioFiles(root: string): string[] {
	const folder = path.join(root, 'test');
	if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
	return readdirSync(folder, { recursive: true, encoding: 'utf8' })
		.filter((file) => file.endsWith(SCENARIO_SUFFIX))
		.sort()
		.slice(0, FILES_MAX)
		.map((file) => path.join('test', file));
}
