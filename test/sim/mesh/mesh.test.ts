// Whole meshes from seeds: gossip and consensus on the same hosts.
import { registerScenario } from '../register.js';
import { meshScenario } from './scenario.js';

registerScenario(meshScenario, { seeds: 20, atLeast: { answered: 1000, committed: 1000, members: 36 } });
