// The thread of the adapters that a node runs itself: what they parse (a status of a thousand ranks, a megabyte of log a file) must not hold up the agent.
import './v8-flags.js';
import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { MeshError } from '@infermesh/proto';
import { systemClock } from './clock.js';
import { type OwnAdapterPorts, runOwnAdapters } from './own-adapters.js';
import type { FromOwnAdapters, OwnAdaptersStart } from './own-adapters-protocol.js';

const agent = parentPort;
if (agent === null) throw new Error('own-adapters-thread.ts runs in a worker thread only');
// Nothing is told to this thread; but without a listener it would end whenever its adapters only wait for their next look.
agent.on('message', () => undefined);
const send = (message: FromOwnAdapters): void => agent.postMessage(message);
/** Clocks of two threads do not begin at one moment: times go as ages. */
const ageOf = (observedAtMs: number): number => Math.max(0, systemClock.nowMs() - observedAtMs);

const ports: OwnAdapterPorts = {
	clock: systemClock,
	randomBytes: (count) => randomBytes(count),
	reports: {
		comm: (delta, { adapter }) => send({ kind: 'comm', delta, ageMs: ageOf(delta.observedAtMs), adapter }),
		io: (delta, { adapter }) => send({ kind: 'io', delta, ageMs: ageOf(delta.observedAtMs), adapter }),
	},
	warn: (fields, message) => send({ kind: 'warn', fields, message }),
};

try {
	await runOwnAdapters(workerData as OwnAdaptersStart, ports);
	send({ kind: 'running' });
} catch (error) {
	const { message, where } = error instanceof MeshError ? error : { message: String(error), where: undefined };
	send({ kind: 'refused', message, where });
}
