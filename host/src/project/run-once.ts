// Owns one decision from a request and a fleet written down by the author: what the strategy ranks, why, and what it costs.
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { Type } from '../schema/type.js';
import { NOT_METERED } from '../strategy/native/code.js';
import { Decision } from '../strategy/runtime/decision.js';
import { projectErrors } from './errors.js';
import { createHits, featuresOf, fillHits } from './features.js';
import { Fleet, type FleetSpec } from './fleet.js';
import { type PreparedStrategy, type PrepareOptions, prepareStrategy } from './prepare.js';
import { Sandbox, sandboxDefaults } from './sandbox.js';
import { formatNumber, type NamedDecision, nameDecision } from './scenario/expect.js';
import { rowIds, SCENARIO_BYTES_MAX } from './scenario/parse.js';
import { fleetFields, type RequestSpec, requestSchema } from './scenario/schema.js';
import { type Problem, readYaml, schemaCheck, schemaProblems, type YamlSource } from './scenario/yaml-source.js';
import { table } from './table.js';

export interface RunOptions extends PrepareOptions {
	/** JSON or YAML of one request, as in a scenario. Default `examples/request.json` of the project. */
	readonly requestFile?: string;
	/** JSON or YAML of targets, defaults, zone and config, as in a scenario. Default `examples/fleet.json` of the project. */
	readonly fleetFile?: string;
}

export interface RunReport {
	/** `name@version`. */
	readonly strategy: string;
	readonly digest: string;
	readonly decision: NamedDecision;
	readonly eligible: number;
	readonly targets: number;
	/** Fuel one decision may use; null where none is counted. */
	readonly fuelBudget: number | null;
	/** Where the strategy trapped, when it did. */
	readonly trap: string | null;
	readonly log: string;
}

type FleetFile = FleetSpec & { readonly config?: Readonly<Record<string, number | boolean>>; readonly top_k?: number };

const validateRequest = schemaCheck(requestSchema);
const validateFleet = schemaCheck(Type.Object(fleetFields, { additionalProperties: false }));

/**
 * Decides once. `where` is a project folder, a `.wasm` or `.so`, or a shipped strategy. A fault of the strategy is part of the report.
 * Throws `MeshError` for inputs that cannot be used (IM_RUN_INPUT_INVALID with every place) and strategies that cannot be run.
 */
export async function runOnce(where: string, options: RunOptions = {}): Promise<RunReport> {
	const strategy = await prepareStrategy(where, options);
	const fleetFile = options.fleetFile ?? defaultInput(strategy, 'fleet.json', '--fleet');
	const requestFile = options.requestFile ?? defaultInput(strategy, 'request.json', '--request');
	const fleetSource = readInput(fleetFile);
	const fleetSpec = fleetOf(fleetSource);
	const requestSource = readInput(requestFile);
	const request = requestOf(requestSource, rowIds(fleetSpec.targets));
	const fleet = new Fleet(fleetSpec);
	const module = strategy.withConfig(fleetSpec.config ?? {});
	const sandbox = new Sandbox(module, fleet, { ...sandboxDefaults, topK: fleetSpec.top_k ?? sandboxDefaults.topK });
	const hits = createHits();
	fillHits(request, fleet, hits);
	const out = new Decision();
	const excluded = (request.exclude ?? []).map((id) => fleet.row(id));
	sandbox.rank(featuresOf(request, fleet, 0, 1), hits, excluded, out);
	const { fuel } = sandboxDefaults;
	return {
		strategy: module.label,
		digest: module.digest,
		decision: nameDecision(out, sandbox.fuel, fleet.ids, (index) => sandbox.factors(index)),
		eligible: fleet.view.eligibleCount,
		targets: fleet.ids.length,
		fuelBudget: sandbox.fuel === null ? null : fuel.base + fuel.perTarget * fleet.ids.length,
		trap: sandbox.fault.trap === undefined ? null : (strategy.describeTrap(sandbox.fault.trap) ?? null),
		log: sandbox.log(),
	};
}

