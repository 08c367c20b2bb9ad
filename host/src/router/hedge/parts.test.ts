// The budget and the adaptive delay of hedging, on their own.
import test from 'ava';
import { array, assert, constant, constantFrom, float, nat, oneof, property, record } from 'fast-check';
import { DelayWindow } from './delay-window.js';
import { TokenBudget } from './token-budget.js';

test('copies never cost more than the share of what was served, whatever happens in which order', (t) => {
	const event = oneof(
		record({ kind: constant('serve' as const), tokens: nat(5000) }),
		record({
			kind: constant('copy' as const),
			tokens: nat(5000),
			spentShare: float({ min: 0, max: 1, noNaN: true }),
		}),
	);
	assert(
		property(array(event, { maxLength: 200 }), constantFrom(0.01, 0.05, 0.5), (events, ratio) => {
			const budget = new TokenBudget(ratio, 10_000);
			let served = 0;
			let spent = 0;
			for (const one of events) {
				if (one.kind === 'serve') {
					served += one.tokens;
					budget.earn(one.tokens);
				} else if (budget.take(one.tokens)) {
					const cost = one.tokens * one.spentShare;
					spent += cost;
					budget.settle(one.tokens, cost);
				}
			}
			return spent <= served * ratio + 1e-6;
		}),
	);
	t.pass();
});

test('a loser that cost more than it was charged is paid off before the next copy', (t) => {
	const budget = new TokenBudget(0.5, 1000);
	budget.earn(400);
	t.true(budget.take(150));
	budget.settle(150, 300);
	t.is(budget.tokens, -100);
	t.false(budget.take(0));
	budget.earn(1000);
	t.is(budget.tokens, 400);
});

test('the budget saved up is bounded', (t) => {
	const budget = new TokenBudget(1, 100);
	budget.earn(1e9);
	t.is(budget.tokens, 100);
});

test('the adaptive delay says nothing at first, and then follows the quantile of late values', (t) => {
	const window = new DelayWindow(0.9);
	for (let i = 0; i < 31; i++) window.add(10);
	t.is(window.delayMs, undefined);
	window.add(10);
	t.is(window.delayMs, 10);
	for (let i = 1; i <= 256; i++) window.add(i);
	t.is(window.delayMs, 231);
});
