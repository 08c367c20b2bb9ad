// Owns one random run of a pool from a seed: first violence (loss, crashes, restarts, standstill, partitions, leaves, replays and forgeries), then
// healing and a calm in which everything must come right within bounds. The result is what was broken, and a hash of all events.
import {
	type AliveClaim,
	type Claim,
	emptyBytes,
	type MembershipEvent,
	type SwimEffect,
	type SwimMutation,
	type Unsigned,
	type UserMessage,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import { Invariants } from './invariants.js';
import { agrees, Pool, type PoolNode } from './pool.js';
import { simulatedSignatures } from './signatures.js';

export interface SwarmResult {
	readonly broken: readonly string[];
	readonly hash: number;
	readonly events: number;
}

const violenceMs = 60_000;
/** Seeds back off to a minute, a failed member is tried every half minute: this is several of both. */
const healingMs = 240_000;

export function swarm(seed: number, mutations: readonly SwimMutation[] = []): SwarmResult {
	const run = new Swarm(seed, mutations);
	run.violence();
	run.heal();
	if (run.invariants.broken.length === 0) {
		run.calmDeath();
		run.insider();
		run.forgery();
		run.hiddenDeath();
		run.leave();
		run.stall();
	}
	return { broken: run.invariants.broken, hash: run.hash, events: run.pool.events };
}

class Swarm {
	readonly invariants = new Invariants();
	readonly pool: Pool;
	readonly #random: SeededRandom;
	readonly #nodes: PoolNode[];
	/** Alive claims of the past, for replays. */
	readonly #history: AliveClaim[] = [];
	readonly #left = new Set<PoolNode>();
	hash = 0x811c9dc5;
	/** Deaths told of members that are up, by observers that are not starved. */
	#falseDeaths = 0;
	#starved: PoolNode | undefined;
	/** A member in whose place somebody answers. */
	#impersonated: PoolNode | undefined;

	constructor(seed: number, mutations: readonly SwimMutation[]) {
		this.#random = new SeededRandom(seed, 99);
		this.pool = new Pool({
			seed,
			mutations,
			loss: this.#chance(0.5) ? this.#random.nextFloat() * 0.2 : 0,
			duplication: this.#chance(0.5) ? 0.1 : 0,
			delayMeanMs: this.#chance(0.3) ? 10 : 0.5,
			watch: (atMs, node, event) => this.#watch(atMs, node, event),
			trace: (_atMs, node, { effect }) => {
				if (effect !== undefined) this.#answerFor(node, effect);
			},
			onPersist: (atMs, node, incarnation) => this.invariants.onPersist(atMs, node, incarnation),
		});
		this.#nodes = this.pool.add(8 + Math.floor(this.#random.nextFloat() * 6));
		for (const node of this.#nodes) this.pool.start(node, this.#nodes.slice(0, 3));
	}

	violence(): void {
		const { pool } = this;
		while (pool.nowMs < violenceMs) {
			pool.run(pool.nowMs + this.#random.nextFloat() * 4_000);
			this.#fault(this.#any(this.#nodes));
			this.invariants.check(pool);
		}
	}

	/** Everything works again, everybody runs; all must come to agree. */
	heal(): void {
		const { pool } = this;
		pool.reaches = () => true;
		pool.loss = 0;
		for (const node of this.#nodes) if (!node.up) this.#restart(node);
		const agreed = pool.run(pool.nowMs + healingMs, () => this.#agree());
		if (!agreed) this.invariants.fail(pool.nowMs, 'no agreement after healing');
		const calm = pool.run(pool.nowMs + 60_000, () =>
			this.#nodes.every((node) => !node.up || (node.core.queuedBroadcasts === 0 && node.core.healthScore === 0)),
		);
		if (!calm) this.invariants.fail(pool.nowMs, 'broadcasts or doubts that do not end');
	}

	/** In a calm pool a member dies: all notice, and nobody comes to doubt itself. */
	calmDeath(): void {
		const { pool } = this;
		const victim = this.#up();
		pool.crash(victim);
		const died = pool.run(pool.nowMs + 40_000, () => {
			// One nack may come too late by chance.
			for (const node of this.#nodes)
				if (node.up && node.core.healthScore > 1)
					this.invariants.fail(pool.nowMs, `${node.id} doubts itself for a death`);
			return this.#agree();
		});
		if (!died) this.invariants.fail(pool.nowMs, 'a death is not seen by all');
		// One that has heard of its death at a later incarnation must not be brought back by an alive in between.
		const observer = this.#up();
		const { incarnation } = victim.core.self;
		const base = { id: victim.id, by: this.#up().id };
		this.#send(observer, { kind: 'dead', ...base, incarnation: incarnation + 2 });
		this.#send(observer, { ...victim.core.self, incarnation: incarnation + 1 });
		if (observer.core.member(victim.id)?.state !== 'dead')
			this.invariants.fail(pool.nowMs, 'an alive older than the death brings back');
		this.#restart(victim, 2);
		if (!pool.run(pool.nowMs + healingMs, () => this.#agree()))
			this.invariants.fail(pool.nowMs, 'the dead does not come back');
	}

	/** A member with a good signature lies: it can neither kill nor count twice. */
	insider(): void {
		const { pool } = this;
		const [liar, victim, observer] = this.#three();
		const { id, incarnation } = { id: victim.id, incarnation: victim.core.self.incarnation };
		const counted = observer.core.counters.confirmations;
		for (let i = 0; i < 4; i++) this.#send(observer, { kind: 'suspect', id, incarnation, by: liar.id });
		if (observer.core.counters.confirmations > counted) this.invariants.fail(pool.nowMs, 'an accuser confirms itself');
		this.#falseDeaths = 0;
		for (const node of this.#nodes.filter((one) => one.up && one !== victim))
			this.#send(node, { kind: 'dead', id, incarnation, by: liar.id });
		pool.run(pool.nowMs + 20_000);
		if (this.#falseDeaths > 0) this.invariants.fail(pool.nowMs, 'one liar has killed');
		if (!pool.run(pool.nowMs + 60_000, () => this.#agree())) this.invariants.fail(pool.nowMs, 'a lie is not refuted');
	}

	/** Claims without a good signature change nothing. */
	forgery(): void {
		const [, victim, observer] = this.#three();
		const { incarnation } = victim.core.self;
		const proof = new Uint8Array(4);
		const from = '10.9.9.9:1';
		this.pool.inject(observer, from, [{ kind: 'left', id: victim.id, incarnation, proof }]);
		this.pool.inject(observer, from, [{ kind: 'suspect', id: victim.id, incarnation, by: observer.id, proof }]);
		this.pool.run(this.pool.nowMs);
		if (observer.core.member(victim.id)?.state !== 'alive')
			this.invariants.fail(this.pool.nowMs, 'a forged claim is believed');
	}

	/** Who has left stays left, whatever is said of it later. */
	leave(): void {
		const { pool } = this;
		const [accuser, leaver, observer] = this.#three();
		const { incarnation } = leaver.core.self;
		this.#leave(leaver);
		const heard = pool.run(pool.nowMs + 40_000, () => this.#agree());
		if (!heard) this.invariants.fail(pool.nowMs, 'a leave is not heard by all');
		for (const kind of ['suspect', 'dead'] as const)
			this.#send(observer, { kind, id: leaver.id, incarnation, by: accuser.id });
		pool.run(pool.nowMs + 40_000);
		for (const node of this.#nodes)
			if (node.up && node.core.member(leaver.id)?.state !== 'left')
				this.invariants.fail(pool.nowMs, 'who has left is called failed');
	}

	/** One member is starved of processor time for long: nobody healthy may die for it. */
	stall(): void {
		const { pool } = this;
		const [starved] = this.#three();
		this.#starved = starved;
		this.#falseDeaths = 0;
		pool.starve(starved, () => 10 * 300 ** this.#random.nextFloat());
		pool.run(pool.nowMs + 120_000);
		if (this.#falseDeaths > 0)
			this.invariants.fail(pool.nowMs, `${this.#falseDeaths} false deaths for one starved member`);
	}

	/** Somebody who overhears every ping answers in the place of a member that has died: its death is seen all the same. */
	hiddenDeath(): void {
		const { pool } = this;
		const victim = this.#up();
		this.#impersonated = victim;
		pool.crash(victim);
		if (!pool.run(pool.nowMs + 40_000, () => this.#agree()))
			this.invariants.fail(pool.nowMs, 'forged acks hide a death');
		this.#impersonated = undefined;
		this.#restart(victim, 2);
		if (!pool.run(pool.nowMs + healingMs, () => this.#agree()))
			this.invariants.fail(pool.nowMs, 'the impersonated does not come back');
	}

	#answerFor(node: PoolNode, effect: SwimEffect): void {
		if (effect.kind !== 'packet' || effect.to !== this.#impersonated?.address) return;
		for (const message of effect.messages)
			if (message.kind === 'ping') {
				const { sequence } = message;
				this.pool.inject(node, effect.to, [{ kind: 'ack', sequence, payload: emptyBytes, proof: new Uint8Array(4) }]);
			}
	}

	#fault(node: PoolNode): void {
		const { pool } = this;
		const draw = this.#random.nextFloat();
		if (!node.up) this.#restart(node);
		else if (draw < 0.2) pool.crash(node);
		else if (draw < 0.35) pool.block(node, this.#random.nextFloat() * 15_000);
		else if (draw < 0.5) this.#partition();
		else if (draw < 0.6) pool.reaches = () => true;
		else if (draw < 0.7) pool.give(node, { kind: 'update', meta: Uint8Array.of(this.#random.nextU32() & 255) });
		else if (draw < 0.75) this.#leave(node);
		else if (draw < 0.85) pool.give(node, { kind: 'broadcast', key: `${draw}`, payload: new Uint8Array(50) });
		else if (this.#history.length > 0) pool.inject(node, '10.9.9.9:1', [this.#any(this.#history)]);
	}

	#partition(): void {
		const sides = new Map(this.#nodes.map((node) => [node, this.#chance(0.5)]));
		const oneWay = this.#chance(0.3);
		this.pool.reaches = (from, to) => sides.get(from) === sides.get(to) || (oneWay && sides.get(from) === true);
	}

	#leave(node: PoolNode): void {
		this.pool.give(node, { kind: 'leave' });
		this.#left.add(node);
		const { life } = node;
		this.pool.at(this.pool.nowMs + 6_000, () => {
			if (node.up && node.life === life) this.pool.crash(node);
		});
	}

	#restart(node: PoolNode, above = 0): void {
		this.#left.delete(node);
		if (node.incarnation !== undefined) node.incarnation += above;
		this.pool.start(node, this.#nodes.slice(0, 3), { wiped: above === 0 && this.#chance(0.15) });
	}

	/** All that run and have not left see each other alive, and no other. */
	#agree(): boolean {
		return agrees(this.pool, this.#left);
	}

	#watch(atMs: number, node: PoolNode, event: MembershipEvent): void {
		this.invariants.onEvent(atMs, node, event);
		for (const text of [atMs.toFixed(3), node.id, event.kind])
			for (let i = 0; i < text.length; i++) this.hash = Math.imul(this.hash ^ text.charCodeAt(i), 0x01000193);
		if (event.kind === 'join' || event.kind === 'update') this.#history.push(event.member);
		if (event.kind !== 'failed') return;
		const dead = this.#nodes.find(({ id }) => id === event.member.id);
		if (dead?.up === true && !this.#left.has(dead) && dead !== this.#starved) this.#falseDeaths++;
	}

	/** A packet with one claim that is well signed, delivered at once. */
	#send(to: PoolNode, claim: Unsigned<Claim | UserMessage>): void {
		const signed = { ...claim, proof: simulatedSignatures.sign(claim) };
		this.pool.inject(to, '10.9.9.9:1', [signed]);
		this.pool.run(this.pool.nowMs);
	}

	#three(): [PoolNode, PoolNode, PoolNode] {
		const rest = this.#nodes.filter((node) => node.up && !this.#left.has(node));
		const start = Math.floor(this.#random.nextFloat() * rest.length);
		return [0, 1, 2].map((i) => rest[(start + i) % rest.length]) as [PoolNode, PoolNode, PoolNode];
	}

	#up(): PoolNode {
		return this.#three()[0];
	}

	#any<T>(items: readonly T[]): T {
		return items[Math.floor(this.#random.nextFloat() * items.length)] as T;
	}

	#chance(of: number): boolean {
		return this.#random.nextFloat() < of;
	}
}
