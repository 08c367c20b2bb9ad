// Owns what must hold in every run of a pool, whatever happens: incarnations are raised by their owner only and never fall, nobody comes back by
// an alive no newer than its death, queues and scores stay within their bounds.
import { type MembershipEvent, swimBounds } from '@infermesh/fabric';
import type { Pool, PoolNode } from './pool.js';

const reportedMax = 20;

export class Invariants {
	readonly broken: string[] = [];
	/** Highest incarnation each member has made durable. */
	readonly #own = new Map<string, number>();
	/** Highest incarnation each life of an observer has believed of each member. */
	readonly #seen = new Map<string, number>();

	fail(atMs: number, what: string): void {
		if (this.broken.length < reportedMax) this.broken.push(`${atMs.toFixed(0)} ms: ${what}`);
	}

	onEvent(atMs: number, node: PoolNode, event: MembershipEvent): void {
		if (!('member' in event)) return;
		const { id, incarnation } = event.member;
		if (incarnation > (this.#own.get(id) ?? 0)) this.fail(atMs, `${node.id} believes an incarnation ${id} never had`);
		const key = `${node.id} ${node.life} ${id}`;
		const seen = this.#seen.get(key) ?? 0;
		const lives = event.kind === 'join' || event.kind === 'alive' || event.kind === 'update';
		if (lives && incarnation < seen)
			this.fail(atMs, `${node.id} goes back from incarnation ${seen} to ${incarnation} of ${id}`);
		if (event.kind === 'join' && event.was !== undefined && incarnation <= seen)
			this.fail(atMs, `${node.id} brings ${id} back by an alive no newer than its end`);
		// A death may be of an incarnation whose alive claim was never heard.
		this.#seen.set(key, Math.max(seen, node.core.member(id)?.incarnation ?? incarnation));
	}

	/** A member without its disk may begin again, and learns its incarnation from the others. */
	onPersist(atMs: number, node: PoolNode, incarnation: number): void {
		const own = this.#own.get(node.id) ?? 0;
		if (incarnation <= own && !node.wiped) this.fail(atMs, `${node.id} uses incarnation ${incarnation} after ${own}`);
		this.#own.set(node.id, Math.max(own, incarnation));
	}

	/** To be asked now and then. */
	check(pool: Pool): void {
		for (const node of pool.nodes) {
			if (!node.up) continue;
			const { queuedBroadcasts, healthScore } = node.core;
			if (queuedBroadcasts > swimBounds.broadcastsMax) this.fail(pool.nowMs, `${node.id} queues ${queuedBroadcasts}`);
			if (healthScore < 0 || healthScore > 7) this.fail(pool.nowMs, `${node.id} has a health score of ${healthScore}`);
		}
	}
}
