// Owns writes that stay: each of a key of its own beside the head of its writer, in one transaction. Whatever was acknowledged is read again after every
// fault and, all of it, at every node at the end.
import type { RemoteEngine } from '@infermesh/fabric';
import { eventually } from '../../support/mesh.js';
import { bytesOf, textOf } from './registers.js';
import type { WatchedWrites } from './watchers.js';
import { repeat, type Workload, type WorkloadContext } from './workload.js';

const prefix = 'chaos/ledger/';
const pauseMs = [150, 350] as const;
const timeoutMs = 3_000;
const pageKeys = 1_000;
/** Acknowledged writes after which, once all were read everywhere, they are taken out of the store and the ledger begins anew. */
const entriesMax = 20_000;
/** While it cannot be checked it grows to this, and no further. */
const entriesMost = 2 * entriesMax;
const deletesTogether = 100;

export class Ledger implements Workload {
	readonly ended: Promise<unknown>;
	readonly #context: WorkloadContext;
	readonly #writes: WatchedWrites;
	/** Acknowledged keys with their revisions. */
	readonly #acknowledged = new Map<string, number>();
	/** Entries of earlier ledgers, checked and taken out. */
	#checked = 0;
	#number = 0;

	constructor(context: WorkloadContext, writes: WatchedWrites) {
		this.#context = context;
		this.#writes = writes;
		this.ended = Promise.all(
			context.mesh.clients.map((engine, node) => repeat(context, pauseMs, () => this.#one(engine, node))),
		);
	}

	get size(): number {
		return this.#checked + this.#acknowledged.size;
	}

	/** What was acknowledged before the call is read at every node. */
	async settle(withinMs: number): Promise<void> {
		const expected = new Map(this.#acknowledged);
		for (const [node, engine] of this.#context.mesh.clients.entries()) {
			const { name } = this.#context.mesh.node(node);
			let found = new Map<string, number>();
			await eventually(
				`the ledger is read at ${name}`,
				async () => {
					found = await this.#all(engine).catch((error: unknown) => {
						this.#context.findings.failed('ledger read', error);
						return new Map<string, number>();
					});
					return found.size > 0 || expected.size === 0;
				},
				{ withinMs, everyMs: 200 },
			);
			const lost = [...expected].filter(([key, revision]) => found.get(key) !== revision);
			if (lost.length === 0) continue;
			const [[key, revision] = ['', 0]] = lost;
			this.#context.findings.violation(
				`${lost.length} acknowledged writes are not there at ${name}, first ${key} of revision ${revision}`,
			);
			this.#context.keep(`ledger-${name}`, lost);
			for (const [gone] of lost) this.#acknowledged.delete(gone);
		}
		if (expected.size >= entriesMax) await this.#beginAnew([...expected.keys()]);
	}

	/** What stays in the store because a delete failed is read again, and counts for nothing. */
	async #beginAnew(checked: readonly string[]): Promise<void> {
		const { findings, mesh } = this.#context;
		for (const key of checked) this.#acknowledged.delete(key);
		this.#checked += checked.length;
		for (let at = 0; at < checked.length; at += deletesTogether) {
			const then = checked.slice(at, at + deletesTogether).map((key) => ({ delete: { key } }));
			try {
				await mesh.client(0).transact({ when: [], then }, { timeoutMs });
			} catch (error) {
				findings.failed('ledger delete', error);
			}
		}
	}

	finish(): Promise<void> {
		return this.settle(30_000);
	}

	async #one(engine: RemoteEngine, node: number): Promise<void> {
		const { findings, damages } = this.#context;
		if (this.#acknowledged.size >= entriesMost) return;
		const value = String(++this.#number);
		const key = `${prefix}${node}/${value}`;
		try {
			const { revision } = await engine.transact(
				{
					when: [],
					then: [
						{ put: key, value: bytesOf(value) },
						{ put: `chaos/head/${node}`, value: bytesOf(value) },
					],
				},
				{ timeoutMs },
			);
			findings.done('ledger write');
			this.#acknowledged.set(key, revision);
			this.#writes.acknowledged(revision, key, value);
			// A write that was acknowledged and is nowhere: what this run must notice when it is to prove that.
			if (damages.has('lost-write') && this.#number > 20) this.#acknowledged.set(`${prefix}${node}/lost`, revision);
		} catch (error) {
			findings.failed('ledger write', error);
		}
	}

	async #all(engine: RemoteEngine): Promise<Map<string, number>> {
		const found = new Map<string, number>();
		let after: string | undefined;
		for (;;) {
			const page = await engine.read({ prefix }, { limit: pageKeys, ...(after === undefined ? {} : { after }) });
			for (const { key, value, modRevision } of page.items) {
				if (!key.endsWith(`/${textOf(value)}`)) this.#context.findings.violation(`${key} holds ${textOf(value)}`);
				found.set(key, modRevision);
			}
			after = page.items.at(-1)?.key;
			if (!page.more || after === undefined) return found;
		}
	}
}
