// What a node makes of the GPUs it hears of: joined to targets, merged from several sources, judged, forgotten.
import { type GpuStateDelta, MeshError, throttleBits } from '@infermesh/proto';
import test from 'ava';
import { GpuSignals, type GpuSignalsOptions, type StandingChange } from './gpu-signals.js';
import { defaultRules } from './rules.js';

const options: GpuSignalsOptions = {
	rules: defaultRules,
	staleAfterMs: 10_000,
	forgetAfterMs: 60_000,
	smoothingMs: 5000,
	devicesMax: 8,
};

function delta(gpuUuid: string, more: Partial<GpuStateDelta> = {}): GpuStateDelta {
	return { observedAtMs: 0, gpuUuid, node: 'n1', unread: [], ...more };
}

function open(more: Partial<GpuSignalsOptions> = {}) {
	const signals = new GpuSignals({ ...options, ...more });
	const changes: StandingChange[] = [];
	signals.onChange = (change) => changes.push(change);
	const target = (gpus: readonly string[], gpuShare = 1) => signals.summary({ id: 'a', node: 'n1', gpus, gpuShare });
	return { signals, changes, target };
}

test('a fatal XID takes the targets of its device out, and a driver loaded anew brings them back', (t) => {
	const { signals, changes, target } = open();
	signals.report(delta('GPU-a', { xidLast: 31 }), 0);
	t.is(target(['GPU-a'])?.standing, 'sound', 'a program’s fault is no device’s');
	signals.report(delta('GPU-a', { xidLast: 79 }), 1000);
	t.like(target(['GPU-a']), { standing: 'quarantined', health: 0 });
	t.deepEqual(
		changes.map(({ uuid, standing, rules }) => [uuid, standing, rules]),
		[['GPU-a', 'quarantined', ['xid_fatal']]],
	);
	signals.report(delta('GPU-a', { xidLast: 43 }), 2000);
	t.is(target(['GPU-a'])?.standing, 'quarantined', 'a later XID of a program does not make it whole');
	signals.report(delta('GPU-a', { xidLast: 0 }), 3000);
	signals.report(delta('GPU-a', { xidLast: 0 }), 34_000);
	t.is(target(['GPU-a'])?.standing, 'sound');
	t.is(changes.length, 2);
});

test('a hand releases at once, and what stands does not take the device out again', (t) => {
	const { signals, target } = open();
	signals.report(delta('GPU-a', { xidLast: 79, eccUncorrectedTotal: 3 }), 0);
	signals.release('GPU-a', 1000);
	signals.report(delta('GPU-a', { xidLast: 79, eccUncorrectedTotal: 3 }), 2000);
	t.is(target(['GPU-a'])?.standing, 'sound');
	signals.report(delta('GPU-a', { xidLast: 79, eccUncorrectedTotal: 4 }), 3000);
	t.is(target(['GPU-a'])?.standing, 'quarantined', 'one more error is new');
	t.is(t.throws(() => signals.release('GPU-x', 0), { instanceOf: MeshError }).code, 'IM_GPU_UNKNOWN');
});

test('a hand takes a sound device out, until a hand lets it go', (t) => {
	const { signals, target } = open();
	signals.report(delta('GPU-a'), 0);
	signals.hold('GPU-a', 'me', 0);
	signals.report(delta('GPU-a'), 40_000);
	t.is(target(['GPU-a'])?.standing, 'quarantined');
	signals.release('GPU-a', 41_000);
	t.is(target(['GPU-a'])?.standing, 'sound');
});

test('heat degrades after its time, counts in the health score before, and ends with another threshold', (t) => {
	const { signals, target } = open();
	const at = (temperatureC: number, ms: number): void =>
		void signals.report(delta('GPU-a', { temperatureC, slowdownTemperatureC: 90 }), ms);
	at(60, 0);
	t.is(target(['GPU-a'])?.health, 1);
	at(85, 1000);
	t.is(target(['GPU-a'])?.health, 0.85);
	for (let ms = 2000; ms <= 14_000; ms += 2000) at(90, ms);
	t.is(target(['GPU-a'])?.standing, 'degraded');
	at(87, 16_000);
	at(87, 90_000);
	t.is(target(['GPU-a'])?.standing, 'degraded', 'cooler, but not cool enough');
	at(80, 92_000);
	at(80, 160_000);
	t.is(target(['GPU-a'])?.standing, 'sound');
});

test('values that cannot be are not believed; a leap is, seen twice', (t) => {
	const { signals, target } = open();
	signals.report(delta('GPU-a', { temperatureC: 40, vramTotalMib: 100, vramUsedMib: 50 }), 0);
	signals.report(delta('GPU-a', { temperatureC: 2000, vramUsedMib: 500 }), 1000);
	t.like(target(['GPU-a']), { temperatureC: 40, vramUsedMib: 50 });
	t.is(signals.devices(1000)[0]?.device.told.unread.length, 2);
	signals.report(delta('GPU-a', { temperatureC: 95 }), 2000);
	t.is(target(['GPU-a'])?.temperatureC, 40);
	signals.report(delta('GPU-a', { temperatureC: 96 }), 3000);
	t.is(target(['GPU-a'])?.temperatureC, 96);
});

