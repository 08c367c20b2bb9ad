// Owns the figures of consensus: committed writes and linearizable reads a second by 64 workers, how long writes stop when the leader is killed, and
// how long a handover takes. Three processes on this machine, mTLS between them, fsync on.
import type { Bench, BenchContext, Table } from '../bench.js';
import { median, quantile } from '../stats.js';
import { besideEtcd } from './etcd.js';
import type { Cost, Load, LoadResult } from './member.js';
import { ConsensusRig } from './rig.js';

const workers = 64;

export const consensusBench: Bench = {
	name: 'consensus',
	summary:
		'three processes, mTLS, fsync, beside etcd: writes and reads a second, failover, handover (about six minutes)',
	run: async (context) => {
		const rig = await ConsensusRig.open();
		try {
			const ours = await throughput(rig, context);
			const interrupted = await interruptions(rig, context);
			await rig.close();
			return [ours, interrupted, ...(await besideEtcd(context)), await idleGroups(context)];
		} finally {
			await rig.close();
		}
	},
};

/** What groups cost that have nothing to do: one on a member against a hundred. */
async function idleGroups(context: BenchContext): Promise<Table> {
	const forMs = context.quick ? 3_000 : 10_000;
	const rows: (string | number)[][] = [];
	for (const groups of [1, 100]) {
		context.progress(`${groups} idle groups for ${forMs / 1000} s`);
		const rig = await ConsensusRig.open({ groups });
		try {
			const costs = (): Promise<Cost[]> =>
				Promise.all(rig.members.map((member) => member.call<Cost>({ call: 'cost' })));
			while ((await costs()).reduce((sum, { leads }) => sum + leads, 0) < groups)
				await new Promise((resolve) => setTimeout(resolve, 50));
			await new Promise((resolve) => setTimeout(resolve, 3_000));
			const before = await costs();
			const fromMs = performance.now();
			await new Promise((resolve) => setTimeout(resolve, forMs));
			const after = await costs();
			const seconds = (performance.now() - fromMs) / 1000;
			const perSecond = (of: keyof Cost): number =>
				after.reduce((sum, now, at) => sum + now[of] - (before[at]?.[of] ?? 0), 0) / after.length / seconds;
			rows.push([groups, perSecond('cpuMs') / 10, perSecond('messages'), perSecond('batches')]);
		} finally {
			await rig.close();
		}
	}
	return {
		title: 'idle groups on one log, per member',
		columns: ['groups', '% of a core', 'messages/s', 'batches/s'],
		rows,
		notes: ['groups of a process tick in one turn: their messages to a peer share a batch'],
		aims: [],
	};
}

async function throughput(rig: ConsensusRig, context: BenchContext): Promise<Table> {
	const forMs = context.quick ? 2_000 : 10_000;
	const leader = await rig.leader();
	const follower = rig.members.find((member) => member !== leader) ?? leader;
	await rig.load(leader, { what: 'write', workers, forMs: forMs / 2 });
	const measured = new Map<string, LoadResult>();
	const cases: readonly (readonly [string, typeof leader, Load['what']])[] = [
		['writes at the leader', leader, 'write'],
		['writes at a follower', follower, 'write'],
		['reads at the leader', leader, 'read'],
		['reads at a follower', follower, 'read'],
	];
	for (const [name, member, what] of cases) {
		context.progress(`${name}: ${workers} workers for ${forMs / 1000} s`);
		measured.set(name, await rig.load(member, { what, workers, forMs }));
	}
	const perSecond = (name: string): number => {
		const { count = 0, elapsedMs = Number.NaN } = measured.get(name) ?? {};
		return (count / elapsedMs) * 1000;
	};
	const p99 = quantile(measured.get('writes at the leader')?.latenciesMs ?? [], 0.99);
	return {
		title: 'committed writes and linearizable reads',
		columns: ['', 'per s', 'p50 ms', 'p99 ms', 'max ms', 'failed'],
		rows: [...measured].map(([name, { latenciesMs, failures }]) => [
			name,
			perSecond(name),
			median(latenciesMs),
			quantile(latenciesMs, 0.99),
			quantile(latenciesMs, 1),
			failures,
		]),
		notes: [`${workers} workers in the member's own process, each waiting for its answer; values of 128 bytes`],
		aims: [
			{ what: 'time for 1,500 writes', figure: 1_500 / perSecond('writes at the leader'), atMost: 1, unit: 's' },
			{ what: 'p99 of a write', figure: p99, atMost: 100, unit: 'ms' },
			{ what: 'time for 3,000 reads', figure: 3_000 / perSecond('reads at the leader'), atMost: 1, unit: 's' },
		],
	};
}

/** Hands leadership over and waits until a write at the new leader is committed. */
async function handover(rig: ConsensusRig): Promise<number> {
	const leader = await rig.leader();
	const other = rig.members.find((member) => member !== leader) ?? leader;
	const fromMs = performance.now();
	await leader.call({ call: 'transfer', to: other.start.id });
	await other.call({ call: 'writeOnce', timeoutMs: 20_000 });
	return performance.now() - fromMs;
}

async function interruptions(rig: ConsensusRig, context: BenchContext): Promise<Table> {
	const rounds = context.quick ? 5 : 30;
	context.progress(`${rounds} kills of the leader, ${rounds} handovers`);
	const failovers: number[] = [];
	const handovers: number[] = [];
	for (let round = 0; round < rounds; round++) failovers.push(await rig.failover());
	for (let round = 0; round < rounds; round++) handovers.push(await handover(rig));
	return {
		title: 'from the leader killed, or asked to hand over, to the next committed write',
		columns: ['', 'median ms', 'p99 ms', 'rounds'],
		rows: [
			['leader killed (SIGKILL)', median(failovers), quantile(failovers, 0.99), rounds],
			['leadership handed over', median(handovers), quantile(handovers, 0.99), rounds],
		],
		notes: ['heartbeat 100 ms, election timeout drawn from 500 to 1,000 ms'],
		aims: [
			{ what: 'failover, median', figure: median(failovers), atMost: 900, unit: 'ms' },
			{ what: 'failover, p99', figure: quantile(failovers, 0.99), atMost: 1_500, unit: 'ms' },
			{ what: 'handover, median', figure: median(handovers), atMost: 200, unit: 'ms' },
		],
	};
}
