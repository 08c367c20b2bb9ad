// Owns the compiler's process: it gets one project as text, builds it, and answers with the module. A process of its own because meshd's has
// the engine optimise WebAssembly at first call, which costs the compiler, itself a large module, half a minute.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildStrategy } from '@infermesh/sdk';

export interface BuildOrder {
	readonly manifest: string;
	readonly source: string;
}

export type BuildAnswer = { readonly wasm: Uint8Array<ArrayBuffer> } | { readonly error: string };

async function build({ manifest, source }: BuildOrder): Promise<BuildAnswer> {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-e2e-'));
	try {
		mkdirSync(path.join(dir, 'assembly'));
		writeFileSync(path.join(dir, 'strategy.yaml'), manifest);
		writeFileSync(path.join(dir, 'assembly/index.ts'), source);
		return { wasm: (await buildStrategy(dir, { dryRun: true })).wasm };
	} catch (error) {
		return { error: error instanceof Error ? error.message : String(error) };
	} finally {
		rmSync(dir, { recursive: true });
	}
}

process.once('message', (order: BuildOrder) => {
	void build(order).then((answer) => process.send?.(answer, () => process.disconnect()));
});
