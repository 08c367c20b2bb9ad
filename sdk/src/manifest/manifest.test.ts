import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { Ajv } from 'ajv';
import test from 'ava';
import * as fc from 'fast-check';
import { manifestDocument } from './check.js';
import { encodeConfig } from './config.js';
import { loadManifest, parseManifest } from './load.js';
import { manifestSchema } from './schema.js';
import { readManifest, writeManifestSection } from './section.js';

const good = `name: hybrid_mesh
version: 1.2.0
kind: inference
abi: "1.0"
columns: [queue_depth, load]
config:
  - { name: wait_weight, type: f32, default: 1.5, min: 0, max: 10, unit: ms }
  - { name: strict, type: bool, default: true }
  - { name: spare, type: i32, default: -3 }
factors: [wait, cache]
state_bytes: 1024
hits: true
`;

function fault(text: string): MeshError {
	try {
		parseManifest('strategy.yaml', text);
	} catch (error) {
		if (error instanceof MeshError) return error;
		throw error;
	}
	throw new Error('the manifest was accepted');
}

/** A minimal module: magic and version. */
const emptyModule = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

test('a manifest is read with its defaults', (t) => {
	const manifest = parseManifest('strategy.yaml', good);
	t.is(manifest.name, 'hybrid_mesh');
	t.is(manifest.stateBytes, 1024);
	t.is(manifest.topK, 4);
	t.deepEqual(manifest.hooks, ['rank']);
	t.is(manifest.source, 'assembly/index.ts');
	t.is(manifest.config[0]?.unit, 'ms');
});

const mistakes: ReadonlyArray<readonly [title: string, text: string, where: string, message: RegExp]> = [
	['an unknown key', good.replace('state_bytes', 'state_byte'), 'strategy.yaml:11:1', /did you mean `state_bytes`/],
	['an unknown column', good.replace('load]', 'laod]'), 'strategy.yaml:5:24', /unknown column `laod`.*`load`/],
	['a column listed twice', good.replace('load]', 'queue_depth]'), 'strategy.yaml:5:24', /listed twice/],
	['a default out of range', good.replace('1.5', '11'), 'strategy.yaml:7:37', /above the maximum 10/],
	['a wrong default type', good.replace('default: true', 'default: 1'), 'strategy.yaml:8:33', /true or false/],
	['a wrong config key', good.replace('unit: ms', 'units: ms'), 'strategy.yaml:7:68', /did you mean `unit`/],
	['a missing name', good.replace('name: hybrid_mesh\n', ''), 'strategy.yaml:1:1', /`name` is missing/],
	['an upper-case name', good.replace('hybrid_mesh', 'HybridMesh'), 'strategy.yaml:1:1', /lower case/],
	[
		'a wrong kind',
		good.replace('kind: inference', 'kind: inferrence'),
		'strategy.yaml:3:1',
		/`inference` or `training`/,
	],
	['a hook of the other kind', `${good}hooks: [rank, plan]\n`, 'strategy.yaml:13:15', /training/],
	['no decision hook', `${good}hooks: [tick]\n`, 'strategy.yaml:13:1', /must have the hook `rank`/],
	['a source outside', `${good}source: ../x.ts\n`, 'strategy.yaml:13:1', /inside the project/],
	['a target of another language', `${good}target: native\n`, 'strategy.yaml:13:1', /only Rust has a choice/],
	['an unknown target', `${good}target: wasm\n`, 'strategy.yaml:13:1', /must be `native` or .*`wasm32-wasip1`/],
	['a large state block', good.replace('1024', '1000000'), 'strategy.yaml:11:1', /<= 262144/],
];

for (const [title, text, where, message] of mistakes) {
	test(`${title} is told with its place`, (t) => {
		const error = fault(text);
		t.is(error.code, 'IM_MANIFEST_INVALID');
		t.is(error.where, where);
		t.regex(error.message, message);
	});
}

test('syntax errors, aliases and a newer ABI have their own codes', (t) => {
	const syntax = fault('name: [a\nversion: 1');
	t.is(syntax.code, 'IM_MANIFEST_SYNTAX');
	t.regex(syntax.where ?? '', /^strategy\.yaml:\d+:\d+$/);
	t.is(fault(`${good}description: &a x\nsource: *a\n`).code, 'IM_MANIFEST_SYNTAX');
	t.is(fault(good.replace('"1.0"', '"1.9"')).code, 'IM_MANIFEST_ABI');
	t.is(fault(good.replace('"1.0"', '"2.0"')).code, 'IM_MANIFEST_ABI');
});

