// Owns the two sides of a drain. Every router says what it still has in flight because of a node that is draining; the node itself declares the
// drain over once every router that is there has said zero. Records of what is in flight are written on change, at most once a second.
import type { LeaseId } from '@infermesh/fabric';
import type { Clock, Timer } from '@infermesh/proto';
import { recordKinds } from '../records/kinds.js';
import type { Records } from '../records/records.js';
import type { MeshMirrors } from './mirrors.js';

export interface DrainPorts {
	readonly clock: Clock;
	readonly records: Records;
	readonly nodeId: string;
	readonly lease: () => LeaseId | undefined;
	readonly mirrors: Pick<MeshMirrors, 'lifecycle' | 'routers' | 'drains'>;
	/** Requests this router has in flight on targets of the node; for this node itself, all it has. Undefined where no router runs here. */
	readonly inFlight: ((nodeId: string) => number) | undefined;
	/** Gives up what only an active node should hold: leadership. */
	readonly handOver: () => Promise<void>;
	readonly failed: (what: string, error: unknown) => void;
}

const PERIOD_MS = 1000;
/** A router that has said zero says it again only when that has changed, so one that has said nothing yet is waited for. */
const SETTLE_MS = 250;

export class Drain {
	readonly #ports: DrainPorts;
	/** What was said last for each node, as `decision:count`. */
	readonly #said = new Map<string, string>();
	#timer: Timer | undefined;
	#handedOver = false;

	constructor(ports: DrainPorts) {
		this.#ports = ports;
	}

	/** To be called when lifecycle, routers or drains have changed. */
	changed(): void {
		if (this.#draining().size === 0) {
			this.#timer?.cancel();
			this.#timer = undefined;
			this.#said.clear();
			this.#handedOver = false;
			return;
		}
		this.#timer ??= this.#ports.clock.after(SETTLE_MS, () => void this.#round(), { unref: true });
	}

	/** What was said has gone with the lease it lay under: it is said again. */
	again(): void {
		this.#said.clear();
		this.changed();
	}

	close(): void {
		this.#timer?.cancel();
	}

	/** Nodes that are draining → revision of the decision. */
	#draining(): ReadonlyMap<string, number> {
		return new Map(
			this.#ports.mirrors.lifecycle
				.all()
				.filter(({ value }) => value.state === 'draining')
				.map(({ id, revision }) => [id, revision]),
		);
	}

	async #round(): Promise<void> {
		const { clock, nodeId, failed } = this.#ports;
		const draining = this.#draining();
		try {
			for (const [node, decision] of draining) await this.#say(node, decision);
			const own = draining.get(nodeId);
			if (own !== undefined) await this.#finish(own);
		} catch (error) {
			failed('draining', error);
		}
		this.#timer = undefined;
		if (this.#draining().size > 0) this.#timer = clock.after(PERIOD_MS, () => void this.#round(), { unref: true });
	}

	async #say(node: string, decision: number): Promise<void> {
		const { records, nodeId, lease, inFlight } = this.#ports;
		if (inFlight === undefined) return;
		const now = inFlight(node);
		const said = `${decision}:${now}`;
		if (this.#said.get(node) === said) return;
		const held = lease();
		await records.put(
			recordKinds.drains,
			`${node}/${nodeId}`,
			{ inFlight: now, decision },
			held === undefined ? {} : { lease: held },
		);
		this.#said.set(node, said);
	}

	/** Of the node that is drained: hands over, and declares the end when nobody has anything left. */
	async #finish(decision: number): Promise<void> {
		const { clock, records, nodeId, mirrors, handOver } = this.#ports;
		if (!this.#handedOver) {
			await handOver();
			this.#handedOver = true;
		}
		const done = mirrors.routers.all().every(({ id }) => {
			const said = mirrors.drains.get(`${nodeId}/${id}`)?.value;
			return said?.decision === decision && said.inFlight === 0;
		});
		if (!done) return;
		await records.update(recordKinds.lifecycle, nodeId, (present) =>
			present?.state === 'draining'
				? { ...present, state: 'drained' as const, changedAtMs: Math.floor(clock.wallMs()) }
				: undefined,
		);
	}
}
