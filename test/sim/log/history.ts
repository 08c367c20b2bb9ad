// Owns running one history of a segment log on a simulated disk against the model: appends, crashes within and between them, disk faults,
// releases. What was acknowledged must be there after every opening, nothing else but a part of the batch under way, and an unhurt log opens.
import {
	type LogMutation,
	type LogWrite,
	SegmentLog,
	type SegmentLogOptions,
	segmentLogDefaults,
} from '@infermesh/fabric';
import { MeshError, SeededRandom } from '@infermesh/proto';
import * as fc from 'fast-check';
import { SimDisk } from '../world/sim-disk.js';
import { describe, emptyGroup, lastIndex, type ModelState, statesWithin } from './model.js';

const GROUPS = 3;
const OPEN_TRIES_MAX = 4;

interface WritePlan {
	readonly group: number;
	/** Lengths of the entries' data. */
	readonly sizes: readonly number[];
	/** Entries of the tail that are replaced. */
	readonly back: number;
	readonly newTerm: boolean;
	readonly hardState: boolean;
	/** `compact` marks what the log has; `conflict` installs one of another history in its midst; `ahead` installs one past its end. */
	readonly snapshot: 'none' | 'compact' | 'conflict' | 'ahead';
}

export type Step =
	| { readonly kind: 'append'; readonly writes: readonly WritePlan[]; readonly end: 'sync' | 'crash' | 'kill' }
	| { readonly kind: 'release'; readonly group: number; readonly behind: number }
	| { readonly kind: 'crash' | 'kill' | 'maintain' }
	| { readonly kind: 'faults'; readonly syncError: number; readonly writeError: number }
	| { readonly kind: 'full'; readonly spareBytes: number }
	| { readonly kind: 'lossy'; readonly lostWrite: number }
	/** Crash, then a bit of the log's files is found flipped. */
	| { readonly kind: 'flip'; readonly file: number; readonly bit: number };

const writePlan = fc.record({
	group: fc.nat(GROUPS - 1),
	sizes: fc.array(fc.oneof({ weight: 5, arbitrary: fc.nat(40) }, { weight: 2, arbitrary: fc.nat(1000) }), {
		maxLength: 5,
	}),
	back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(4)),
	newTerm: fc.boolean(),
	hardState: fc.boolean(),
	snapshot: fc.constantFrom('none', 'none', 'none', 'none', 'compact', 'compact', 'conflict', 'ahead'),
});

const anyStep: fc.Arbitrary<Step> = fc.oneof(
	{
		weight: 12,
		arbitrary: fc.record({
			kind: fc.constant('append'),
			writes: fc.array(writePlan, { minLength: 1, maxLength: 3 }),
			end: fc.constantFrom('sync', 'sync', 'sync', 'sync', 'sync', 'crash', 'kill'),
		}),
	},
	{ weight: 3, arbitrary: fc.record({ kind: fc.constant('release'), group: fc.nat(GROUPS - 1), behind: fc.nat(3) }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('crash', 'kill', 'maintain') }) },
	{
		weight: 1,
		arbitrary: fc.record({
			kind: fc.constant('faults'),
			syncError: fc.constantFrom(0, 0.1, 0.5),
			writeError: fc.constantFrom(0, 0, 0.1),
		}),
	},
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant('full'), spareBytes: fc.nat(10_000) }) },
);

export const calmSteps: fc.Arbitrary<readonly Step[]> = fc.array(anyStep, { minLength: 5, maxLength: 60, size: 'max' });

/** Histories in which some writes claim success and never reach the medium. */
export const lossySteps: fc.Arbitrary<readonly Step[]> = fc
	.array(
		fc.oneof(
			{ weight: 20, arbitrary: anyStep },
			{ weight: 1, arbitrary: fc.record({ kind: fc.constant('lossy'), lostWrite: fc.constantFrom(0, 0.05, 0.3) }) },
		),
		{ minLength: 5, maxLength: 60, size: 'max' },
	)
	.map((steps): readonly Step[] => [{ kind: 'lossy', lostWrite: 0.05 } as Step].concat(steps));

/** Histories that end with a flipped bit. */
export const flippedSteps: fc.Arbitrary<readonly Step[]> = fc
	.tuple(calmSteps, fc.record({ kind: fc.constant('flip'), file: fc.nat(100), bit: fc.nat(1 << 24) }))
	.map(([steps, flip]): readonly Step[] => steps.concat(flip as Step));

export interface HistoryOutcome {
	/** What was wrong, or undefined. */
	readonly violation: string | undefined;
	readonly disk: SimDisk;
	readonly refusals: number;
	readonly repairs: number;
	readonly segmentsMax: number;
	/** Openings that found an earlier state, which only lost writes explain. */
	readonly returns: number;
}

