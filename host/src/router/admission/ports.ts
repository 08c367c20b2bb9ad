// Owns what admission needs from outside the router: what targets take at once, this node's quotas, and where its counts go.
import type { Turn } from './flow-band.js';
import type { MeshPort } from './mesh-turns.js';
import type { QuotaBoard } from './quota-board.js';

/** Why a request was not admitted; a label of metrics. */
export type AdmissionReason =
	| 'quota_requests'
	| 'quota_tokens'
	| 'quota_concurrency'
	| 'quota_too_large'
	| 'queue_full'
	| 'tenant_queue_full'
	| 'deadline'
	| 'wait';

export interface AdmissionMetrics {
	refused(reason: AdmissionReason, tenantId: number): void;
	/** A request begins or ceases to wait for room. */
	queued(band: number, change: 1 | -1): void;
	/** A request has waited so long and goes to a target. */
	waited(band: number, ms: number): void;
	/** And this was its turn among all that wait in the mesh. */
	turn(turn: Turn): void;
}

export interface AdmissionPorts {
	/** Whether the target in this row of the fleet table takes one more; always, where nothing is known. */
	readonly hasRoom: (tableRow: number) => boolean;
	readonly quotas: QuotaPort | undefined;
	/** Where this queue meets the others of the mesh; absent = it stands alone. */
	readonly mesh?: MeshPort | undefined;
	readonly metrics: AdmissionMetrics;
}

export interface QuotaPort {
	readonly board: QuotaBoard;
	/** Number of this worker on the board. */
	readonly worker: number;
	/** Asks for more of a tenant's quota; answered by `Router.quotaGranted`. */
	readonly want: (tenantId: number) => void;
}
