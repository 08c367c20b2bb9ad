// Owns following the KV events of all targets that publish some: a source for each publisher, a holder in the index for each of its target's
// models, and whether what is known of a row is all there is. Targets come and go whole: what is said of one stays its own.
import type { Socket } from 'node:net';
import {
	type KvEndpoint,
	type KvEventBatch,
	KvEventSource,
	kvSourceDefaults,
	parseKvEndpoint,
} from '@infermesh/adapters';
import type { Clock, Random } from '@infermesh/proto';
import { type KvIndex, STRIDE_TOKENS_MIN, strideOf } from './kv-index.js';
import type { KvTableWriter } from './shared-table.js';

/** A target whose events are followed. */
export interface KvTarget {
	readonly id: string;
	readonly row: number;
	readonly generation: number;
	/** Ids of the models it serves. */
	readonly modelIds: readonly number[];
	readonly publishers: readonly { readonly endpoint: string; readonly replay?: string; readonly topic: string }[];
}

export interface KvReaderOptions {
	readonly messageBytesMax: number;
	readonly waitingMax: number;
	readonly connectTimeoutMs: number;
	readonly replayTimeoutMs: number;
	readonly reconnectMsMax: number;
}

export interface KvReaderMetrics {
	/** What a batch said. */
	batch(batch: KvEventBatch, lagS: number): void;
	gap(target: string, missing: number): void;
	replayed(target: string, result: string): void;
	forgot(target: string, cause: string): void;
	broken(target: string, reason: string): void;
	live(targets: number): void;
	/** After each batch. */
	sized(index: KvIndex): void;
}

export interface KvReaderPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly connect: (endpoint: KvEndpoint) => Socket;
	readonly metrics: KvReaderMetrics;
}

/** Models of one target that its events are kept for; each costs its own entries. */
const MODELS_MAX = 4;

interface Followed {
	readonly target: KvTarget;
	readonly sources: KvEventSource[];
	/** Of all publishers and models. */
	readonly holders: number[];
	readonly live: boolean[];
	/** As last published; 0 = not live. */
	stride: number;
}

export class KvReader {
	readonly #options: KvReaderOptions;
	readonly #index: KvIndex;
	readonly #table: KvTableWriter;
	readonly #ports: KvReaderPorts;
	readonly #followed = new Map<string, Followed>();

	constructor(options: KvReaderOptions, index: KvIndex, table: KvTableWriter, ports: KvReaderPorts) {
		this.#options = options;
		this.#index = index;
		this.#table = table;
		this.#ports = ports;
	}

	/** Follows exactly these targets from here on. */
	follow(targets: readonly KvTarget[]): void {
		const wanted = new Map(targets.map((target) => [JSON.stringify(target), target]));
		for (const [key, followed] of this.#followed) if (!wanted.has(key)) this.#drop(key, followed);
		for (const [key, target] of wanted) if (!this.#followed.has(key)) this.#add(key, target);
	}

	close(): void {
		for (const [key, followed] of this.#followed) this.#drop(key, followed);
	}

	#add(key: string, target: KvTarget): void {
		const followed: Followed = { target, sources: [], holders: [], live: [], stride: 0 };
		this.#followed.set(key, followed);
		for (const publisher of target.publishers) {
			const endpoint = parseKvEndpoint(publisher.endpoint);
			const replay = publisher.replay === undefined ? undefined : parseKvEndpoint(publisher.replay);
			if (endpoint === undefined) continue;
			const source = this.#source(followed, { endpoint, replay, topic: publisher.topic });
			followed.sources.push(source);
			source.start();
		}
	}

	#drop(key: string, followed: Followed): void {
		for (const source of followed.sources) source.close();
		for (const holder of followed.holders) this.#index.close(holder);
		const { row, generation } = followed.target;
		this.#table.setRow(row, generation, 0);
		this.#followed.delete(key);
		this.#countLive();
	}

	#source(
		followed: Followed,
		where: { endpoint: KvEndpoint; replay: KvEndpoint | undefined; topic: string },
	): KvEventSource {
		const { metrics, clock, random, connect } = this.#ports;
		const { target, live } = followed;
		const index = this.#index;
		const at = live.push(false) - 1;
		const holders = target.modelIds
			.slice(0, MODELS_MAX)
			.map((modelId) => index.open({ row: target.row, generation: target.generation, modelId }));
		followed.holders.push(...holders);
		return new KvEventSource(
			{ ...kvSourceDefaults, ...this.#options, ...where },
			{ clock, random, connect },
			{
				batch: (batch) => {
					for (const holder of holders) apply(index, holder, batch);
					metrics.batch(batch, batch.atS === 0 ? 0 : Math.max(0, clock.wallMs() / 1000 - batch.atS));
					metrics.sized(index);
					this.#publishRow(followed);
				},
				forget: (cause) => {
					for (const holder of holders) index.clear(holder);
					metrics.forgot(target.id, cause);
					metrics.sized(index);
				},
				live: (now) => {
					live[at] = now;
					this.#publishRow(followed);
				},
				gap: (missing) => metrics.gap(target.id, missing),
				replayed: (result) => metrics.replayed(target.id, result),
				broken: (reason) => metrics.broken(target.id, reason),
			},
		);
	}

	/** A row is live while all its publishers are. */
	#publishRow(followed: Followed): void {
		const { target, live, holders } = followed;
		const blockTokens = holders.map((holder) => this.#index.blockTokensOf(holder)).find((tokens) => tokens > 0);
		const known = blockTokens === undefined ? STRIDE_TOKENS_MIN : strideOf(blockTokens);
		const stride = live.length > 0 && live.every((one) => one) ? known : 0;
		if (stride === followed.stride) return;
		followed.stride = stride;
		this.#table.setRow(target.row, target.generation, stride);
		this.#countLive();
	}

	#countLive(): void {
		let count = 0;
		for (const { stride } of this.#followed.values()) if (stride > 0) count++;
		this.#ports.metrics.live(count);
	}
}

function apply(index: KvIndex, holder: number, batch: KvEventBatch): void {
	for (const event of batch.events) {
		if (event.kind === 'stored') index.stored(holder, event);
		else if (event.kind === 'removed') index.removed(holder, event);
		else index.clear(holder);
	}
}
