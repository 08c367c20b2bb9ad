// Strategies in Rust as native libraries, with a real toolchain: the template from `new` to a verdict and a measurement, the same answers from one source as
// library and as modules, panics that are caught, and what C code in a module may ask of its host.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { buildStrategy, createKit, type KitAnswer, Status, type StrategyKit } from '@infermesh/sdk';
import test, { type ExecutionContext } from 'ava';
import { generate } from 'create-infermesh-strategy';
import { NativeLibrary } from '../support/native-kit.js';
import { run, temporaryFolder } from '../support/programs.js';
import { useRust } from '../support/rust.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const cli = path.join(root, 'host/bin/infermesh.mjs');

/** A project of the template, with its source and Cargo.toml changed. */
function project(t: ExecutionContext, name: string, change: (source: string) => string = (same) => same): string {
	useRust();
	const { dir } = generate({ path: name, name: 'my-rust', template: 'strategy-rust', cwd: temporaryFolder(t) });
	const file = path.join(dir, 'src/lib.rs');
	writeFileSync(file, change(readFileSync(file, 'utf8')));
	return dir;
}

test.serial('a project of the template builds, passes its scenarios, is admitted and measured', async (t) => {
	t.timeout(600_000);
	const dir = project(t, 'first');
	for (const command of [['build'], ['test'], ['check'], ['bench', '--targets', '16']]) {
		const { code, output } = await run(process.execPath, [cli, 'strategy', ...command, dir]);
		t.is(code, 0, output);
		t.notRegex(output, /warning/);
	}
	const library = readFileSync(path.join(dir, 'build/my-rust.so'));
	t.notRegex(library.toString('latin1'), new RegExp(path.dirname(dir)), 'no folder of this machine is in the library');
	const again = await buildStrategy(project(t, 'second'));
	t.deepEqual(Buffer.from(again.wasm), library, 'the same bytes wherever the project stands');
});

/** Answers of `kit` to requests whose seeds and fleets are the same for every kit. */
function answersOf(kit: StrategyKit): KitAnswer[] {
	return Array.from({ length: 300 }, (_, index) => {
		for (let row = 0; row < 20; row++) {
			const mixed = Math.imul(index * 20 + row + 1, 0x9e3779b1) >>> 0;
			kit.set(row, { load: mixed % 7, weight: (mixed >>> 8) % 5 === 0 ? Number.NaN : ((mixed >>> 8) % 5) / 4 });
			kit.setEligible(row, (mixed >>> 16) % 4 > 0);
		}
		return kit.rank({ seed: BigInt(index) << 31n });
	});
}

test.serial(
	'one source decides alike as a library, in a sandbox and inline, and as a module of either target',
	async (t) => {
		t.timeout(600_000);
		const dir = project(t, 'same');
		const { outFile = '' } = await buildStrategy(dir);
		const native = await NativeLibrary.open(outFile);
		const options = { rows: 20 };
		const expected = answersOf(native.kit('inline', options));
		t.true(expected.every(({ status }) => status === 0));
		const sandboxed = native.kit('process', options);
		t.deepEqual(answersOf(sandboxed), expected);
		sandboxed.close();
		for (const target of ['wasm32-unknown-unknown', 'wasm32-wasip1'] as const) {
			const { wasm, outFile: module = '' } = await buildStrategy(dir, { target });
			t.deepEqual(answersOf(createKit(wasm, options)), expected, target);
			const { code, output } = await run(process.execPath, [cli, 'strategy', 'check', module]);
			t.is(code, 0, output);
		}
	},
);

test.serial('a panic is the status error with its words in the log, also where Cargo.toml says abort', async (t) => {
	t.timeout(600_000);
	const dir = project(t, 'panics', (source) =>
		source.replace('let load', 'assert!(frame.rows.request.tokens_in != 13, "thirteen is too many");\n    let load'),
	);
	const cargo = path.join(dir, 'Cargo.toml');
	writeFileSync(cargo, `${readFileSync(cargo, 'utf8')}panic = "abort"\n`);
	const { outFile = '' } = await buildStrategy(dir);
	const native = await NativeLibrary.open(outFile);
	const sandboxed = native.kit('process', { rows: 2 });
	for (const kit of [native.kit('inline', { rows: 2 }), sandboxed]) {
		for (let turn = 0; turn < 3; turn++) {
			const { status, log } = kit.rank({ tokens_in: 13 });
			t.is(status, Status.error);
			t.regex(log, /^panicked at .*thirteen is too many/);
			t.regex(log, /src\/lib\.rs:1[0-9]:/);
			t.is(kit.rank({ tokens_in: 12 }).status, 0, 'the next decision is made by the same instance');
		}
	}
	sandboxed.close();
});

const asksItsHost = `
extern "C" {
    fn time(into: *mut i64) -> i64;
    fn write(file: i32, text: *const u8, bytes: usize) -> isize;
    fn getentropy(into: *mut u8, bytes: usize) -> i32;
}
`;

/** In place of the least load: what the functions of C say. */
const answers = (more: string): string => `fn rank(frame: &mut Frame) -> Status {
    let text = b"hello";
    let seconds = unsafe { time(core::ptr::null_mut()) };
    let written = unsafe { write(1, text.as_ptr(), text.len()) };
    ${more}
    let cost = frame.scratch(0);
    cost.fill(seconds as f32 * 10.0 + written as f32);
    frame.rank_lowest(cost, TOP_K)
}
`;

test.serial(
	'functions of C are there for wasm32-wasip1, with the clock of the request; chance is refused by name',
	async (t) => {
		t.timeout(600_000);
		const withHook = (more: string) => (source: string) =>
			source
				.replace(/fn rank[^]*?\n}\n/, answers(more))
				.replace('mod manifest;', `mod manifest;\n${asksItsHost}`)
				.replace('columns, MANIFEST', 'MANIFEST')
				.replace('max32, ', '');
		const dir = project(t, 'asks', withHook(''));
		const { wasm, outFile = '' } = await buildStrategy(dir, { target: 'wasm32-wasip1' });
		const { status, scores } = createKit(wasm, { rows: 2 }).rank({ now_ms: 7_654_321 });
		t.is(status, 0);
		t.deepEqual(scores, [76_545, 76_545]);
		const { code, output } = await run(process.execPath, [cli, 'strategy', 'check', outFile]);
		t.is(code, 0, output);
		const chance = project(t, 'chance', withHook('let mut lot = 0u8;\n    unsafe { getentropy(&mut lot, 1) };'));
		const refused = await t.throwsAsync(buildStrategy(chance, { target: 'wasm32-wasip1' }), { instanceOf: MeshError });
		t.is(refused.code, 'IM_BUILD_IMPORT');
		t.regex(refused.message, /wasi_snapshot_preview1\.random_get/);
		const elsewhere = await t.throwsAsync(buildStrategy(dir, { target: 'wasm32-unknown-unknown' }), {
			instanceOf: MeshError,
		});
		t.regex(elsewhere.message, /env\.time/);
	},
);
