// Whole clusters from seeds.
import { registerScenario } from '../register.js';
import { consensusScenario } from './scenario.js';

registerScenario(consensusScenario, { seeds: 30, atLeast: { answered: 1500, leaders: 100 } });
