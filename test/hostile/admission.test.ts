// Every module of the hostile corpus is refused with its reason, or admitted and ends as its first line says.
import { type AdmittedModule, admissionErrors, admitDefaults, admitModule, trapCause } from '@infermesh/host';
import test from 'ava';
import { assembleHostile, type HostileModule } from './assemble.js';

const PAGES = 16;
const FRAME = 1024;
const ROWS = 40;
const FUEL = 2_000_000n;
const OUTPUT = 512;
const options = { memoryPages: PAGES };

interface Engine {
	readonly Module: new (bytes: Uint8Array) => object;
	readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
	readonly Memory: new (limits: {
		readonly initial: number;
		readonly maximum: number;
	}) => { readonly buffer: ArrayBuffer };
}
const engine = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;

/** A frame as far as the corpus reads it: rows, output, eligibility (row 0 is not eligible), state. */
function writeFrame(memory: ArrayBuffer): void {
	const words = new Uint32Array(memory, FRAME);
	words[2] = 4096;
	words[5] = ROWS;
	words[8] = 256;
	words[9] = OUTPUT;
	words[10] = 1280;
	words[17] = 1536;
	words[320] = 0xffff_fffe;
	words[321] = 0xff;
	words.fill(0, OUTPUT / 4, OUTPUT / 4 + 192);
	words[OUTPUT / 4 + 5] = 0xffff_ffff;
	words[OUTPUT / 4 + 6] = 0xffff_ffff;
}

type Ending = 'spent' | 'stack' | 'trap' | 'returned';

function run(admitted: AdmittedModule): { readonly ending: Ending; readonly status: number; readonly used: bigint } {
	const memory = new engine.Memory({ initial: PAGES, maximum: PAGES });
	const { exports } = new engine.Instance(new engine.Module(admitted.wasm), { env: { memory } });
	const fuel = exports['__im_fuel'] as { value: bigint };
	const stack = exports['__im_stack'] as { readonly value: number };
	writeFrame(memory.buffer);
	fuel.value = FUEL;
	try {
		const status = (exports['rank'] as (frame: number) => number)(FRAME);
		return { ending: 'returned', status, used: FUEL - fuel.value };
	} catch (error) {
		const { stackSlotsMax } = admitDefaults;
		const cause = trapCause(error, { fuel: fuel.value, stackSlots: stack.value, stackSlotsMax });
		return { ending: cause, status: 0, used: FUEL - fuel.value };
	}
}

function ending(expect: HostileModule['expect']): Ending {
	return expect.kind === 'spent' || expect.kind === 'stack' || expect.kind === 'trap' ? expect.kind : 'returned';
}

test('every hostile module is refused with its reason or ends as foretold', async (t) => {
	const corpus = await assembleHostile();
	t.true(corpus.length >= 90, `${corpus.length} modules`);
	for (const { name, expect, wasm } of corpus) {
		const result = admitModule(wasm, options);
		if (expect.kind === 'refused') {
			const codes = result.ok ? [] : result.refusals.map((refusal) => refusal.code);
			t.true(
				codes.some((code) => code === expect.code),
				`${name}: expected ${expect.code}, got ${codes.join(' ')}`,
			);
			continue;
		}
		if (!result.ok) {
			t.fail(`${name}: refused with ${JSON.stringify(result.refusals)}`);
			continue;
		}
		const first = run(result);
		t.is(first.ending, ending(expect), name);
		t.deepEqual(run(result), first, `${name}: another instance ended otherwise`);
	}
});

test('every refusal says what, where and how to mend it', async (t) => {
	for (const { name, expect, wasm } of await assembleHostile()) {
		if (expect.kind !== 'refused') continue;
		const result = admitModule(wasm, options);
		if (result.ok) {
			t.fail(`${name}: admitted`);
			continue;
		}
		for (const refusal of result.refusals) {
			t.true(refusal.what.length > 10, name);
			t.is(refusal.hint, admissionErrors[refusal.code].hint, name);
			t.true(refusal.where.offset >= 0 && refusal.where.offset <= wasm.length, name);
		}
	}
});
