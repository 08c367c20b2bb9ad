// Owns changes by an operator at every node's admin API: a policy by compare-and-set, the strategy that decides, nodes cordoned and released. No change that
// was acknowledged is lost, none is made on a state that was not there, and after every fault all nodes say the same.
import { AdminError } from '../../support/admin.js';
import { eventually } from '../../support/mesh.js';
import { shipped } from '../../support/strategies.js';
import { strategies } from '../nodes/mesh.js';
import type { ChaosNode } from '../nodes/node.js';
import { pick, repeat, type Workload, type WorkloadContext } from './workload.js';

const policyPauseMs = [400, 1_200] as const;
const operatorPauseMs = [2_000, 5_000] as const;
/** A call without a clear answer may still take effect for so long. */
const lateMs = 30_000;
const policyPath = '/api/v1/policies/slo/chaos';

interface Policy {
	readonly value: { readonly models: readonly string[]; readonly ttftMs?: number };
	readonly revision: number;
}

export class Configuration implements Workload {
	readonly ended: Promise<unknown>;
	readonly #context: WorkloadContext;
	/** Revision on which an acknowledged change was made → the revision it made. */
	readonly #changes = new Map<number, number>();
	#policyRevision = 0;
	#policyNumber = 0;
	#numberAt = 0;
	/** What may decide: what was acknowledged last, and what was asked for since with no clear answer. */
	#strategies: { readonly name: string; readonly atMs: number }[];
	/** Cordoned, or perhaps. */
	readonly #cordoned = new Set<ChaosNode>();
	#lifecycleHeld = false;
	#deciding: Promise<void> = Promise.resolve();

	/** Loads the strategies that are to take turns. */
	static async open(context: WorkloadContext): Promise<Configuration> {
		const { admin } = context.mesh.node(0);
		for (const name of strategies.slice(1)) await admin.load(shipped(name));
		return new Configuration(context);
	}

