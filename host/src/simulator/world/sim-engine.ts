// Owns one engine of the simulated fleet: the step model driven by the event queue, and the life of its process (slow, lost, hung). It tells whoever sent a
// sequence of its first token, its end or its death, at the engine's own time; what lies between engine and router is the attempt's. Invariants: no
// step begins while one is in flight; when no step is, nothing is waiting that could be scheduled.
import type { BlockRuns } from '../../engine/model/block-runs.js';
import { engineModelConfig } from '../../engine/model/engine-config.js';
import { EngineModel, type SubmitRefusal } from '../../engine/model/engine-model.js';
import type { KvObserver } from '../../engine/model/kv-observer.js';
import type { LatencyModel } from '../../engine/model/latency.js';
import type { EngineProfile } from '../../engine/model/profiles.js';
import type { Sequence, SequenceRequest } from '../../engine/model/sequence.js';
import { broken } from './broken.js';
import { EventClass, type EventQueue, type SimEvent } from './event-queue.js';
import type { SimTarget } from './fleet-layout.js';
import { prefillTokenUs } from './predictor.js';
import type { Prompts } from './prompts.js';

/** Who is told what becomes of a sequence; its `tag`. */
export interface EngineClient {
	firstToken(sequence: Sequence): void;
	finished(sequence: Sequence): void;
	/** The process died with it. */
	died(): void;
}

/** Is told just before and just after the engine's load changes. */
export interface EngineWatcher {
	changed(engine: SimEngine): void;
}

export interface EngineTotals {
	busyUs: number;
	prefillTokens: number;
	decodeTokens: number;
	preemptions: number;
}

export class SimEngine {
	readonly target: SimTarget;
	readonly profile: EngineProfile;
	/** Prompts in its blocks. */
	readonly prompts: Prompts;
	/** The process; another one after it was lost. */
	model: EngineModel;
	/** `lost`: nothing answers. `hung`: it takes requests and does nothing. */
	life: 'up' | 'lost' | 'hung' = 'up';
	/** Of the processes before this one, and of this one's ended steps. */
	readonly totals: EngineTotals = { busyUs: 0, prefillTokens: 0, decodeTokens: 0, preemptions: 0 };
	readonly loras: Set<string>;
	readonly #queue: EventQueue;
	readonly #latency: LatencyModel;
	readonly #watcher: EngineWatcher;
	readonly #observer: KvObserver | undefined;
	readonly #clients = new Map<Sequence, EngineClient>();
	/** Uncached prompt tokens of sequences that have not had their first token. */
	readonly #pending = new Map<Sequence, number>();
	readonly #healthyTokenUs: number;
	#pendingTokens = 0;
	#faultFactor = 1;
	#ending: SimEvent | undefined;
	#waking: SimEvent | undefined;

	constructor(
		target: SimTarget,
		profile: EngineProfile,
		prompts: Prompts,
		latency: LatencyModel,
		queue: EventQueue,
		watcher: EngineWatcher,
		observer: KvObserver | undefined,
	) {
		this.target = target;
		this.profile = profile;
		this.prompts = prompts;
		this.#latency = latency;
		this.#queue = queue;
		this.#watcher = watcher;
		this.#observer = observer;
		this.loras = new Set(target.group.loras);
		this.model = this.#start();
		const { kvBlocks, blockTokens } = this.model.config;
		this.#healthyTokenUs = prefillTokenUs(latency, target.group.stepTokensMax, kvBlocks * blockTokens);
	}

	/** Prompt tokens, less what was cached of them when they came, of sequences that wait for their first token. */
	get pendingTokens(): number {
		return this.#pendingTokens;
	}

	/** Time of a token in a full prefill step, as slow as it is now. */
	get tokenUs(): number {
		return this.#healthyTokenUs * this.model.slowFactor;
	}

	/** Sequences here. */
	get sequences(): number {
		return this.#clients.size;
	}

	/** Leading tokens of a prompt it has in either tier; of these, those on the device come first. */
	prefixTokens(blocks: BlockRuns): number {
		if (this.life === 'lost') return 0;
		const device = this.model.cachedPrefixTokens(blocks);
		return device + this.model.hostPrefixTokens(blocks, device);
	}

