// Owns native strategies for tests and benches outside of the host: the C template's source with something put in front of its `rank`, built as an author's.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
