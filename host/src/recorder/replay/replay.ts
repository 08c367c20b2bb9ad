// Owns a replay: the events of a recording, each decision run again with what decided it, and with the strategies it is compared with. The same files and
// strategies give the same report on any machine.
import { Decision, strikeCauses } from '../../strategy/runtime/decision.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import type { RecordedDecision } from '../decision.js';
import type { MetaEntry, StrategyEntry } from '../entries.js';
import { type RecordingFileBytes, RecordingReader } from '../reader.js';
import type { StreamState } from '../stream-state.js';
import { Against, type ReplayWatch } from './against.js';
import { fieldsThatDiffer } from './identity.js';
import { RecordedClock } from './recorded-clock.js';
import { RecordedRows } from './recorded-rows.js';
import { type IdentityDifference, REPLAY_SCHEMA, type ReplayedStrategy, type ReplayReport } from './report.js';
import { type ReplayStream, replayFallback, Subject } from './subject.js';

export interface ReplayOptions {
	/** Differences listed of each kind; the rest is counted. */
	readonly differencesMax: number;
	/** Version of this program. */
	readonly version: string;
}

export const replayDefaults: Omit<ReplayOptions, 'version'> = { differencesMax: 1000 };

export interface ReplayPorts {
	/** Scans, meters and compiles a module's bytes. Throws when it may not run. */
	readonly prepare: (module: Uint8Array, label: string) => StrategyModule;
	/** Modules at hand for strategies whose own are not in the recording. */
	readonly given: readonly StrategyModule[];
	/** Strategies to compare with. */
	readonly against: readonly StrategyModule[];
	readonly watch?: ReplayWatch;
	/** Told now and then how many decisions have been replayed. */
	readonly progress?: (decisions: number) => void;
}

interface Recorded {
	entry: StrategyEntry;
	subject: Subject | undefined;
	decisions: number;
	module: ReplayedStrategy['module'];
	problem: string;
	sameDigest: boolean;
}

const TICK_MS = 1000;
/** Enough that an answer which hangs on a hash hardly comes out the same for all. */
const HASHES_TRIED = 8;
const PROGRESS_EVERY = 2048;

export class Replay {
	readonly #options: ReplayOptions;
	readonly #ports: ReplayPorts;
	readonly #reader: RecordingReader;
	readonly #files: readonly RecordingFileBytes[];
	readonly #clock = new RecordedClock();
	readonly #modules = new Map<number, Uint8Array>();
	readonly #recorded = new Map<number, Recorded>();
	readonly #streams = new Map<StreamState, ReplayStream>();
	readonly #against: Against[] = [];
	readonly #fallbackOut = new Decision();
	readonly #passedOver = new Map<string, number>();
	readonly #differences: IdentityDifference[] = [];
	#meta: MetaEntry | undefined;
	#decisions = 0;
	#outcomes = 0;
	#dropped = 0;
	#outcomesLost = 0;
	#checked = 0;
	#identical = 0;
	#different = 0;
	#redacted = 0;
	#fromMs: number | undefined;
	#toMs: number | undefined;

	/** Throws IM_RECORDING_FORMAT. */
	constructor(files: readonly RecordingFileBytes[], options: ReplayOptions, ports: ReplayPorts) {
		this.#files = files;
		this.#options = options;
		this.#ports = ports;
		this.#reader = new RecordingReader(files);
		this.#clock.every(TICK_MS, () => this.#against.forEach(({ subject }) => subject.tick()));
	}

