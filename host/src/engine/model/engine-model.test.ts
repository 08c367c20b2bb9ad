// Behaviour of the step model through its public interface: order, budgets, chunks, cache, preemption, cancellation.
import test from 'ava';
import { accept, familyBlocks, replay, runStep, smallEngine } from './engine-model.test-support.js';
import type { Sequence } from './sequence.js';

test('a lone request prefills in one step and then decodes one token a step', (t) => {
	const model = smallEngine();
	const sequence = accept(model, { promptTokens: 10, outputTokens: 3 }, 0);
	t.is(model.beginStep(0), 110);
	t.is(sequence.state, 'running');
	t.is(sequence.generatedTokens, 0, 'a token is out only when its step ends');
	const first = model.endStep(110);
	t.deepEqual(first.emitted, [sequence]);
	t.is(sequence.firstTokenUs, 110);
	t.is(runStep(model, 110).shape.decodeContextTokens, 10);
	t.deepEqual(runStep(model, 211).finished, [sequence]);
	t.is(sequence.finishedUs, 312);
	t.is(sequence.generatedTokens, 3);
	t.is(model.kvBlocksUsed, 0);
	t.is(model.nextStepUs(312), Infinity);
	t.is(model.beginStep(312), 0);
});

test('prompts are prefilled in chunks of the step budget, decodes go first', (t) => {
	const model = smallEngine({ stepTokensMax: 16 });
	const early = accept(model, { promptTokens: 4, outputTokens: 20 }, 0);
	runStep(model, 0);
	const long = accept(model, { promptTokens: 40, outputTokens: 1 }, 104);
	const shapes = [];
	for (let now = 104; long.state !== 'finished'; ) {
		const outcome = runStep(model, now);
		shapes.push([outcome.shape.decodeSequences, outcome.shape.prefillTokens, outcome.shape.prefillAttentionPairs]);
		now = outcome.endUs;
	}
	t.deepEqual(shapes, [
		[1, 15, 15 * 7.5],
		[1, 15, 15 * (15 + 7.5)],
		[1, 10, 10 * (30 + 5)],
	]);
	t.is(early.generatedTokens, 4);
});

test('waiting requests are admitted first come first served, also past a big head of line', (t) => {
	const model = smallEngine({ kvBlocks: 10, sequencesMax: 8 });
	accept(model, { promptTokens: 24, outputTokens: 8 }, 0);
	const big = accept(model, { promptTokens: 30, outputTokens: 1 }, 1);
	const small = accept(model, { promptTokens: 4, outputTokens: 1 }, 2);
	let { endUs } = runStep(model, 2);
	t.is(big.state, 'waiting', 'eight blocks do not fit beside six of ten');
	t.is(small.state, 'waiting', 'nobody overtakes the head of the line');
	while (model.running + model.waiting > 0) ({ endUs } = runStep(model, endUs));
	t.is(small.state, 'finished');
	t.true(big.scheduledUs <= small.scheduledUs);
});

test('a step holds at most sequencesMax sequences', (t) => {
	const model = smallEngine({ sequencesMax: 2 });
	for (let i = 0; i < 5; i++) accept(model, { promptTokens: 1, outputTokens: 5 }, 0);
	model.beginStep(0);
	t.is(model.running, 2);
	t.is(model.waiting, 3);
});

test('a request waits for its ingest time and nextStepUs says when to come back', (t) => {
	const model = smallEngine({ ingestUs: 500 });
	accept(model, { promptTokens: 1, outputTokens: 1 }, 100);
	t.is(model.nextStepUs(100), 600);
	t.is(model.beginStep(599), 0);
	t.true(model.beginStep(600) > 0);
});

