// Hostile modules deciding live traffic, let in past conformance: every request is served all the same, the third strike takes the module out
// of routing on all workers, time lets it back in, and nobody else notices.
import test from 'ava';
import { assembleHostile, type HostileModule } from '../hostile/assemble.js';
import { admitWithoutTrial } from '../support/decider.js';
import { eventually, startTestMesh } from '../support/mesh.js';
import { ask, Oracle } from '../support/traffic.js';

const corpus = new Map((await assembleHostile()).map((module) => [module.name, module]));

function hostile(name: string): HostileModule {
	const found = corpus.get(name);
	if (found === undefined) throw new Error(`the corpus has no ${name}`);
	return found;
}

const deadly: ReadonlyArray<readonly [name: string, cause: string]> = [
	['infinite-loop', 'fuel'],
	['infinite-recursion', 'stack'],
	['memory-fill-bomb', 'fuel'],
	['trap', 'trap'],
	['row-out-of-range', 'invalid_row'],
	['nan-scores', 'invalid_score'],
	['oob-store', 'trap'],
];

test.serial(
	'each serves its requests by the fallback until its third strike, and is then not asked again',
	async (t) => {
		const mesh = await startTestMesh(t, { engines: 2, admit: admitWithoutTrial });
		const { admin } = mesh;
		const oracle = new Oracle(mesh.engines[0]?.url ?? '');
		for (const [name, cause] of deadly) {
			const label = `hostile-${name}@0.0.1`;
			await admin.load(hostile(name).wasm, { activate: true });
			for (let seed = 0; seed < 16; seed++) {
				const answer = await ask({ url: mesh.dataUrl, seed, stream: seed % 2 === 0 });
				t.like(answer, { status: 200, strategy: 'least_queue@builtin', complete: true }, name);
				t.is(answer.text, await oracle.text(seed));
				// No machine is so slow that a loop without end would look like this.
				t.true(answer.elapsedMs < 2000, `${name} took ${answer.elapsedMs} ms`);
			}
			await eventually(`${name} is quarantined`, async () => {
				const view = (await admin.strategies()).find((strategy) => `${strategy.name}@${strategy.version}` === label);
				return view?.stage === 'quarantined' && (view.quarantinedForMs ?? 0) > 200_000;
			});
			const strikes = await admin.metric('infermesh_strategy_strikes_total', { strategy: label, cause });
			t.is(
				strikes,
				await admin.metric('infermesh_strategy_strikes_total', { strategy: label }),
				`${name} has one cause`,
			);
			t.true(strikes >= 3 && strikes < 16, `${name}: ${strikes} strikes`);
			const explained = await admin.explain((await ask({ url: mesh.dataUrl, seed: 99 })).decision);
			t.is(explained.fallbackCause, 'quarantined');
			t.is(await admin.metric('infermesh_strategy_strikes_total', { strategy: label }), strikes);
			await t.throwsAsync(admin.stage(label, 'canary', { percent: 5 }), { message: /409 IM_STRATEGY_QUARANTINED/ });
			await admin.rollback();
			await admin.unload(label);
		}
		t.regex((await ask({ url: mesh.dataUrl, seed: 1 })).strategy, /^hybrid_mesh@/);
		t.is(await admin.metric('infermesh_worker_restarts_total'), 0);
		t.is(mesh.log.filter(({ message }) => String(message).startsWith('strategy quarantined')).length, deadly.length);
	},
);

test.serial('a quarantine ends, and the next is twice as long', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: 1,
		admit: admitWithoutTrial,
		config: { strategy: { quarantine_ms: 2000, quarantine_max_ms: 60_000 } },
	});
	const { admin } = mesh;
	await admin.load(hostile('trap').wasm, { activate: true });
	let seed = 0;
	const quarantined = async (): Promise<number | null> =>
		(await admin.strategies()).find(({ name }) => name === 'hostile-trap')?.quarantinedForMs ?? null;
	const strikeOut = async (): Promise<void> =>
		eventually('it is quarantined', async () => {
			t.is((await ask({ url: mesh.dataUrl, seed: seed++, tokens: 1 })).status, 200);
			return (await quarantined()) !== null;
		});
	await strikeOut();
	t.true(((await quarantined()) ?? 0) <= 2000);
	await eventually('it is released', async () => (await quarantined()) === null);
	await eventually(
		'the release is told',
		async () => (await admin.metric('infermesh_strategy_swaps_total', { kind: 'release' })) === 1,
	);
	await strikeOut();
	const again = (await quarantined()) ?? 0;
	t.true(again > 2000 && again <= 4000, `${again} ms`);
	t.is(await admin.metric('infermesh_strategy_quarantines_total'), 2);
});

test.serial('a hostile canary or shadow costs its own share and no more', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2, admit: admitWithoutTrial });
	const { admin } = mesh;
	for (const stage of ['shadow', 'canary']) {
		await admin.load(hostile('infinite-loop').wasm);
		await admin.stage('hostile-infinite-loop', stage, { percent: 50 });
		const strategies = new Set<string>();
		for (let seed = 0; seed < 40; seed++) {
			const answer = await ask({ url: mesh.dataUrl, seed, tokens: 1 });
			t.is(answer.status, 200);
			strategies.add(answer.strategy.replace(/@.*/, ''));
		}
		t.true(strategies.has('hybrid_mesh'));
		await eventually('it is quarantined', async () =>
			(await admin.strategies()).some(({ stage: now }) => now === 'quarantined'),
		);
		t.regex((await ask({ url: mesh.dataUrl, seed: 1 })).strategy, /^hybrid_mesh@/);
		await admin.stage('hostile-infinite-loop', 'loaded');
		await admin.unload('hostile-infinite-loop');
	}
});

test.serial('what the scan or the trial refuses is refused with a report, and changes nothing', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	const { admin } = mesh;
	for (const name of [
		'start-section-spin',
		'import-clock',
		'memory-grow',
		'infinite-loop',
		'nan-scores',
		'keeps-state-in-global',
	]) {
		const error = await t.throwsAsync(admin.load(hostile(name).wasm, { activate: true }));
		t.regex(error?.message ?? '', /^422 IM_STRATEGY_REFUSED: IM_ADMISSION_/, name);
		const { report } = (error as unknown as { details: { report: { admitted: boolean; refusals: unknown[] } } })
			.details;
		t.false(report.admitted);
		t.true(report.refusals.length > 0);
	}
	t.deepEqual(
		(await admin.strategies()).map(({ name }) => name),
		['hybrid_mesh'],
	);
	t.regex((await ask({ url: mesh.dataUrl, seed: 1 })).strategy, /^hybrid_mesh@/);
});
