// Whole gossip pools from seeds.
import { registerScenario } from '../register.js';
import { gossipScenario } from './scenario.js';

registerScenario(gossipScenario, { seeds: 12, atLeast: { members: 48 } });
