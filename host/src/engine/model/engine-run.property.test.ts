// Runs of steps against single steps: whatever is submitted, cancelled and slowed meanwhile, every sequence has the same times and every count is the same.
import test from 'ava';
import { array, assert, boolean, constantFrom, nat, property, record } from 'fast-check';
import { BlockRuns } from './block-runs.js';
import { engineModelConfig } from './engine-config.js';
import { EngineModel } from './engine-model.js';
import { engineProfile } from './profiles.js';
import { RooflineLatency } from './roofline.js';
import type { Sequence } from './sequence.js';

const profile = engineProfile('h100-8b');

interface Happening {
	readonly afterUs: number;
	readonly promptTokens: number;
	readonly outputTokens: number;
	/** Cancels the sequence submitted so many before, instead of submitting one. */
	readonly cancels: number;
	readonly slows: boolean;
	readonly hashed: boolean;
}

/** Drives an engine through the happenings, its own steps first at each instant; returns all that can be told apart. */
function story(happenings: readonly Happening[], small: boolean, runs: boolean): unknown {
	const model = new EngineModel({
		config: engineModelConfig(profile, { blockTokens: 16, kvBlocks: small ? 60 : 4000, sequencesMax: small ? 6 : 64 }),
		latency: new RooflineLatency(profile.roofline),
	});
	const sequences: Sequence[] = [];
	const begin = (nowUs: number): void => {
		if (model.stepInFlight || model.nextStepUs(nowUs) > nowUs) return;
		if (runs) model.beginRun(nowUs);
		else model.beginStep(nowUs);
	};
	const advance = (toUs: number): void => {
		for (;;) {
			const nextUs = model.nextStepUs(model.nowUs);
			if (nextUs > toUs) return;
			if (model.stepInFlight) model.endStep(nextUs);
			begin(nextUs);
			if (!model.stepInFlight && model.nextStepUs(nextUs) === nextUs) return;
		}
	};
	let nowUs = 0;
	for (const [index, { afterUs, cancels, slows, hashed, ...tokens }] of happenings.entries()) {
		nowUs += afterUs;
		advance(nowUs);
		if (slows) {
			model.interrupt(nowUs + 1);
			model.slowFactor = model.slowFactor === 1 ? 2.5 : 1;
		} else if (cancels > 0) {
			const sequence = sequences.at(-cancels);
			if (sequence !== undefined) model.cancel(sequence, nowUs);
		} else {
			const blocks = new BlockRuns().add(0, hashed ? 4 : 0).add(1000 + index * 100, hashed ? 26 : 0);
			const taken = model.submit({ ...tokens, blocks }, nowUs);
			if (typeof taken !== 'string') sequences.push(taken);
		}
		begin(nowUs);
	}
	advance(Number.MAX_SAFE_INTEGER);
	model.checkInvariants();
	const { counters } = model;
	return {
		counters,
		sequences: sequences.map(({ state, scheduledUs, firstTokenUs, finishedUs, generatedTokens, preemptions }) =>
			state === 'cancelled'
				? [state, scheduledUs, firstTokenUs, preemptions]
				: [state, scheduledUs, firstTokenUs, finishedUs, generatedTokens, preemptions],
		),
	};
}

test('a run of steps has the same effect as its steps one by one', (t) => {
	const happening = record({
		afterUs: nat(400_000),
		promptTokens: nat(300).map((tokens) => tokens + 1),
		outputTokens: nat(90).map((tokens) => tokens + 1),
		cancels: constantFrom(0, 0, 0, 1, 3),
		slows: constantFrom(false, false, false, true),
		hashed: boolean(),
	});
	assert(
		property(array(happening, { minLength: 1, maxLength: 40 }), boolean(), (happenings, small) => {
			t.deepEqual(story(happenings, small, true), story(happenings, small, false));
		}),
		{ numRuns: 150 },
	);
});
