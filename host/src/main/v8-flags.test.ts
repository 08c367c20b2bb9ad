// A data-plane worker's young generation is large from the start and stays at that; other threads keep V8's own.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { withRoomForRequests } from './v8-flags.js';

/** Bytes of young generation that a thread takes before it collects for the first time. */
const CODE = `
const { parentPort } = require('node:worker_threads');
const { getHeapSpaceStatistics } = require('node:v8');
const { PerformanceObserver } = require('node:perf_hooks');
let kept;
let collected = false;
new PerformanceObserver(() => { collected = true; }).observe({ entryTypes: ['gc'] });
const used = () => getHeapSpaceStatistics().find((each) => each.space_name === 'new_space').space_used_size;
let most = 0;
const step = () => {
	for (let i = 0; i < 1000; i++) kept = { a: i, b: [i, i] };
	most = Math.max(most, used());
	if (collected) parentPort.postMessage(most);
	else setImmediate(step);
};
step();
`;

async function told(thread: Worker): Promise<number> {
	const [figure] = (await once(thread, 'message')) as [number];
	await thread.terminate();
	return figure;
}

test.serial(
	'a worker for requests fills a young generation of 16 MiB before it collects; a thread started afterwards does not',
	async (t) => {
		const roomy = await told(withRoomForRequests(() => new Worker(CODE, { eval: true })));
		const plain = await told(new Worker(CODE, { eval: true }));
		t.true(roomy > 12 << 20, `${roomy} bytes`);
		t.true(plain < 8 << 20, `${plain} bytes`);
	},
);

/** Most bytes a thread's heap may have, its young generation included. */
const LIMIT = `
require('node:worker_threads').parentPort.postMessage(require('node:v8').getHeapStatistics().heap_size_limit);
`;

test.serial(
	"a worker's young generation does not grow beyond that, whatever survives in it; another thread's does",
	async (t) => {
		const kept = await told(withRoomForRequests(() => new Worker(LIMIT, { eval: true })));
		const plain = await told(new Worker(LIMIT, { eval: true }));
		t.true(plain - kept >= 32 << 20, `${kept} and ${plain} bytes`);
	},
);
