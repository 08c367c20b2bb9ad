// A source and what becomes of its targets: listed, moved away, back again, unreadable, too many. Time and records are plain objects here; the sources read
// given text and given answers.
import { SeededRandom } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import type { TargetConfig } from '../config/schema.js';
import { SourceFollower } from './follower.js';
import { DiscoveryPlanner, type RecordedTarget } from './plan.js';
import { dnsSource, fileSource, type Resolver, type TargetSource } from './sources.js';

const none: Resolver = { addresses: async () => [], services: async () => [] };

function file(text: () => string | Error, env: Readonly<Record<string, string>> = {}): TargetSource {
	const readText = async (): Promise<string> => {
		const read = text();
		if (read instanceof Error) throw read;
		return read;
	};
	const ports = { readText, readSecret: () => 'from a file\n', env, resolver: none };
	return fileSource({ path: 'targets.yaml', period_ms: 1000 }, ports);
}

const dnsDefaults = {
	name: 'engines.test',
	record: 'address',
	port: 8000,
	scheme: 'http',
	path: '',
	period_ms: 5000,
	models: ['m'],
	runtime: 'vllm',
} as unknown as Parameters<typeof dnsSource>[0];

test('a file lists targets as the configuration does, secrets included', async (t) => {
	const source = file(
		() =>
			'targets:\n  - { url: "http://a:1", models: [m], api_key: "env:KEY" }\n  - { url: "http://b:1/v1", zone: z }\n',
		{
			KEY: 'secret',
			INFERMESH_ADMIN__PORT: '1',
		},
	);
	const [first, second] = await source.list();
	t.like(first, { url: 'http://a:1', models: ['m'], api_key: 'secret', runtime: 'auto', weight: 1 });
	t.like(second, { url: 'http://b:1/v1', models: [], zone: 'z' });
	t.is(source.name, 'file:targets.yaml');
});

for (const [what, text, code] of [
	['is not there', new Error('ENOENT'), 'IM_DISCOVERY_READ'],
	['is no YAML', 'targets: [', 'IM_CONFIG_SYNTAX'],
	['has a key that is none', 'targets: [{ url: "http://a:1", modles: [] }]', 'IM_CONFIG_UNKNOWN_KEY'],
	['says more than targets', 'targets: []\nadmin: { port: 1 }', 'IM_DISCOVERY_READ'],
	['names one target twice', 'targets: [{ url: "http://a:1" }, { url: "http://a:1" }]', 'IM_CONFIG_INVALID'],
] as const)
	test(`a file that ${what} is refused by name`, async (t) => {
		await t.throwsAsync(file(() => text).list(), { code });
	});

test('addresses of a name are targets of one description', async (t) => {
	const addresses = async (): Promise<string[]> => ['10.0.0.1', 'fd00::2', '10.0.0.1'];
	const source = dnsSource(dnsDefaults, { resolver: { ...none, addresses } });
	t.deepEqual(
		(await source.list()).map(({ id, url, models, runtime }) => ({ id, url, models, runtime })),
		[
			{ id: '10.0.0.1:8000', url: 'http://10.0.0.1:8000', models: ['m'], runtime: 'vllm' },
			{ id: 'fd00--2:8000', url: 'http://[fd00::2]:8000', models: ['m'], runtime: 'vllm' },
		],
	);
});

test('services say their ports; DNS that does not answer is a failure and no empty list', async (t) => {
	const services = async () => [{ host: 'one.test', port: 9001 }];
	const source = dnsSource({ ...dnsDefaults, record: 'srv', scheme: 'https' }, { resolver: { ...none, services } });
	t.like((await source.list())[0], { id: 'one.test:9001', url: 'https://one.test:9001' });
	const addresses = async (): Promise<string[]> => Promise.reject(new Error('ETIMEOUT'));
	await t.throwsAsync(dnsSource(dnsDefaults, { resolver: { ...none, addresses } }).list(), {
		code: 'IM_DISCOVERY_READ',
	});
});

