// The contract on the engine over the store, with a lone member under it.
import test from 'ava';
import { leaseTtlMinMs } from '../store/limits.js';
import { registerContract } from './contract/suite.js';
import { loneEngine } from './testing/lone.js';

registerContract(
	'store',
	(title, run) => test(title, run),
	async () => {
		const { engine, replicator } = loneEngine();
		return {
			engines: [engine],
			leaseMinMs: leaseTtlMinMs,
			cutQuorum: async () => {
				replicator.quorum = false;
				return async () => {
					replicator.quorum = true;
				};
			},
			close: () => engine.close(),
		};
	},
	['breakConnections'],
);
