// The contract of consensus on three members of a Raft group, all of them engines, over a network in memory whose cuts are real to them.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { encodeCommand } from '../../store/command-codec.js';
import { leaseTtlMinMs } from '../../store/limits.js';
import { Store } from '../../store/store.js';
import { type ContractCluster, registerContract } from '../contract/suite.js';
import { StoreEngine } from '../store-engine.js';
import { foundedGroup } from './bootstrap.js';
import { RaftGroup } from './group.js';
import { MemoryNetwork } from './testing/memory-network.js';
import { MemoryStorage } from './testing/memory-storage.js';
import { realClock } from './testing/real-clock.js';

const ids = ['a', 'b', 'c'];
let seed = 0;

function member(id: string, network: MemoryNetwork): { group: RaftGroup; engine: StoreEngine } {
	const storage = new MemoryStorage(realClock, foundedGroup(ids));
	const store = new Store();
	const group = new RaftGroup({
		group: 1,
		id,
		clock: realClock,
		random: new SeededRandom(++seed),
		log: storage,
		snapshots: storage,
		transport: network.transport(id),
		stateMachine: store,
		recovered: storage.recovered,
		addressOf: (peer) => `${peer}:8083`,
		// Ten times faster than in a mesh, and snapshots all the time.
		settings: {
			tickMs: 10,
			noQuorumMs: 5_000,
			snapshotEntries: 20,
			keepEntries: 5,
			limits: { heartbeatTicks: 3, electionTicks: 15 },
		},
	});
	const fault = (error: unknown): never => {
		throw error;
	};
	const engine = new StoreEngine({
		store,
		replicator: group,
		clock: realClock,
		random: new SeededRandom(++seed),
		fault,
	});
	return { group, engine };
}

async function cluster(): Promise<ContractCluster> {
	const network = new MemoryNetwork(realClock, new SeededRandom(++seed));
	const members = ids.map((id) => member(id, network));
	const [first] = members;
	if (first === undefined) throw new Error('no members');
	const close = async (): Promise<void> => {
		await Promise.all(members.map(({ engine }) => engine.close()));
		await Promise.all(members.map(({ group }) => group.close()));
	};
	try {
		await first.group.propose(encodeCommand({ kind: 'found', clusterId: 'contract' }), 20_000);
	} catch (error) {
		await close();
		throw error;
	}
	const heal = async (): Promise<void> => network.cut.clear();
	return {
		engines: [first.engine, ...members.slice(1).map(({ engine }) => engine)],
		leaseMinMs: leaseTtlMinMs * 3,
		breakConnections: async () => {
			for (const id of ids) network.cut.add(id);
			realClock.after(100, () => network.cut.clear());
		},
		cutQuorum: async () => {
			network.cut.add('b');
			network.cut.add('c');
			return heal;
		},
		close,
	};
}

registerContract('raft', (title, run) => test(title, run), cluster);
