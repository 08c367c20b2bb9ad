// Properties of the step model over seeded random workloads and configurations.
import test from 'ava';
import * as fc from 'fast-check';
import { type Arrival, replay, seededArrivals, smallEngine } from './engine-model.test-support.js';
import type { Sequence } from './sequence.js';

const workload = fc.record({
	seed: fc.nat(),
	requests: fc.integer({ min: 1, max: 60 }),
	gapUsMean: fc.constantFrom(10, 200, 2000),
	promptTokensMean: fc.constantFrom(3, 20, 60),
	outputTokensMean: fc.constantFrom(1, 10, 40),
	families: fc.constantFrom(0, 1, 4),
	blockTokens: fc.constant(4),
	cancelShare: fc.constantFrom(0, 0.3),
});

const engine = fc.record({
	kvBlocks: fc.constantFrom(24, 60, 400),
	hostBlocks: fc.constantFrom(0, 16, 100),
	stepTokensMax: fc.constantFrom(3, 32, 512),
	sequencesMax: fc.constantFrom(1, 4, 64),
	ingestUs: fc.constantFrom(0, 700),
});

/** Arrivals that the smallest engine can hold. */
function fitting(arrivals: readonly Arrival[], kvBlocks: number): Arrival[] {
	return arrivals.filter(({ request }) => request.promptTokens + Math.max(request.outputTokens, 1) - 1 <= kvBlocks * 4);
}

function digest(sequences: readonly Sequence[]): string {
	return JSON.stringify(
		sequences.map((s) => [s.state, s.cachedTokens, s.hostTokens, s.preemptions, s.firstTokenUs, s.finishedUs]),
	);
}

test('blocks, requests and tokens are conserved in every step, whatever the load', (t) => {
	fc.assert(
		fc.property(workload, engine, (load, config) => {
			const model = smallEngine(config);
			const arrivals = fitting(seededArrivals(load), config.kvBlocks);
			const tokens = new Map<Sequence, number>();
			const sequences = replay(model, arrivals, (outcome) => {
				model.checkInvariants();
				const computed = outcome.shape.prefillTokens + outcome.shape.decodeSequences;
				if (computed > config.stepTokensMax) throw new Error('step budget exceeded');
				if (outcome.shape.prefillSequences + outcome.shape.decodeSequences > config.sequencesMax) {
					throw new Error('more sequences than allowed in a step');
				}
				for (const sequence of outcome.emitted) tokens.set(sequence, (tokens.get(sequence) ?? 0) + 1);
			});
			model.checkInvariants();
			for (const [i, sequence] of sequences.entries()) {
				const wanted = arrivals[i]?.request.outputTokens;
				if ((tokens.get(sequence) ?? 0) !== sequence.generatedTokens) throw new Error('tokens lost');
				if (sequence.state === 'finished' && sequence.generatedTokens !== wanted) throw new Error('wrong length');
				if (sequence.state !== 'finished' && arrivals[i]?.cancelAtUs === undefined) throw new Error('starved');
			}
		}),
		{ numRuns: 150 },
	);
	t.pass();
});

test('the same workload gives the same result, to the microsecond', (t) => {
	fc.assert(
		fc.property(workload, engine, (load, config) => {
			const arrivals = fitting(seededArrivals(load), config.kvBlocks);
			const once = digest(replay(smallEngine(config), arrivals));
			return once === digest(replay(smallEngine(config), arrivals));
		}),
		{ numRuns: 40 },
	);
	t.pass();
});

test('first admissions happen in order of arrival, and causality holds', (t) => {
	fc.assert(
		fc.property(workload, engine, (load, config) => {
			const arrivals = fitting(seededArrivals(load), config.kvBlocks);
			let lastScheduledUs = 0;
			for (const sequence of replay(smallEngine(config), arrivals)) {
				if (sequence.scheduledUs < 0) continue;
				if (sequence.scheduledUs < lastScheduledUs) throw new Error('overtaken');
				if (sequence.scheduledUs < sequence.arrivalUs + config.ingestUs) throw new Error('scheduled too early');
				if (sequence.finishedUs < sequence.scheduledUs) throw new Error('finished before it began');
				lastScheduledUs = sequence.scheduledUs;
			}
		}),
		{ numRuns: 60 },
	);
	t.pass();
});

test('sharing prefixes never makes a workload compute more tokens', (t) => {
	fc.assert(
		fc.property(workload, (load) => {
			const arrivals = seededArrivals({ ...load, families: 2, cancelShare: 0 });
			const computed = (prefixCaching: boolean): number => {
				const model = smallEngine({ kvBlocks: 4000, prefixCaching });
				let tokens = 0;
				replay(model, arrivals, (outcome) => {
					tokens += outcome.shape.prefillTokens;
				});
				return tokens + model.counters.prefixHitTokens;
			};
			return computed(true) === computed(false);
		}),
		{ numRuns: 40 },
	);
	t.pass();
});