	private constructor(context: WorkloadContext) {
		this.#context = context;
		this.#strategies = [{ name: strategies[0], atMs: 0 }];
		this.ended = Promise.all([
			...context.mesh.nodes.map((node) => repeat(context, policyPauseMs, () => this.#setPolicy(node))),
			repeat(context, operatorPauseMs, () => this.#flip()),
			repeat(context, operatorPauseMs, () => {
				this.#deciding = this.#cordon();
				return this.#deciding;
			}),
		]);
	}

	/** Lets nobody but the caller decide about nodes; all are active when it resolves. */
	async holdLifecycle(withinMs: number): Promise<void> {
		this.#lifecycleHeld = true;
		await this.#deciding;
		await this.#uncordonAll(withinMs);
	}

	releaseLifecycle(): void {
		this.#lifecycleHeld = false;
	}

	async settle(withinMs: number): Promise<void> {
		if (!this.#lifecycleHeld) await this.#uncordonAll(withinMs);
		await this.#samePolicy(withinMs);
		await this.#sameStrategy(withinMs);
	}

	finish(): Promise<void> {
		return this.settle(30_000);
	}

	async #setPolicy(node: ChaosNode): Promise<void> {
		const { findings } = this.#context;
		if (!node.ready) return;
		try {
			const before = await node.admin.call<Policy>('GET', policyPath).catch((error: unknown) => {
				if (error instanceof AdminError && error.code === 'IM_RECORD_UNKNOWN') return undefined;
				throw error;
			});
			const number = ++this.#policyNumber;
			const { revision } = await node.admin.call<Policy>('PUT', policyPath, {
				value: { models: ['chaos'], ttftMs: number },
				ifRevision: before?.revision ?? 0,
			});
			this.#acknowledged(before?.revision ?? 0, revision, number);
		} catch (error) {
			findings.failed('policy', error);
		}
	}

	#acknowledged(before: number, revision: number, number: number): void {
		const { findings } = this.#context;
		findings.done('policy');
		if (revision <= before) findings.violation(`a policy was changed from revision ${before} to ${revision}`);
		if (this.#changes.has(before))
			findings.violation(
				`two changes of a policy were made on revision ${before}: ${this.#changes.get(before)}, ${revision}`,
			);
		this.#changes.set(before, revision);
		if (revision > this.#policyRevision) {
			this.#policyRevision = revision;
			this.#numberAt = number;
		}
		const [oldest] = this.#changes.keys();
		if (this.#changes.size > 10_000 && oldest !== undefined) this.#changes.delete(oldest);
	}

	/** Every node tells the policy that was acknowledged last, or one that came after it. */
	async #samePolicy(withinMs: number): Promise<void> {
		const { mesh, findings } = this.#context;
		const [revision, number] = [this.#policyRevision, this.#numberAt];
		if (revision === 0) return;
		for (const node of mesh.nodes) {
			let seen: Policy | undefined;
			await eventually(
				`${node.name} tells revision ${revision} of the policy`,
				async () => {
					seen = await node.admin.call<Policy>('GET', policyPath).catch(() => undefined);
					return seen !== undefined && seen.revision >= revision;
				},
				{ withinMs, everyMs: 100 },
			);
			if (seen?.revision === revision && seen.value.ttftMs !== number)
				findings.violation(
					`${node.name} has ${seen.value.ttftMs} at revision ${revision} of the policy, not ${number}`,
				);
		}
	}

	async #flip(): Promise<void> {
		const { mesh, random, findings } = this.#context;
		const node = pick(random, mesh.nodes);
		if (!node.ready) return;
		const name = pick(random, strategies);
		const asked = { name, atMs: performance.now() };
		this.#strategies.push(asked);
		try {
			await node.admin.call('POST', `/api/v1/strategies/${name}/stage`, { stage: 'active' });
			this.#strategies = [
				asked,
				...this.#strategies.filter(({ atMs }) => asked.atMs - atMs < lateMs && atMs < asked.atMs),
			];
			findings.done('strategy');
		} catch (error) {
			findings.failed('strategy', error);
		}
	}

	async #sameStrategy(withinMs: number): Promise<void> {
		const { mesh } = this.#context;
		let seen: readonly string[] = [];
		await eventually(
			'all nodes decide alike',
			async () => {
				const possible = this.#strategies.map(({ name }) => name);
				seen = await Promise.all(
					mesh.nodes.map((node) =>
						node.admin.status().then(
							({ activeStrategy }) => activeStrategy,
							() => '',
						),
					),
				);
				const [first = ''] = seen;
				return new Set(seen).size === 1 && possible.includes(first.slice(0, first.lastIndexOf('@')));
			},
			{ withinMs, everyMs: 200 },
		).catch((error: unknown) => {
			throw new Error(`nodes decide by ${seen.join(', ')}`, { cause: error });
		});
	}

	async #cordon(): Promise<void> {
		const { mesh, random, findings } = this.#context;
		if (this.#lifecycleHeld) return;
		const by = pick(random, mesh.nodes);
		if (!by.ready) return;
		const [held] = this.#cordoned;
		const node = held ?? pick(random, mesh.nodes);
		const action = held === undefined ? 'cordon' : 'uncordon';
		this.#cordoned.add(node);
		try {
			await by.admin.call('POST', `/api/v1/nodes/${node.name}/${action}`, { reason: 'chaos' });
			if (action === 'uncordon') this.#cordoned.delete(node);
			findings.done(action);
		} catch (error) {
			findings.failed(action, error);
		}
	}

	async #uncordonAll(withinMs: number): Promise<void> {
		const { mesh } = this.#context;
		for (const node of this.#cordoned) {
			await eventually(
				`${node.name} is active again`,
				() =>
					mesh
						.node(0)
						.admin.call('POST', `/api/v1/nodes/${node.name}/uncordon`, { reason: 'chaos' })
						.then(
							() => true,
							() => false,
						),
				{ withinMs, everyMs: 200 },
			);
			this.#cordoned.delete(node);
		}
	}
}
