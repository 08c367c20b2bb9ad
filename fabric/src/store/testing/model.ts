// Owns a simple model of the store, for property tests: the whole state is copied at every revision. It shares no code with the store.
import type { Condition, KeyValue, Operation, Selection, StoreEvent, Transaction } from '../../consensus/engine.js';

interface Row {
	readonly value: Uint8Array;
	readonly createRevision: number;
	readonly modRevision: number;
	readonly version: number;
	readonly lease: string | undefined;
}

export class ModelStore {
	/** States by revision; 1 is the empty one. */
	readonly states: Map<string, Row>[] = [new Map(), new Map()];
	readonly events: StoreEvent[][] = [[], []];
	readonly leases = new Set<string>();

	get revision(): number {
		return this.states.length - 1;
	}

	get now(): Map<string, Row> {
		return this.states[this.revision] as Map<string, Row>;
	}

	/** Answers what the transaction answers, or undefined when it must be refused. */
	transact({ when, then, otherwise = [] }: Transaction): { held: boolean; results: unknown[] } | undefined {
		if (writesTwice(then) || writesTwice(otherwise)) return undefined;
		const held = when.every((condition) => this.#holds(condition));
		const operations = held ? then : otherwise;
		if (operations.some((one) => 'put' in one && one.lease !== undefined && !this.leases.has(one.lease)))
			return undefined;
		const next = new Map(this.now);
		const events: StoreEvent[] = [];
		const results = operations.map((operation) => {
			if ('get' in operation) return { kind: 'get', items: rows(next, operation.get) };
			if ('delete' in operation) {
				const gone = rows(next, operation.delete);
				for (const { key } of gone) this.#remove(next, key, events);
				return { kind: 'delete', deleted: gone.length };
			}
			const old = next.get(operation.put);
			const modRevision = this.revision + 1;
			next.set(operation.put, {
				value: operation.value,
				createRevision: old?.createRevision ?? modRevision,
				modRevision,
				version: (old?.version ?? 0) + 1,
				lease: operation.lease,
			});
			events.push({ kind: 'put', current: row(next, operation.put) });
			return { kind: 'put' };
		});
		this.#add(next, events);
		return { held, results };
	}

	endLease(id: string): void {
		if (!this.leases.delete(id)) return;
		const next = new Map(this.now);
		const events: StoreEvent[] = [];
		for (const { key, lease } of rows(next, { prefix: '' })) if (lease === id) this.#remove(next, key, events);
		this.#add(next, events);
	}

	read(selection: Selection, revision: number): KeyValue[] {
		return rows(this.states[revision] as Map<string, Row>, selection);
	}

	#remove(state: Map<string, Row>, key: string, events: StoreEvent[]): void {
		state.delete(key);
		events.push({ kind: 'delete', key, modRevision: this.revision + 1 });
	}

	#add(state: Map<string, Row>, events: StoreEvent[]): void {
		if (events.length === 0) return;
		this.states.push(state);
		this.events.push(events);
	}

	#holds(condition: Condition): boolean {
		const found = this.now.get(condition.key);
		if ('exists' in condition) return (found !== undefined) === condition.exists;
		if ('version' in condition) return (found?.version ?? 0) === condition.version;
		if ('modRevision' in condition) return (found?.modRevision ?? 0) === condition.modRevision;
		return found !== undefined && found.value.join() === condition.value.join();
	}
}

export function matches(selection: Selection, key: string): boolean {
	return 'key' in selection ? key === selection.key : key.startsWith(selection.prefix);
}

function rows(state: Map<string, Row>, selection: Selection): KeyValue[] {
	return [...state.keys()]
		.filter((key) => matches(selection, key))
		.sort()
		.map((key) => row(state, key));
}

function row(state: Map<string, Row>, key: string): KeyValue {
	const found = state.get(key) as Row;
	return { key, ...found };
}

function writesTwice(operations: readonly Operation[]): boolean {
	const puts = operations.flatMap((one) => ('put' in one ? [one.put] : []));
	if (new Set(puts).size < puts.length) return true;
	return operations.some((one) => 'delete' in one && puts.some((key) => matches(one.delete, key)));
}