test('counters become rates, and a counter that begins anew does not', (t) => {
	const { signals, target } = open();
	for (let second = 0; second <= 40; second += 2)
		signals.report(delta('GPU-a', { linkErrorsTotal: second * 10 }), second * 1000);
	t.is(target(['GPU-a'])?.standing, 'degraded');
	const fresh = open();
	for (let second = 0; second <= 40; second += 2)
		fresh.signals.report(delta('GPU-a', { linkErrorsTotal: 1000 - second }), second * 1000);
	t.is(fresh.target(['GPU-a'])?.standing, 'sound');
});

test('devices are joined by UUID or by number in the target’s node; several make one summary', (t) => {
	const { signals, target } = open();
	const told = { vramTotalMib: 100, vramUsedMib: 10, powerW: 50, powerLimitW: 100 };
	signals.report(
		delta('GPU-a', { index: 0, temperatureC: 40, throttle: throttleBits.gpuIdle, computeRatio: 0.2, ...told }),
		0,
	);
	signals.report(
		delta('GPU-b', { index: 1, temperatureC: 60, throttle: throttleBits.syncBoost, computeRatio: 0.6, ...told }),
		500,
	);
	signals.report(delta('GPU-c', { index: 0, node: 'n2', temperatureC: 99 }), 0);
	t.deepEqual(target(['0', 'GPU-b']), {
		standing: 'sound',
		health: 1,
		heardMs: 0,
		vramUsedMib: 20,
		vramTotalMib: 200,
		computeRatio: 0.4,
		memoryRatio: undefined,
		temperatureC: 60,
		powerW: 100,
		quarantine: undefined,
		powerLimitW: 200,
		throttle: throttleBits.gpuIdle | throttleBits.syncBoost,
		eccUncorrected: undefined,
		shareRatio: 1,
		uuids: ['GPU-a', 'GPU-b'],
		rules: [],
	});
	t.is(target(['7']), undefined);
	t.is(target([]), undefined);
});

test('slices have their own capacity and the faults of the whole; MPS shares have their part', (t) => {
	const { signals, target } = open();
	signals.report(delta('GPU-a', { temperatureC: 70 }), 0);
	signals.report(delta('GPU-a/gi/1', { parentUuid: 'GPU-a', migInstance: 1, shareRatio: 0.25, vramTotalMib: 20 }), 0);
	signals.report(delta('GPU-a/gi/2', { parentUuid: 'GPU-a', migInstance: 2, shareRatio: 0.5, vramTotalMib: 40 }), 0);
	t.like(target(['GPU-a/gi/1']), { shareRatio: 0.25, vramTotalMib: 20, temperatureC: 70, standing: 'sound' });
	t.like(target(['GPU-a/gi/2'], 0.5), { shareRatio: 0.25, vramTotalMib: 20 });
	signals.report(delta('GPU-a/gi/2', { parentUuid: 'GPU-a', eccUncorrectedTotal: 1 }), 1000);
	t.is(target(['GPU-a/gi/1'])?.standing, 'sound', 'another slice’s error is its own');
	signals.report(delta('GPU-a', { xidLast: 79 }), 2000);
	t.is(target(['GPU-a/gi/1'])?.standing, 'quarantined');
});

test('a device that falls silent keeps its standing, then is forgotten', (t) => {
	const { signals, target } = open();
	signals.report(delta('GPU-a', { xidLast: 79 }), 0);
	signals.refresh(50_000);
	t.is(target(['GPU-a'])?.standing, 'quarantined');
	t.true(signals.devices(50_000)[0]?.stale);
	signals.refresh(61_000);
	t.is(target(['GPU-a']), undefined);
});

test('there is room for so many devices and no more', (t) => {
	const { signals } = open({ devicesMax: 2 });
	t.deepEqual(
		['a', 'b', 'c', 'a'].map((uuid) => signals.report(delta(uuid), 0)),
		[true, true, false, true],
	);
	t.is(signals.refused, 1);
});

test('a network that degrades degrades the devices of its node', (t) => {
	const { signals, target } = open();
	signals.report(delta('GPU-a'), 0);
	signals.network(new Map([['n1', 1]]));
	signals.refresh(1000);
	t.is(target(['GPU-a'])?.standing, 'degraded');
	signals.network(new Map());
	signals.refresh(2000);
	signals.report(delta('GPU-a'), 60_000);
	signals.report(delta('GPU-a'), 63_000);
	t.is(target(['GPU-a'])?.standing, 'sound');
});
