// Owns the process that the test of orphans kills: a host with one sandbox, whose number it tells before it waits. Reads the library from stdin.
import { buffer } from 'node:stream/consumers';
import { systemClock } from '../../main/clock.js';
import { START_WAIT_MS, startSandbox } from './addon.js';
import { patientLimits } from './code.js';
import { buildNativeEngine } from './engine.js';

const library = new Uint8Array(await buffer(process.stdin));
const engine = await buildNativeEngine();
const sandbox = startSandbox(engine, library, 'orphan', 65_536, patientLimits);
if (sandbox.ready(START_WAIT_MS) !== 'ready') throw new Error(sandbox.message);
process.stdout.write(`${sandbox.pid}\n`);
// Ended from outside: stdin is at its end, so something must keep the process.
systemClock.every(60_000, () => sandbox.pid);
