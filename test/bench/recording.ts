// Owns the figures of what watching decisions costs the data plane: one decision of a worker without anything, while it is recorded, and with a shadow; and
// what the recorder's own thread does with it. Everything is the real part; only the disk is left out.
import {
	createRing,
	DecisionTap,
	RecordingWriter,
	Redaction,
	RingReader,
	type StrategyModule,
	systemClock,
	writerDefaults,
} from '@infermesh/host';
import { COLUMN_QUEUE_DEPTH, columns } from '@infermesh/sdk';
import { DeciderHarness, scanned } from '../support/decider.js';
import { shipped } from '../support/strategies.js';
import type { Bench, BenchContext, Table } from './bench.js';
import { median, quantile, ratioOfPairs } from './stats.js';

const SIZES = [16, 128, 1024];
const SEED = 20_261_126;
const ROUNDS = 24;
const DECISIONS = 2000;
/** The default is 4 MiB; at 1,024 targets this much lasts for as long as the bench lets it fill. */
const RING_BYTES = 16 * 1024 * 1024;
/** A publish of the fleet table changes every row; with 20 ms between two and 2,000 decisions a second in a worker there are so many decisions. */
const DECISIONS_A_PUBLISH = 40;
/** As the mesh mints them; which one it is costs nothing. */
const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

interface Subject {
	readonly name: string;
	/** One round of decisions: nanoseconds of each in the tick of the request, and of what came after. */
	readonly round: () => Round;
}

interface Round {
	/** CPU of the thread a decision, the driver’s own included: what others do on the machine is not in it. */
	readonly cpuUs: number;
	readonly singles: Float64Array;
	readonly laters: Float64Array;
	readonly bytes: number;
}

const context = {
	requestId: 'r',
	path: '/v1/chat/completions',
	tenant: 'default',
	session: '',
	cachedTokens: 64,
	cachedSource: 'approximate',
} as const;

export const recordingBench: Bench = {
	name: 'recording',
	summary: 'what recording and shadows cost a decision, at 16 to 1,024 targets',
	run: async (bench) => {
		const rows: (string | number)[][] = [];
		for (const size of SIZES) {
			rows.push(...timeSize(size, bench));
			bench.progress(`  ${size} targets`);
		}
		return Promise.resolve([table(rows), writerTable(bench)]);
	},
};

function subjects(size: number): readonly Subject[] {
	return [
		subject('plain', size, { recorder: 'none' }),
		subject('recorder off', size, { recorder: 'off' }),
		subject('recorded', size, { recorder: 'on' }),
		subject('recorded, 1 in 10', size, { recorder: 'on', sample: 0.1 }),
		subject('shadow, 5 % of a core', size, { recorder: 'none', shadow: 0.05 }),
		subject('shadow of every decision', size, { recorder: 'none', shadow: 1000 }),
	];
}

interface Watching {
	readonly recorder: 'none' | 'off' | 'on';
	readonly sample?: number;
	/** Share of a core. */
	readonly shadow?: number;
}

function tapOf(ring: SharedArrayBuffer, sample: number, records: boolean): DecisionTap {
	const tap = new DecisionTap({
		worker: 0,
		clock: systemClock,
		place: { zone: 0, region: 0, topK: 4 },
		promptBlocks: () => 0,
	});
	if (records) tap.start(ring, { sample });
	return tap;
}

function recordedHarness(size: number, ring: SharedArrayBuffer, sample: number): DeciderHarness {
	const harness = new DeciderHarness(size, SEED, {}, tapOf(ring, sample, true));
	harness.activate(admitted('hybrid_mesh', 1));
	return harness;
}

function admitted(name: string, versionId: number): StrategyModule {
	const module = scanned(shipped(name), versionId);
	if (module === undefined) throw new Error(`${name} is not admitted`);
	return module;
}

/** Decisions as a busy worker makes them: each after a change of one row's counters, the whole table published now and then. */
function drive({ rig }: DeciderHarness, decisions: number, decide: (index: number) => void): void {
	for (let i = 0; i < decisions; i++) {
		rig.nextRequest();
		if (i % DECISIONS_A_PUBLISH === 0) {
			for (let row = 0; row < rig.rows; row++) rig.table.setF32(COLUMN_QUEUE_DEPTH, row, rig.random.nextFloat());
			rig.table.publish();
		}
		const row = rig.random.nextU32() % rig.rows;
		rig.inflight.add(0, row, (i & 1) === 0 ? 1 : -1);
		rig.inflight.changed(row);
		decide(i);
	}
}

