// Owns writing a strategy project: which files it has, in which order, and what happens to files that are already there.
// Invariant: a file the author changed is never overwritten without `force`, so running the generator twice is harmless.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { ABI_MAJOR, ABI_MINOR } from '@infermesh/sdk';
import { defaultTemplate, type TemplateInfo, templateInfo } from './catalogue.js';
import { templateErrors } from './errors.js';
import { checkDescription, checkName, proposeName } from './names.js';
import { digestOf, readSdk, readStamp, STAMP_FILE, sdkPackageDir } from './sdk-copy.js';

export interface GenerateOptions {
	/** Folder of the project, absolute or relative to `cwd`; made when missing. */
	readonly path: string;
	/** Default `strategy-as`. */
	readonly template?: string;
	/** Default: what the folder's own strategy.yaml says, else the folder's name. */
	readonly name?: string;
	/** One line. Default: what strategy.yaml says, else the template's. */
	readonly description?: string;
	/** Overwrite changed files, and write into a folder that is in use. Default false. */
	readonly force?: boolean;
	/** Folder that `path` is relative to. Default the process's own. */
	readonly cwd?: string;
	/** How the next commands are spelled. Default `infermesh`. */
	readonly command?: string;
	/** Folder of the SDK package. Default: the installed `@infermesh/sdk`. */
	readonly sdkDir?: string;
}

export interface GenerateResult {
	readonly dir: string;
	readonly template: string;
	readonly name: string;
	/** Paths inside the project, new or brought up to date, in the order written. */
	readonly written: readonly string[];
	/** Already there with the same content. */
	readonly unchanged: readonly string[];
	/** Already there with other content: left as they are. Empty with `force`. */
	readonly kept: readonly string[];
	/** The three commands to run next, in order. */
	readonly next: readonly [string, string, string];
}

/** Templates stand two folders above this file's compiled place (`dist/src/`). */
const templatesRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Writes a strategy project and says what it did. Throws `MeshError` IM_TEMPLATE_*. */
export function generate(options: GenerateOptions): GenerateResult {
	const template = templateInfo(options.template ?? defaultTemplate);
	const dir = path.resolve(options.cwd ?? process.cwd(), options.path);
	checkFolder(dir, options.force ?? false);
	const identity = identityOf(dir, template, options);
	const sdk = readSdk(options.sdkDir ?? sdkPackageDir(), template.sdk);
	const files = new Map([...renderTemplate(template, { ...identity, sdk_version: sdk.stamp.sdk }), ...sdk.files]);
	const outcome = writeFiles(dir, files, options.force ?? false);
	writeStamp(dir, sdk.stamp, outcome);
	return { dir, template: template.name, name: identity.name, ...outcome, next: nextCommands(dir, options) };
}

function checkFolder(dir: string, force: boolean): void {
	const blocker = firstNonFolder(dir);
	if (blocker !== undefined)
		throw new MeshError(templateErrors, 'IM_TEMPLATE_PATH_INVALID', 'this is a file, not a folder', { where: blocker });
	if (force || !existsSync(dir) || existsSync(path.join(dir, 'strategy.yaml'))) return;
	const inUse = readdirSync(dir).filter((entry) => !entry.startsWith('.'));
	if (inUse.length === 0) return;
	throw new MeshError(
		templateErrors,
		'IM_TEMPLATE_FOLDER_IN_USE',
		`the folder holds ${inUse.slice(0, 3).join(', ')}${inUse.length > 3 ? ', …' : ''} and no strategy.yaml`,
		{ where: dir },
	);
}

/** The nearest existing ancestor-or-self that is not a folder. */
function firstNonFolder(dir: string): string | undefined {
	for (let at = dir; ; at = path.dirname(at)) {
		const stats = statSync(at, { throwIfNoEntry: false });
		if (stats !== undefined) return stats.isDirectory() ? undefined : at;
		if (at === path.dirname(at)) return undefined;
	}
}

interface Identity {
	readonly name: string;
	readonly description: string;
}

