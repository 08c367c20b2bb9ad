// `infermesh strategies`: every shipped strategy on a line, one explained, and an unknown name refused.
import test from 'ava';
import type { ShippedPage, ShippedStrategy } from '../project/library.js';
import { shippedNames } from '../project/prepare.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { run } from './testing.js';

test('lists what ships, one line each, and the same as a document', async (t) => {
	const { code, out } = await run(['strategies']);
	t.is(code, EXIT_OK);
	const [head = '', ...lines] = out.trimEnd().split('\n');
	t.regex(head, /^STRATEGY +VERSION +SOURCE +NEEDS$/);
	t.deepEqual(
		lines.map((line) => line.split(' ', 1)[0]),
		shippedNames(),
	);
	const { items } = (await run(['strategies', '--json'])).json as { items: ShippedStrategy[] };
	t.deepEqual(
		items.map((item) => item.name),
		shippedNames(),
	);
	t.deepEqual(items.find((item) => item.name === 'dynamo_linear')?.needs, ['prefixes', 'own traffic']);
});

test('explains one: formula, settings with defaults, columns', async (t) => {
	const { code, out } = await run(['strategies', 'smg_least_load']);
	t.is(code, EXIT_OK);
	t.regex(out, /^smg_least_load@\d+\.\d+\.\d+ {2}inference; source: SMG, 2026-08\n/);
	t.regex(out, /\n {2}score = pending_prefill_tokens \/ rate \+ kv_weight × k/);
	t.regex(out, /\nthroughput_unknown +2000 tokens\/s +1 … 10000000 +generation speed/);
	t.regex(out, /\nkv_usage +ratio +runtime +used share/);
	t.regex(out, /\nneeds {4}engine reports, own traffic\n/);
	const page = (await run(['strategies', 'preble', '--json'])).json as ShippedPage;
	t.deepEqual(page.hooks, ['rank', 'observe', 'tick']);
	t.is(page.config.find((entry) => entry.name === 'window_ms')?.default, 180_000);
	t.true(page.stateBytes > 0 && page.hits);
});

test('a name that does not ship is refused with the nearest one', async (t) => {
	const { code, err, out } = await run(['strategies', 'llmd_defualt']);
	t.is(code, EXIT_FAILED);
	t.is(out, '');
	t.regex(err, /^IM_PROJECT_NOT_FOUND: .*did you mean `llmd_default`/);
});