	run(): ReplayReport {
		for (const event of this.#reader.events()) {
			switch (event.kind) {
				case 'meta':
					this.#meta = event.meta;
					break;
				case 'module':
					this.#modules.set(event.versionId, event.module.slice());
					break;
				case 'strategy':
					this.#strategy(event.strategy);
					break;
				case 'stream':
					this.#open(event.stream);
					break;
				case 'keyframe':
					this.#streams.get(event.stream)?.rows.keyframe();
					break;
				case 'rows':
					this.#streams.get(event.stream)?.rows.changed(event.rows);
					break;
				case 'decision':
					this.#decision(event.decision, event.stream === undefined ? undefined : this.#streams.get(event.stream));
					break;
				case 'outcome':
					this.#outcomes++;
					this.#clock.advanceTo(event.outcome.wallMs);
					for (const { subject } of this.#against) subject.observe(event.outcome);
					this.#ports.watch?.outcome(event.outcome);
					break;
				case 'gap':
					this.#dropped += event.dropped;
					break;
				case 'outcomeGap':
					this.#outcomesLost += event.lost;
					break;
				case 'state':
					break;
			}
		}
		return this.#report();
	}

	/** A file begins anew with the strategies it knows: one that has not changed keeps its instances. */
	#strategy(entry: StrategyEntry): void {
		const before = this.#recorded.get(entry.versionId);
		if (before !== undefined && JSON.stringify(before.entry) === JSON.stringify(entry)) return;
		this.#recorded.set(entry.versionId, {
			entry,
			subject: undefined,
			decisions: 0,
			module: 'missing',
			problem: '',
			sameDigest: false,
		});
	}

	#open(stream: StreamState): void {
		if (this.#streams.has(stream)) return;
		for (const known of this.#streams.keys())
			if (known.entry.stream === stream.entry.stream) this.#streams.delete(known);
		if (this.#meta === undefined) return;
		this.#streams.set(stream, { stream, rows: new RecordedRows(stream, this.#meta) });
	}

	#decision(decision: RecordedDecision, of: ReplayStream | undefined): void {
		const index = this.#decisions++;
		if (index % PROGRESS_EVERY === 0) this.#ports.progress?.(index);
		this.#clock.advanceTo(decision.wallMs);
		this.#fromMs ??= decision.wallMs;
		this.#toMs = decision.wallMs;
		const recorded = this.#recorded.get(decision.versionId);
		if (recorded !== undefined) recorded.decisions++;
		const reason = passedOver(decision, of);
		if (reason !== undefined || of === undefined) {
			this.#pass(reason ?? 'inputs lost');
			return;
		}
		this.#check(index, of, decision, recorded);
		for (const against of this.#opened()) against.compare(index, of, decision, recorded?.entry);
	}

	/** The strategies to compare with, once the recording has said under which seed and budget it was made. */
	#opened(): readonly Against[] {
		if (this.#against.length === this.#ports.against.length) return this.#against;
		const [first] = this.#recorded.values();
		const seed = this.#meta?.meshSeed ?? [0, 0];
		for (const module of this.#ports.against) {
			const fuel = first?.entry.fuel ?? { base: 200_000, perTarget: 400, stackSlotsMax: 16_384 };
			const subject = new Subject(module, fuel, seed, false, this.#clock);
			this.#against.push(new Against(subject, this.#options.differencesMax, this.#ports.watch));
		}
		return this.#against;
	}

	/** Runs the decision again with what decided it. */
	#check(index: number, of: ReplayStream, decision: RecordedDecision, recorded: Recorded | undefined): void {
		const asked = decision.cause === 'none' || decision.cause === 'declined' || strikeCauses.has(decision.cause);
		const subject = asked && recorded !== undefined ? this.#subjectOf(recorded) : undefined;
		if (asked && subject === undefined) {
			this.#pass('strategy missing');
			return;
		}
		if (subject?.learns === true && of.stream.states.get(decision.versionId)?.epoch !== decision.stateEpoch) {
			this.#pass('state lost');
			return;
		}
		const now = this.#answer(of, decision, subject);
		if (subject !== undefined && now.cause === 'no_instance') {
			this.#pass('no instance');
			return;
		}
		this.#checked++;
		const fields = fieldsThatDiffer(decision, now);
		if (fields.length === 0) {
			this.#identical++;
			return;
		}
		if (decision.redacted && subject !== undefined && hangsOnHashes(subject, of, decision)) {
			this.#redacted++;
			return;
		}
		this.#different++;
		if (this.#differences.length >= this.#options.differencesMax) return;
		const strategy = recorded?.entry.label ?? 'the fallback';
		this.#differences.push({ index, id: decision.id, at: new Date(decision.wallMs).toISOString(), strategy, fields });
	}

	#answer(of: ReplayStream, decision: RecordedDecision, subject: Subject | undefined): Decision {
		const cause = subject?.rank(of, decision) ?? decision.cause;
		if (subject !== undefined && cause === 'none') {
			subject.draw(decision);
			return subject.out;
		}
		const out = this.#fallbackOut;
		resetAnswer(out);
		replayFallback(of, decision, out);
		out.cause = cause;
		out.fuel = subject?.out.fuel ?? 0;
		return out;
	}

	#subjectOf(recorded: Recorded): Subject | undefined {
		if (recorded.subject !== undefined || recorded.problem !== '') return recorded.subject;
		const { entry } = recorded;
		const given = this.#ports.given.find(({ digest }) => digest === entry.digest);
		const bytes = this.#modules.get(entry.versionId);
		try {
			const module = given ?? (bytes === undefined ? undefined : this.#ports.prepare(bytes, entry.label));
			if (module === undefined) {
				recorded.problem = 'its module is not in the recording, and none of its digest was given';
				return undefined;
			}
			recorded.module = given === undefined ? 'recording' : 'given';
			recorded.sameDigest = module.digest === entry.digest;
			const configured = { ...module, label: entry.label, config: Uint32Array.from(entry.config) };
			const seed = this.#meta?.meshSeed ?? [0, 0];
			recorded.subject = new Subject(configured, entry.fuel, seed, true, this.#clock);
		} catch (error) {
			recorded.problem = error instanceof Error ? error.message : String(error);
		}
		return recorded.subject;
	}

	#pass(reason: string): void {
		this.#passedOver.set(reason, (this.#passedOver.get(reason) ?? 0) + 1);
	}

	#report(): ReplayReport {
		const { issues, partial, tampered, blocks, verified, chain } = this.#reader;
		const time = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());
		return {
			schema: REPLAY_SCHEMA,
			recording: this.#meta?.recording ?? '',
			node: this.#meta?.node ?? '',
			versions: { recorded: this.#meta?.version ?? '', replayed: this.#options.version },
			files: this.#files.map(({ name }) => name),
			chain,
			hashes: this.#meta?.hashes ?? '',
			sample: this.#meta?.sample ?? 0,
			from: time(this.#fromMs),
			to: time(this.#toMs),
			decisions: this.#decisions,
			outcomes: this.#outcomes,
			dropped: this.#dropped,
			outcomesLost: this.#outcomesLost,
			blocks: { read: blocks, verified },
			partial,
			tampered,
			issues,
			strategies: [...this.#recorded.values()].map(({ entry, decisions, module, problem, sameDigest }) => ({
				label: entry.label,
				digest: entry.digest,
				decisions,
				module,
				problem,
				sameDigest,
			})),
			identity: {
				checked: this.#checked,
				identical: this.#identical,
				different: this.#different,
				redacted: this.#redacted,
				passedOver: Object.fromEntries(this.#passedOver),
				differences: this.#differences,
			},
			against: this.#opened().map((against) => against.report()),
			ok: this.#different === 0 && !tampered,
		};
	}
}

/** Why a decision cannot be run again; undefined when it can. */
function passedOver(decision: RecordedDecision, of: ReplayStream | undefined): string | undefined {
	if (of === undefined) return 'inputs lost';
	if (decision.moving || decision.cause === 'host_error') return 'inputs were moving';
	return decision.excluded.some((row) => row >= of.rows.rowCount) ? 'malformed' : undefined;
}

/** Whether the answer changes with the hashes: then a recording without them cannot tell what it was. */
function hangsOnHashes(subject: Subject, of: ReplayStream, decision: RecordedDecision): boolean {
	const answers = Array.from({ length: HASHES_TRIED }, (_, i) => {
		const hash = Math.imul(i + 1, 0x9e37_79b1) >>> 0;
		const cause = subject.rank(of, decision, [hash, ~hash >>> 0]);
		const { out } = subject;
		return [cause, out.verdict, ...out.rows.subarray(0, out.count), ...out.scores.subarray(0, out.count)].join();
	});
	return new Set(answers).size > 1;
}

function resetAnswer(out: Decision): void {
	Object.assign(out, {
		verdict: 'route',
		count: 0,
		chosen: 0,
		propensity: 1,
		rejectReason: 0,
		retryAfterMs: 0,
		holdKey: 0,
		prefillRow: -1,
		fetchFromRow: -1,
		hedgeDelayMs: 0,
		hedgeCopies: 0,
		predictedTtftMs: 0,
		temperature: 0,
	} satisfies Partial<Decision>);
}
