// Owns the copy of the SDK of a language inside a project and its stamp. A project carries its own SDK so that it builds without
// any registry, and the stamp (`sdk/stamp.json`) says which one: version and the digest of each file as it was copied. A
// file that still has its stamped digest was not edited by the author and may be brought up to date; any other is left alone.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { ABI_MAJOR, ABI_MINOR } from '@infermesh/sdk';
import { templateErrors } from './errors.js';

export const STAMP_FILE = 'sdk/stamp.json';

export interface SdkStamp {
	readonly sdk: string;
	readonly abi: string;
	/** Path inside the project → sha256 of the file as copied. */
	readonly files: Readonly<Record<string, string>>;
}

export interface SdkCopy {
	/** Path inside the project (`sdk/…`) → text. */
	readonly files: ReadonlyMap<string, string>;
	readonly stamp: SdkStamp;
}

export function digestOf(text: string): string {
	return createHash('sha256').update(text).digest('hex');
}

/** The folder of the installed SDK package, found through its entry point. Throws IM_TEMPLATE_SDK_MISSING. */
export function sdkPackageDir(): string {
	let dir = path.dirname(fileURLToPath(import.meta.resolve('@infermesh/sdk')));
	while (!existsSync(path.join(dir, 'assembly'))) {
		const parent = path.dirname(dir);
		if (parent === dir) throw new MeshError(templateErrors, 'IM_TEMPLATE_SDK_MISSING');
		dir = parent;
	}
	return dir;
}

/** Folders of the SDK package: the languages a template may be in. */
export type SdkLanguage = 'assembly' | 'c' | 'rust';

/** Which files of a language's folder belong to its SDK. */
const sdkFiles: Readonly<Record<SdkLanguage, RegExp>> = {
	assembly: /\.ts$/,
	c: /\.h$/,
	rust: /^(Cargo\.toml|src\/.+\.rs)$/,
};

/** Reads the SDK of one language of `packageDir`. Throws IM_TEMPLATE_SDK_MISSING when it is not there. */
export function readSdk(packageDir: string, language: SdkLanguage = 'assembly'): SdkCopy {
	const files = new Map<string, string>();
	const folder = path.join(packageDir, language);
	if (!existsSync(folder)) throw new MeshError(templateErrors, 'IM_TEMPLATE_SDK_MISSING', undefined, { where: folder });
	for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
		const inside = entry.replaceAll(path.sep, '/');
		if (sdkFiles[language].test(inside)) files.set(`sdk/${inside}`, readFileSync(path.join(folder, entry), 'utf8'));
	}
	if (files.size === 0) throw new MeshError(templateErrors, 'IM_TEMPLATE_SDK_MISSING', undefined, { where: folder });
	const { version } = JSON.parse(readFileSync(path.join(packageDir, 'package.json'), 'utf8')) as { version: string };
	const digests = Object.fromEntries([...files].map(([file, text]) => [file, digestOf(text)]));
	return { files, stamp: { sdk: version, abi: `${ABI_MAJOR}.${ABI_MINOR}`, files: digests } };
}

/** The stamp a project carries; undefined when it has none or it is not readable as one. */
export function readStamp(projectDir: string): SdkStamp | undefined {
	const file = path.join(projectDir, STAMP_FILE);
	if (!existsSync(file)) return undefined;
	try {
		const stamp = JSON.parse(readFileSync(file, 'utf8')) as Partial<SdkStamp> | null;
		if (typeof stamp?.sdk !== 'string' || typeof stamp.abi !== 'string' || typeof stamp.files !== 'object')
			return undefined;
		return { sdk: stamp.sdk, abi: stamp.abi, files: stamp.files };
	} catch {
		return undefined;
	}
}
