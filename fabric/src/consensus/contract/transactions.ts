// What the contract says of transactions.
import type { Condition } from '../engine.js';
import { bytes, keysOf, one, put, refused, type Statement, textOf, write } from './cluster.js';

export const transactions: readonly Statement[] = [
	{
		title: 'every kind of condition holds and fails, also on a key that is not there',
		run: async (t, { engines: [engine] }) => {
			const revision = await put(engine, 'k', 'value');
			const cases: [Condition, boolean][] = [
				[{ key: 'k', modRevision: revision }, true],
				[{ key: 'k', modRevision: revision - 1 }, false],
				[{ key: 'k', version: 1 }, true],
				[{ key: 'k', version: 2 }, false],
				[{ key: 'k', value: bytes('value') }, true],
				[{ key: 'k', value: bytes('other') }, false],
				[{ key: 'k', value: bytes('valu') }, false],
				[{ key: 'k', exists: true }, true],
				[{ key: 'k', exists: false }, false],
				[{ key: 'none', modRevision: 0 }, true],
				[{ key: 'none', version: 0 }, true],
				[{ key: 'none', version: 1 }, false],
				[{ key: 'none', value: bytes('') }, false],
				[{ key: 'none', exists: true }, false],
				[{ key: 'none', exists: false }, true],
			];
			for (const [condition, holds] of cases)
				t.is((await engine.transact({ when: [condition], then: [] })).held, holds, JSON.stringify(condition));
			const [good, bad] = [{ key: 'k', exists: true } as const, { key: 'k', version: 9 } as const];
			t.is((await engine.transact({ when: [good, good], then: [] })).held, true);
			t.is((await engine.transact({ when: [good, bad], then: [] })).held, false);
		},
	},
	{
		title: 'one branch takes effect, whole and in one revision; the other leaves no trace',
		run: async (t, { engines: [engine] }) => {
			const result = await engine.transact({
				when: [{ key: 'a', exists: true }],
				then: [{ put: 'then', value: bytes('x') }],
				otherwise: [
					{ put: 'a', value: bytes('1') },
					{ put: 'b', value: bytes('2') },
				],
			});
			t.deepEqual([result.held, result.results], [false, [{ kind: 'put' }, { kind: 'put' }]]);
			t.deepEqual(await keysOf(engine), ['a', 'b']);
			t.deepEqual(
				[(await one(engine, 'a'))?.modRevision, (await one(engine, 'b'))?.modRevision],
				[result.revision, result.revision],
			);
		},
	},
	{
		title: 'results tell, in order, what was deleted and what was read; a get sees the writes before it',
		run: async (t, { engines: [engine] }) => {
			for (const key of ['d/1', 'd/2', 'e']) await put(engine, key, 'old');
			const { results, revision } = await engine.transact({
				when: [],
				then: [
					{ get: { prefix: 'd/' } },
					{ put: 'new', value: bytes('fresh') },
					{ get: { key: 'new' } },
					{ delete: { prefix: 'd/' } },
					{ delete: { key: 'none' } },
					{ get: { prefix: 'd/' } },
					{ get: { key: 'e' } },
				],
			});
			const told: unknown[] = results.map((result) =>
				result.kind === 'get' ? result.items.map((item) => `${item.key}=${textOf(item)}`) : [result],
			);
			t.deepEqual(told, [
				['d/1=old', 'd/2=old'],
				[{ kind: 'put' }],
				['new=fresh'],
				[{ kind: 'delete', deleted: 2 }],
				[{ kind: 'delete', deleted: 0 }],
				[],
				['e=old'],
			]);
			t.is((await one(engine, 'new'))?.modRevision, revision);
		},
	},
	{
		title: 'a transaction that writes nothing takes no revision and answers that of the store',
		run: async (t, { engines: [engine] }) => {
			const revision = await put(engine, 'k');
			for (const then of [[], [{ get: { key: 'k' } }], [{ delete: { key: 'none' } }]])
				t.is((await engine.transact({ when: [], then })).revision, revision);
			t.is(await put(engine, 'k'), revision + 1);
		},
	},
	{
		title: 'guarded by the revision they read, racing increments through all engines lose nothing',
		run: async (t, { engines }) => {
			await put(engines[0], 'n', '0');
			let failures = 0;
			const increment = async (at: number): Promise<void> => {
				const engine = engines[at % engines.length] ?? engines[0];
				for (;;) {
					const now = await one(engine, 'n');
					const { held } = await engine.transact({
						when: [{ key: 'n', modRevision: now?.modRevision ?? 0 }],
						then: [{ put: 'n', value: bytes(`${Number(textOf(now)) + 1}`) }],
					});
					if (held) return;
					failures++;
				}
			};
			await Promise.all(Array.from({ length: 12 }, (_, at) => increment(at)));
			t.is(textOf(await one(engines[0], 'n')), '12');
			t.is((await one(engines[0], 'n'))?.version, 13);
			t.true(failures > 0, 'they met');
		},
	},
	{
		title: 'a key may be written once, also in the branch not taken',
		run: async (t, { engines: [engine] }) => {
			const value = bytes('');
			const twice = [
				[
					{ put: 'k', value },
					{ put: 'k', value },
				],
				[{ put: 'k', value }, { delete: { key: 'k' } }],
				[{ delete: { prefix: '' } }, { put: 'k', value }],
			];
			for (const operations of twice) {
				await refused(t, 'IM_STORE_REQUEST_INVALID', () => engine.transact({ when: [], then: operations }));
				await refused(t, 'IM_STORE_REQUEST_INVALID', () =>
					engine.transact({ when: [], then: [], otherwise: operations }),
				);
			}
			t.deepEqual(await keysOf(engine), []);
		},
	},
	{
		title: 'a transaction has at most 128 operations a branch and 1 MiB; over that it is refused whole',
		run: async (t, { engines: [engine] }) => {
			const many = (count: number) => Array.from({ length: count }, (_, i) => ({ put: `k/${i}`, value: bytes('x') }));
			await refused(t, 'IM_STORE_REQUEST_TOO_LARGE', () => engine.transact({ when: [], then: many(129) }));
			await refused(t, 'IM_STORE_REQUEST_TOO_LARGE', () => write(engine, { put: 'k', value: new Uint8Array(1 << 20) }));
			t.deepEqual(await keysOf(engine), []);
			await engine.transact({ when: [], then: many(128) });
			await write(engine, { put: 'large', value: new Uint8Array(1_000_000) });
			t.is((await keysOf(engine, 'k/')).length, 128);
		},
	},
];
