// Steps of a start while coordinators come and go.
import { consensusError } from '@infermesh/fabric';
import test from 'ava';
import { HandClock } from '../fleet/testing.js';
import { outlast } from './outlast.js';

/** A step that fails with each of the errors before it succeeds, and how often it was taken. */
function stepping(...errors: readonly Error[]) {
	const left = [...errors];
	const told: string[] = [];
	const step = async (): Promise<string> => {
		told.push('taken');
		const error = left.shift();
		if (error !== undefined) throw error;
		return 'done';
	};
	return { step, told };
}

/** Lets pending promises go on, then time. */
async function pass(clock: HandClock, ms: number): Promise<void> {
	await new Promise((resolve) => setImmediate(resolve));
	clock.advance(ms);
	await new Promise((resolve) => setImmediate(resolve));
}

test('a node does not die of a write that has no answer while the other coordinators start as well', async (t) => {
	const clock = new HandClock();
	const { step, told } = stepping(
		consensusError('IM_CONSENSUS_TIMEOUT'),
		consensusError('IM_CONSENSUS_NO_QUORUM'),
		consensusError('IM_CONSENSUS_UNAVAILABLE'),
	);
	const failures: string[] = [];
	const done = outlast('announcing targets', step, {
		clock,
		signal: undefined,
		failed: (what) => failures.push(what),
	});
	for (const ms of [500, 1000, 2000]) await pass(clock, ms);
	t.is(await done, 'done');
	t.is(told.length, 4);
	t.deepEqual(failures, Array(3).fill('announcing targets'));
});

test('what is refused for its own sake ends the start, and so does nobody waiting for it any more', async (t) => {
	const clock = new HandClock();
	const refused = stepping(new Error('not you'));
	await t.throwsAsync(outlast('', refused.step, { clock, signal: undefined, failed: () => undefined }), {
		message: 'not you',
	});
	t.is(refused.told.length, 1);
	const late = stepping(consensusError('IM_CONSENSUS_TIMEOUT'));
	const signal = AbortSignal.abort();
	await t.throwsAsync(outlast('', late.step, { clock, signal, failed: () => undefined }), {
		code: 'IM_CONSENSUS_TIMEOUT',
	});
});
