// Whole clusters from seeds.
import { registerScenario } from '../register.js';
import { consensusScenario } from './scenario.js';

registerScenario(consensusScenario, { seeds: 40, atLeast: { answered: 1500, leaders: 100 } });
