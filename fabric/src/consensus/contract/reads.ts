// What the contract says of reads.
import { bytes, keysOf, one, otherOf, passing, put, refused, type Statement, textOf, write } from './cluster.js';

export const reads: readonly Statement[] = [
	{
		title: 'a key carries its value, the revisions of its creation and last write, and the count of its writes',
		run: async (t, { engines: [engine] }) => {
			const created = await put(engine, 'node/a', 'one');
			const first = await one(engine, 'node/a');
			t.deepEqual(first && { ...first, value: textOf(first) }, {
				key: 'node/a',
				value: 'one',
				createRevision: created,
				modRevision: created,
				version: 1,
				lease: undefined,
			});
			const written = await put(engine, 'node/a', 'two');
			t.is(written, created + 1);
			const second = await one(engine, 'node/a');
			t.deepEqual([second?.createRevision, second?.modRevision, second?.version], [created, written, 2]);
			await write(engine, { delete: { key: 'node/a' } });
			t.is(await one(engine, 'node/a'), undefined);
			const again = await put(engine, 'node/a');
			const reborn = await one(engine, 'node/a');
			t.deepEqual([reborn?.createRevision, reborn?.version], [again, 1]);
		},
	},
	{
		title: 'a read sees every write acknowledged before it, through whichever engine',
		run: async (t, { engines }) => {
			for (let round = 0; round < 20; round++) {
				const writer = engines[round % engines.length] ?? engines[0];
				const reader = engines[(round + 1) % engines.length] ?? engines[0];
				const revision = await put(writer, 'k', `${round}`);
				const { items, revision: seen } = await reader.read({ key: 'k' });
				t.is(textOf(items[0]), `${round}`);
				t.true(seen >= revision);
			}
		},
	},
	{
		title: 'a prefix selects its keys in byte order, the empty one all; keysOnly leaves values out',
		run: async (t, { engines: [engine] }) => {
			for (const key of ['b', 'a/2', 'a', 'a/10', 'a0', 'A', 'a/', '~', '!']) await put(engine, key, 'value');
			t.deepEqual(await keysOf(engine), ['!', 'A', 'a', 'a/', 'a/10', 'a/2', 'a0', 'b', '~']);
			t.deepEqual(await keysOf(engine, 'a/'), ['a/', 'a/10', 'a/2']);
			t.deepEqual(await keysOf(engine, 'c'), []);
			const { items } = await engine.read({ prefix: 'a/' }, { keysOnly: true });
			t.deepEqual(
				items.map((item) => [item.key, item.value.length, item.version]),
				[
					['a/', 0, 1],
					['a/10', 0, 1],
					['a/2', 0, 1],
				],
			);
		},
	},
	{
		title: 'limit bounds an answer and says that there is more; reading on after the last key misses and repeats none',
		run: async (t, { engines: [engine] }) => {
			const keys = Array.from({ length: 11 }, (_, i) => `p/${String(i).padStart(2, '0')}`);
			for (const key of keys) await put(engine, key);
			const got: string[] = [];
			let { items, more, revision } = await engine.read({ prefix: 'p/' }, { limit: 4 });
			const pinned = revision;
			for (;;) {
				t.true(items.length <= 4);
				got.push(...items.map(({ key }) => key));
				if (!more) break;
				await write(engine, { delete: { key: 'p/09' } });
				const after = got.at(-1) as string;
				({ items, more, revision } = await engine.read({ prefix: 'p/' }, { limit: 4, after, revision: pinned }));
			}
			t.deepEqual(got, keys, 'as of the revision of the first page');
			t.is((await engine.read({ prefix: 'p/' }, { limit: 10 })).more, false);
			t.deepEqual(await engine.read({ key: 'p/00' }, { after: 'p/00' }).then((page) => page.items), []);
		},
	},
	{
		title: 'an answer has a limit in bytes of its own; what does not fit is read on',
		run: async (t, { engines: [engine] }) => {
			for (let i = 0; i < 6; i++) await write(engine, { put: `big/${i}`, value: new Uint8Array(900_000).fill(i) });
			const got: number[] = [];
			let after: string | undefined;
			for (let more = true; more; ) {
				const page = await engine.read({ prefix: 'big/' }, after === undefined ? {} : { after });
				got.push(...page.items.map(({ value }) => value[0] as number));
				({ more } = page);
				after = page.items.at(-1)?.key;
			}
			t.deepEqual(got, [0, 1, 2, 3, 4, 5]);
		},
	},
	{
		title: 'a read at a revision sees what was then, until it is compacted away; revisions to come are refused',
		run: async (t, { engines: [engine] }) => {
			const first = await put(engine, 'k', 'one');
			const second = await put(engine, 'k', 'two');
			const third = await write(engine, { delete: { key: 'k' } });
			const at = async (revision: number) => textOf((await engine.read({ key: 'k' }, { revision })).items[0]);
			t.deepEqual(
				[await at(first - 1), await at(first), await at(second), await at(third)],
				[undefined, 'one', 'two', undefined],
			);
			await refused(t, 'IM_CONSENSUS_FUTURE_REVISION', () => at(third + 1_000_000));
			await refused(t, 'IM_STORE_REQUEST_INVALID', () => at(0));
			await engine.compact(second);
			t.is(await at(second), 'two');
			await refused(t, 'IM_CONSENSUS_COMPACTED', () => at(first));
			await refused(t, 'IM_CONSENSUS_COMPACTED', () => engine.read({ prefix: '' }, { revision: first }));
		},
	},
	{
		title: 'a serializable read answers too, and catches up',
		run: async (t, cluster) => {
			await put(cluster.engines[0], 'k', 'value');
			for (let tries = 0; tries < 200; tries++) {
				const { items } = await otherOf(cluster).read({ key: 'k' }, { consistency: 'serializable' });
				if (textOf(items[0]) === 'value') return void t.true(true);
				await passing(50);
			}
			t.fail('it never showed');
		},
	},
	{
		title: 'keys are printable ASCII without spaces, at most 512 characters',
		run: async (t, { engines: [engine] }) => {
			for (const key of ['', 'two words', 'ä', 'line\n', 'k'.repeat(513)]) {
				await refused(t, 'IM_STORE_KEY_INVALID', () => put(engine, key));
				await refused(t, 'IM_STORE_KEY_INVALID', () => engine.read({ key }));
				await refused(t, 'IM_STORE_KEY_INVALID', () => write(engine, { delete: { key } }));
				await refused(t, 'IM_STORE_KEY_INVALID', () => engine.transact({ when: [{ key, exists: true }], then: [] }));
			}
			await refused(t, 'IM_STORE_KEY_INVALID', () => engine.read({ prefix: 'two words' }));
			const longest = `!~${'k'.repeat(510)}`;
			await write(engine, { put: longest, value: bytes('x') });
			t.is((await one(engine, longest))?.key, longest);
		},
	},
];
