// Owns the real clock for tests of this package, and folders that go with the test. Test support only.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Clock } from '@infermesh/proto';
import type { ExecutionContext } from 'ava';

export const testClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after: (delayMs, fn) => {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every: (periodMs, fn) => {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};

export const testBytes = (count: number): Uint8Array => randomBytes(count);

export function testFolder(t: ExecutionContext): string {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-adapters-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	return folder;
}
