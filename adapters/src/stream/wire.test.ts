// Deltas over the wire: what goes in comes out, and what comes from outside is made sound.

import type { CommStatsDelta, GpuStateDelta, IoStateDelta, ModelStateDelta } from '@infermesh/proto';
import { CommStats, GpuState, IoState, ModelState } from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import test from 'ava';
import * as fc from 'fast-check';
import { type DeltaOf, fromWire, type ReportKind, reportKinds, toWire, type WireState } from './wire.js';

const codecs = { model: ModelState, gpu: GpuState, comm: CommStats, io: IoState } as const;

function overTheWire<K extends ReportKind>(kind: K, delta: DeltaOf[K]): unknown {
	const codec = codecs[kind] as unknown as {
		encode(state: WireState): { finish(): Uint8Array };
		decode(bytes: Uint8Array): WireState;
	};
	return fromWire(kind, codec.decode(codec.encode(toWire(kind, delta)).finish()), delta.observedAtMs);
}

const comm: CommStatsDelta = {
	observedAtMs: 5,
	source: 'nccl_ras',
	node: 'n1',
	intervalMs: 1000.5,
	collectives: [{ communicator: 'c', collective: 'AllReduce', bucketId: '1MiB', rank: 3, busBytesPerSec: 4e11 }],
	communicators: [
		{ communicator: 'c', state: 'running', ranks: 8, errors: ['MISMATCH'] },
		{ communicator: 'd', state: 'unknown' },
	],
	ranks: [{ communicator: 'c', rank: 2, trouble: 'late', share: 0.7 }],
	links: [{ device: 'mlx5_0', port: 1, layer: 'roce', up: false, errorsPerSec: 0, utilisation: 0.5 }],
	paths: [{ kind: 'tree', channel: 0, rank: 0, from: -1, to: [1, 2] }],
	warnings: ['w'],
	warningsCount: 7,
	unread: [],
};
const io: IoStateDelta = {
	observedAtMs: 5,
	source: 's3',
	store: 's3://b',
	probed: true,
	rank: 0,
	checkpoint: { durationMs: 12.5, bytes: 1e12 },
	dataset: {},
	failures: 0,
	errors: [],
	unread: ['x'],
};
const model: ModelStateDelta = {
	observedAtMs: 5,
	queueDepth: 0,
	kvUsage: 0.25,
	loras: [],
	sleeping: false,
	models: ['m'],
	ranks: [{ rank: 1, running: 2 }],
	unread: [],
};
const gpu: GpuStateDelta = {
	observedAtMs: 5,
	gpuUuid: 'GPU-1',
	temperatureC: -3,
	throttle: 0x40,
	xids: [{ xid: 79, count: 1 }],
	vendor: 'nvidia',
	unread: [],
};

test('every kind comes out as it went in; absent stays absent, and zero, false and empty stay what they are', (t) => {
	t.deepEqual(overTheWire('comm', comm), comm);
	t.deepEqual(overTheWire('io', io), io);
	t.deepEqual(overTheWire('model', model), model);
	t.deepEqual(overTheWire('gpu', gpu), gpu);
});

test('fields may be left out at will', (t) => {
	const most = { comm, io, model, gpu };
	const required = new Set(
		'observedAtMs source unread store probed errors gpuUuid communicator collective bucketId state rank trouble device port layer kind channel from to xid count collectives communicators links paths warnings'.split(
			' ',
		),
	);
	for (const kind of reportKinds) {
		const delta = most[kind] as unknown as Record<string, unknown>;
		for (const left of Object.keys(delta).filter(
			(name) => !required.has(name) && (name !== 'ranks' || kind === 'model'),
		)) {
			const { [left]: _out, ...rest } = delta;
			t.deepEqual(overTheWire(kind, rest as never), rest as never, left);
		}
		// Of the records in lists too.
		for (const [list, items] of Object.entries(delta))
			for (const item of Array.isArray(items) ? (items as Record<string, unknown>[]) : [])
				for (const left of Object.keys(item).filter((name) => typeof item === 'object' && !required.has(name))) {
					const { [left]: _out, ...rest } = item;
					const thin = { ...delta, [list]: [rest] };
					t.deepEqual(overTheWire(kind, thin as never), thin as never, `${list}.${left}`);
				}
	}
});

test('what is out of range, unknown or too long is left out, and noted', (t) => {
	const bad = {
		...comm,
		intervalMs: Number.NaN,
		links: [{ device: 'x'.repeat(5000), port: 1, layer: 'roce', utilisation: 7, errorsPerSec: -1 }],
		ranks: [{ communicator: 'c\u0000', rank: 1, trouble: 'bored' }],
		warnings: Array.from({ length: 100 }, () => 'w'),
	} as unknown as CommStatsDelta;
	const found = overTheWire('comm', bad) as CommStatsDelta;
	t.is(found.intervalMs, undefined);
	t.deepEqual(found.links[0], { device: 'x'.repeat(200), port: 1, layer: 'roce' });
	t.deepEqual([found.ranks, found.warnings.length], [[], 16]);
	t.deepEqual(found.unread, [
		'intervalMs: NaN is out of range',
		'ranks.trouble: "bored" is not known',
		'links.utilisation: 7 is out of range',
		'links.errorsPerSec: -1 is out of range',
		'warnings: 84 more than fit',
	]);
});

test('a report that says not what it is about is refused', (t) => {
	t.deepEqual(overTheWire('comm', { ...comm, source: 'tea leaves' } as unknown as CommStatsDelta), {
		problem: 'source: "tea leaves" is not known',
	});
	t.deepEqual(overTheWire('gpu', { ...gpu, gpuUuid: '' }), { problem: 'gpuUuid is empty' });
});

test('whatever bytes come, a sound delta comes out of them or a refusal', (t) => {
	const walk = (value: unknown): void => {
		if (typeof value === 'number' && !Number.isFinite(value)) throw new Error(String(value));
		if (typeof value === 'string' && value.length > 256) throw new Error('long');
		if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) walk(inner);
	};
	const number = fc.oneof(fc.double(), fc.constantFrom(-1, 0, 2, 1e300));
	const fields = fc.dictionary(
		fc.constantFrom(
			'kvUsage',
			'queueDepth',
			'loras',
			'ranks',
			'unread',
			'source',
			'links',
			'checkpoint',
			'gpuUuid',
			'xids',
		),
		fc.oneof(
			number,
			fc.string(),
			fc.boolean(),
			fc.array(fc.oneof(number, fc.string(), fc.record({ rank: number, layer: fc.string() }))),
		),
	);
	fc.assert(
		fc.property(fields, fc.constantFrom('model', 'gpu', 'comm', 'io'), (state, kind) => {
			walk(fromWire(kind, state as unknown as WireState, 0));
		}),
		{ numRuns: 500 },
	);
	t.pass();
});
