// Owns the stream of changes an operator or program follows: records of replicated state in the order of their revisions, secrets left out, to be
// resumed by revision without a gap. Nothing is queued without bound: a subscriber that is slow is left behind in the store's own history, and
// goes on from there when it has caught up, or is told that the history is gone.
import { type ConsensusEngine, consensusError, type StoreEvent, type Watch } from '@infermesh/fabric';
import type { TSchema } from 'typebox';
import { type ApiKey, type RecordKind, recordKinds, type StoredTarget } from '../records/kinds.js';
import { decodeRecord, idOf } from '../records/records.js';

export const eventKinds = [
	'node',
	'lifecycle',
	'removal',
	'policy',
	'target',
	'strategy',
	'staging',
	'tenant',
	'key',
	'lineage',
] as const;
export type EventKind = (typeof eventKinds)[number];

export interface MeshEvent {
	readonly revision: number;
	readonly kind: EventKind;
	/** Of the record; `KIND/NAME` of a policy. */
	readonly id: string;
	readonly change: 'put' | 'delete';
	/** The record after the change, without secrets; null after a deletion, or when this version does not understand it. */
	readonly value: unknown;
	/** Another event of the same revision follows: who resumes after this one must name the revision before. */
	readonly more: boolean;
}

/** Events of whole revisions, in order; none at all is a sign of life. */
export interface EventBatch {
	readonly events: readonly MeshEvent[];
	/** Everything up to and with it has been told. */
	readonly revision: number;
}

/** Changes that wait for one subscriber; beyond it the rest waits in the store. One batch more may come on top. */
const CHANGES_WAITING_MAX = 4096;

interface Shown {
	readonly kind: EventKind;
	readonly record: RecordKind<TSchema>;
	/** Before the record's own id. */
	readonly prefix: string;
	readonly withoutSecrets?: (value: never) => unknown;
}

const policy = (name: string, record: Shown['record']): Shown => ({ kind: 'policy', record, prefix: `${name}/` });

/** What subscribers see; records of how the mesh does its work are left out. */
const shown: readonly Shown[] = [
	{ kind: 'node', record: recordKinds.nodes, prefix: '' },
	{ kind: 'lifecycle', record: recordKinds.lifecycle, prefix: '' },
	{ kind: 'removal', record: recordKinds.removals, prefix: '' },
	policy('placement', recordKinds.placements),
	policy('quota', recordKinds.quotas),
	policy('slo', recordKinds.slos),
	policy('route', recordKinds.routes),
	{ kind: 'target', record: recordKinds.targets, prefix: '', withoutSecrets: targetWithoutSecrets },
	{ kind: 'strategy', record: recordKinds.strategies, prefix: '' },
	{ kind: 'staging', record: recordKinds.staging, prefix: '' },
	{ kind: 'tenant', record: recordKinds.tenants, prefix: '' },
	{ kind: 'key', record: recordKinds.apiKeys, prefix: '', withoutSecrets: keyWithoutSecrets },
	{ kind: 'lineage', record: recordKinds.lineage, prefix: '' },
];

function targetWithoutSecrets({ spec, ...rest }: StoredTarget): unknown {
	const { apiKey: _secret, ...open } = spec;
	return { ...rest, spec: open };
}

function keyWithoutSecrets({ sha256: _secret, ...open }: ApiKey): unknown {
	return open;
}

type Untold = Omit<MeshEvent, 'more'>;

function told(event: StoreEvent): Untold | undefined {
	const key = event.kind === 'put' ? event.current.key : event.key;
	const revision = event.kind === 'put' ? event.current.modRevision : event.modRevision;
	const found = shown.find(({ record }) => key.startsWith(record.prefix));
	if (found === undefined) return undefined;
	const { kind, record, prefix, withoutSecrets } = found;
	const id = prefix + idOf(record, key);
	if (event.kind === 'delete') return { revision, kind, id, change: 'delete', value: null };
	const decoded: unknown = decodeRecord(record, event.current.value);
	const open = decoded === undefined ? null : (withoutSecrets?.(decoded as never) ?? decoded);
	return { revision, kind, id, change: 'put', value: open };
}

