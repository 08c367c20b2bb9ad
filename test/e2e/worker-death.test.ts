// A data-plane worker dies: its connections break and nothing else. What it had in flight is taken back, another takes its place and knows all
// that was loaded meanwhile.
import type { Worker } from 'node:worker_threads';
import { spawnWorker } from '@infermesh/host';
import test from 'ava';
import { eventually, startTestMesh, type Teardown, type TestMesh, type TestMeshOptions } from '../support/mesh.js';
import { counting, fixedRow, shipped, withVersion } from '../support/strategies.js';
import { ask, Oracle } from '../support/traffic.js';

/** A mesh whose worker threads are in the test's hands. */
async function mortalMesh(t: Teardown, options: TestMeshOptions = {}): Promise<{ mesh: TestMesh; threads: Worker[] }> {
	const threads: Worker[] = [];
	const mesh = await startTestMesh(t, {
		engines: 2,
		...options,
		spawnWorker: (start) => (threads[start.worker] = spawnWorker(start)),
	});
	return { mesh, threads };
}

async function replaced(mesh: TestMesh, restarts: number): Promise<void> {
	await eventually('the worker is replaced', async () => {
		const { workers } = await mesh.admin.status();
		return workers === 2 && (await mesh.admin.metric('infermesh_worker_restarts_total')) === restarts;
	});
}

test.serial('a dead worker’s share in flight is taken back, and its place is taken', async (t) => {
	const { mesh, threads } = await mortalMesh(t);
	for (const engine of mesh.engines) engine.setFaults({ slow: { factor: 1000 } });
	let begun = 0;
	const streams = Array.from({ length: 40 }, (_, seed) =>
		ask({ url: mesh.dataUrl, seed, tokens: 200, stream: true, onFirst: () => begun++ }),
	);
	const inFlight = async (): Promise<number> =>
		(await mesh.admin.targets()).reduce((sum, target) => sum + target.inFlight, 0);
	await eventually('all streams are under way', async () => (await inFlight()) === 40);
	await threads[0]?.terminate();
	await replaced(mesh, 1);
	const kept = await inFlight();
	t.true(kept > 0 && kept < 40, `${kept} of 40 are left: both workers had some`);
	for (const engine of mesh.engines) engine.setFaults({ slow: null });
	const oracle = new Oracle(mesh.engines[0]?.url ?? '');
	let finished = 0;
	for (const [seed, outcome] of (await Promise.allSettled(streams)).entries()) {
		// Those of the dead worker are cut, in the middle or before their first byte; those of the other are whole.
		if (outcome.status === 'rejected' || !outcome.value.complete) continue;
		finished++;
		t.is(outcome.value.text, await oracle.text(seed, 200));
	}
	t.is(finished, kept);
	t.is(await inFlight(), 0);
	const error = mesh.log.find(({ level }) => level === 'error');
	t.like(error, { worker: 0, message: 'a data-plane worker ended and is being replaced' });
});

test.serial('new workers know what was loaded, staged and observed before they came', async (t) => {
	const { mesh, threads } = await mortalMesh(t);
	await mesh.admin.load(withVersion(await counting('counting'), '1.0.0'), { activate: true });
	let sent = 5;
	for (let seed = 0; seed < sent; seed++) await ask({ url: mesh.dataUrl, seed });
	const seen = async (): Promise<number | undefined> => {
		const { decision } = await ask({ url: mesh.dataUrl, seed: sent, tokens: 1 });
		return (await mesh.admin.explain(decision)).candidates[0]?.factors['seen'];
	};
	// What has not been observed is still in the worker's hands and dies with it: at most the last look.
	await eventually('outcomes are observed', async () => (await seen()) === sent++, { everyMs: 120 });
	await mesh.admin.drain('engine-2');
	for (const [index, thread] of [...threads].entries()) {
		await thread.terminate();
		await replaced(mesh, index + 1);
	}
	const answers = await Promise.all(Array.from({ length: 40 }, (_, seed) => ask({ url: mesh.dataUrl, seed })));
	for (const { status, strategy, target } of answers)
		t.deepEqual({ status, strategy, target }, { status: 200, strategy: 'counting@1.0.0', target: 'engine-1' });
	const { candidates, fallbackCause } = await mesh.admin.explain(answers[0]?.decision ?? '');
	t.is(fallbackCause, 'none');
	const { seen: count = 0 } = candidates[0]?.factors ?? {};
	t.true(count === sent - 1 || count === sent, `${count} of ${sent}`);
	t.is(await mesh.admin.metric('infermesh_fallbacks_total'), 0);
});

test.serial('strategies keep changing while workers die, and every change holds on every worker', async (t) => {
	const { mesh, threads } = await mortalMesh(t);
	const [first, second] = [await fixedRow('to_first', 0), await fixedRow('to_second', 1)];
	await mesh.admin.load(first);
	await mesh.admin.load(second);
	for (let round = 0; round < 5; round++) {
		const [name, target] = round % 2 === 0 ? ['to_first', 'engine-1'] : ['to_second', 'engine-2'];
		const dying = threads[round % 2]?.terminate();
		// Now, half-way and at the end of the dying and of the replacement: whatever the order, the change must hold.
		for (let turn = 0; turn < round * 20; turn++) await Promise.resolve();
		await mesh.admin.stage(name, 'active');
		await dying;
		await replaced(mesh, round + 1);
		const answers = await Promise.all(
			Array.from({ length: 24 }, (_, seed) => ask({ url: mesh.dataUrl, seed, tokens: 1 })),
		);
		t.deepEqual([...new Set(answers.map((answer) => answer.target))], [target], `round ${round}`);
	}
});

test.serial('closing a mesh that has just lost a worker ends it all the same', async (t) => {
	const { mesh, threads } = await mortalMesh(t);
	await threads[1]?.terminate();
	const began = performance.now();
	await mesh.close();
	t.true(performance.now() - began < 2000);
	await t.throwsAsync(ask({ url: mesh.dataUrl, seed: 1 }));
});

test.serial('a load that is under way when a worker dies succeeds or says that nothing changed', async (t) => {
	const { mesh, threads } = await mortalMesh(t);
	const loading = mesh.admin.load(withVersion(shipped('least_queue'), '9.0.0'), { activate: true });
	await threads[0]?.terminate();
	await loading;
	await replaced(mesh, 1);
	const answers = await Promise.all(
		Array.from({ length: 24 }, (_, seed) => ask({ url: mesh.dataUrl, seed, tokens: 1 })),
	);
	t.deepEqual([...new Set(answers.map(({ strategy }) => strategy))], ['least_queue@9.0.0']);
});
