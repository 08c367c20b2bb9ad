// The Rust SDK with a real toolchain: its own tests, the template from `new` to a verdict, mistakes with their place, and the same bits as AssemblyScript.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { MeshError } from '@infermesh/proto';
import { buildStrategy, createKit, type RowValues, readManifest } from '@infermesh/sdk';
import test from 'ava';
import { generate } from 'create-infermesh-strategy';
import { run, temporaryFolder } from '../support/programs.js';
import { useRust } from '../support/rust.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const cli = path.join(root, 'host/bin/infermesh.mjs');

test.serial('the SDK passes its own tests', async (t) => {
	t.timeout(600_000);
	const { cargo } = useRust();
	const folder = temporaryFolder(t);
	for (const part of ['Cargo.toml', 'src'])
		cpSync(path.join(root, 'sdk/rust', part), path.join(folder, part), { recursive: true });
	const { code, output } = await run(cargo, ['test', '--offline', '--manifest-path', path.join(folder, 'Cargo.toml')]);
	t.is(code, 0, output);
	t.regex(output, /test result: ok\. \d\d passed; 0 failed/);
});

test.serial(
	'a project of the template builds, passes its scenarios and is admitted, with the same bytes each time',
	async (t) => {
		t.timeout(600_000);
		useRust();
		const cwd = temporaryFolder(t);
		const bytes: Buffer[] = [];
		for (const name of ['first', 'second']) {
			const { dir } = generate({ path: name, name: 'my-rust', template: 'strategy-rust-wasm', cwd });
			for (const command of ['build', 'test', 'check']) {
				const { code, output } = await run(process.execPath, [cli, 'strategy', command, dir]);
				t.is(code, 0, output);
				t.notRegex(output, /warning/);
			}
			bytes.push(readFileSync(path.join(dir, 'build/my-rust.wasm')));
		}
		const [first = Buffer.alloc(0), second] = bytes;
		t.deepEqual(first, second);
		t.deepEqual(readManifest(first).columns, ['load', 'weight']);
		t.notRegex(first.toString('latin1'), new RegExp(cwd), 'no folder of this machine is in the module');
	},
);

test.serial('a mistake is told with its place, a panic is a trap, what is missing is named', async (t) => {
	t.timeout(600_000);
	useRust();
	const { dir } = generate({ path: 'faulty', template: 'strategy-rust-wasm', cwd: temporaryFolder(t) });
	const file = path.join(dir, 'src/lib.rs');
	const source = readFileSync(file, 'utf8');
	writeFileSync(file, source.replace('columns::weight', 'columns::wait'));
	const mistake = await t.throwsAsync(buildStrategy(dir), { instanceOf: MeshError });
	t.is(mistake.code, 'IM_BUILD_COMPILE');
	t.is(mistake.where, `${path.join(dir, 'src/lib.rs')}:14:27`);
	writeFileSync(file, source.replace('let load', 'assert!(frame.rows.count < 2);\n    let load'));
	const { wasm } = await buildStrategy(dir);
	t.is(createKit(wasm, { rows: 1 }).rank().status, 0);
	t.throws(() => createKit(wasm, { rows: 2 }).rank(), { message: /unreachable/ });
	const { PATH } = process.env;
	process.env['PATH'] = dir;
	const missing = await t.throwsAsync(buildStrategy(dir), { instanceOf: MeshError });
	process.env['PATH'] = PATH;
	t.is(missing.code, 'IM_BUILD_COMPILER');
	t.regex(missing.hint ?? '', /libstd-rust-dev-wasm32/);
});

const yaml = `name: probe
version: 1.0.0
columns: [load]
hooks: [rank]
factors: [power, logarithm, draw, share, lot]
top_k: 16
`;

