// Owns golden transcripts of membership: a small pool run as a story, one line per packet, exchange and event, compared with a file.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GossipMessage, MembershipEvent, StreamMessage, SwimEffect, SwimEvent } from '@infermesh/fabric';
import type { ExecutionContext } from 'ava';
import { Pool, type PoolNode, type PoolOptions } from './pool.js';

const folder = new URL('../../../golden/swim/', import.meta.url);
const names = 'ABCDEFGH';

export class Story {
	readonly pool: Pool;
	readonly #lines: string[] = [];
	/** Which lines are told: everything, or only what concerns one member. */
	about: PoolNode | undefined;
	quiet = false;

	constructor(options: Omit<PoolOptions, 'trace'>) {
		this.pool = new Pool({
			delayMinMs: 1,
			delayMeanMs: 0,
			...options,
			trace: (atMs, node, line) => this.#trace(atMs, node, line),
		});
	}

	say(text: string): void {
		this.#lines.push(`# ${text}`);
	}

	/** Compares with test/golden/swim/NAME.txt; UPDATE_GOLDEN=1 writes it instead. */
	compare(t: ExecutionContext, name: string): void {
		const file = fileURLToPath(new URL(`${name}.txt`, folder));
		const told = `${this.#lines.join('\n')}\n`;
		if (process.env['UPDATE_GOLDEN'] === '1') {
			mkdirSync(folder, { recursive: true });
			writeFileSync(file, told);
		}
		t.is(told, readFileSync(file, 'utf8'));
	}

	#trace(atMs: number, node: PoolNode, line: { readonly event?: SwimEvent; readonly effect?: SwimEffect }): void {
		if (this.quiet) return;
		const text = line.effect === undefined ? undefined : this.#effect(line.effect);
		if (text === undefined) return;
		if (this.about !== undefined && node !== this.about && !text.includes(this.#name(this.about.id))) return;
		this.#lines.push(`${atMs.toFixed(0).padStart(6)} ${this.#name(node.id)} ${text}`);
	}

	#effect(effect: SwimEffect): string | undefined {
		switch (effect.kind) {
			case 'packet':
				return `→ ${this.#name(effect.id ?? effect.to)}: ${effect.messages.map((one) => this.#message(one)).join(', ')}`;
			case 'exchange':
				return `⇒ ${this.#at(effect.to)}: ${this.#stream(effect.message)}`;
			case 'answer':
				return `⇐ ${this.#stream(effect.message)}`;
			case 'persist':
				return `persists incarnation ${effect.incarnation}`;
			case 'event':
				return this.#event(effect.event);
			case 'credential':
				return undefined;
		}
		return undefined;
	}

	#message(message: GossipMessage): string {
		switch (message.kind) {
			case 'alive':
			case 'left':
				return `${message.kind} ${this.#name(message.id)}/${message.incarnation}`;
			case 'suspect':
			case 'dead':
				return `${message.kind} ${this.#name(message.id)}/${message.incarnation} by ${this.#name(message.by)}`;
			case 'user':
				return `user ${message.key}`;
			case 'ping':
				return `ping ${this.#name(message.target)}`;
			case 'pingRequest':
				return `ping ${this.#name(message.target)} for me`;
			case 'ack':
			case 'nack':
				return message.kind;
		}
	}

	#stream(message: StreamMessage): string {
		if (!('records' in message)) return message.kind;
		const records = message.records.map(
			({ alive, marks }) =>
				`${this.#name(alive.id)}/${alive.incarnation}${marks.map((mark) => ` ${mark.kind}/${mark.incarnation}`).join('')}`,
		);
		return `${message.kind} [${records.join(', ')}]`;
	}

	#event(event: MembershipEvent): string | undefined {
		switch (event.kind) {
			case 'join':
				return `EVENT join ${this.#name(event.member.id)}${event.was === undefined ? '' : `, was ${event.was}`}`;
			case 'alive':
			case 'update':
			case 'left':
				return `EVENT ${event.kind} ${this.#name(event.member.id)}/${event.member.incarnation}`;
			case 'suspect':
				return `EVENT suspect ${this.#name(event.member.id)} by ${this.#name(event.by)}`;
			case 'failed':
				return `EVENT failed ${this.#name(event.member.id)} by ${event.by.map((by) => this.#name(by)).join('')}`;
			case 'refuted':
				return `EVENT refuted ${this.#name(event.by)}, incarnation ${event.incarnation}`;
			case 'packetsBlocked':
			case 'unreached':
				return `EVENT ${event.kind} ${this.#name(event.id)}`;
			case 'user':
				return `EVENT user ${event.key}`;
			case 'departed':
				return 'EVENT departed';
			case 'coordinate':
			case 'identityConflict':
			case 'reaped':
			case 'synchronised':
				return undefined;
		}
	}

	#at(address: string): string {
		return this.#name(this.pool.nodes.find((node) => node.address === address)?.id ?? address);
	}

	#name(id: string): string {
		const node = this.pool.nodes.find((one) => one.id === id);
		return node === undefined ? id : (names[node.number] ?? '?');
	}
}
