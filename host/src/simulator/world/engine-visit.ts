// Owns one visit of a request at one engine: the way there, what the engine must have before it begins (a prefix from another engine, a LoRA adapter), its
// sequence, and the way of its signs back to the router. After `cancel` nothing comes back.
import type { Sequence } from '../../engine/model/sequence.js';
import { EventClass } from './event-queue.js';
import type { EngineClient, SimEngine } from './sim-engine.js';
import type { SimRequest } from './sim-request.js';
import type { World } from './world.js';

/** What comes back to the router. */
export interface VisitEvents {
	/** The engine is full (503), or the request can never fit (400). */
	refused(status: 503 | 400): void;
	unreachable(): void;
	died(): void;
	firstToken(): void;
	finished(tokensOut: number, tokensCached: number): void;
}

export interface VisitWork {
	/** All of the request, or one side of a pair. */
	readonly leg: 'whole' | 'prefill' | 'decode';
	readonly outputTokens: number;
	/** Leading prompt tokens whose KV comes with the request. */
	readonly transferredTokens: number;
	/** Origin of an engine that may hold a prefix. */
	readonly fetchFrom: string | undefined;
}

export class EngineVisit implements EngineClient {
	readonly #world: World;
	readonly #request: SimRequest;
	readonly #engine: SimEngine;
	readonly #events: VisitEvents;
	readonly #wayUs: number;
	#sequence: Sequence | undefined;
	#over = false;
	#lost = false;
	#leg: VisitWork['leg'] = 'whole';

	constructor(world: World, request: SimRequest, engine: number, events: VisitEvents) {
		this.#world = world;
		this.#request = request;
		this.#engine = world.engines[engine] as SimEngine;
		this.#events = events;
		this.#wayUs = world.wayUs[engine] as number;
	}

	/** The decision takes its time, then the way to the engine. */
	send(work: VisitWork): void {
		this.#leg = work.leg;
		this.#after(this.#world.decisionUs + this.#wayUs, () => this.#arrive(work));
	}

	/** Nobody awaits it any more, which the engine hears a way later. `lost`: another has answered, and what was computed here was in vain. */
	cancel(lost: boolean): void {
		if (this.#over) return;
		this.#over = true;
		this.#lost = lost;
		const sequence = this.#sequence;
		if (sequence === undefined) return;
		const { queue, tally } = this.#world;
		queue.at(queue.nowUs + this.#wayUs, EventClass.wire, () => {
			const computed = this.#engine.cancel(sequence);
			if (lost) tally.wasted(computed);
		});
	}

	firstToken(): void {
		this.#back(this.#engine.profile.perOutputTokenUs, () => this.#events.firstToken());
	}

	finished(sequence: Sequence): void {
		const { profile } = this.#engine;
		const tokens = sequence.generatedTokens;
		const cached = Math.max(0, sequence.cachedTokens) + sequence.hostTokens;
		const { tally } = this.#world;
		tally.served(this.#request, sequence, this.#engine, this.#leg !== 'decode');
		if (this.#lost) tally.wasted(sequence.promptTokens + tokens - cached - sequence.transferredTokens);
		this.#back(profile.postDecodeUs + profile.perOutputTokenUs * tokens, () => {
			this.#over = true;
			this.#events.finished(tokens, cached + sequence.transferredTokens);
		});
	}

	died(): void {
		this.#back(0, () => {
			this.#over = true;
			this.#events.died();
		});
	}

	#arrive(work: VisitWork): void {
		if (this.#engine.life === 'lost')
			return this.#back(0, () => {
				this.#over = true;
				this.#events.unreachable();
			});
		const fetched = this.#fetch(work);
		const waitUs = Math.max(fetched.waitUs, this.#loadLora());
		if (waitUs === 0) return this.#submit(work.outputTokens, fetched.tokens);
		this.#after(waitUs, () => this.#submit(work.outputTokens, fetched.tokens));
	}

	#submit(outputTokens: number, transferredTokens: number): void {
		if (this.#engine.life === 'lost') return this.died();
		const { tokensIn, index } = this.#request;
		const { prompts } = this.#engine;
		const blocks = prompts.blocks(index);
		const tokens = prompts.chain(index);
		const taken = this.#engine.submit(
			{
				promptTokens: tokensIn,
				outputTokens,
				transferredTokens,
				...(blocks === undefined || tokens === undefined
					? {}
					: { blocks, tokens, toldBlocks: prompts.sharedBlocks(index) }),
			},
			this,
		);
		if (typeof taken !== 'string') {
			this.#sequence = taken;
			return;
		}
		this.#back(0, () => {
			this.#over = true;
			this.#events.refused(taken === 'too_long' ? 400 : 503);
		});
	}

	/** How much of the prompt comes from another engine, beyond what is here, and how long that takes. */
	#fetch({ transferredTokens, fetchFrom }: VisitWork): { readonly tokens: number; readonly waitUs: number } {
		if (fetchFrom === undefined) return { tokens: transferredTokens, waitUs: 0 };
		const holder = this.#world.engineAt(fetchFrom);
		const blocks = this.#engine.prompts.blocks(this.#request.index);
		if (holder === undefined || blocks === undefined || holder.life !== 'up')
			return { tokens: transferredTokens, waitUs: 0 };
		const there = holder.prefixTokens(holder.prompts.blocks(this.#request.index) ?? blocks);
		const here = this.#engine.prefixTokens(blocks);
		if (there <= here) return { tokens: transferredTokens, waitUs: 0 };
		this.#world.tally.fetched(there - here);
		return { tokens: there, waitUs: this.#world.transferUs(holder, this.#engine, there - here) };
	}

	#loadLora(): number {
		const { lora } = this.#request;
		return lora === '' ? 0 : this.#world.loras.load(this.#engine, lora);
	}

	/** Something happens here later, unless nobody awaits it then. */
	#after(delayUs: number, fn: () => void): void {
		const { queue } = this.#world;
		queue.at(queue.nowUs + delayUs, EventClass.wire, () => {
			if (!this.#over) fn();
		});
	}

	#back(delayUs: number, fn: () => void): void {
		this.#after(delayUs + this.#wayUs, fn);
	}
}
