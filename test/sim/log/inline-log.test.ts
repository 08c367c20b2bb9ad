// The log as the simulation runs it: group commit in simulated time, crashes at any moment, a full disk that gets room, a disk that fails.
import { InlineLog, inlineLogDefaults, type LogWrite, SegmentLog, segmentLogDefaults } from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { SimDisk } from '../world/sim-disk.js';

const options = {
	...segmentLogDefaults,
	segmentBytes: 8192,
	entryMaxBytes: 1000,
	frameMaxBytes: 2048,
	fillStepBytes: 4096,
};

/** A clock that jumps from one scheduled call to the next. */
class Scheduler {
	nowMicros = 0;
	#order = 0;
	#calls: { readonly at: number; readonly order: number; readonly fn: () => void }[] = [];

	schedule = (delayMicros: number, fn: () => void): void => {
		this.#calls.push({ at: this.nowMicros + delayMicros, order: this.#order++, fn });
	};

	/** Runs calls up to `untilMicros`. */
	run(untilMicros: number): void {
		for (;;) {
			this.#calls.sort((a, b) => a.at - b.at || a.order - b.order);
			const [next] = this.#calls;
			if (next === undefined || next.at > untilMicros) break;
			this.#calls.shift();
			this.nowMicros = next.at;
			next.fn();
		}
		this.nowMicros = untilMicros;
	}
}

function write(index: number): LogWrite {
	return {
		group: 0,
		snapshot: undefined,
		entries: [{ term: 1, index, kind: 'command', data: new Uint8Array(50).fill(1 + (index % 255)) }],
		hardState: undefined,
	};
}

function start(seed: number, queueMaxBytes = inlineLogDefaults.queueMaxBytes) {
	const scheduler = new Scheduler();
	const disk = new SimDisk(new SeededRandom(seed, 1));
	const segments = SegmentLog.open(disk, new SeededRandom(seed, 2), options);
	const log = new InlineLog(segments, {
		...inlineLogDefaults,
		queueMaxBytes,
		schedule: scheduler.schedule,
		takeElapsedMicros: () => disk.takeElapsedMicros(),
		nowMs: () => scheduler.nowMicros / 1000,
	});
	return { scheduler, disk, log };
}

test('what was acknowledged before a crash at any moment is there after it', (t) => {
	let torn = 0;
	let grouped = 0;
	for (let seed = 1; seed <= 300; seed++) {
		const { scheduler, disk, log } = start(seed);
		const random = new SeededRandom(seed, 3);
		let acknowledged = 0;
		let index = 1;
		for (; index <= 40; index++) {
			const expected = index;
			log.append(
				[write(index)],
				() => {
					t.is(acknowledged, expected - 1, 'out of order');
					acknowledged = expected;
				},
				(error) => t.fail(error.message),
			);
			scheduler.run(scheduler.nowMicros + Math.floor(random.nextFloat() * 150));
		}
		if (log.syncs.count < acknowledged) grouped++;
		log.kill();
		disk.crash();
		scheduler.run(scheduler.nowMicros + 1_000_000);
		const recovered = SegmentLog.open(disk, random, options);
		const count = recovered.recovered.get(0)?.entries.length ?? 0;
		t.true(count >= acknowledged && count < index, `seed ${seed}: ${acknowledged} acknowledged, ${count} recovered`);
		if (recovered.repairedBytes > 0) torn++;
	}
	t.log({ torn, grouped });
	t.true(torn > 3 && grouped > 100);
});

test('a full disk holds batches back, and they are acknowledged once there is room', (t) => {
	const { scheduler, disk, log } = start(7);
	disk.faults.capacityBytes = disk.usedBytes;
	let acknowledged = 0;
	for (let index = 1; index <= 200; index++) {
		log.append(
			[write(index)],
			() => acknowledged++,
			(error) => t.fail(error.message),
		);
		scheduler.run(scheduler.nowMicros + 500);
	}
	t.true(log.full);
	t.true(disk.counters.full > 0);
	t.true(log.stalledMs > 10);
	t.true(acknowledged < 200);
	disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
	scheduler.run(scheduler.nowMicros + 2_000_000);
	t.is(acknowledged, 200);
	t.false(log.full);
	t.is(log.queuedBytes, 0);
	t.is(log.stalledMs, 0);
});

test('a failed sync fails everything on its way and everything after', (t) => {
	const { scheduler, disk, log } = start(8);
	const codes: string[] = [];
	const append = (index: number): void =>
		log.append(
			[write(index)],
			() => t.fail('acknowledged'),
			(error) => codes.push('code' in error ? String(error.code) : error.message),
		);
	disk.faults.syncError = 1;
	append(1);
	append(2);
	scheduler.run(10_000);
	disk.faults.syncError = 0;
	append(3);
	t.is(codes.length, 2, 'called back from inside append');
	scheduler.run(20_000);
	t.deepEqual(codes, ['IM_LOG_DISK_FAILED', 'IM_LOG_DISK_FAILED', 'IM_LOG_DISK_FAILED']);
	t.is(disk.counters.syncErrors, 1);
});

test('an append above the queue’s bound is refused, and with it all that follow', (t) => {
	const { scheduler, log } = start(9, 1000);
	const codes: string[] = [];
	let acknowledged = 0;
	for (let index = 1; index <= 20; index++)
		log.append(
			[write(index)],
			() => acknowledged++,
			(error) => codes.push('code' in error ? String(error.code) : error.message),
		);
	scheduler.run(1_000_000);
	log.append(
		[write(acknowledged + 1)],
		() => t.fail('acknowledged'),
		(error) => codes.push('code' in error ? String(error.code) : error.message),
	);
	scheduler.run(2_000_000);
	t.true(acknowledged >= 5);
	t.deepEqual(new Set(codes), new Set(['IM_LOG_QUEUE_FULL']));
	t.is(acknowledged + codes.length, 21);
});
