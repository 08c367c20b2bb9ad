// Owns the bench of the simulator: its speed, its agreement with another simulator on twenty policies' worth of figures, and the published figure it re-makes.
import type { Bench } from '../bench.js';
import { figureFive } from './figure-five.js';
import { policyTables } from './policies.js';
import { speedTables } from './speed.js';

export const simulatorBench: Bench = {
	name: 'simulator',
	summary: 'speed of the simulator, policies beside published figures, figure 5 of FAST’25 (about 3 min; --trace FILE)',
	run: async (context) => [
		...(await speedTables(context)),
		await figureFive(context),
		...(await policyTables(context)),
	],
};