test('all problems of a file are told at once', (t) => {
	const error = fault(good.replace('load]', 'laod]').replace('1.5', '11'));
	t.is((error.details as { problems: unknown[] }).problems.length, 2);
});

test('a folder without strategy.yaml is named', (t) => {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-manifest-'));
	t.teardown(() => rmSync(dir, { recursive: true }));
	t.is(t.throws(() => loadManifest(dir), { instanceOf: MeshError }).code, 'IM_MANIFEST_NOT_FOUND');
	writeFileSync(path.join(dir, 'strategy.yaml'), good);
	t.is(loadManifest(dir).name, 'hybrid_mesh');
});

test('a manifest survives the way through a module, and is replaced rather than doubled', (t) => {
	const manifest = parseManifest('strategy.yaml', good);
	const once = writeManifestSection(emptyModule, manifest);
	t.deepEqual(readManifest(once), manifest);
	const twice = writeManifestSection(once, { ...manifest, version: '2.0.0' });
	t.is(readManifest(twice).version, '2.0.0');
	t.is(once.length, twice.length);
	t.true(WebAssembly.validate(twice));
});

test('what is no module, or carries no manifest, is said so', (t) => {
	const code = (bytes: Uint8Array) => t.throws(() => readManifest(bytes), { instanceOf: MeshError }).code;
	t.is(code(Buffer.from('#!/bin/sh\n')), 'IM_MANIFEST_NOT_WASM');
	t.is(code(new Uint8Array(0)), 'IM_MANIFEST_NOT_WASM');
	t.is(code(emptyModule), 'IM_MANIFEST_MISSING');
	const module = writeManifestSection(emptyModule, parseManifest('strategy.yaml', good));
	t.is(code(Buffer.concat([module, module.subarray(8)])), 'IM_MANIFEST_CORRUPT');
	t.is(code(module.subarray(0, -1)), 'IM_MANIFEST_CORRUPT');
});

test('hostile bytes give a named error, never another', (t) => {
	const module = writeManifestSection(emptyModule, parseManifest('strategy.yaml', good));
	fc.assert(
		fc.property(
			fc.array(fc.tuple(fc.nat(module.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
			fc.nat(module.length),
			(changes, length) => {
				const bytes = module.slice(0, length);
				for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
				try {
					readManifest(bytes);
				} catch (error) {
					if (!(error instanceof MeshError)) throw error;
				}
			},
		),
		{ numRuns: 2000 },
	);
	t.pass();
});

test('configuration becomes slots in manifest order', (t) => {
	const manifest = parseManifest('strategy.yaml', good);
	const view = new DataView(encodeConfig(manifest, { wait_weight: 2.5, strict: false }).buffer);
	t.is(view.getFloat32(0, true), 2.5);
	t.is(view.getUint32(4, true), 0);
	t.is(view.getInt32(8, true), -3);
	const code = (values: Record<string, number | boolean>) =>
		t.throws(() => encodeConfig(manifest, values), { instanceOf: MeshError });
	t.regex(code({ wait_wieght: 1 }).message, /did you mean `wait_weight`/);
	t.is(code({ wait_weight: 11 }).code, 'IM_MANIFEST_CONFIG');
	t.is(code({ spare: 0.5 }).code, 'IM_MANIFEST_CONFIG');
	t.is(code({ strict: 1 }).code, 'IM_MANIFEST_CONFIG');
});

test('the target is of the project: it is read, and not repeated in what is built', (t) => {
	const inRust = parseManifest('strategy.yaml', 'name: aa\nversion: 1.0.0\nsource: src/lib.rs\ntarget: native\n');
	t.is(inRust.target, 'native');
	t.false('target' in manifestDocument(inRust));
	t.is(parseManifest('strategy.yaml', 'name: aa\nversion: 1.0.0\nsource: a.c\ntarget: native\n').target, 'native');
});

test('the schema of a manifest is one: it is not looked at when a manifest is', (t) => {
	const checking = new Ajv({ strict: true, allowUnionTypes: true });
	t.true(checking.validateSchema(manifestSchema), checking.errorsText());
});
