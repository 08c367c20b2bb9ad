// Owns the way from a strategy in C to a shared library: the generated header, one run of the C compiler, what it said. The flags are those a library
// must have been built with to be admitted, and those that keep arithmetic the same on every machine.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { manifestDocument } from '../manifest/check.js';
import type { StrategyManifest } from '../manifest/schema.js';
import type { Diagnostic } from './asc.js';
import { buildErrors } from './errors.js';
import { replaceFile } from './replace-file.js';
import { run } from './run-compiler.js';

/** The C SDK of this package. */
export const cSdkDir = fileURLToPath(new URL('../../../c/', import.meta.url));

const COMPILER = 'cc';

/** Sums are not contracted nor reordered: the same frame gives the same answer as in every other language. */
const flags = [
	'-std=c11',
	'-O3',
	'-Wall',
	'-Wextra',
	'-ffp-contract=off',
	'-fPIC',
	'-fvisibility=hidden',
	'-fstack-protector-strong',
];
const linkFlags = ['-shared', '-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs', '-Wl,--build-id=none'];

export interface BuiltLibrary {
	readonly library: Uint8Array<ArrayBuffer>;
	readonly diagnostics: readonly Diagnostic[];
}

/** Name of a value in the header: `queue_weight` → `QUEUE_WEIGHT`. */
const upper = (name: string): string => name.replace(/[^A-Za-z0-9]/g, '_').toUpperCase();

/** The whole text of infermesh_manifest.h: the manifest as it is exported, and names for what it declares. */
export function manifestHeader(manifest: StrategyManifest): string {
	const json = JSON.stringify(manifestDocument(manifest));
	// Bytes, not text: no character of a description can end the literal, and no compiler has a bound on it.
	const bytes = [...Buffer.from(`${json}\0`)];
	const lines: string[] = [];
	for (let at = 0; at < bytes.length; at += 24) lines.push(`\t${bytes.slice(at, at + 24).join(', ')},`);
	return [
		'/* Generated from strategy.yaml by the build. Do not edit. */',
		'#ifndef INFERMESH_MANIFEST_H',
		'#define INFERMESH_MANIFEST_H',
		'/* The manifest as JSON, with a terminating zero. */',
		'static const char im_manifest[] = {',
		...lines,
		'};',
		`#define IM_TOP_K ${manifest.topK}u /* most rows it ranks */`,
		...manifest.config.map(
			({ name, type }, slot) =>
				`#define IM_CONFIG_${upper(name)} ${slot}u /* ${type}: read with im_config_${type === 'f32' ? 'f32' : 'u32'} */`,
		),
		...manifest.factors.map((name, index) => `#define IM_FACTOR_${upper(name)} ${index}u`),
		`#define IM_FACTOR_COUNT ${manifest.factors.length}u`,
		'#endif',
		'',
	].join('\n');
}

/** Compiles `manifest.source` of the project in `dir`. Throws IM_BUILD_COMPILER and IM_BUILD_COMPILE. */
export async function buildC(dir: string, manifest: StrategyManifest, debug: boolean): Promise<BuiltLibrary> {
	const entry = path.join(dir, manifest.source);
	replaceFile(path.join(path.dirname(entry), 'infermesh_manifest.h'), manifestHeader(manifest));
	const own = path.join(dir, 'sdk');
	const sdk = existsSync(path.join(own, 'infermesh_abi.h')) ? own : cSdkDir;
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-build-'));
	try {
		const file = path.join(folder, 'strategy.so');
		const level = debug ? ['-g'] : ['-Wl,--strip-all'];
		// Names in what is built and said are relative to the project: the same source gives the same bytes wherever it stands.
		const args = [...flags, ...level, ...linkFlags, `-I${sdk}`, manifest.source, '-o', file, '-lm'];
		const said = await run(COMPILER, args, dir);
		if (said === undefined)
			throw new MeshError(buildErrors, 'IM_BUILD_COMPILER', `there is no \`${COMPILER}\``, { where: dir });
		const diagnostics = read(said.stderr);
		if (said.code !== 0) throw failure(dir, manifest.source, said.stderr, diagnostics);
		return { library: Uint8Array.from(readFileSync(file)), diagnostics };
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const diagnosticLine = /^(.+?):(\d+):(\d+): (?:fatal )?(error|warning): (.*)$/;

function read(text: string): Diagnostic[] {
	const found: Diagnostic[] = [];
	for (const line of text.split('\n')) {
		const match = diagnosticLine.exec(line);
		if (match === null) continue;
		const [, file = '', row, column, severity, message = ''] = match;
		found.push({
			file,
			line: Number(row),
			column: Number(column),
			code: 0,
			severity: severity === 'error' ? 'error' : 'warning',
			message,
		});
	}
	return found;
}

function failure(dir: string, source: string, text: string, diagnostics: readonly Diagnostic[]): MeshError {
	const first = diagnostics.find(({ severity }) => severity === 'error');
	const message = first?.message ?? (text.trim().slice(0, 500) || 'the compiler failed');
	const place = first === undefined ? source : `${first.file}:${first.line}:${first.column}`;
	return new MeshError(buildErrors, 'IM_BUILD_COMPILE', message, {
		where: path.join(dir, place),
		details: { diagnostics },
	});
}