	submit(request: SequenceRequest, client: EngineClient): Sequence | SubmitRefusal {
		const cached = request.blocks === undefined ? 0 : this.prefixTokens(request.blocks);
		const taken = this.model.submit(request, this.#queue.nowUs);
		if (typeof taken === 'string') return taken;
		this.#clients.set(taken, client);
		const left = Math.max(1, request.promptTokens - Math.max(cached, request.transferredTokens ?? 0));
		this.#pending.set(taken, left);
		this.#pendingTokens += left;
		this.#resume();
		this.#watcher.changed(this);
		return taken;
	}

	/** Ends a sequence whose answer nobody awaits any more; returns the tokens that were computed for it. */
	cancel(sequence: Sequence): number {
		if (!this.#clients.delete(sequence)) return 0;
		this.#answered(sequence);
		const reused = Math.max(0, sequence.cachedTokens) + sequence.hostTokens + sequence.transferredTokens;
		const { nowUs } = this.#queue;
		const running = sequence.state === 'running' ? this.model.runStepsEnded(nowUs) : 0;
		const computed = Math.max(0, sequence.computedTokens + running - reused);
		this.model.cancel(sequence, nowUs);
		this.#resume();
		this.#watcher.changed(this);
		return computed;
	}

	/** Steps take so many times longer, from the next one on. */
	slow(factor: number): void {
		this.#faultFactor = factor;
		this.model.interrupt(this.#queue.nowUs);
		this.model.slowFactor = this.target.group.slowFactor * factor;
		this.#resume();
	}

	hang(): void {
		if (this.life !== 'up') return;
		this.model.interrupt(this.#queue.nowUs);
		this.#resume();
		this.life = 'hung';
		this.#watcher.changed(this);
	}

	/** The process is gone, with all it had. */
	lose(): void {
		if (this.life === 'lost') return;
		this.life = 'lost';
		this.#stopTimers();
		this.#countLost();
		const clients = [...this.#clients.values()];
		this.#clients.clear();
		this.#pending.clear();
		this.#pendingTokens = 0;
		for (const client of clients) client.died();
		this.totals.preemptions += this.model.counters.preemptions;
		this.model = this.#start();
		this.loras.clear();
		for (const lora of this.target.group.loras) this.loras.add(lora);
		this.#watcher.changed(this);
	}

	/** Back from `lost` with an empty cache, or from `hung` where it stood. */
	revive(): void {
		if (this.life === 'up') return;
		this.life = 'up';
		const { model } = this;
		if (model.stepInFlight && this.#ending === undefined) this.#endStep();
		else this.#kick();
		this.#watcher.changed(this);
	}

	/** Throws IM_SIMULATION_BROKEN unless blocks and sequences are conserved. Costs O(blocks). */
	check(): void {
		this.model.checkInvariants();
		const alive = this.model.waiting + this.model.running;
		if (alive !== this.#clients.size && !this.model.stepInFlight)
			throw broken(`${this.target.id} has ${alive} sequences, ${this.#clients.size} are awaited`);
	}

	#answered(sequence: Sequence): void {
		this.#pendingTokens -= this.#pending.get(sequence) ?? 0;
		this.#pending.delete(sequence);
	}

	#start(): EngineModel {
		const { group } = this.target;
		const { blockTokens } = group;
		const model = new EngineModel({
			config: engineModelConfig(this.profile, {
				blockTokens,
				kvBlocks: Math.max(1, Math.floor((group.kvTokens ?? this.profile.kvTokens) / blockTokens)),
				hostBlocks: Math.floor(group.hostKvTokens / blockTokens),
				stepTokensMax: group.stepTokensMax,
				sequencesMax: group.sequencesMax,
				waitingMax: group.waitingMax,
			}),
			latency: this.#latency,
			observer: this.#observer,
		});
		model.slowFactor = group.slowFactor * this.#faultFactor;
		return model;
	}

	#stopTimers(): void {
		if (this.#ending !== undefined) this.#ending.fn = undefined;
		if (this.#waking !== undefined) this.#waking.fn = undefined;
		this.#ending = undefined;
		this.#waking = undefined;
	}

	/** Steps that were over when the process died have been computed, and reached nobody. */
	#countLost(): void {
		const { model, totals } = this;
		const steps = model.runStepsEnded(this.#queue.nowUs - 1);
		if (steps === 0) return;
		totals.decodeTokens += steps * model.running;
		totals.busyUs += model.runUs(steps);
	}

	/** After something came in between: a run may end earlier, or a step begin. */
	#resume(): void {
		const { model } = this;
		if (!model.stepInFlight) return this.#kick();
		if (this.#ending === undefined || this.#ending.atUs === model.stepEndUs) return;
		this.#ending.fn = undefined;
		this.#ending = this.#queue.at(model.stepEndUs, EventClass.engine, this.#onEnd);
	}

	/** Begins the next steps, now or when the next sequence is ready. */
	#kick(): void {
		const { model } = this;
		if (this.life !== 'up' || model.stepInFlight) return;
		const { nowUs } = this.#queue;
		const readyUs = model.nextStepUs(nowUs);
		if (readyUs === Number.POSITIVE_INFINITY) return;
		if (readyUs > nowUs) return this.#wakeAt(readyUs);
		if (model.beginRun(nowUs) > 0) this.#ending = this.#queue.at(model.stepEndUs, EventClass.engine, this.#onEnd);
		else if (model.running === 0 && model.waiting > 0)
			throw broken(`${this.target.id} stands idle with ${model.waiting} waiting`);
	}

	#wakeAt(atUs: number): void {
		if (this.#waking !== undefined) {
			if (this.#waking.atUs <= atUs) return;
			this.#waking.fn = undefined;
		}
		this.#waking = this.#queue.at(atUs, EventClass.engine, this.#onWake);
	}

	readonly #onWake = (): void => {
		this.#waking = undefined;
		this.#kick();
		this.#watcher.changed(this);
	};

	readonly #onEnd = (): void => {
		this.#ending = undefined;
		// What hangs ends its step when it comes back.
		if (this.life === 'up') this.#endStep();
	};

	#endStep(): void {
		const { model, totals } = this;
		const { emitted, finished, shape, startUs, endUs, steps } = model.endStep(this.#queue.nowUs);
		totals.busyUs += endUs - startUs;
		totals.prefillTokens += shape.prefillTokens;
		totals.decodeTokens += shape.decodeSequences * steps;
		// The first token of a sequence ends a prefill.
		if (shape.prefillSequences > 0)
			for (const sequence of emitted)
				if (sequence.generatedTokens === 1) {
					this.#answered(sequence);
					this.#clients.get(sequence)?.firstToken(sequence);
				}
		for (const sequence of finished) {
			const client = this.#clients.get(sequence);
			this.#clients.delete(sequence);
			client?.finished(sequence);
		}
		this.#kick();
		this.#watcher.changed(this);
	}
}
