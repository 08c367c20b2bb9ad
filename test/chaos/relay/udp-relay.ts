// Owns the relay of the gossip datagrams of all nodes: a socket for each at its advertised address. What comes from the real address of a node leaves by that
// node's own socket, so that the receiver sees, and answers, the address it knows.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Clock } from '@infermesh/proto';
import type { Links } from './link.js';

/** Datagrams under way at once; more are gone. */
const underWayMax = 10_000;

export interface UdpEnd {
	readonly front: { readonly host: string; readonly port: number };
	readonly back: { readonly host: string; readonly port: number };
}

export class UdpRelay {
	readonly #ends: readonly UdpEnd[];
	readonly #links: Links;
	readonly #clock: Clock;
	readonly #sockets: readonly Socket[];
	#underWay = 0;

	constructor(ends: readonly UdpEnd[], links: Links, clock: Clock) {
		this.#ends = ends;
		this.#links = links;
		this.#clock = clock;
		this.#sockets = ends.map((_, to) => {
			const socket = createSocket({ type: 'udp4', recvBufferSize: 1024 * 1024 });
			// Errors are those of a receiver that is down; silence is what its senders expect.
			socket.on('error', () => undefined);
			return socket.on('message', (bytes, sender) => this.#pass(bytes, sender, to));
		});
	}

	async listen(): Promise<void> {
		for (const [at, socket] of this.#sockets.entries()) {
			const { host, port } = this.#ends[at]?.front ?? { host: '', port: 0 };
			await new Promise<void>((resolve, reject) => {
				socket.once('error', reject);
				socket.bind(port, host, () => {
					socket.off('error', reject);
					resolve();
				});
			});
		}
	}

	close(): void {
		for (const socket of this.#sockets) socket.close();
	}

	#pass(bytes: Buffer, sender: RemoteInfo, to: number): void {
		const from = this.#ends.findIndex(({ back }) => back.port === sender.port && back.host === sender.address);
		const { back } = this.#ends[to] as UdpEnd;
		const out = this.#sockets[from];
		if (out === undefined) return;
		const link = this.#links.between(from, to);
		for (const delayMs of link?.datagramDelaysMs(bytes.length, this.#clock.nowMs()) ?? [0]) {
			if (this.#underWay >= underWayMax) return;
			this.#underWay++;
			const deliver = (): void => {
				this.#underWay--;
				// What was under way when the link was cut does not arrive any more.
				if (link?.rules.cut === true) link.counts.cut++;
				else {
					if (link !== undefined) link.counts.passed++;
					out.send(bytes, back.port, back.host);
				}
			};
			if (delayMs < 0.5) deliver();
			else this.#clock.after(delayMs, deliver);
		}
	}
}
