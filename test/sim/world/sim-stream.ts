// Owns a simulated connection: messages arrive in order or the connection breaks. A lost packet is sent again after a while; a cut link makes messages wait
// until it mends or the sender gives up; a process that died answers with a reset, or with nothing at all (half-open), which the sender notices only by
// its keep-alive.
import type { SimHost } from './sim-host.js';
import type { SimNetwork } from './sim-network.js';

/** A lost packet is sent again after this, then after twice as long. */
const retransmitUs = 200_000;
/** A sender that hears nothing for so long gives the connection up. */
const keepAliveUs = 2_000_000;
/** What a sender has on its way before it gives up: a slow receiver. */
const waitingMessagesMax = 1024;

export interface StreamMessage {
	readonly bytes: number;
	readonly digest: number;
	readonly describe: () => string;
	readonly deliver: () => void;
}

interface Connection {
	/** Life of the receiver it was made with. */
	readonly peerLife: number;
	broken: boolean;
	waiting: number;
	lastArrivalUs: number;
	/** The first message waits to be sent again until then, and the others behind it. */
	heldUntilUs: number;
}

/** Messages one way, over one connection at a time: the next message after a break opens another. */
export class SimStream {
	readonly #network: SimNetwork;
	readonly #from: SimHost;
	readonly #to: SimHost;
	readonly #onBroken: () => void;
	#connection: Connection | undefined;

	/** `onBroken` tells the sender, when it notices, that messages may be lost. */
	constructor(network: SimNetwork, from: SimHost, to: SimHost, onBroken: () => void) {
		this.#network = network;
		this.#from = from;
		this.#to = to;
		this.#onBroken = onBroken;
	}

	send(message: StreamMessage): void {
		const { world, weather } = this.#network;
		const link = this.#network.link(this.#from, this.#to);
		world.counters.add('messages');
		this.#connection ??= { peerLife: this.#to.life, broken: false, waiting: 0, lastArrivalUs: 0, heldUntilUs: 0 };
		const connection = this.#connection;
		if (connection.broken) return;
		if (connection.waiting >= waitingMessagesMax || link.happens(weather.resetRate)) {
			this.#break(connection, 0);
			return;
		}
		let latencyUs = link.latencyUs(weather, world.nowUs);
		for (let again = retransmitUs; link.happens(weather.lossRate) && latencyUs < keepAliveUs; again *= 2)
			latencyUs += again;
		connection.lastArrivalUs = Math.max(connection.lastArrivalUs, world.nowUs + latencyUs);
		connection.waiting++;
		this.#fly(message, connection, connection.lastArrivalUs, connection.lastArrivalUs + keepAliveUs);
	}

	#fly(message: StreamMessage, connection: Connection, arrivalUs: number, giveUpUs: number): void {
		const { world } = this.#network;
		const options = { host: this.#to, anyLife: true, digest: message.digest };
		const arrive = (): void => this.#arrive(message, connection, giveUpUs);
		world.schedule(arrivalUs - world.nowUs, 'message', arrive, options);
	}

	#arrive(message: StreamMessage, connection: Connection, giveUpUs: number): void {
		const { world } = this.#network;
		if (connection.broken) return;
		if (world.nowUs < connection.heldUntilUs) {
			this.#fly(message, connection, connection.heldUntilUs, giveUpUs);
			return;
		}
		const link = this.#network.link(this.#from, this.#to);
		if (link.cut) {
			world.counters.add('messages held by a cut');
			if (world.nowUs >= giveUpUs) this.#break(connection, 0);
			else {
				connection.heldUntilUs = world.nowUs + retransmitUs;
				connection.lastArrivalUs = Math.max(connection.lastArrivalUs, connection.heldUntilUs);
				this.#fly(message, connection, connection.heldUntilUs, giveUpUs);
			}
		} else if (this.#to.life !== connection.peerLife || this.#to.state === 'down') {
			const silent = link.happens(halfOpenShare);
			if (silent) world.counters.add('connections left half open');
			this.#break(connection, silent ? keepAliveUs : 0);
		} else {
			connection.waiting--;
			world.note(this.#to, () => `<== ${this.#from.name} ${message.describe()}`);
			message.deliver();
		}
	}

	/** Everything on its way is lost; the sender learns of it `afterUs` later and until then sends into nothing. */
	#break(connection: Connection, afterUs: number): void {
		const { world } = this.#network;
		connection.broken = true;
		world.counters.add('connections broken');
		world.note(this.#from, () => `=/= ${this.#to.name} connection broken`);
		const told = (): void => {
			if (this.#connection !== connection) return;
			this.#connection = undefined;
			this.#onBroken();
		};
		world.schedule(afterUs, 'reset', told, { host: this.#from });
	}

	/** The sending process died. What it had on its way may still arrive, and often does. */
	drop(): void {
		this.#connection = undefined;
	}
}

/** Of deaths after which the network says nothing (the machine vanished, not only the process). */
const halfOpenShare = 0.3;