function subject(name: string, size: number, { recorder, sample = 1, shadow }: Watching): Subject {
	const ring = createRing(RING_BYTES);
	const reader = new RingReader(ring);
	const options = shadow === undefined ? {} : { shadow: { cpuShare: shadow, rerunEvery: 100, workers: 1 } };
	const tap = recorder === 'none' ? undefined : tapOf(ring, sample, recorder === 'on');
	const harness = new DeciderHarness(size, SEED, options, tap);
	harness.decider.runtimes.addStrategy(admitted('least_request', 2));
	const warm = shadow === undefined ? {} : { warm: new Set([1, 2]) };
	harness.activate(admitted('hybrid_mesh', 1), warm, shadow === undefined ? undefined : 2);
	const round = (): Round => {
		const singles = new Float64Array(DECISIONS);
		const laters = new Float64Array(DECISIONS);
		let bytes = 0;
		const began = process.threadCpuUsage();
		drive(harness, DECISIONS, (i) => {
			const from = performance.now();
			harness.decide(false);
			harness.decider.remember(ID, harness.pool, context);
			const decided = performance.now();
			harness.settle();
			laters[i] = (performance.now() - decided) * 1e6;
			singles[i] = (decided - from) * 1e6;
			if (i % 100 === 99) bytes += 4 * reader.drain(() => undefined);
		});
		harness.decided.length = 0;
		const { user, system } = process.threadCpuUsage(began);
		return { cpuUs: (user + system) / DECISIONS, singles, laters, bytes: bytes / DECISIONS };
	};
	return { name, round };
}

/** What the recorder's thread does with what workers have copied, the disk left out. */
function writerTable({ quick }: BenchContext): Table {
	const rows = SIZES.map((size) => {
		const ring = createRing(RING_BYTES);
		const harness = recordedHarness(size, ring, 1);
		const reader = new RingReader(ring);
		let written = 0;
		const file = { append: (bytes: Uint8Array) => void (written += bytes.length), close: () => undefined };
		const folder = { list: () => [], create: () => file, remove: () => undefined };
		const meta = {
			format: 1,
			recording: 'bench',
			node: 'bench',
			version: '',
			sample: 1,
			hashes: 'salted',
			columns: columns.map(({ id, name, type }) => ({ id, name, type })),
			meshSeed: [1, 2],
			workers: 1,
			blockTokens: 512,
		} as const;
		const writer = new RecordingWriter(
			writerDefaults,
			folder,
			new Redaction('salted', new Uint8Array(32)),
			meta,
			() => 0,
		);
		writer.open();
		const cpu: number[] = [];
		let decisions = 0;
		for (let round = 0; round < (quick ? 4 : ROUNDS); round++) {
			drive(harness, 1000, () => harness.decide(false));
			decisions += 1000;
			const began = process.threadCpuUsage();
			reader.drain((kind, words, at, length) => writer.take(kind, words, at, length));
			writer.flush();
			const { user, system } = process.threadCpuUsage(began);
			if (round > 1) cpu.push((user + system) / 1000);
		}
		return [size, median(cpu), Math.round(written / decisions)];
	});
	return {
		title: 'The recorder’s thread, µs of CPU a decision (salted hashes)',
		columns: ['targets', 'CPU', 'bytes on disk'],
		rows,
		aims: [],
		notes: ['rows reduced to what changed, hashes salted, blocks checksummed and chained; without the disk'],
	};
}

/** All subjects take turns within each round. */
function timeSize(size: number, { quick }: BenchContext): (string | number)[][] {
	const all = subjects(size);
	const rounds = all.map((): Round[] => []);
	for (let round = 0; round < (quick ? 4 : ROUNDS); round++)
		all.forEach(({ round: run }, index) => {
			const timed = run();
			// The first ones are run while the code is being optimised.
			if (round > 1) (rounds[index] as Round[]).push(timed);
		});
	const plain = (rounds[0] as Round[]).map(({ cpuUs }) => cpuUs);
	return all.map(({ name }, index) => {
		const timed = rounds[index] as Round[];
		const cpu = timed.map(({ cpuUs }) => cpuUs);
		const singles = (share: number): number => median(timed.map((one) => quantile(one.singles, share))) / 1000;
		return [
			name,
			size,
			median(cpu),
			median(cpu) - median(plain),
			ratioOfPairs(cpu, plain).toFixed(2),
			singles(0.5),
			singles(0.99),
			singles(0.999),
			median(timed.map(({ laters }) => quantile(laters, 0.5))) / 1000,
			Math.round(median(timed.map(({ bytes }) => bytes))),
		];
	});
}

function table(rows: readonly (readonly (string | number)[])[]): Table {
	return {
		title: `One decision of a worker with its explanation kept, µs (hybrid_mesh, seed ${SEED})`,
		columns: ['', 'targets', 'CPU', 'added CPU', 'of plain', 'p50', 'p99', 'p99.9', 'later p50', 'bytes in the ring'],
		rows,
		aims: [],
		notes: [
			`each decision after a change of one row’s counters; every ${DECISIONS_A_PUBLISH} decisions the whole table changes and is published`,
			'CPU: of the thread, a decision, making up the request included; added: over plain, all that recorder or shadow do',
			'p50 … p99.9: in the tick of the request; later: after the request has gone on (the shadow’s own run, and the clock)',
			'bytes in the ring: what the worker copies; on disk rows are reduced to what changed',
		],
	};
}
