// What a node does with a record that a later version wrote: fields it does not know are kept through its own changes, or the record is left out whole
// where every field counts.
import { createLocalEngine } from '@infermesh/fabric';
import test from 'ava';
import { systemClock, systemRandom } from '../main/clock.js';
import { type LifecycleRecord, recordKinds } from './kinds.js';
import { Mirror } from './mirror.js';
import { keyOf, Records } from './records.js';

/** Kinds that decide who may do what: a condition that is not understood must not be read as if it were not there. */
const strict = ['placements', 'quotas', 'slos', 'routes', 'tenants', 'apiKeys'] as const;

const text = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value), 'utf8');

test('kinds that refuse fields they do not know are those in which every field counts', (t) => {
	const refusing = Object.entries(recordKinds)
		.filter(([, { schema }]) => Reflect.get(schema, 'additionalProperties') === false)
		.map(([kind]) => kind);
	t.deepEqual(refusing, [...strict]);
});

test('a field of a later version is followed past, and is still there after a change by this one', async (t) => {
	const engine = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => t.fail(String(error)),
	});
	t.teardown(() => engine.close());
	const records = new Records(engine);
	const later = { name: 'n', state: 'draining', reason: '', changedBy: 'a', changedAtMs: 1, ticket: 'OPS-7' };
	await engine.transact({ when: [], then: [{ put: keyOf(recordKinds.lifecycle, 'x'), value: text(later) }] });
	await records.update(recordKinds.lifecycle, 'x', (present) =>
		present === undefined ? undefined : { ...present, state: 'drained' as const },
	);
	const { items } = await engine.read({ key: keyOf(recordKinds.lifecycle, 'x') });
	t.deepEqual(JSON.parse(Buffer.from(items[0]?.value ?? []).toString('utf8')) as LifecycleRecord, {
		...later,
		state: 'drained',
	});
});

test('a record in which every field counts is left out by name, and the others are followed', async (t) => {
	const engine = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => t.fail(String(error)),
	});
	t.teardown(() => engine.close());
	const put = (id: string, value: unknown) =>
		engine.transact({ when: [], then: [{ put: keyOf(recordKinds.placements, id), value: text(value) }] });
	await put('known', { models: ['*'], zones: ['a'] });
	const skipped: string[] = [];
	const seen = Promise.withResolvers<void>();
	const mirror = new Mirror(recordKinds.placements, engine, systemClock, {
		changed: () => {
			if (skipped.length > 0) seen.resolve();
		},
		skipped: (key) => skipped.push(key),
	});
	t.teardown(() => mirror.close());
	await mirror.ready;
	await put('later', { models: ['*'], racks: ['r7'] });
	await seen.promise;
	t.deepEqual(skipped, [keyOf(recordKinds.placements, 'later')]);
	t.deepEqual(
		mirror.all().map(({ id }) => id),
		['known'],
	);
});
