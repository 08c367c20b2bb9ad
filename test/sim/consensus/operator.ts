// Owns what operators do to a simulated cluster: they add the spare hosts as learners, give votes, take members out, change several at once, hand leadership
// over, and replace members whose disk was emptied. They ask whoever leads and take a refusal for an answer.
import type { ChangeStep, PeerId } from '@infermesh/fabric';
import { MeshError, type SeededRandom } from '@infermesh/proto';
import type { SimWorld } from '../world/sim-world.js';
import type { SimMember } from './sim-member.js';

export interface OperatorOptions {
	readonly world: SimWorld;
	readonly members: readonly SimMember[];
	/** Mean time between two changes; undefined when members stay as they are. */
	readonly changeEveryUs: number | undefined;
	readonly transferEveryUs: number | undefined;
	/** Voters at least. */
	readonly votersMin: number;
}

export class Operator {
	readonly #options: OperatorOptions;
	readonly #random: SeededRandom;
	#active = true;

	constructor(options: OperatorOptions) {
		this.#options = options;
		this.#random = options.world.random('workload');
	}

	start(): void {
		this.#repeat(this.#options.changeEveryUs, () => this.#change());
		this.#repeat(this.#options.transferEveryUs, () => this.#transfer());
		this.#repeat(1_000_000, () => this.#replaceWiped());
	}

	/** Only what is broken is repaired from now on. */
	calm(): void {
		this.#active = false;
	}

	#repeat(everyUs: number | undefined, act: () => void): void {
		if (everyUs === undefined) return;
		const { world } = this.#options;
		const wait = (): void => {
			world.schedule(-Math.log(1 - this.#random.nextFloat()) * everyUs, 'operator', () => {
				act();
				wait();
			});
		};
		wait();
	}

	/** Whoever leads with the highest term and can be asked. */
	leader(): SimMember | undefined {
		const leading = this.#options.members.filter(
			({ host, process }) => host.state === 'up' && process?.group.leads() === true,
		);
		return leading.sort((a, b) => (b.process?.group.core.term ?? 0) - (a.process?.group.core.term ?? 0))[0];
	}

	#ask(what: string, call: Promise<void>): void {
		const { world } = this.#options;
		world.note(undefined, () => `operator: ${what}`);
		const wait = async (): Promise<void> => {
			try {
				await call;
				world.counters.add(`done: ${what.split(' ')[0]}`);
				world.note(undefined, () => `operator: ${what} done`);
			} catch (error) {
				if (!(error instanceof MeshError)) world.fail(error instanceof Error ? error : new Error(String(error)));
				world.note(undefined, () => `operator: ${what} refused: ${String(error)}`);
			}
		};
		void wait();
	}

	#pick<T>(from: readonly T[]): T | undefined {
		return from[Math.floor(this.#random.nextFloat() * from.length)];
	}

	#transfer(): void {
		const leader = this.leader();
		if (!this.#active || leader?.process === undefined) return;
		this.#ask(
			'transfer of leadership',
			leader.process.admin.transfer(this.#pick(leader.process.group.core.membership.voters)),
		);
	}

	#change(): void {
		const leader = this.leader();
		if (!this.#active || leader?.process === undefined) return;
		const { admin, group } = leader.process;
		const { voters, learners } = group.core.membership;
		const outside = this.#options.members
			.map(({ id }) => id)
			.filter((id) => !voters.includes(id) && !learners.includes(id));
		const dice = this.#random.nextFloat();
		const [out, learner, newcomer] = [this.#pick(voters), this.#pick(learners), this.#pick(outside)];
		if (dice < 0.3 && newcomer !== undefined) this.#ask(`add learner ${newcomer}`, admin.addLearner(newcomer));
		else if (dice < 0.55 && learner !== undefined) this.#ask(`promote ${learner}`, admin.promote(learner));
		else if (dice < 0.7 && out !== undefined && voters.length > this.#options.votersMin)
			this.#ask(`remove ${out}`, admin.remove(out));
		else this.#several(leader, outside);
	}

	/** Several steps at once: joint consensus. */
	#several(leader: SimMember, outside: readonly PeerId[]): void {
		if (leader.process === undefined) return;
		const { admin, group } = leader.process;
		const { voters, learners } = group.core.membership;
		const steps: ChangeStep[] = [];
		for (const id of [...voters, ...learners, ...outside]) {
			if (this.#random.nextFloat() < 0.6) continue;
			const isVoter = voters.includes(id);
			const action = this.#pick(
				isVoter ? (['remove', 'add-learner'] as const) : (['add-voter', 'add-learner'] as const),
			);
			if (action !== undefined) steps.push({ action, id });
		}
		const left = new Set(voters);
		for (const { action, id } of steps) {
			if (action === 'add-voter') left.add(id);
			else left.delete(id);
		}
		if (steps.length === 0 || left.size < this.#options.votersMin) return;
		this.#ask(`change ${steps.map(({ action, id }) => `${action} ${id}`).join(', ')}`, admin.change(steps));
	}

	/** Members that no host is any more. */
	lostMembers(leader: SimMember): PeerId[] {
		const membership = leader.process?.group.core.membership;
		if (membership === undefined) return [];
		const present = new Set(this.#options.members.map(({ id }) => id));
		return [...membership.voters, ...membership.outgoing, ...membership.learners].filter((id) => !present.has(id));
	}

	/** Takes out whoever was wiped, and brings its host back as a newcomer. */
	#replaceWiped(): void {
		const leader = this.leader();
		if (leader?.process === undefined) return;
		const { admin, group } = leader.process;
		const { voters, learners, outgoing } = group.core.membership;
		const lost = this.lostMembers(leader);
		const newcomer = this.#options.members.find(
			({ id, wiped }) => wiped && !voters.includes(id) && !learners.includes(id) && !outgoing.includes(id),
		);
		const learner = learners.find((id) => this.#options.members.some((member) => member.id === id && member.wiped));
		if (newcomer !== undefined) this.#ask(`add learner ${newcomer.id}`, admin.addLearner(newcomer.id));
		else if (learner !== undefined && lost.length > 0) this.#ask(`promote ${learner}`, admin.promote(learner));
		else if (lost[0] !== undefined) this.#ask(`remove ${lost[0]}`, admin.remove(lost[0]));
	}
}
