// Owns the course of a run: calm, a fault, its effect, its healing, recovery, again; what each took, and whether the floor was kept while it was calm. Every
// fault comes once before any comes again.
import type { SeededRandom } from '@infermesh/proto';
import { eventually } from '../../support/mesh.js';
import { type Findings, since, type Tally } from '../workload/findings.js';
import type { Workload } from '../workload/workload.js';
import type { Fault, FaultContext, Struck } from './fault.js';

/** A fault that has struck shows within this time, or the run fails: it would prove nothing. */
const showsWithinMs = 20_000;
/** After healing, until a write goes through every node. */
const recoveryMaxMs = 15_000;
/** The same where processes must start first, on a machine that has other things to do. */
const restartMaxMs = 150_000;
/** After that, until all that was promised is there again. */
const settleMaxMs = 60_000;
/** Writes through the others while a fault lasts. */
const ableWithinMs = 20_000;
const writeTimeoutMs = 2_000;
/** Of calls while it is calm: what a busy machine makes late is no fault of the mesh, and more than that is. */
const calmFailuresMost = 0.05;
const looksMs = 25;

export interface NemesisSettings {
	/** No more faults from then on; undefined when `rounds` says how many. */
	readonly untilMs: number | undefined;
	/** How often each fault comes; undefined for as often as there is time. */
	readonly rounds: number | undefined;
	readonly calmMs: number;
	/** Answered operations a second while it is calm. */
	readonly floorPerSecond: number;
	/** Only these; all by default. */
	readonly only: readonly string[] | undefined;
	/** Faults that this machine cannot make are left out; otherwise each of them is a violation. */
	readonly allowMissing: boolean;
}

export interface FaultRecord {
	readonly fault: string;
	readonly what: string;
	readonly atS: number;
	readonly recoveryMs: number;
	readonly errors: Readonly<Record<string, number>>;
}

export interface NemesisParts {
	readonly context: FaultContext;
	readonly faults: readonly Fault[];
	readonly findings: Findings;
	readonly workloads: readonly Workload[];
	readonly settings: NemesisSettings;
	readonly signal: AbortSignal;
	readonly progress: (line: string) => void;
}

export class Nemesis {
	readonly records: FaultRecord[] = [];
	/** Answered operations a second of every calm. */
	readonly calms: number[] = [];
	readonly missing: Readonly<Record<string, string>>;
	readonly #parts: NemesisParts;
	readonly #possible: readonly Fault[];
	readonly #random: SeededRandom;
	/** Over all calms. */
	readonly #inCalm = { store: { answered: 0, failed: 0 }, streams: { answered: 0, failed: 0 } };
	#bag: Fault[] = [];

	constructor(parts: NemesisParts) {
		this.#parts = parts;
		this.#random = parts.context.random;
		const { only } = parts.settings;
		const { namespaces, mesh } = parts.context;
		/** What another kind of run is for. */
		const elsewhere = ({ inNamespaces, nodesLeast = 0 }: Fault): string | undefined => {
			if (inNamespaces === true && namespaces === undefined) return 'only with --netns';
			return mesh.nodes.length < nodesLeast ? `only with --nodes ${nodesLeast} or more` : undefined;
		};
		const wanted = parts.faults.filter((fault) =>
			only === undefined ? elsewhere(fault) === undefined : only.includes(fault.name),
		);
		const whyNot = (fault: Fault): string | undefined => elsewhere(fault) ?? fault.missing?.(parts.context);
		const reasons = wanted.map((fault) => [fault.name, whyNot(fault)] as const);
		this.missing = Object.fromEntries(reasons.flatMap(([name, why]) => (why === undefined ? [] : [[name, why]])));
		this.#possible = wanted.filter(({ name }) => !Object.hasOwn(this.missing, name));
	}

