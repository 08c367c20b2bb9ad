// Owns building a project for its author: the module and its source map written to `build/`, and what came out.
import path from 'node:path';
import type { Clock } from '@infermesh/proto';
import { type BuildOptions, buildStrategy } from '@infermesh/sdk';

export interface BuildReport {
	readonly strategy: string;
	readonly file: string;
	readonly bytes: number;
	readonly columns: readonly string[];
	readonly ms: number;
	/** Warnings of the compiler, as `file:line:column: message`. */
	readonly warnings: readonly string[];
}

/** Builds the project in `dir` into `outFile`, by default `build/<name>.wasm` or, where it is native, `.so`. Throws IM_MANIFEST_* and IM_BUILD_*. */
export async function buildProject(
	dir: string,
	clock: Clock,
	options: Pick<BuildOptions, 'outFile' | 'target' | 'debug'> = {},
): Promise<BuildReport> {
	const from = clock.nowMs();
	const root = path.resolve(dir);
	const built = await buildStrategy(root, options);
	const { manifest } = built;
	return {
		strategy: `${manifest.name}@${manifest.version}`,
		file: path.relative('', built.outFile ?? root),
		bytes: built.wasm.length,
		columns: manifest.columns,
		ms: Math.round(clock.nowMs() - from),
		warnings: built.diagnostics
			.filter((found) => found.severity === 'warning')
			.map((found) => `${found.file}:${found.line}:${found.column}: ${found.message}`),
	};
}

export function renderBuild(report: BuildReport): string {
	const lines = [`${report.strategy}: ${report.file}, ${report.bytes} bytes, ${report.ms} ms`];
	lines.push(...report.warnings.map((warning) => `  warning  ${warning}`));
	return `${lines.join('\n')}\n`;
}
