// Owns the comparison with a real etcd of three members on the same machine: TLS between members and to clients, fsync on, the same 64 workers and
// values. Its client is this process, through the engine a mesh uses on etcd; our workers sit in the member's process, so a call saves a hop.
import type { EtcdEngine } from '@infermesh/fabric';
import { type EtcdCluster, makeEtcdTls, startEtcd } from '../../support/etcd.js';
import type { BenchContext, Table } from '../bench.js';
import { Ends } from '../ends.js';
import { median, quantile } from '../stats.js';
import { ConsensusRig } from './rig.js';

const workers = 64;
const value = new Uint8Array(128).fill(7);
/** etcd's own defaults: 100 ms and 1 s, drawn up to 2 s. */
const etcdTimers = ['--heartbeat-interval', '100', '--election-timeout', '1000'];
const ticksOfEtcdsTimeout = 40;

export async function besideEtcd(context: BenchContext): Promise<readonly Table[]> {
	const ends = new Ends();
	try {
		const cluster = await startEtcd(ends, 3, etcdTimers, await makeEtcdTls(ends));
		const throughput = await throughputOf(cluster, context);
		const failovers = await failoversOf(cluster, context);
		await ends.run();
		return [throughput, await failoverTable(failovers, context)];
	} finally {
		await ends.run();
	}
}

async function leaderOf(engine: EtcdEngine): Promise<string> {
	for (let tries = 0; tries < 1000; tries++) {
		const { leader } = await engine.status().catch(() => ({ leader: undefined }));
		if (leader !== undefined) return leader;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
	throw new Error('etcd has no leader within 20 s');
}

async function throughputOf(cluster: EtcdCluster, context: BenchContext): Promise<Table> {
	const forMs = context.quick ? 2_000 : 10_000;
	const leader = await leaderAddress(cluster);
	const engine = cluster.engine({ addresses: [leader] });
	await load(engine, 'write', forMs / 2);
	const rows: (string | number)[][] = [];
	for (const what of ['write', 'read'] as const) {
		context.progress(`etcd, ${what}s at the leader: ${workers} workers for ${forMs / 1000} s`);
		const { latenciesMs, elapsedMs, failures } = await load(engine, what, forMs);
		const perSecond = (latenciesMs.length / elapsedMs) * 1000;
		const [p50, p99, max] = [median(latenciesMs), quantile(latenciesMs, 0.99), quantile(latenciesMs, 1)];
		rows.push([`etcd, ${what}s at the leader`, perSecond, p50, p99, max, failures]);
	}
	return {
		title: 'etcd on the same machine, in the same run',
		columns: ['', 'per s', 'p50 ms', 'p99 ms', 'max ms', 'failed'],
		rows,
		notes: [`${workers} workers in a process of their own; values of 128 bytes`],
		aims: [],
	};
}

async function load(
	engine: EtcdEngine,
	what: 'write' | 'read',
	forMs: number,
): Promise<{ readonly latenciesMs: readonly number[]; readonly elapsedMs: number; readonly failures: number }> {
	const latenciesMs: number[] = [];
	let failures = 0;
	const beganMs = performance.now();
	const worker = async (number: number): Promise<void> => {
		while (performance.now() - beganMs < forMs) {
			const fromMs = performance.now();
			try {
				if (what === 'write') await write(engine, String(number), 5_000);
				else await engine.read({ key: `bench/${number}` });
				latenciesMs.push(performance.now() - fromMs);
			} catch {
				failures++;
			}
		}
	};
	await Promise.all(Array.from({ length: workers }, (_, number) => worker(number)));
	return { latenciesMs, elapsedMs: performance.now() - beganMs, failures };
}

async function write(engine: EtcdEngine, key: string, timeoutMs: number): Promise<void> {
	await engine.transact({ when: [], then: [{ put: `bench/${key}`, value }] }, { timeoutMs });
}

/** `host:port` of the member that leads, as the member itself says. */
async function leaderAddress(cluster: EtcdCluster): Promise<string> {
	const listed = await cluster.etcdctl('endpoint', 'status', '--write-out', 'json');
	const views = JSON.parse(listed) as readonly {
		readonly Endpoint: string;
		readonly Status: { readonly leader: number; readonly header: { readonly member_id: number } };
	}[];
	const leading = views.find(({ Status }) => Status.leader === Status.header.member_id);
	if (leading === undefined) throw new Error('no member of etcd leads');
	return leading.Endpoint.replace(/^https?:\/\//, '');
}

async function failoversOf(cluster: EtcdCluster, context: BenchContext): Promise<readonly number[]> {
	const took: number[] = [];
	for (let round = 0; round < roundsOf(context); round++) {
		context.progress(`etcd, kill ${round + 1} of ${roundsOf(context)}`);
		const address = await leaderAddress(cluster);
		const leader = cluster.members.find((member) => member.address === address);
		const other = cluster.members.find((member) => member.address !== address);
		if (leader === undefined || other === undefined) throw new Error(`etcd has no member at ${address}`);
		const engine = cluster.engine({ addresses: [other.address] });
		await leaderOf(engine);
		const fromMs = performance.now();
		const killed = leader.kill();
		await firstCommitted(engine, 20_000);
		took.push(performance.now() - fromMs);
		await killed;
		await engine.close();
		leader.start();
		await healthy(cluster);
	}
	return took;
}

/**
 * Resolves with the first write that is committed. etcd keeps a write that came while there was no leader until it times out (7 s at these timers), so a
 * client that waits would measure that; here a new one is sent every 20 ms.
 */
async function firstCommitted(engine: EtcdEngine, withinMs: number): Promise<void> {
	const untilMs = performance.now() + withinMs;
	const seen = { committed: false };
	const attempt = async (): Promise<void> => {
		try {
			await write(engine, 'once', 1_000);
			seen.committed = true;
		} catch {
			// No leader yet: another attempt is on its way.
		}
	};
	while (!seen.committed) {
		if (performance.now() > untilMs) throw new Error('etcd took no write');
		void attempt();
		for (let waited = 0; waited < 10 && !seen.committed; waited++)
			await new Promise((resolve) => setTimeout(resolve, 2));
	}
}

async function healthy(cluster: EtcdCluster): Promise<void> {
	for (let tries = 0; tries < 100; tries++) {
		const ok = await cluster.etcdctl('endpoint', 'health').then(
			() => true,
			() => false,
		);
		if (ok) return;
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
	throw new Error('etcd is not healthy again');
}

function roundsOf(context: BenchContext): number {
	return context.quick ? 3 : 15;
}

/** Ours at the same timers, in the same run. */
async function failoverTable(etcd: readonly number[], context: BenchContext): Promise<Table> {
	const rig = await ConsensusRig.open({ electionTicks: ticksOfEtcdsTimeout });
	const ours: number[] = [];
	try {
		for (let round = 0; round < roundsOf(context); round++) {
			context.progress(`ours at etcd's timers, kill ${round + 1} of ${roundsOf(context)}`);
			ours.push(await rig.failover());
		}
	} finally {
		await rig.close();
	}
	const row = (name: string, took: readonly number[]): (string | number)[] => [
		name,
		median(took),
		quantile(took, 0.99),
		took.length,
	];
	return {
		title: "from the leader killed to the next committed write, at etcd's timers",
		columns: ['', 'median ms', 'p99 ms', 'rounds'],
		rows: [row('etcd', etcd), row('ours', ours)],
		notes: ['heartbeat 100 ms, election timeout drawn from 1 to 2 s'],
		aims: [{ what: 'median, ours to etcd', figure: median(ours) / median(etcd), atMost: 1.1, unit: '' }],
	};
}
