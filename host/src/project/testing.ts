// Owns what the tests of the author's loop share: temporary folders and generated projects. Not part of the product.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generate } from 'create-infermesh-strategy';

interface Teardown {
	teardown(fn: () => void): void;
}

/** A folder that is gone after the test. */
export function temporaryDir(t: Teardown): string {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-project-'));
	t.teardown(() => rmSync(dir, { recursive: true, force: true }));
	return dir;
}

/** A freshly generated project. */
export function generatedProject(t: Teardown, template: string): string {
	return generate({ path: 'project', name: 'under_test', template, cwd: temporaryDir(t) }).dir;
}
