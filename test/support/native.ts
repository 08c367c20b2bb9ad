// Owns native strategies for tests and benches outside of the host: the C template's source with something put in front of its `rank`, built as an author's.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildStrategy } from '@infermesh/sdk';

const template = fileURLToPath(new URL('../../../templates/strategy-c/strategy.c', import.meta.url));
const rank = 'static int32_t rank(uint8_t *frame) {\n';

export interface NativeProject {
	readonly name: string;
	readonly version?: string;
	/** C, at the start of `rank`. */
	readonly first?: string;
	/** C, before all else of the file. */
	readonly before?: string;
}

/** What a strategy does wrong, by the request's `max_tokens`. */
export const misdeeds = [
	{ name: 'crash', number: 6661, code: '*(volatile int *)8 = 1;' },
	{ name: 'hang', number: 6662, code: 'for (volatile int on = 1; on;) {}' },
	{
		name: 'wild write',
		number: 6663,
		code: 'for (int i = 0; i < 4096; i++) ((volatile uint8_t *)frame)[i] = 0xff; return 0;',
	},
] as const;

/** `first` of a strategy that does these when it is asked to, and is the template's otherwise. */
export const hostileFirst = `switch (im_request_in(frame)->tokens_out_max) {
${misdeeds.map(({ number, code }) => `case ${number}: ${code} break;`).join('\n')}
}
`;

/** Writes the project into `dir`, which is made. */
export function writeNativeProject(
	dir: string,
	{ name, version = '1.0.0', first = '', before = '' }: NativeProject,
): void {
	mkdirSync(dir, { recursive: true });
	writeFileSync(
		path.join(dir, 'strategy.yaml'),
		`name: ${name}\nversion: ${version}\nabi: "1.0"\nsource: strategy.c\ncolumns: [load, weight, slow_start]\n`,
	);
	const source = readFileSync(template, 'utf8');
	if (!source.includes(rank)) throw new Error('the template begins its rank otherwise');
	writeFileSync(path.join(dir, 'strategy.c'), before + source.replace(rank, `${rank}${first}`));
}

/** Bytes of the library. */
export async function nativeLibrary(project: NativeProject): Promise<Uint8Array> {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-native-'));
	try {
		writeNativeProject(dir, project);
		return (await buildStrategy(dir)).wasm;
	} finally {
		rmSync(dir, { recursive: true, force: true });
	}
}

/** Least load; its state counts outcomes and ticks, and shows the outcomes as a factor. */
const counting = {
	manifest: 'columns: [load]\nhooks: [rank, observe, tick]\nfactors: [seen]\nstate_bytes: 64\n',
	source: `#include "infermesh.h"
#include "infermesh_manifest.h"
static uint32_t *state(uint8_t *frame) { return (uint32_t *)(void *)im_state(frame); }
static int32_t rank(uint8_t *frame) {
	const float *load = im_column_f32(frame, IM_COLUMN_LOAD);
	float *cost = im_scratch_f32(frame, 0);
	for (uint32_t row = 0; row < im_header(frame)->row_capacity; row++) cost[row] = load[row];
	const int32_t status = im_rank_lowest(frame, cost, IM_TOP_K);
	im_output *output = im_output_in(frame);
	output->factor_count = 1;
	for (uint32_t at = 0; at < output->count; at++) output->factors[at * IM_FACTORS_MAX] = (float)state(frame)[0];
	return status;
}
static int32_t observe(uint8_t *frame, int32_t count) { state(frame)[0] += (uint32_t)count; return IM_STATUS_OK; }
static int32_t tick(uint8_t *frame) { state(frame)[1]++; return IM_STATUS_OK; }
IM_STRATEGY(IM_NATIVE_HAS_RANK | IM_NATIVE_HAS_OBSERVE | IM_NATIVE_HAS_TICK, .rank = rank, .observe = observe, .tick = tick)
`,
};

/** A library whose state block counts what it has observed. */
export async function countingLibrary(version: string): Promise<Uint8Array> {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-native-'));
	try {
		const head = `name: counting\nversion: ${version}\nabi: "1.0"\nsource: strategy.c\n`;
		writeFileSync(path.join(dir, 'strategy.yaml'), head + counting.manifest);
		writeFileSync(path.join(dir, 'strategy.c'), counting.source);
		return (await buildStrategy(dir)).wasm;
	} finally {
		rmSync(dir, { recursive: true, force: true });
	}
}

/** Sandboxes of a process that have not ended. */
export function sandboxesOf(pid: number): number[] {
	return readdirSync('/proc')
		.map(Number)
		.filter((one) => {
			if (!Number.isInteger(one)) return false;
			try {
				const stat = readFileSync(`/proc/${one}/stat`, 'utf8');
				const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
				return Number(parent) === pid && state !== 'Z' && stat.includes('(sandbox');
			} catch {
				return false;
			}
		});
}