/** Events of whole revisions as subscribers see them. */
export function toldOf(events: readonly StoreEvent[]): MeshEvent[] {
	const seen = events.map(told).filter((event) => event !== undefined);
	return seen.map((event, at) => Object.assign(event, { more: seen[at + 1]?.revision === event.revision }));
}

export class EventFeed {
	readonly #engine: ConsensusEngine;

	constructor(engine: ConsensusEngine) {
		this.#engine = engine;
	}

	/**
	 * Changes after `after` (0 = from now on), until `signal` aborts; first a batch without events that says where that is. Throws IM_CONSENSUS_COMPACTED when the history is gone of what the caller has not
	 * got yet.
	 */
	async *follow(after: number, signal: AbortSignal): AsyncGenerator<EventBatch, void, undefined> {
		let from = after === 0 ? await this.#now() : after;
		yield { events: [], revision: from };
		while (!signal.aborted) {
			const tail = new Tail(this.#engine, from, signal);
			try {
				for await (const batch of tail) {
					yield batch;
					from = Math.max(from, batch.revision);
				}
			} finally {
				tail.cancel();
			}
		}
	}

	/** IM_CONSENSUS_COMPACTED when changes after `after` are known to be gone. */
	async check(after: number): Promise<void> {
		const { compactedRevision } = await this.#engine.status();
		if (after !== 0 && after < compactedRevision) throw compacted(after, compactedRevision);
	}

	async #now(): Promise<number> {
		const { revision } = await this.#engine.read(
			{ prefix: '' },
			{ limit: 1, keysOnly: true, consistency: 'serializable' },
		);
		return revision;
	}
}

function compacted(after: number, revision: number): Error {
	return consensusError(
		'IM_CONSENSUS_COMPACTED',
		`changes after ${after} are gone; the oldest kept are after ${revision}`,
	);
}

/** One watch and what waits for its reader. Ends by itself when too much waits: another goes on from where the reader has come. */
class Tail implements AsyncIterable<EventBatch> {
	/** As the store has them, and shared with it: what a subscriber sees of them is made when it reads. */
	readonly #waiting: { readonly events: readonly StoreEvent[]; readonly revision: number }[] = [];
	#changesWaiting = 0;
	readonly #watch: Watch;
	readonly #signal: AbortSignal;
	readonly #aborted = (): void => this.#end();
	#ended = false;
	#failure: Error | undefined;
	#wake: () => void = () => undefined;

	constructor(engine: ConsensusEngine, from: number, signal: AbortSignal) {
		this.#signal = signal;
		signal.addEventListener('abort', this.#aborted);
		this.#watch = engine.watch({ prefix: '' }, from, {
			onEvents: (events, revision) => this.#push(events, revision),
			onProgress: (revision) => {
				if (this.#waiting.length === 0) this.#push([], revision);
			},
			onCompacted: (revision) => {
				this.#failure = compacted(from, revision);
				this.#end();
			},
		});
	}

	cancel(): void {
		this.#end();
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<EventBatch, void, undefined> {
		for (;;) {
			const next = this.#waiting.shift();
			if (next !== undefined) {
				this.#changesWaiting -= next.events.length;
				yield { events: toldOf(next.events), revision: next.revision };
			} else if (this.#failure !== undefined) throw this.#failure;
			else if (this.#ended) return;
			else
				await new Promise<void>((resolve) => {
					this.#wake = resolve;
				});
		}
	}

	#push(events: readonly StoreEvent[], revision: number): void {
		if (this.#ended) return;
		this.#waiting.push({ events, revision });
		this.#changesWaiting += events.length;
		this.#wake();
		if (this.#changesWaiting >= CHANGES_WAITING_MAX) this.#end();
	}

	#end(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#signal.removeEventListener('abort', this.#aborted);
		this.#watch.cancel();
		this.#wake();
	}
}