test('a prompt with a known prefix skips the cached blocks but computes at least one token', (t) => {
	const model = smallEngine();
	const first = accept(model, { promptTokens: 16, outputTokens: 1, blocks: familyBlocks(1, 4) }, 0);
	const end = runStep(model, 0).endUs;
	t.is(first.cachedTokens, 0);
	const same = accept(model, { promptTokens: 16, outputTokens: 1, blocks: familyBlocks(1, 4) }, end);
	t.is(runStep(model, end).shape.prefillTokens, 4, 'the last block is computed again for its logits');
	t.is(same.cachedTokens, 12);
	t.is(model.counters.prefixHitTokens, 12);
	t.is(model.counters.prefixQueryTokens, 32);
	const other = accept(model, { promptTokens: 16, outputTokens: 1, blocks: familyBlocks(2, 4) }, 1000);
	runStep(model, 1000);
	t.is(other.cachedTokens, 0);
});

test('sequences of one step share the blocks of their common prefix', (t) => {
	const model = smallEngine();
	const blocks = familyBlocks(1, 4);
	accept(model, { promptTokens: 16, outputTokens: 8, blocks }, 0);
	const second = accept(model, { promptTokens: 17, outputTokens: 8, blocks }, 0);
	model.beginStep(0);
	t.is(second.cachedTokens, 16);
	t.is(model.kvBlocksUsed, 5);
});

test('blocks of the output are shared when their hashes are given', (t) => {
	const model = smallEngine();
	const blocks = familyBlocks(1, 6);
	replay(model, [{ atUs: 0, request: { promptTokens: 8, outputTokens: 12, blocks } }]);
	const followUp = accept(model, { promptTokens: 24, outputTokens: 1, blocks }, 10_000);
	runStep(model, 10_000);
	t.is(followUp.cachedTokens, 16, 'tokens 0..18 were computed, four full blocks of them');
});

test('prefix caching can be switched off', (t) => {
	const model = smallEngine({ prefixCaching: false });
	const blocks = familyBlocks(1, 4);
	replay(model, [{ atUs: 0, request: { promptTokens: 16, outputTokens: 1, blocks } }]);
	const again = accept(model, { promptTokens: 16, outputTokens: 1, blocks }, 10_000);
	runStep(model, 10_000);
	t.is(again.cachedTokens, 0);
});

test('unreferenced blocks are evicted least recently used first, the end of a prefix before its start', (t) => {
	const model = smallEngine({ kvBlocks: 8 });
	const request = (family: number, promptTokens: number) => ({
		promptTokens,
		outputTokens: 1,
		blocks: familyBlocks(family, Math.floor(promptTokens / 4)),
	});
	replay(model, [{ atUs: 0, request: request(1, 16) }]);
	replay(model, [{ atUs: 1000, request: request(2, 16) }]);
	const [third] = replay(model, [{ atUs: 2000, request: request(3, 8) }]);
	t.is(third?.cachedTokens, 0);
	const [first] = replay(model, [{ atUs: 3000, request: request(1, 17) }]);
	t.is(first?.cachedTokens, 8, 'family 1 lost its last two blocks');
	const [second] = replay(model, [{ atUs: 4000, request: request(2, 17) }]);
	t.is(second?.cachedTokens, 4, 'then family 2 lost its last ones');
});

test('the host tier keeps evicted blocks; a reload costs step time, not computation', (t) => {
	const model = smallEngine({ kvBlocks: 4, hostBlocks: 16 });
	const request = (family: number) => ({ promptTokens: 16, outputTokens: 1, blocks: familyBlocks(family, 4) });
	replay(model, [{ atUs: 0, request: request(1) }]);
	replay(model, [{ atUs: 1000, request: request(2) }]);
	t.is(model.hostBlocksUsed, 4);
	const again = accept(model, request(1), 2000);
	const { shape } = runStep(model, 2000);
	t.is(shape.hostReloadTokens, 12);
	t.is(shape.prefillTokens, 4);
	t.is(again.hostTokens, 12);
	t.is(again.cachedTokens, 0);
	t.is(model.counters.hostHitTokens, 12);
});

