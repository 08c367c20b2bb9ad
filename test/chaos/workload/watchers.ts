// Owns a watch at every node over all that the run writes: ordered, each revision once and whole, none left out, resumed after every fault. The watches of
// all nodes are compared with each other and with what writers were acknowledged.
import type { StoreEvent, Watch } from '@infermesh/fabric';
import { eventually } from '../../support/mesh.js';
import { textOf } from './registers.js';
import { Trail } from './trail.js';
import { guardedKey, type Workload, type WorkloadContext } from './workload.js';

export const watchedPrefix = 'chaos/';
/** Shorter than this a history is never compacted (store/limits.ts): a watcher that stands nearer may not be told that it is gone. */
const historyRevisions = 10_000;
/** Revisions after which the proof leaves one out. */
const damageAfter = 300;

/** Where writers say what they were acknowledged. */
export interface WatchedWrites {
	acknowledged(revision: number, key: string, value: string): void;
}

const lineOf = (key: string, value: string | undefined): string =>
	value === undefined ? `-${key}` : `${key}=${value}`;

function lineOfEvent(event: StoreEvent): string {
	return event.kind === 'delete'
		? lineOf(event.key, undefined)
		: lineOf(event.current.key, textOf(event.current.value));
}

const revisionOf = (event: StoreEvent): number =>
	event.kind === 'delete' ? event.modRevision : event.current.modRevision;

export class Watchers implements Workload, WatchedWrites {
	readonly ended: Promise<unknown>;
	readonly #context: WorkloadContext;
	readonly #trail: Trail;
	readonly #watches: Watch[];
	/** For each watcher, the highest token it saw a guarded write with. */
	readonly #tokens: number[] = [];
	#damaged = false;

	static async open(context: WorkloadContext): Promise<Watchers> {
		const { revision } = await context.mesh.client(0).status();
		return new Watchers(context, revision);
	}

	private constructor(context: WorkloadContext, from: number) {
		const { mesh, findings, signal } = context;
		this.#context = context;
		this.#trail = new Trail(mesh.nodes.length, from, (what) => findings.violation(what));
		this.#watches = mesh.clients.map((_, node) => this.#watch(node, from));
		this.ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
	}

	get told(): number {
		return this.#trail.told;
	}

	acknowledged(revision: number, key: string, value: string): void {
		this.#trail.owe(revision, lineOf(key, value));
	}

	/** All watchers reach what is there now. */
	async settle(withinMs: number): Promise<void> {
		const { mesh } = this.#context;
		const { revision } = await mesh.client(0).status();
		await eventually(
			`every watcher reaches revision ${revision}`,
			() => mesh.nodes.every((_, node) => this.#trail.position(node) >= revision),
			{ withinMs, everyMs: 50 },
		);
	}

	async finish(): Promise<void> {
		await this.settle(30_000);
		for (const watch of this.#watches) watch.cancel();
	}

	#watch(node: number, from: number): Watch {
		return this.#context.mesh.client(node).watch({ prefix: watchedPrefix }, from, {
			onEvents: (events, revision) => this.#told(node, events, revision),
			onProgress: (revision) => this.#trail.progress(node, revision),
			onCompacted: (revision) => this.#compacted(node, revision),
		});
	}

	#told(node: number, events: readonly StoreEvent[], revision: number): void {
		const groups = Map.groupBy(events, revisionOf);
		for (const [at, group] of groups) {
			if (this.#leavesOut(node)) continue;
			this.#fenced(node, at, group);
			this.#trail.tell(node, at, group.map(lineOfEvent));
		}
		this.#trail.progress(node, revision);
	}

	/** What is written under the lock's guard carries the owner's token: also where the writer never heard of it, no older owner comes after a later one. */
	#fenced(node: number, revision: number, events: readonly StoreEvent[]): void {
		for (const event of events) {
			if (event.kind !== 'put' || event.current.key !== guardedKey) continue;
			const token = Number(textOf(event.current.value));
			const before = this.#tokens[node] ?? 0;
			if (token < before)
				this.#context.findings.violation(
					`owner ${token} wrote at revision ${revision}, after owner ${before} had written`,
				);
			this.#tokens[node] = Math.max(before, token);
		}
	}

	/** Once, if this run is to prove that it would be noticed. */
	#leavesOut(node: number): boolean {
		if (!this.#context.damages.has('watch-gap') || this.#damaged || node > 0 || this.told < damageAfter) return false;
		this.#damaged = true;
		return true;
	}

	#compacted(node: number, revision: number): void {
		const { findings, mesh } = this.#context;
		const position = this.#trail.position(node);
		if (revision - position <= historyRevisions)
			findings.violation(`watcher ${node + 1} at ${position} was told that history before ${revision} is gone`);
		else
			findings.violation(`watcher ${node + 1} of ${mesh.node(node).name} was ${revision - position} revisions behind`);
	}
}
