// LoRA adapters through a whole mesh: engines tell which they have loaded, every worker hears of it, and requests for one go where it is.
import { setTimeout as pause } from 'node:timers/promises';
import test from 'ava';
import { startTestMesh } from '../support/mesh.js';
import { ask } from '../support/traffic.js';

test('requests for an adapter go to the target that has it, whatever worker they come to, until that target is gone', async (t) => {
	const mesh = await startTestMesh(t, { engines: 6 });
	await mesh.ready(6);
	let seed = 1;
	/** Targets of requests for `lora`, each on a connection of its own. */
	const targets = async (lora: string): Promise<readonly string[]> => {
		const answers = [];
		for (let at = 0; at < 12; at++)
			answers.push(await ask({ url: mesh.dataUrl, seed: seed++, lora, headers: { connection: 'close' } }));
		t.true(answers.every(({ status }) => status === 200));
		return [...new Set(answers.map(({ target }) => target))];
	};
	// A target's next scrape tells; on a machine that is busy the word may come after the requests, so another adapter is tried then.
	let [lora, holder] = ['', ''];
	for (let round = 0; round < 20 && holder === ''; round++) {
		lora = `sql-${round}`;
		const { target } = await ask({ url: mesh.dataUrl, seed: seed++, lora });
		const scrapes = (): Promise<number> => mesh.admin.metric('infermesh_scrapes_total', { target, result: 'ok' });
		for (const began = await scrapes(); (await scrapes()) < began + 3; ) await pause(20);
		const seen = await targets(lora);
		if (seen.length === 1 && seen[0] === target) holder = target;
	}
	t.not(holder, '');
	const plain = new Set<string>();
	for (let at = 0; at < 24; at++) plain.add((await ask({ url: mesh.dataUrl, seed: seed++ })).target);
	t.true(plain.size > 1, 'requests without one are spread as before');
	await mesh.admin.removeTarget(holder);
	t.false((await targets(lora)).includes(holder));
});
