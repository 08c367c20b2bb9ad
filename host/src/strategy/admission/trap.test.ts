// A trap, a refusal and a profile name the line of the author's source.
import { main as asc } from 'assemblyscript/asc';
import test from 'ava';
import { admitModule, instrumentProfile } from './admit.js';
import { readProfile } from './profile.js';
import { mustAdmit, runRank } from './testing.js';
import { mapTrap } from './trap.js';

const FILE = 'assembly/index.ts';
const source = `export { __heap_base };
function half(total: u32, by: u32): u32 {
  if (by == 3) {
    return total /
      (by - 3);
  }
  return total >> 1;
}
export function rank(frame: usize): i32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < 100; i++) {
    sum += load<u32>(frame + (i << 2)) * 3;
  }
  store<u32>(frame, sum);
  if (load<u32>(frame, 4) == 1) while (true) {
    store<u32>(frame, load<u32>(frame) + 1);
  }
  return half(sum, load<u32>(frame, 8));
}
`;

async function compile(text: string): Promise<{ readonly wasm: Uint8Array; readonly sourceMap: string }> {
	const files = new Map<string, string | Uint8Array>([[FILE, text]]);
	const { error } = await asc(
		[
			FILE,
			'-o',
			'out.wasm',
			'--sourceMap',
			'-O3',
			'--noAssert',
			'--runtime',
			'stub',
			'--importMemory',
			'--use',
			'abort=',
		],
		{
			readFile: (name) => {
				const found = files.get(name);
				return typeof found === 'string' ? found : null;
			},
			writeFile: (name, contents) => void files.set(name, contents),
			listFiles: () => [],
		},
	);
	const wasm = files.get('out.wasm');
	const sourceMap = files.get('out.wasm.map');
	if (error !== null || !(wasm instanceof Uint8Array) || typeof sourceMap !== 'string')
		throw error ?? new Error('the compiler wrote no module');
	return { wasm, sourceMap };
}

/** Line of the source that holds `text`, 1-based. */
function lineOf(text: string): number {
	return source.split('\n').findIndex((line) => line.includes(text)) + 1;
}

/** The source with rank setting words 1 and 2 of its frame first. */
function withFrame(text: string, word1: number, word2: number): string {
	return text.replace(
		'export function rank(frame: usize): i32 {',
		`export function rank(frame: usize): i32 { store<u32>(frame, ${word1}, 4); store<u32>(frame, ${word2}, 8);`,
	);
}

test('a trap names function, file and line, through metering', async (t) => {
	const { wasm, sourceMap } = await compile(withFrame(source, 0, 3));
	for (const precharge of [true, false]) {
		const admitted = mustAdmit(admitModule(wasm, { memoryPages: 1, sourceMap, precharge }));
		const run = runRank(admitted.wasm, 1_000_000n);
		t.is(run.cause, 'trap');
		const place = mapTrap(run.error, admitted);
		t.is(place?.function, 'rank');
		t.is(place?.source, FILE);
		t.true(place?.line === lineOf('return total /') || place?.line === lineOf('(by - 3)'), `line ${place?.line}`);
	}
});

test('spent fuel names the loop that spent it', async (t) => {
	const { wasm, sourceMap } = await compile(withFrame(source, 1, 0));
	const admitted = mustAdmit(admitModule(wasm, { memoryPages: 1, sourceMap }));
	const run = runRank(admitted.wasm, 100_000n);
	t.is(run.cause, 'spent');
	t.true(run.fuel < 0n);
	const place = mapTrap(run.error, admitted);
	t.is(place?.function, 'rank');
	t.true(Math.abs((place?.line ?? 0) - lineOf('while (true)')) <= 1, `line ${place?.line}`);
});

test('a profile by source line puts the fuel where the loop is, and adds up', async (t) => {
	const { wasm, sourceMap } = await compile(withFrame(source, 0, 0));
	const profiled = mustAdmit(instrumentProfile(wasm, { memoryPages: 1, sourceMap }));
	const run = runRank(profiled.wasm, 1_000_000n);
	t.is(run.cause, 'returned');
	const lines = readProfile(profiled, run.exports);
	t.is(BigInt(lines.reduce((sum, line) => sum + line.fuel, 0)), run.used);
	const loop = lines.filter((line) => line.line === lineOf('sum +=') || line.line === lineOf('for (let i'));
	const share = loop.reduce((sum, line) => sum + line.fuel, 0) / Number(run.used);
	t.true(share > 0.9, `${(share * 100).toFixed(1)} % of the fuel is in the loop`);
	t.is(lines[0]?.source, FILE);
});

test('a refusal names the source line of the instruction', async (t) => {
	const { wasm, sourceMap } = await compile(source.replace('return total >> 1;', 'return memory.grow(total);'));
	const result = admitModule(wasm, { memoryPages: 1, sourceMap });
	const [refusal] = result.ok ? [] : result.refusals;
	t.is(refusal?.code, 'IM_ADMISSION_MEMORY_GROW');
	t.is(refusal?.where.source, FILE);
	t.is(refusal?.where.line, lineOf('return total >> 1;'));
});

test('without stack trace, or with a broken source map, a trap is still told from others', async (t) => {
	const { wasm } = await compile(withFrame(source, 0, 3));
	const admitted = mustAdmit(admitModule(wasm, { memoryPages: 1, sourceMap: '{"mappings":"!!","sources":[]}' }));
	const place = mapTrap(runRank(admitted.wasm, 1_000_000n).error, admitted);
	t.is(place?.line, undefined);
	t.is(place?.function, 'rank');
	t.is(mapTrap(new Error('no frame'), admitted), undefined);
	t.is(mapTrap('not an error', admitted), undefined);
});