/** Name and description: as asked, else as the project already has them, else proposed. */
function identityOf(dir: string, template: TemplateInfo, options: GenerateOptions): Identity {
	const manifestFile = path.join(dir, 'strategy.yaml');
	const manifest = readIfThere(manifestFile) ?? '';
	const name = options.name ?? scalarOf(manifest, 'name') ?? proposeName(path.basename(dir));
	const description = options.description ?? scalarOf(manifest, 'description') ?? template.description;
	checkName(name);
	checkDescription(description);
	return { name, description };
}

/** A top-level one-line scalar of a YAML file this generator wrote (plain or JSON-quoted). */
function scalarOf(yaml: string, key: string): string | undefined {
	const value = new RegExp(`^${key}:[ \\t]*(.+)$`, 'm').exec(yaml)?.[1]?.trim();
	if (value?.startsWith('"') !== true) return value;
	try {
		return String(JSON.parse(value));
	} catch {
		return undefined;
	}
}

function renderTemplate(
	template: TemplateInfo,
	values: Identity & { readonly sdk_version: string },
): Map<string, string> {
	const root = path.join(templatesRoot, template.name);
	const fields: Readonly<Record<string, string>> = {
		name: values.name,
		description: values.description,
		description_json: JSON.stringify(values.description),
		abi: `${ABI_MAJOR}.${ABI_MINOR}`,
		sdk_version: values.sdk_version,
		template: template.name,
	};
	const rendered = new Map<string, string>();
	for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
		if (!entry.isFile()) continue;
		const file = path.join(entry.parentPath, entry.name);
		const inside = path.relative(root, file).replaceAll(path.sep, '/');
		const text = readFileSync(file, 'utf8').replaceAll(
			/__([a-z]+(?:_[a-z]+)*)__/g,
			(whole, key: string) => fields[key] ?? whole,
		);
		rendered.set(inside === 'gitignore' ? '.gitignore' : inside, text);
	}
	return new Map([...rendered].sort(([a], [b]) => (a < b ? -1 : 1)));
}

interface WriteOutcome {
	readonly written: string[];
	readonly unchanged: string[];
	readonly kept: string[];
}

function writeFiles(dir: string, files: ReadonlyMap<string, string>, force: boolean): WriteOutcome {
	const outcome: WriteOutcome = { written: [], unchanged: [], kept: [] };
	const stamp = readStamp(dir);
	for (const [file, text] of files) {
		const full = path.join(dir, file);
		const present = readIfThere(full);
		const untouched = present !== undefined && stamp?.files[file] === digestOf(present);
		if (present === text) outcome.unchanged.push(file);
		else if (present !== undefined && !force && !untouched) outcome.kept.push(file);
		else {
			writeOne(full, text);
			outcome.written.push(file);
		}
	}
	return outcome;
}

/** The stamp says what was copied; it always describes this SDK, since kept files then differ from it and stay kept. */
function writeStamp(dir: string, stamp: object, outcome: WriteOutcome): void {
	const full = path.join(dir, STAMP_FILE);
	const text = `${JSON.stringify(stamp, null, '\t')}\n`;
	if (readIfThere(full) === text) {
		outcome.unchanged.push(STAMP_FILE);
		return;
	}
	writeOne(full, text);
	outcome.written.push(STAMP_FILE);
}

function readIfThere(file: string): string | undefined {
	const stats = statSync(file, { throwIfNoEntry: false });
	if (stats === undefined) return undefined;
	if (stats.isFile()) return readFileSync(file, 'utf8');
	throw new MeshError(templateErrors, 'IM_TEMPLATE_PATH_INVALID', 'a file of the project would go here', {
		where: file,
	});
}

function writeOne(full: string, text: string): void {
	try {
		mkdirSync(path.dirname(full), { recursive: true });
		writeFileSync(full, text);
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(templateErrors, 'IM_TEMPLATE_WRITE_FAILED', reason, { where: full, cause });
	}
}

function nextCommands(dir: string, options: GenerateOptions): [string, string, string] {
	const command = options.command ?? 'infermesh';
	const relative = path.relative(options.cwd ?? process.cwd(), dir) || '.';
	const place = relative.startsWith('..') ? dir : relative;
	const quoted = /^[\w./@%+-]+$/.test(place) ? place : `'${place.replaceAll("'", `'\\''`)}'`;
	return [
		`${command} strategy test ${quoted}`,
		`${command} strategy check ${quoted}`,
		`${command} strategy load ${quoted} --activate`,
	];
}
