// Owns what this router's workers have waiting and have served, by model, tenant and band: the sums over workers that other routers are told, and the changes
// since they were last told. No I/O. Bounded: beyond, the flow that has been quiet for longest makes room; while all of them wait, a further one is not told.
import type { FlowShare } from '@infermesh/proto/grpc/routing/v1/load';

/** Whose requests, for what. */
export interface FlowName {
	readonly model: string;
	/** Empty = of no tenant. */
	readonly tenant: string;
	readonly band: number;
}

/** What one worker tells of a flow. */
export interface FlowNews extends FlowName {
	/** Since the last time, in weighted tokens. */
	readonly service: number;
	/** Its requests that wait now. */
	readonly waiting: number;
}

export function flowKey({ model, tenant, band }: FlowName): string {
	return `${band}\n${tenant}\n${model}`;
}

interface OwnFlow extends FlowName {
	readonly number: number;
	service: number;
	readonly waiting: Map<number, number>;
}

export class OwnFlows {
	readonly #max: number;
	/** The longest quiet first. */
	readonly #flows = new Map<string, OwnFlow>();
	readonly #changed = new Set<OwnFlow>();
	#numbers = 0;

	/** `max`: flows at once. */
	constructor(max: number) {
		this.#max = max;
	}

	get size(): number {
		return this.#flows.size;
	}

	/** False when there is no room for it. */
	tell(worker: number, news: FlowNews): boolean {
		const key = flowKey(news);
		const flow = this.#flows.get(key) ?? this.#begin(news);
		if (flow === undefined) return false;
		this.#flows.delete(key);
		this.#flows.set(key, flow);
		flow.service += news.service;
		if (news.waiting > 0) flow.waiting.set(worker, news.waiting);
		else flow.waiting.delete(worker);
		this.#changed.add(flow);
		return true;
	}

	/** The worker is gone, and with it what waited there. */
	forget(worker: number): readonly FlowName[] {
		const lost = [...this.#flows.values()].filter(({ waiting }) => waiting.delete(worker));
		for (const flow of lost) this.#changed.add(flow);
		return lost;
	}

	/** What has changed since this was last asked. */
	takeChanged(): readonly FlowShare[] {
		const changed = [...this.#changed].map(shareOf);
		this.#changed.clear();
		return changed;
	}

	all(): readonly FlowShare[] {
		return [...this.#flows.values()].map(shareOf);
	}

	#begin({ model, tenant, band }: FlowName): OwnFlow | undefined {
		if (this.#flows.size >= this.#max && !this.#forgetQuiet()) return undefined;
		this.#numbers++;
		return { model, tenant, band, number: this.#numbers, service: 0, waiting: new Map() };
	}

	#forgetQuiet(): boolean {
		for (const [key, flow] of this.#flows) {
			if (flow.waiting.size > 0) continue;
			this.#flows.delete(key);
			this.#changed.delete(flow);
			return true;
		}
		return false;
	}
}

function shareOf({ model, tenant, band, number, service, waiting }: OwnFlow): FlowShare {
	let waits = 0;
	for (const count of waiting.values()) waits += count;
	return { model, tenant, band, number, service, waiting: waits };
}