test('what is no longer listed is missing at once and removed later; back in time, it is as before', (t) => {
	const planner = new DiscoveryPlanner('s', 1000);
	const recorded = (missing: boolean): RecordedTarget[] => [
		{ id: 'a', source: 's', missing },
		{ id: 'other', source: undefined, missing: false },
	];
	t.deepEqual(planner.plan(new Set(), recorded(false), 0), { write: [], miss: ['a'], remove: [], foreign: [] });
	t.deepEqual(planner.plan(new Set(), recorded(true), 999), { write: [], miss: [], remove: [], foreign: [] });
	t.deepEqual(planner.plan(new Set(['a']), recorded(true), 999).write, ['a']);
	t.deepEqual(planner.plan(new Set(), recorded(true), 1500).remove, [], 'its time away began anew');
	t.deepEqual(planner.plan(new Set(), recorded(true), 2500).remove, ['a']);
	t.deepEqual(planner.plan(new Set(['other']), recorded(true), 2500).foreign, ['other']);
});

interface Rig {
	readonly follower: SourceFollower;
	readonly records: Map<string, RecordedTarget>;
	readonly told: string[];
	readonly rounds: string[];
	readonly time: { nowMs: number };
}

function rig(
	t: ExecutionContext,
	source: TargetSource,
	refuse: (id: string) => boolean = () => false,
	targetsMax = 3,
): Rig {
	const records = new Map<string, RecordedTarget>();
	const told: string[] = [];
	const rounds: string[] = [];
	const time = { nowMs: 0 };
	const timer = { cancel: () => undefined };
	const clock = { nowMs: () => time.nowMs, wallMs: () => time.nowMs, after: () => timer, every: () => timer };
	const follower = new SourceFollower(
		source,
		{ targetsMax, removeAfterMs: 1000 },
		{
			clock,
			random: new SeededRandom(1),
			recorded: async () => [...records.values()],
			write: async ({ id = '' }: TargetConfig, from) => {
				if (refuse(id)) throw new Error('it lists no model');
				records.set(id, { id, source: from, missing: false });
			},
			miss: async (id, from) => void records.set(id, { id, source: from, missing: true }),
			remove: async (id) => void records.delete(id),
			metrics: { round: (_source, result) => rounds.push(result), listed: () => undefined },
			failed: (_source, error) => told.push(error.code),
		},
	);
	t.teardown(() => follower.close());
	return { follower, records, told, rounds, time };
}

function yaml(...ids: readonly string[]): string {
	return `targets: [${ids.map((id) => `{ id: ${id}, url: "http://${id}:1", models: [m] }`).join(', ')}]`;
}

test('a source that fails leaves its targets as they are, and is told of once', async (t) => {
	let text: string | Error = yaml('a', 'b');
	const one = rig(
		t,
		file(() => text),
	);
	await one.follower.round();
	t.deepEqual([...one.records.keys()], ['a', 'b']);
	text = new Error('ENOENT');
	for (let round = 0; round < 3; round++) {
		one.time.nowMs += 10_000;
		await one.follower.round();
	}
	t.deepEqual(
		[...one.records.values()].map(({ missing }) => missing),
		[false, false],
	);
	t.deepEqual(one.told, ['IM_DISCOVERY_READ']);
	text = yaml('b');
	await one.follower.round();
	t.true(one.records.get('a')?.missing);
	one.time.nowMs += 1000;
	await one.follower.round();
	t.deepEqual([...one.records.keys()], ['b']);
	t.deepEqual(one.rounds, ['ok', 'IM_DISCOVERY_READ', 'IM_DISCOVERY_READ', 'IM_DISCOVERY_READ', 'ok', 'ok']);
});

test('a target that cannot be taken in keeps no other out, and is tried again', async (t) => {
	let refused = true;
	const one = rig(
		t,
		file(() => yaml('a', 'b')),
		(id) => refused && id === 'a',
	);
	await one.follower.round();
	await one.follower.round();
	t.deepEqual([...one.records.keys()], ['b']);
	t.deepEqual(one.told, ['IM_DISCOVERY_TARGET'], 'told of once');
	refused = false;
	await one.follower.round();
	t.deepEqual([...one.records.keys()].sort(), ['a', 'b']);
});

test('a source may list so many, and does not take what is recorded from elsewhere', async (t) => {
	const one = rig(
		t,
		file(() => yaml('a', 'b', 'c', 'd')),
	);
	one.records.set('b', { id: 'b', source: undefined, missing: false });
	await one.follower.round();
	t.deepEqual([...one.records.keys()].sort(), ['a', 'b', 'c']);
	t.is(one.records.get('b')?.source, undefined);
	t.deepEqual(one.told.sort(), ['IM_DISCOVERY_FOREIGN', 'IM_DISCOVERY_LIMIT']);
});
