// Owns the way from a scenario text to a checked scenario: syntax, schema, then what the schema cannot say (references between
// targets, comparisons that parse, names the manifest declares). Every problem carries `file:line:column`; all are told at once.
import { columns, didYouMean, type StrategyManifest } from '@infermesh/sdk';
import { parseComparator } from './comparator.js';
import {
	type ExpectSpec,
	type RequestSpec,
	type ScenarioSpec,
	scenarioSchema,
	TARGETS_MAX,
	type TargetSpec,
} from './schema.js';
import { type Path, type Problem, readYaml, schemaCheck, schemaProblems, type YamlSource } from './yaml-source.js';

/** Largest scenario file. */
export const SCENARIO_BYTES_MAX = 1024 * 1024;

export interface Scenario {
	readonly file: string;
	readonly spec: ScenarioSpec;
	/** Ids of the rows, in row order, with `count` written out. */
	readonly ids: readonly string[];
	readonly source: YamlSource;
}

export type ScenarioResult =
	| { readonly ok: true; readonly scenario: Scenario }
	| { readonly ok: false; readonly syntax: boolean; readonly problems: readonly Problem[] };

const validate = schemaCheck(scenarioSchema);

/** Parses and checks one scenario. `file` is only what problems call it. */
export function parseScenario(file: string, text: string): ScenarioResult {
	if (text.length > SCENARIO_BYTES_MAX) {
		return {
			ok: false,
			syntax: false,
			problems: [{ where: file, message: `the file is larger than ${SCENARIO_BYTES_MAX} bytes` }],
		};
	}
	const read = readYaml(file, text);
	if (!read.ok) return { ok: false, syntax: true, problems: read.problems };
	const problems = schemaProblems(validate, read.source);
	if (problems.length > 0) return { ok: false, syntax: false, problems };
	const spec = read.source.value as ScenarioSpec;
	const ids = rowIds(spec.targets);
	const checker = new Checker(read.source, ids);
	checker.targets(spec.targets);
	spec.requests.forEach((request, index) => checker.request(request, ['requests', index]));
	if (checker.problems.length > 0) return { ok: false, syntax: false, problems: checker.problems };
	return { ok: true, scenario: { file, spec, ids, source: read.source } };
}

/** Row ids with `count` written out: `{ id: t, count: 3 }` is t0, t1, t2. */
export function rowIds(targets: readonly TargetSpec[]): string[] {
	const ids: string[] = [];
	for (const target of targets) {
		if (target.count === undefined) ids.push(target.id);
		else for (let i = 0; i < target.count && ids.length <= TARGETS_MAX; i++) ids.push(`${target.id}${i}`);
	}
	return ids;
}

/** What in a scenario does not fit the strategy it is run on: configuration and factor names. */
export function manifestProblems(scenario: Scenario, manifest: StrategyManifest): Problem[] {
	const problems: Problem[] = [];
	const { source, spec } = scenario;
	const settings = manifest.config.map((entry) => entry.name);
	for (const name of Object.keys(spec.config ?? {})) {
		if (settings.includes(name)) continue;
		const message = `strategy.yaml declares no configuration \`${name}\`${didYouMean(name, settings)}`;
		problems.push({ where: source.atKey(['config'], name), message });
	}
	spec.requests.forEach((request, index) => {
		for (const name of Object.keys(request.expect?.factors ?? {})) {
			if (manifest.factors.includes(name)) continue;
			const where = source.atKey(['requests', index, 'expect', 'factors'], name);
			problems.push({
				where,
				message: `strategy.yaml declares no factor \`${name}\`${didYouMean(name, manifest.factors)}`,
			});
		}
	});
	return problems;
}

const columnNames: ReadonlySet<string> = new Set(columns.map((column) => column.name));
const numericExpectations = [
	'count',
	'fuel',
	'score',
	'score_margin',
	'hold_key',
	'retry_after_ms',
	'hedge_delay_ms',
	'hedge_copies',
	'predicted_ttft_ms',
] as const satisfies readonly (keyof ExpectSpec)[];

/** Checks what a schema cannot: references and comparisons. */
class Checker {
	readonly problems: Problem[] = [];
	readonly #source: YamlSource;
	readonly #ids: ReadonlySet<string>;
	readonly #rows: number;

	constructor(source: YamlSource, ids: readonly string[]) {
		this.#source = source;
		this.#ids = new Set(ids);
		this.#rows = ids.length;
	}

	targets(targets: readonly TargetSpec[]): void {
		if (this.#rows > TARGETS_MAX) this.#say(['targets'], `more than ${TARGETS_MAX} targets`);
		else if (this.#ids.size < this.#rows) this.#sayTwice(targets);
	}

	request(request: RequestSpec, path: Path): void {
		request.hits?.forEach((hit, index) => this.#target(hit.target, [...path, 'hits', index, 'target']));
		request.exclude?.forEach((id, index) => this.#target(id, [...path, 'exclude', index]));
		request.outcomes?.forEach((outcome, index) => this.#target(outcome.target, [...path, 'outcomes', index, 'target']));
		for (const id of Object.keys(request.set ?? {})) this.#targetKey(id, [...path, 'set']);
		if (request.expect !== undefined) this.#expect(request.expect, [...path, 'expect'], request.repeat ?? 1);
	}

	#expect(expect: ExpectSpec, path: Path, repeat: number): void {
		for (const key of ['first', 'not', 'order'] as const) {
			const value = expect[key];
			if (typeof value === 'string') this.#target(value, [...path, key]);
			else value?.forEach((id, index) => this.#target(id, [...path, key, index]));
		}
		for (const key of ['prefill', 'fetch_from'] as const) {
			const id = expect[key];
			if (id !== undefined && id !== 'none') this.#target(id, [...path, key]);
		}
		for (const id of Object.keys(expect.share ?? {})) this.#targetKey(id, [...path, 'share']);
		for (const key of numericExpectations) this.#comparator(expect[key], [...path, key]);
		for (const [key, value] of Object.entries(expect.share ?? {})) this.#comparator(value, [...path, 'share', key]);
		for (const [key, value] of Object.entries(expect.factors ?? {})) this.#comparator(value, [...path, 'factors', key]);
		if (repeat > 1) return;
		for (const key of ['share', 'same'] as const)
			if (expect[key] !== undefined) this.#sayKey(path, key, `\`${key}\` needs \`repeat\` above 1`);
	}

	#comparator(value: string | number | undefined, path: Path): void {
		if (value === undefined) return;
		const parsed = parseComparator(value);
		if ('message' in parsed) this.#say(path, parsed.message);
	}

	#target(id: string, path: Path): void {
		if (!this.#ids.has(id)) this.#say(path, this.#unknown(id));
	}

	#targetKey(id: string, path: Path): void {
		if (!this.#ids.has(id)) this.#sayKey(path, id, this.#unknown(id));
	}

	#unknown(id: string): string {
		const column = columnNames.has(id) ? ' (a column name stands below a target)' : '';
		return `there is no target \`${id}\`${didYouMean(id, this.#ids)}${column}`;
	}

	#sayTwice(targets: readonly TargetSpec[]): void {
		const seen = new Set<string>();
		targets.forEach((target, index) => {
			for (const id of rowIds([target])) {
				if (seen.has(id)) this.#say(['targets', index, 'id'], `the target \`${id}\` is there twice`);
				seen.add(id);
			}
		});
	}

	#say(path: Path, message: string): void {
		this.problems.push({ where: this.#source.at(path), message });
	}

	#sayKey(path: Path, key: string, message: string): void {
		this.problems.push({ where: this.#source.atKey(path, key), message });
	}
}
