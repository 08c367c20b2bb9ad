// Owns the streams on which other routers follow the load of this one. A stream that does not take frames as fast as they come is told less often; the
// number of streams is bounded.
import type { ServerWritableStream } from '@grpc/grpc-js';
import { grpcErrorOf } from '@infermesh/fabric';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { FollowRequest, LoadFrame, PeerLoadServer } from '@infermesh/proto/grpc/routing/v1/load';
import type { InflightReader } from '../fleet/inflight.js';
import { OwnChanges } from '../peer-load/changes.js';
import { peerLoadErrors } from '../peer-load/errors.js';
import type { OwnFlows } from '../peer-load/own-flows.js';
import { LoadTeller, type OwnLoad, type TellerOptions } from '../peer-load/teller.js';

type FollowCall = ServerWritableStream<FollowRequest, LoadFrame>;

export interface LoadServingOptions extends TellerOptions {
	/** Changes are told this often. */
	readonly periodMs: number;
	readonly followersMax: number;
}

export interface LoadServingPorts {
	readonly clock: Clock;
	readonly counters: InflightReader;
	readonly idOf: (row: number) => string | undefined;
	/** What waits at this router. */
	readonly flows: OwnFlows;
	/** A frame went out. */
	readonly sent: () => void;
}

interface Follower {
	readonly teller: LoadTeller;
	/** Waits for room. */
	full: boolean;
}

/** Events a stream ends by, for whatever reason. */
const endings = ['cancelled', 'close', 'finish', 'error'] as const;

export class LoadServing {
	readonly #options: LoadServingOptions;
	readonly #ports: LoadServingPorts;
	readonly #changes: OwnChanges;
	readonly #own: OwnLoad;
	readonly #followers = new Map<FollowCall, Follower>();
	#timer: Timer | undefined;
	#closed = false;

	constructor(options: LoadServingOptions, ports: LoadServingPorts) {
		this.#options = options;
		this.#ports = ports;
		this.#changes = new OwnChanges(ports.counters);
		this.#own = {
			rowsMax: ports.counters.rowsMax,
			idOf: ports.idOf,
			own: (counter, row) => ports.counters.own(counter, row),
			flows: () => ports.flows.all(),
		};
	}

	handlers(): PeerLoadServer {
		return { follow: (call) => this.#admit(call) };
	}

	/** Routers that follow this one. */
	get followers(): number {
		return this.#followers.size;
	}

	/** Targets stand at other rows, or there are others. */
	rowsChanged(): void {
		for (const { teller } of this.#followers.values()) teller.allChanged();
	}

	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
		for (const call of this.#followers.keys()) refuse(call, 'IM_PEER_LOAD_STOPPING');
	}

	#admit(call: FollowCall): void {
		if (this.#closed) return refuse(call, 'IM_PEER_LOAD_STOPPING');
		if (this.#followers.size >= this.#options.followersMax) return refuse(call, 'IM_PEER_LOAD_FULL');
		const follower: Follower = { teller: new LoadTeller(this.#own, this.#options), full: false };
		this.#followers.set(call, follower);
		call.on('drain', () => {
			follower.full = false;
		});
		for (const ending of endings) call.once(ending, () => this.#dismiss(call));
		this.#tell(call, follower);
		this.#timer ??= this.#ports.clock.every(this.#options.periodMs, () => this.#round(), { unref: true });
	}

	#dismiss(call: FollowCall): void {
		this.#followers.delete(call);
		if (this.#followers.size > 0) return;
		this.#timer?.cancel();
		this.#timer = undefined;
	}

	#round(): void {
		this.#changes.drain({
			changed: (row) => {
				for (const { teller } of this.#followers.values()) teller.changed(row);
			},
			allChanged: () => this.rowsChanged(),
		});
		const flows = this.#ports.flows.takeChanged();
		if (flows.length > 0) for (const { teller } of this.#followers.values()) teller.flowsChanged(flows);
		for (const [call, follower] of this.#followers) this.#tell(call, follower);
	}

	#tell(call: FollowCall, follower: Follower): void {
		if (follower.full) return;
		if (follower.teller.worn) {
			call.end();
			return;
		}
		const { clock, sent } = this.#ports;
		const frame = follower.teller.next(clock.nowMs(), clock.wallMs());
		if (frame === undefined) return;
		follower.full = !call.write(frame);
		sent();
	}
}

function refuse(call: FollowCall, code: keyof typeof peerLoadErrors): void {
	call.emit('error', grpcErrorOf(new MeshError(peerLoadErrors, code)));
}
