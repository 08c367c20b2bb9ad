import { Worker } from 'node:worker_threads';
import test from 'ava';
import { threadBegun } from './thread-begun.js';

type Message = { readonly kind: 'other' | 'begun' | 'refused' };

/** A thread that goes on for ever, whatever it says. */
function thread(code: string): { readonly worker: Worker; readonly ended: Promise<void> } {
	const head = `const { parentPort } = require('node:worker_threads'); setInterval(() => undefined, 1000);`;
	const worker = new Worker(`${head} ${code}`, { eval: true });
	return { worker, ended: new Promise((resolve) => worker.once('exit', () => resolve())) };
}

function began({ kind }: Message): string | undefined {
	if (kind === 'refused') throw new Error('no port');
	return kind === 'begun' ? kind : undefined;
}

test('a thread that begins is left running', async (t) => {
	const { worker } = thread(`parentPort.postMessage({ kind: 'other' }); parentPort.postMessage({ kind: 'begun' });`);
	t.is(await threadBegun(worker, began), 'begun');
	t.true(worker.threadId > 0);
	t.is(worker.listenerCount('message') + worker.listenerCount('error'), 0);
	await worker.terminate();
});

for (const [what, code, message] of [
	['refuses', `parentPort.postMessage({ kind: 'refused' });`, 'no port'],
	['fails', `throw new Error('broken');`, 'broken'],
	['ends', `process.exit(0);`, 'a thread has ended before it had begun'],
] as const)
	test(`a thread that ${what} before it has begun keeps nobody up`, async (t) => {
		const { worker, ended } = thread(code);
		await t.throwsAsync(threadBegun(worker, began), { any: true, message });
		await ended;
		t.is(worker.threadId, -1);
	});