test('when blocks run out the last-in sequence is preempted, recomputed and still finishes', (t) => {
	const model = smallEngine({ kvBlocks: 6 });
	const finished: Sequence[] = [];
	const [first, last] = replay(
		model,
		[
			{ atUs: 0, request: { promptTokens: 8, outputTokens: 12 } },
			{ atUs: 0, request: { promptTokens: 8, outputTokens: 12 } },
		],
		(outcome) => finished.push(...outcome.finished),
	);
	t.is(first?.preemptions, 0);
	t.true((last?.preemptions ?? 0) > 0);
	t.deepEqual(finished, [first, last]);
	t.is(last?.generatedTokens, 12, 'no token is lost or sent twice');
	t.is(model.counters.generatedTokens, 24);
	t.true(model.counters.recomputedTokens > 0);
});

test('cancel while waiting, between steps and during a step frees everything', (t) => {
	const model = smallEngine({ sequencesMax: 2 });
	const a = accept(model, { promptTokens: 8, outputTokens: 50 }, 0);
	const b = accept(model, { promptTokens: 8, outputTokens: 50 }, 0);
	const waiting = accept(model, { promptTokens: 8, outputTokens: 50 }, 0);
	t.true(model.cancel(waiting, 0));
	t.is(waiting.state, 'cancelled');
	let { endUs } = runStep(model, 0);
	t.true(model.cancel(a, endUs));
	t.is(a.state, 'cancelled');
	t.is(model.running, 1);
	const durationUs = model.beginStep(endUs);
	t.true(model.cancel(b, endUs + 1));
	t.is(b.state, 'running', 'the step in flight still holds it');
	t.false(model.cancel(b, endUs + 1), 'a second cancel does nothing');
	endUs += durationUs;
	t.is(model.endStep(endUs).emitted.length, 0);
	t.is(b.state, 'cancelled');
	t.is(b.generatedTokens, 1);
	t.is(model.kvBlocksUsed, 0);
	t.is(model.counters.cancelled, 3);
	t.notThrows(() => model.checkInvariants());
});

test('prefill-only work finishes without a token', (t) => {
	const model = smallEngine();
	const sequence = accept(model, { promptTokens: 50, outputTokens: 0 }, 0);
	t.is(runStep(model, 0).finished.length, 0, 'the first chunk is 32 tokens');
	const outcome = runStep(model, 132);
	t.deepEqual(outcome.finished, [sequence]);
	t.is(outcome.emitted.length, 0);
	t.is(sequence.generatedTokens, 0);
	t.notThrows(() => model.checkInvariants());
});

test('a full queue and a sequence that never fits are refused and counted', (t) => {
	const model = smallEngine({ waitingMax: 1, kvBlocks: 4 });
	t.is(model.submit({ promptTokens: 10, outputTokens: 8 }, 0), 'too_long');
	accept(model, { promptTokens: 10, outputTokens: 7 }, 0);
	t.is(model.submit({ promptTokens: 1, outputTokens: 1 }, 0), 'queue_full');
	t.is(model.counters.refused, 2);
});

test('a slow factor stretches every step', (t) => {
	const model = smallEngine();
	model.slowFactor = 4;
	accept(model, { promptTokens: 10, outputTokens: 1 }, 0);
	t.is(model.beginStep(0), 440);
});

test('misuse is caught: time going back, fractions, steps out of order', (t) => {
	const model = smallEngine();
	accept(model, { promptTokens: 1, outputTokens: 1 }, 10);
	t.throws(() => model.submit({ promptTokens: 1, outputTokens: 1 }, 9), { message: /went back/ });
	t.throws(() => model.submit({ promptTokens: 1, outputTokens: 1 }, 10.5), { message: /integer/ });
	t.throws(() => model.submit({ promptTokens: 0, outputTokens: 1 }, 10), { message: /promptTokens/ });
	t.throws(() => model.endStep(10), { message: /no step/ });
	model.beginStep(10);
	t.throws(() => model.beginStep(10), { message: /in flight/ });
	t.throws(() => model.endStep(11), { message: /ends at/ });
});