	/** Until the time is over or what it found makes going on pointless. */
	async run(): Promise<void> {
		const { findings, settings } = this.#parts;
		// What was asked for and cannot be made is not passed over in silence.
		const missing = settings.allowMissing ? [] : Object.entries(this.missing);
		for (const [name, why] of missing) findings.violation(`without "${name}": ${why}`);
		if (missing.length > 0) return;
		await this.#course();
		if (!this.#parts.signal.aborted) this.#judge();
	}

	/** A run in which too little happened proves nothing. */
	#judge(): void {
		const { findings, settings } = this.#parts;
		if (findings.violationsTotal > 0) return;
		if (this.records.length === 0) findings.violation('no fault struck');
		for (const [of, { answered, failed }] of Object.entries(this.#inCalm))
			if (failed > (answered + failed) * calmFailuresMost)
				findings.violation(`${of}: ${failed} of ${answered + failed} calls failed while it was calm`);
		if (settings.rounds === undefined) return;
		for (const { name } of this.#possible) {
			const times = this.records.filter(({ fault }) => fault === name).length;
			if (times < settings.rounds) findings.violation(`${name} struck ${times} times, not ${settings.rounds}`);
		}
	}

	async #course(): Promise<void> {
		const { findings } = this.#parts;
		await this.#recover(performance.now(), settleMaxMs);
		while (!this.#over()) {
			await this.#calm();
			if (this.#over()) return;
			const fault = this.#next();
			if (fault === undefined) continue;
			try {
				await this.#strike(fault);
			} catch (error) {
				const why = error instanceof Error ? error.message : String(error);
				findings.violation(`${fault.name}: ${why}`);
				return;
			}
		}
	}

	#over(): boolean {
		const { settings, signal } = this.#parts;
		const { untilMs = Number.POSITIVE_INFINITY, rounds = Number.POSITIVE_INFINITY } = settings;
		const times = this.#possible.length * rounds;
		return signal.aborted || performance.now() >= untilMs || this.records.length >= times;
	}

	#next(): Fault | undefined {
		if (this.#bag.length === 0)
			this.#bag = this.#possible
				.map((fault) => ({ fault, key: this.#random.nextU32() }))
				.sort((a, b) => a.key - b.key)
				.map(({ fault }) => fault);
		return this.#bag.pop();
	}

	async #calm(): Promise<void> {
		const { settings, findings, signal } = this.#parts;
		const [beganMs, before, tally] = [performance.now(), findings.operations, findings.tally];
		await new Promise<void>((resolve) => {
			const timer = setTimeout(resolve, settings.calmMs);
			signal.addEventListener('abort', () => {
				clearTimeout(timer);
				resolve();
			});
		});
		if (signal.aborted) return;
		const perSecond = ((findings.operations - before) / (performance.now() - beganMs)) * 1_000;
		this.calms.push(perSecond);
		this.#addCalm(tally, findings.tally);
		if (perSecond < settings.floorPerSecond)
			findings.violation(`only ${perSecond.toFixed(1)} operations a second while it was calm`);
	}

	#addCalm(from: Tally, to: Tally): void {
		for (const of of ['store', 'streams'] as const) {
			this.#inCalm[of].answered += to[of].answered - from[of].answered;
			this.#inCalm[of].failed += to[of].failed - from[of].failed;
		}
	}

	async #strike(fault: Fault): Promise<void> {
		const { context, findings, progress } = this.#parts;
		const [atS, errorsBefore] = [findings.elapsedS, findings.errors];
		const struck = await fault.strike(context);
		let healedMs = 0;
		try {
			await this.#last(fault, struck);
		} finally {
			healedMs = performance.now();
			await struck.heal();
		}
		const recoveryMs = await this.#recover(healedMs, struck.restarts === true ? restartMaxMs : recoveryMaxMs);
		for (const { settle } of this.#settling()) await settle(settleMaxMs);
		const errors = since(errorsBefore, findings.errors);
		this.records.push({ fault: fault.name, what: struck.what, atS, recoveryMs, errors });
		progress(
			`${Math.round(atS)} s  ${fault.name} (${struck.what}): back after ${Math.round(recoveryMs)} ms, ${findings.operations} operations`,
		);
	}

	/** From the strike to the healing. */
	async #last(fault: Fault, struck: Struck): Promise<void> {
		await eventually(`${fault.name} shows (${struck.what})`, struck.fired, {
			withinMs: showsWithinMs,
			everyMs: looksMs,
		});
		await new Promise((resolve) => setTimeout(resolve, struck.holdMs));
		for (const at of struck.able ?? []) await this.#write(at, ableWithinMs, `while ${fault.name} lasts`);
	}

	*#settling(): Iterable<{ readonly settle: (withinMs: number) => Promise<void> }> {
		for (const workload of this.#parts.workloads)
			if (workload.settle !== undefined)
				yield { settle: (withinMs) => workload.settle?.(withinMs) ?? Promise.resolve() };
	}

	/** Milliseconds from `fromMs` until a write has gone through every node; rejects after `withinMs`. */
	async #recover(fromMs: number, withinMs: number): Promise<number> {
		const { mesh } = this.#parts.context;
		const untilMs = fromMs + withinMs;
		await Promise.all(mesh.nodes.map((_, at) => this.#write(at, untilMs - performance.now(), 'after healing')));
		const recoveryMs = performance.now() - fromMs;
		await this.#whole();
		return recoveryMs;
	}

	/** All see each other, and all have votes again. */
	async #whole(): Promise<void> {
		const { mesh } = this.#parts.context;
		for (const node of mesh.nodes) {
			let alive = 0;
			await eventually(
				`${node.name} sees all ${mesh.nodes.length} alive`,
				async () => {
					alive = (await node.metric('infermesh_gossip_live_members')) ?? 0;
					return alive === mesh.nodes.length;
				},
				{ withinMs: settleMaxMs, everyMs: 100 },
			).catch((error: unknown) => {
				throw new Error(`${node.name} sees ${alive} of ${mesh.nodes.length} alive`, { cause: error });
			});
		}
		const [first] = mesh.nodes;
		if (first === undefined) return;
		await eventually(
			'all have votes',
			async () => {
				const { members } = await mesh.raft(first);
				return members.filter(({ role }) => role === 'voter').length === mesh.nodes.length;
			},
			{ withinMs: settleMaxMs, everyMs: 100 },
		);
	}

	async #write(at: number, withinMs: number, when: string): Promise<void> {
		const { mesh } = this.#parts.context;
		const value = Buffer.from(String(performance.now()), 'utf8');
		await eventually(
			`a write goes through ${mesh.node(at).name} ${when}`,
			() =>
				mesh
					.client(at)
					.transact({ when: [], then: [{ put: `recovery/${at}`, value }] }, { timeoutMs: writeTimeoutMs })
					.then(
						() => true,
						() => false,
					),
			{ withinMs, everyMs: looksMs },
		);
	}
}
