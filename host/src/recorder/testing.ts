// Owns what the tests of this room share: a folder in memory, and a mesh of one worker whose decisions are recorded into it. Test support only.
import { columns } from '@infermesh/sdk';
import type { AttemptOutcome, DecisionContext } from '../router/ports.js';
import type { Decision } from '../strategy/runtime/decision.js';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import { fuelDefaults } from '../strategy/runtime/instance.js';
import { Harness } from '../strategy/runtime/testing.js';
import type { HashMode, MetaEntry, StrategyEntry } from './entries.js';
import { FORMAT_VERSION } from './layout.js';
import type { RecordingFileBytes } from './reader.js';
import { Redaction } from './redaction.js';
import { createRing, RingReader } from './ring.js';
import { DecisionTap } from './tap.js';
import {
	type RecordingFile,
	type RecordingFolder,
	RecordingWriter,
	type WriterOptions,
	writerDefaults,
} from './writer.js';

/** A folder of files in memory, the oldest first. */
export class MemoryFolder implements RecordingFolder {
	readonly files = new Map<string, { bytes: Uint8Array[]; modifiedMs: number }>();
	nowMs = 1_750_000_000_000;

	list(): { name: string; bytes: number; modifiedMs: number }[] {
		return [...this.files].map(([name, { bytes, modifiedMs }]) => ({
			name,
			bytes: bytes.reduce((sum, piece) => sum + piece.length, 0),
			modifiedMs,
		}));
	}

	create(name: string): RecordingFile {
		const file = { bytes: [] as Uint8Array[], modifiedMs: this.nowMs };
		this.files.set(name, file);
		return {
			append: (bytes) => {
				file.bytes.push(bytes.slice());
				file.modifiedMs = ++this.nowMs;
			},
			close: () => undefined,
		};
	}

	remove(name: string): void {
		this.files.delete(name);
	}

	read(): RecordingFileBytes[] {
		return [...this.files].map(([name, { bytes }]) => ({ name, bytes: Buffer.concat(bytes) }));
	}
}

export const testMeta: Omit<MetaEntry, 'file' | 'createdAtMs'> = {
	format: FORMAT_VERSION,
	recording: 'test',
	node: 'n1',
	version: '0.1.0',
	sample: 1,
	hashes: 'kept',
	columns: columns.map(({ id, name, type }) => ({ id, name, type })),
	meshSeed: [1, 2],
	workers: 1,
	blockTokens: 512,
};

export function entryOf({ versionId, label, digest, config, manifest }: StrategyModule): StrategyEntry {
	return {
		versionId,
		label,
		digest,
		factors: [...manifest.factors],
		config: [...config],
		fuel: fuelDefaults,
	};
}

export interface BenchOptions {
	readonly rows?: number;
	readonly hashes?: HashMode;
	readonly sample?: number;
	/** Rows keep the signals they have, and all of them can be chosen. */
	readonly calm?: boolean;
	readonly ringBytes?: number;
	readonly writer?: Partial<WriterOptions>;
	readonly decider?: ConstructorParameters<typeof Harness>[1];
}

/** One worker's decisions, recorded as in a mesh. */
export class RecordedBench {
	readonly folder = new MemoryFolder();
	readonly harness: Harness;
	readonly writer: RecordingWriter;
	readonly tap: DecisionTap;
	readonly decisions: { readonly id: string; readonly out: Decision }[] = [];
	readonly #calm: boolean;
	readonly #ring: SharedArrayBuffer;
	readonly #reader: RingReader;
	#dropped = 0;
	#outcomesLost = 0;

	constructor(options: BenchOptions = {}) {
		const { rows = 8, hashes = 'kept', sample = 1, calm = false } = options;
		this.#calm = calm;
		this.tap = new DecisionTap({
			worker: 0,
			clock: { wallMs: () => 1_750_000_000_000, nowMs: () => 0 } as never,
			place: { zone: 0, region: 0, topK: 4 },
			promptBlocks: (words, at) => {
				words.set([7, 8, 9, 10], at);
				return 2;
			},
		});
		this.harness = new Harness(rows, options.decider, this.tap);
		this.#ring = createRing(options.ringBytes ?? 1 << 22);
		this.#reader = new RingReader(this.#ring);
		this.writer = new RecordingWriter(
			{ ...writerDefaults, ...options.writer },
			this.folder,
			new Redaction(hashes, new Uint8Array(32).fill(9)),
			{ ...testMeta, sample, hashes },
			() => this.folder.nowMs,
		);
		this.writer.open();
		this.tap.start(this.#ring, { sample });
	}

	/** Decides `count` requests; before each a row has new signals now and then. */
	decide(count: number, excluded: readonly number[] = []): void {
		for (let i = 0; i < count; i++) {
			const { random, rows, inflight } = this.harness.rig;
			if (!this.#calm && random.nextU32() % 3 === 0) this.harness.rig.touch(random.nextU32() % rows);
			const row = random.nextU32() % rows;
			inflight.add(0, row, random.nextU32() % 2 === 0 ? 1 : -1);
			inflight.changed(row);
			const out = this.harness.decide(excluded);
			const id = idOf(this.decisions.length);
			this.harness.decider.remember(id, this.harness.pool, testContext);
			this.decisions.push({ id, out: Object.assign(Object.create(null), structuredClone(out)) as Decision });
		}
	}

	outcome(id: string, more: Partial<AttemptOutcome> = {}): void {
		this.tap.outcome({ ...testOutcome, decisionId: id, ...more });
	}

	/** What the recorder's thread does now and then. */
	drain(): void {
		this.#reader.drain((kind, words, at, length) => this.writer.take(kind, words, at, length));
		this.writer.gap(0, this.#reader.dropped - this.#dropped);
		this.#dropped = this.#reader.dropped;
		this.writer.outcomeGap(0, this.#reader.outcomesLost - this.#outcomesLost);
		this.#outcomesLost = this.#reader.outcomesLost;
		this.writer.flush();
	}

	/** Ends the recording and gives its files. */
	finish(): RecordingFileBytes[] {
		this.tap.stop();
		this.drain();
		this.writer.close();
		return this.folder.read();
	}
}

export function idOf(index: number): string {
	return `01890a5d-ac96-774b-bcce-${index.toString(16).padStart(12, '0')}`;
}

const testContext: DecisionContext = {
	requestId: 'r',
	path: '/v1/chat/completions',
	tenant: 'default',
	session: '',
	cachedTokens: 64,
	cachedSource: 'approximate',
};

const testOutcome: AttemptOutcome = {
	decisionId: '',
	poolIndex: 0,
	poolRow: 1,
	target: {
		id: 't1',
		tableRow: 1,
		generation: 0,
		origin: '',
		pathPrefix: '',
		apiKey: undefined,
		runtime: 'test',
		upstreamModel: undefined,
	},
	status: 'ok',
	httpStatus: 200,
	tokensIn: 512,
	tokensOut: 32,
	tokensCached: 64,
	ttftMs: 120.5,
	tpotMs: 12.25,
	e2eMs: 512,
	predictedTtftMs: 100,
	tenant: 1,
	fallbackDecided: false,
	retried: false,
	hedge: 'none',
	lost: false,
	wastedTokens: 0,
	leg: 'whole',
	unreachable: false,
};