export function runHistory(
	seed: number,
	steps: readonly Step[],
	mutations: readonly LogMutation[] = [],
): HistoryOutcome {
	const history = new History(seed, mutations);
	let violation: string | undefined;
	try {
		history.reopen();
		for (const step of steps) history.run(step);
		history.run({ kind: 'faults', syncError: 0, writeError: 0 });
		history.run({ kind: 'crash' });
	} catch (error) {
		if (!(error instanceof Violation) && !(error instanceof HistoryEnd)) throw error;
		if (error instanceof Violation) violation = error.message;
	}
	const { disk, refusals, repairs, segmentsMax, returns } = history;
	return { violation, disk, refusals, repairs, segmentsMax, returns };
}

class Violation extends Error {}
/** A damaged log was refused: there is nothing more to run. */
class HistoryEnd extends Error {}

class History {
	readonly disk: SimDisk;
	refusals = 0;
	repairs = 0;
	segmentsMax = 0;
	returns = 0;
	readonly #random: SeededRandom;
	readonly #options: SegmentLogOptions;
	#log: SegmentLog | undefined;
	#flipped = false;
	/** Every state the log has been in, or within a batch of, by its text. */
	readonly #past = new Map<string, ModelState>([['', new Map()]]);
	#counter = 1;
	/** What may be there when the log is opened next; the first is what was acknowledged. */
	#possible: readonly ModelState[] = [new Map()];

