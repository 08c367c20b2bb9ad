// Owns the errors of the author's loop: project folders, scenario files and the inputs of single runs and benchmarks.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const projectErrors = defineErrors({
	IM_PROJECT_NOT_FOUND: {
		...refused,
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		summary: 'there is no such folder, file or shipped strategy',
		hint: 'name a strategy folder, a `.wasm` or `.so` file, or one of `infermesh strategies`',
	},
	IM_PROJECT_UNREADABLE: {
		...refused,
		summary: 'a file cannot be read',
		hint: 'check the path and its permissions',
	},
	IM_PROJECT_REFUSED: {
		...refused,
		summary: 'admission refuses the strategy',
		hint: '`infermesh strategy check` prints the whole report',
	},
	IM_PROJECT_KIND_UNSUPPORTED: {
		...refused,
		summary: 'the command runs inference strategies only',
		hint: 'set `kind: inference` in strategy.yaml and export `rank`',
	},
	IM_PROJECT_TOO_LARGE: {
		...refused,
		summary: 'a file is larger than the bound',
		hint: 'split it; the bound is named in the message',
	},
	IM_SCENARIO_SYNTAX: {
		...refused,
		summary: 'the file is not valid YAML',
		hint: 'mend the line named above; indentation is by spaces, and text that holds `: ` wants quotes',
	},
	IM_SCENARIO_INVALID: {
		...refused,
		summary: 'the scenario is not valid',
		hint: 'the format is described in docs/strategies.md',
	},
	IM_SCENARIO_NONE: {
		...refused,
		summary: 'the project has no scenario to run',
		hint: 'write one as test/NAME.scenario.yaml; the format is described in docs/strategies.md',
	},
	IM_PROJECT_NO_FUEL: {
		...refused,
		summary: 'fuel is counted of WebAssembly only, and this is a native library',
		hint: 'leave out --profile: the times of its decisions are in the bench, and a profiler of the system (perf) shows where they go',
	},
	IM_RUN_INPUT_INVALID: {
		...refused,
		summary: 'the request or fleet of a single run is not valid',
		hint: 'both are written as in a scenario: a request object, and a list of targets; YAML and JSON are read',
	},
	IM_BENCH_OPTION_INVALID: {
		...refused,
		summary: 'an option of the benchmark is not valid',
		hint: 'for example --targets 16,1024 --threshold "p99@1024<5us"',
	},
	IM_RUN_NO_INSTANCE: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'the strategy could not be instantiated',
		hint: 'its `init` hook must return 0; `infermesh strategy check` prints the report',
	},
});
