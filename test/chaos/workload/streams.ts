// Owns long streamed completions through the router of every node. What a stream says is known before; once it has begun it must end with all of it, unless
// the very router it runs through was killed. Its end is what "no stream dropped" means.
import { type Answer, ask } from '../../support/traffic.js';
import { clientTimeout, routerKilled } from './findings.js';
import { pause, repeat, type Workload, type WorkloadContext } from './workload.js';

const perNode = 2;
const tokensLeast = 80;
const tokensMost = 260;
const seeds = 40;
const pauseMs = [50, 400] as const;
/** Far longer than any stream takes, pauses of its router included. */
const streamMaxMs = 90_000;

export class Streams implements Workload {
	readonly ended: Promise<unknown>;
	readonly #context: WorkloadContext;
	/** Streams under way: router and, once it has begun, target. */
	readonly #open = new Set<{ readonly router: number; target: string | undefined }>();
	/** Routers that are given no new streams: they are about to be stopped. */
	readonly #withheld = new Set<number>();
	readonly #begun = new Map<string, number>();
	completed = 0;
	/** Cut because their router was killed. */
	cut = 0;
	refused = 0;
	dropped = 0;
	#damaged = false;

	constructor(context: WorkloadContext) {
		this.#context = context;
		this.ended = Promise.all(
			context.mesh.nodes.flatMap((_, router) =>
				Array.from({ length: perNode }, () => repeat(context, pauseMs, () => this.#one(router))),
			),
		);
	}

	/** Streams that run now through a router, or to a target. */
	under(router: number | undefined, target: string | undefined): number {
		return [...this.#open].filter((one) => one.router === router || one.target === target).length;
	}

	/** Streams that have ever begun on a target. */
	begun(target: string): number {
		return this.#begun.get(target) ?? 0;
	}

	/** Gives the router no new streams, as a balancer in front of it would, until told otherwise. */
	withhold(router: number, withheld: boolean): void {
		if (withheld) this.#withheld.add(router);
		else this.#withheld.delete(router);
	}

	async #one(router: number): Promise<void> {
		const { mesh, random, findings, signal } = this.#context;
		const node = mesh.node(router);
		if (!node.ready || this.#withheld.has(router)) return pause(pauseMs[1], signal);
		const seed = 1 + Math.floor(random.nextFloat() * seeds);
		const tokens = tokensLeast + ((seed * 37) % (tokensMost - tokensLeast));
		const expected = await mesh.engines.oracle.text(seed, tokens);
		const one: { readonly router: number; target: string | undefined } = { router, target: undefined };
		this.#open.add(one);
		const beganMs = performance.now();
		try {
			const answer = await ask({
				url: node.data,
				seed,
				tokens,
				stream: true,
				headers: { authorization: `Bearer ${mesh.apiKey}` },
				signal: AbortSignal.timeout(streamMaxMs),
				onTarget: (target) => {
					one.target = target;
					this.#begun.set(target, this.begun(target) + 1);
				},
			});
			this.#judge(router, beganMs, this.#damage(answer), expected);
		} catch (error) {
			this.refused++;
			const code = findings.failed('stream', error);
			if (code === clientTimeout || !node.awaySince(beganMs))
				findings.violation(`a request at ${node.name} got no answer though its process was there: ${code}`);
		} finally {
			this.#open.delete(one);
		}
	}

	#judge(router: number, beganMs: number, answer: Answer, expected: string): void {
		const { mesh, findings } = this.#context;
		const { status, complete, text, error, target } = answer;
		const { name } = mesh.node(router);
		if (status !== 200) {
			this.refused++;
			findings.refused('stream', error ?? `status ${status}`);
			return;
		}
		if (complete && text === expected) {
			this.completed++;
			findings.done('stream');
			return;
		}
		if (mesh.node(router).killedSince(beganMs)) {
			this.cut++;
			findings.refused('stream', routerKilled);
			return;
		}
		this.dropped++;
		const how = complete ? 'ended with another text' : `broke after ${text.length} of ${expected.length} characters`;
		findings.violation(`a stream through ${name} from ${target} ${how}: ${error ?? 'no error'}`);
	}

	/** Once, if this run is to prove that it would be noticed. */
	#damage(answer: Answer): Answer {
		if (!this.#context.damages.has('dropped-stream') || this.#damaged || !answer.complete) return answer;
		this.#damaged = true;
		return { ...answer, complete: false, text: answer.text.slice(0, 10) };
	}
}