/** Text of a run: the verdict, then a row for each ranked target. */
export function renderRun(report: RunReport): string {
	const { decision } = report;
	const lines = [`${report.strategy}: ${decision.cause === 'none' ? decision.verdict : `fault: ${decision.cause}`}`];
	if (report.trap !== null) lines.push(`  at ${report.trap}`);
	if (decision.reason !== 'none')
		lines.push(`  reason ${decision.reason}, retry after ${formatNumber(decision.retryAfterMs)} ms`);
	if (decision.ranked.length > 0) {
		const names = Object.keys(decision.ranked[0]?.factors ?? {});
		const rows = decision.ranked.map((row, index) => [
			String(index + 1),
			row.target,
			formatNumber(row.score),
			...names.map((name) => formatNumber(row.factors[name] ?? 0)),
		]);
		lines.push(table(['#', 'target', 'score', ...names], rows));
	}
	const fuel = report.fuelBudget === null ? NOT_METERED : `fuel ${decision.fuel} of ${report.fuelBudget}`;
	lines.push(`  ${report.eligible} of ${report.targets} targets eligible; ${fuel}`);
	if (report.log !== '')
		lines.push(
			...report.log
				.trimEnd()
				.split('\n')
				.map((line) => `  log  ${line}`),
		);
	return `${lines.join('\n')}\n`;
}

function defaultInput(strategy: PreparedStrategy, name: string, flag: string): string {
	const file = strategy.dir === undefined ? undefined : path.join(strategy.dir, 'examples', name);
	if (file !== undefined && statSync(file, { throwIfNoEntry: false })?.isFile() === true) return file;
	throw new MeshError(
		projectErrors,
		'IM_RUN_INPUT_INVALID',
		`no ${name} was given, and the project has no examples/${name}`,
		{
			where: flag,
		},
	);
}

function readInput(file: string): YamlSource {
	let text: string;
	try {
		text = readFileSync(file, 'utf8');
	} catch (cause) {
		throw new MeshError(projectErrors, 'IM_PROJECT_UNREADABLE', undefined, { where: file, cause });
	}
	if (text.length > SCENARIO_BYTES_MAX) {
		throw new MeshError(projectErrors, 'IM_PROJECT_TOO_LARGE', `larger than ${SCENARIO_BYTES_MAX} bytes`, {
			where: file,
		});
	}
	const read = readYaml(file, text);
	if (!read.ok) refuse(read.problems);
	return read.source;
}

function fleetOf(source: YamlSource): FleetFile {
	if (Array.isArray(source.value)) return fleetOf(source.wrapped('targets'));
	refuseAny(schemaProblems(validateFleet, source));
	return source.value as FleetFile;
}

function requestOf(source: YamlSource, ids: readonly string[]): RequestSpec {
	refuseAny(schemaProblems(validateRequest, source));
	const request = source.value as RequestSpec;
	const known = new Set(ids);
	const problems: Problem[] = [];
	request.hits?.forEach((hit, index) => {
		if (!known.has(hit.target))
			problems.push({ where: source.at(['hits', index, 'target']), message: `there is no target \`${hit.target}\`` });
	});
	request.exclude?.forEach((id, index) => {
		if (!known.has(id))
			problems.push({ where: source.at(['exclude', index]), message: `there is no target \`${id}\`` });
	});
	refuseAny(problems);
	return request;
}

function refuseAny(problems: readonly Problem[]): void {
	if (problems.length > 0) refuse(problems);
}

function refuse(problems: readonly Problem[]): never {
	const [first, ...rest] = problems;
	const message = [first?.message ?? '', ...rest.map((problem) => `${problem.where}: ${problem.message}`)].join('\n  ');
	throw new MeshError(projectErrors, 'IM_RUN_INPUT_INVALID', message, {
		...(first === undefined ? {} : { where: first.where }),
		details: { problems },
	});
}