	constructor(seed: number, mutations: readonly LogMutation[]) {
		this.#random = new SeededRandom(seed, 1);
		this.disk = new SimDisk(new SeededRandom(seed, 2));
		this.#options = {
			...segmentLogDefaults,
			folder: 'raft/log',
			segmentBytes: 8192,
			sparesMax: 2,
			entryMaxBytes: 1000,
			frameMaxBytes: 2048,
			fillStepBytes: 4096,
			mutations: new Set(mutations),
		};
	}

	get #state(): ModelState {
		return this.#possible[0] ?? new Map();
	}

	run(step: Step): void {
		switch (step.kind) {
			case 'append':
				this.#append(step.writes, step.end);
				break;
			case 'release': {
				const index = (this.#state.get(step.group)?.snapshot?.index ?? 0) - step.behind;
				if (index > 0) this.#attempt((log) => log.release(step.group, index));
				break;
			}
			case 'maintain':
				this.#attempt((log) => {
					log.maintain();
				});
				break;
			case 'faults':
				this.disk.faults.syncError = step.syncError;
				this.disk.faults.writeError = step.writeError;
				break;
			case 'lossy':
				this.disk.faults.lostWrite = step.lostWrite;
				break;
			case 'full':
				this.disk.faults.capacityBytes = this.disk.usedBytes + step.spareBytes;
				break;
			case 'flip':
				this.#flip(step.file, step.bit);
				break;
			case 'crash':
			case 'kill':
				this.#die(step.kind);
				break;
		}
	}

	#append(plans: readonly WritePlan[], end: 'sync' | 'crash' | 'kill'): void {
		const writes = this.#plan(plans);
		const states = statesWithin(this.#state, writes);
		this.#possible = states;
		for (const state of states) this.#past.set(describe(state), state);
		const done = this.#attempt((log) => {
			log.write(writes);
			if (end === 'sync') log.sync();
		});
		if (done === 'died') return;
		if (end === 'sync') this.#possible = states.slice(-1);
		else this.#die(end);
		this.segmentsMax = Math.max(this.segmentsMax, this.#log?.segmentCount ?? 0);
	}

	/** Tries again when the disk was full and has room again; opens anew when the disk failed. */
	#attempt(work: (log: SegmentLog) => void): 'done' | 'died' {
		for (let tries = 0; tries < OPEN_TRIES_MAX; tries++) {
			try {
				const log = this.#log;
				if (log === undefined) throw new Error('the log is not open');
				work(log);
				return 'done';
			} catch (error) {
				if (!(error instanceof MeshError)) throw error;
				if (error.code === 'IM_LOG_DISK_FULL') this.disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
				else if (error.code === 'IM_LOG_DISK_FAILED') {
					this.#die(this.#random.nextFloat() < 0.5 ? 'crash' : 'kill');
					return 'died';
				} else throw new Violation(`refused for no reason: ${error.message}`);
			}
		}
		throw new Violation('the disk has room and the log still refuses');
	}

	#die(how: 'crash' | 'kill'): void {
		if (how === 'crash') this.disk.crash();
		else this.disk.killProcess();
		this.reopen();
	}

	reopen(): void {
		for (let tries = 0; tries < OPEN_TRIES_MAX; tries++) {
			if (tries === OPEN_TRIES_MAX - 1) Object.assign(this.disk.faults, { syncError: 0, writeError: 0 });
			try {
				this.#log = SegmentLog.open(this.disk, this.#random, this.#options);
			} catch (error) {
				if (!(error instanceof MeshError)) throw error;
				this.disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
				if (error.code !== 'IM_LOG_CORRUPT') {
					this.disk.killProcess();
					continue;
				}
				this.refusals++;
				if (this.#flipped || this.disk.counters.lostWrites > 0) throw new HistoryEnd();
				throw new Violation(`an unhurt log was refused: ${error.message}`);
			}
			this.#check(this.#log.recovered);
			if (this.#log.repairedBytes > 0) this.repairs++;
			return;
		}
		throw new Violation('the log does not open on a sound disk');
	}

	#check(recovered: SegmentLog['recovered']): void {
		const text = describe(recovered);
		const found = this.#possible.find((state) => describe(state) === text) ?? this.#wentBack(text);
		if (found === undefined) throw new Violation(`acknowledged:\n${describe(this.#state)}\nrecovered:\n${text}`);
		this.#possible = [found];
	}

	/** A disk that loses writes in silence may take the log back to what it was, but to nothing else. */
	#wentBack(text: string): ModelState | undefined {
		const earlier = this.disk.counters.lostWrites > 0 ? this.#past.get(text) : undefined;
		if (earlier !== undefined) this.returns++;
		return earlier;
	}

	#flip(file: number, bit: number): void {
		this.disk.killProcess();
		const paths = this.disk.paths().filter((path) => path.endsWith('.segment'));
		const path = paths[file % paths.length];
		if (path === undefined) return;
		// Where something was written: zeros after the end say nothing.
		const contents = this.disk.contents(path);
		const used = contents.findLastIndex((byte) => byte !== 0) + 1;
		this.disk.flipBit(path, bit % (used * 8));
		this.#flipped = true;
		this.reopen();
	}

	#plan(plans: readonly WritePlan[]): readonly LogWrite[] {
		let state = this.#state;
		const writes: LogWrite[] = [];
		for (const plan of plans) {
			const write = this.#planOne(plan, state);
			state = statesWithin(state, [write]).at(-1) ?? state;
			writes.push(write);
		}
		return writes;
	}

	#planOne(plan: WritePlan, state: ModelState): LogWrite {
		const group = state.get(plan.group) ?? emptyGroup;
		const unique = this.#counter++;
		const snapshot = this.#snapshot(plan, group, unique);
		const after = statesWithin(state, [{ group: plan.group, snapshot, entries: [], hardState: undefined }]).at(-1);
		const has = after?.get(plan.group) ?? emptyGroup;
		const from = Math.max(has.snapshot?.index ?? 0, lastIndex(has) - plan.back) + 1;
		const term = Math.max(has.snapshot?.term ?? 1, has.entries.at(-1)?.term ?? 1) + (plan.newTerm ? 1 : 0);
		return {
			group: plan.group,
			snapshot,
			entries: plan.sizes.map((size, at) => ({
				term,
				index: from + at,
				kind: (['command', 'command', 'config', 'noop'] as const)[size % 4] ?? 'command',
				// Never zero: a last record with a sector of zeros, once damaged, passes for torn.
				data: new Uint8Array(size).fill(1 + ((unique * 7 + at) % 255)),
			})),
			hardState: plan.hardState
				? { term, votedFor: unique % 3 === 0 ? undefined : `peer-${unique}`, commit: unique }
				: undefined,
		};
	}

	#snapshot(plan: WritePlan, group: typeof emptyGroup, unique: number): LogWrite['snapshot'] {
		const membership = { voters: [`peer-${unique}`, 'b'], outgoing: [], learners: ['c'], learnersNext: [] };
		const middle = group.entries[Math.floor(group.entries.length / 2)];
		if (plan.snapshot === 'compact' && middle !== undefined)
			return { index: middle.index, term: middle.term, membership };
		if (plan.snapshot === 'conflict' && middle !== undefined)
			return { index: middle.index, term: (group.entries.at(-1)?.term ?? 0) + 1, membership };
		if (plan.snapshot === 'ahead' && plan.newTerm)
			return {
				index: lastIndex(group) + 5,
				term: (group.entries.at(-1)?.term ?? group.snapshot?.term ?? 0) + 1,
				membership,
			};
		return undefined;
	}
}