const assembly = `import * as im from 'infermesh';
import { columns } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	im.begin(frame);
	im.setFactorCount(5);
	for (let row = 0; row < 16; row++) {
		const value = columns.load[row];
		im.putRanked(row, row, <f32>row);
		im.putFactor(row, 0, im.exp32(value));
		im.putFactor(row, 1, im.log32(value));
		im.putFactor(row, 2, <f32>im.randomBelow(1000000));
		im.putFactor(row, 3, im.randomFloat());
		im.putFactor(row, 4, <f32>(im.rendezvous(im.request().session, row) >> 8));
	}
	return im.route(16);
}
`;

const rust = `#![no_std]
mod manifest;
use infermesh_strategy::{exp32, log32, rendezvous, strategy, Frame, Status};

fn rank(frame: &mut Frame) -> Status {
    let load = manifest::columns::load(&frame.rows);
    frame.answer.set_factor_count(manifest::FACTOR_COUNT);
    for row in 0..16 {
        frame.answer.put_ranked(row, row, row as f32);
        frame.answer.put_factor(row, manifest::FACTOR_POWER, exp32(load[row]));
        frame.answer.put_factor(row, manifest::FACTOR_LOGARITHM, log32(load[row]));
        frame.answer.put_factor(row, manifest::FACTOR_DRAW, frame.random.below(1_000_000) as f32);
        frame.answer.put_factor(row, manifest::FACTOR_SHARE, frame.random.float());
        let lot = rendezvous(frame.rows.request.session, row as u32) >> 8;
        frame.answer.put_factor(row, manifest::FACTOR_LOT, lot as f32);
    }
    frame.answer.route(16)
}

strategy!(manifest: manifest::MANIFEST, rank: rank);
`;

/** A column of values that break arithmetic and of values that do not, by a seed. */
function values(seed: number): RowValues[] {
	const odd = [
		0,
		-0,
		-1,
		1,
		Number.NaN,
		Number.POSITIVE_INFINITY,
		Number.NEGATIVE_INFINITY,
		1e-45,
		1.2e-38,
		88,
		-87,
		1e9,
	];
	return Array.from({ length: 16 }, (_, row) => {
		const mixed = Math.imul(seed * 16 + row + 1, 0x9e3779b1) >>> 0;
		const load =
			mixed % 4 === 0
				? (odd[(mixed >>> 8) % odd.length] ?? 0)
				: ((mixed >>> 8) / 2 ** 24 - 0.5) * 2 ** ((mixed >>> 3) % 9);
		return { load };
	});
}

test.serial('exp, log, random numbers and hashes give the same bits as in AssemblyScript', async (t) => {
	t.timeout(600_000);
	useRust();
	const { dir } = generate({ path: 'probe', template: 'strategy-rust-wasm', cwd: temporaryFolder(t) });
	writeFileSync(path.join(dir, 'strategy.yaml'), `${yaml}source: src/lib.rs\n`);
	writeFileSync(path.join(dir, 'src/lib.rs'), rust);
	const inRust = await buildStrategy(dir);
	writeFileSync(path.join(dir, 'strategy.yaml'), yaml);
	mkdirSync(path.join(dir, 'assembly'));
	writeFileSync(path.join(dir, 'assembly/index.ts'), assembly);
	const inAssembly = await buildStrategy(dir);
	const kits = [inRust, inAssembly].map(({ wasm }) => createKit(wasm, { rows: 16 }));
	for (let seed = 0; seed < 500; seed++) {
		const asked = { seed: BigInt.asUintN(64, BigInt(seed) * 0x9e37_79b9_7f4a_7c15n), session: BigInt(seed) << 33n };
		const [a, b] = kits.map((kit) => {
			for (const [row, value] of values(seed).entries()) kit.set(row, value);
			return kit.rank(asked);
		});
		t.true(isDeepStrictEqual(a, b), `seed ${seed}: ${JSON.stringify(a)} ≠ ${JSON.stringify(b)}`);
	}
	t.is(kits[0]?.rank().status, 0);
});
